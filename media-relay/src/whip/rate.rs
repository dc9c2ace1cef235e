//! How often one client may ask.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use turnpike_guard::limit::{Exceeded, Rate, Table};
use turnpike_wire::{Code, Failure};

/// Addresses that are counted at a time, for each of the two. Beyond it those that are new share a limit.
const CLIENTS_MAX: usize = 50_000;
/// How often the ones that have been quiet are forgotten: a sweep goes over all of them.
const SWEEP_EVERY_MS: u64 = 10_000;

pub(super) struct Rates {
    began: Instant,
    posts: Limited,
    changes: Limited,
}

struct Limited {
    rate: Rate,
    clients: Table<IpAddr>,
    swept_ms: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Counted {
    Post,
    Change,
}

impl Counted {
    /// As the audit log names the limit.
    pub(super) fn slug(self) -> &'static str {
        match self {
            Self::Post => "whip_posts",
            Self::Change => "whip_changes",
        }
    }
}

impl Rates {
    pub(super) fn new(posts_per_minute_max: NonZeroU32, changes_per_minute_max: NonZeroU32) -> Self {
        let limited = |per_minute: NonZeroU32| Limited {
            rate: Rate::per_minute(per_minute, per_minute),
            clients: Table::new(CLIENTS_MAX),
            swept_ms: AtomicU64::new(0),
        };
        Self {
            began: Instant::now(),
            posts: limited(posts_per_minute_max),
            changes: limited(changes_per_minute_max),
        }
    }

    pub(super) fn check(&self, what: Counted, client: IpAddr) -> Result<(), Failure> {
        let Limited { rate, clients, swept_ms } = match what {
            Counted::Post => &self.posts,
            Counted::Change => &self.changes,
        };
        let now_ms = self.began.elapsed().as_millis() as u64;
        if now_ms >= swept_ms.load(Ordering::Relaxed) + SWEEP_EVERY_MS {
            swept_ms.store(now_ms, Ordering::Relaxed);
            clients.sweep(now_ms);
        }
        clients.check(&client, rate, now_ms).map_err(|Exceeded { retry_after_ms }| {
            Failure::from(Code::RateLimited).retry_after_ms(retry_after_ms)
        })
    }
}
