//! How often one client may ask.

use std::net::IpAddr;
use std::num::NonZeroU32;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use turnpike_wire::{Code, Failure};

use super::problem::Problem;

/// From so many clients on the ones that have been quiet are forgotten before another is taken.
const CLIENTS_SWEPT: usize = 20_000;

pub(super) struct Rates {
    posts: DefaultKeyedRateLimiter<IpAddr>,
    changes: DefaultKeyedRateLimiter<IpAddr>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Counted {
    Post,
    Change,
}

impl Rates {
    pub(super) fn new(posts_per_minute_max: NonZeroU32, changes_per_minute_max: NonZeroU32) -> Self {
        Self {
            posts: RateLimiter::keyed(Quota::per_minute(posts_per_minute_max)),
            changes: RateLimiter::keyed(Quota::per_minute(changes_per_minute_max)),
        }
    }

    pub(super) fn check(&self, what: Counted, client: IpAddr) -> Result<(), Problem> {
        let limiter = match what {
            Counted::Post => &self.posts,
            Counted::Change => &self.changes,
        };
        let checked = limiter.check_key(&client);
        // Every so often: a sweep goes over all of them.
        if limiter.len() > CLIENTS_SWEPT && limiter.len().is_multiple_of(1_024) {
            limiter.retain_recent();
        }
        checked.map_err(|not_until| {
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            Failure::from(Code::RateLimited).retry_after_ms(wait.as_millis() as u64).into()
        })
    }
}
