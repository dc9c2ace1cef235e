//! Whether something that fails is asked at all, such as a master of Redis. After failures in a row requests are refused at once, and one now and then is let
//! through to see. The time is an argument.

use std::time::{Duration, Instant};

use crate::BreakerState;

/// Fewer would open for a single lost connection, which a retry mends.
const FAILURES_MAX: u64 = 5;

/// How long nothing is let through at first; doubled each time that the trial fails.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// A failover takes a few seconds; whoever waits longer than this to try again adds to it.
const PAUSE_MAX: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct Breaker {
    failures: u64,
    /// When it opened, for how long, and whether the trial is under way since.
    open: Option<Open>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    until: Instant,
    pause: Duration,
    trial: Option<Instant>,
}

/// How long to wait before asking again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused(pub Duration);

impl Breaker {
    /// Asks for leave. Whoever gets it says how it went.
    pub fn admit(&mut self, now: Instant) -> Result<(), Refused> {
        let Some(open) = &mut self.open else { return Ok(()) };
        if now < open.until {
            return Err(Refused(open.until - now));
        }
        match open.trial {
            // Whoever had leave may have been dropped without a word.
            Some(since) if now < since + PAUSE_MAX => Err(Refused(open.pause)),
            _ => {
                open.trial = Some(now);
                Ok(())
            }
        }
    }

    /// Nobody is let through yet, not even to see.
    pub fn is_open(&self, now: Instant) -> bool {
        self.open.is_some_and(|open| now < open.until)
    }

    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    #[allow(clippy::match_same_arms, reason = "two different situations")]
    pub fn failed(&mut self, now: Instant) {
        self.failures += 1;
        match &mut self.open {
            Some(open) if open.trial.is_some() => {
                let pause = (open.pause * 2).min(PAUSE_MAX);
                *open = Open { until: now + pause, pause, trial: None };
            }
            // A request from before it opened.
            Some(_) => {}
            None if self.failures >= FAILURES_MAX => {
                self.open = Some(Open { until: now + PAUSE_MIN, pause: PAUSE_MIN, trial: None });
            }
            None => {}
        }
    }

    pub fn report(&self, name: &str, now: Instant) -> crate::Breaker {
        let (state, retry_after) = match &self.open {
            None => (BreakerState::Closed, Duration::ZERO),
            Some(open) if now < open.until => (BreakerState::Open, open.until - now),
            Some(_) => (BreakerState::HalfOpen, Duration::ZERO),
        };
        crate::Breaker {
            name: name.to_owned(),
            state,
            failures: self.failures,
            retry_after_ms: retry_after.as_millis() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES_MAX {
            assert_eq!(breaker.admit(now), Ok(()));
            breaker.failed(now);
        }
        breaker
    }

    #[test]
    fn opens_after_failures_in_a_row_only() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..3 * FAILURES_MAX {
            breaker.failed(now);
            breaker.succeeded();
        }
        assert_eq!(breaker.admit(now), Ok(()));
        let mut breaker = failing(now);
        assert_eq!(breaker.admit(now), Err(Refused(PAUSE_MIN)));
        assert!(breaker.is_open(now) && !breaker.is_open(now + PAUSE_MIN));
        assert_eq!(breaker.report("m", now).state, BreakerState::Open);
        assert_eq!(breaker.report("m", now).failures, FAILURES_MAX);
    }

    #[test]
    fn one_trial_decides() {
        let start = Instant::now();
        let mut breaker = failing(start);
        let now = start + PAUSE_MIN;
        assert_eq!(breaker.report("m", now).state, BreakerState::HalfOpen);
        assert_eq!(breaker.admit(now), Ok(()), "the trial");
        assert!(breaker.admit(now).is_err(), "one at a time");
        breaker.failed(now);
        assert_eq!(breaker.admit(now + PAUSE_MIN), Err(Refused(PAUSE_MIN)), "twice as long");
        let now = now + 2 * PAUSE_MIN;
        assert_eq!(breaker.admit(now), Ok(()));
        breaker.succeeded();
        assert_eq!(breaker.admit(now), Ok(()));
        assert_eq!(breaker.admit(now), Ok(()));
        assert_eq!(breaker.report("m", now).state, BreakerState::Closed);
    }

    #[test]
    fn the_pause_is_bounded_and_a_lost_trial_does_not_close_it_for_ever() {
        let mut now = Instant::now();
        let mut breaker = failing(now);
        for _ in 0..10 {
            now += PAUSE_MAX;
            assert_eq!(breaker.admit(now), Ok(()));
            breaker.failed(now);
        }
        assert_eq!(breaker.admit(now), Err(Refused(PAUSE_MAX)));
        now += PAUSE_MAX;
        assert_eq!(breaker.admit(now), Ok(()), "a trial that never says how it went");
        assert_eq!(breaker.admit(now + PAUSE_MAX), Ok(()));
    }
}
