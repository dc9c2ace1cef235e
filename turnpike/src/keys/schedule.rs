//! When an issuer is asked for its keys, and for how long its last answer counts. It knows the time only from its caller.
//!
//! It is asked by the clock alone. Nothing that a client sends, a token with an unknown key among it, causes a request: so
//! nobody can make this node flood an issuer, and there is nothing to remember about unknown keys.

use std::time::{Duration, Instant};

/// Between the beginnings of two requests, whether they succeed or not.
pub(super) const INTERVAL: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// The last answer counts.
    Fresh,
    /// There is none, or it is too old: its keys are dead.
    Stale,
}

#[derive(Debug, Clone)]
pub(super) struct Schedule {
    stale_max: Duration,
    /// When the request began that brought the last answer: nothing that happened later can be in it.
    answered: Option<Instant>,
}

impl Schedule {
    pub(super) fn new(stale_max: Duration) -> Self {
        Self { stale_max, answered: None }
    }

    pub(super) fn answered(&mut self, begun: Instant) {
        self.answered = Some(begun);
    }

    pub(super) fn standing(&self, now: Instant) -> Standing {
        match self.answered {
            Some(begun) if now.saturating_duration_since(begun) <= self.stale_max => Standing::Fresh,
            _ => Standing::Stale,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_for_a_while() {
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let mut schedule = Schedule::new(Duration::from_mins(1));
        assert_eq!(schedule.standing(at(0)), Standing::Stale);
        schedule.answered(at(1));
        assert_eq!(schedule.standing(at(61)), Standing::Fresh);
        assert_eq!(schedule.standing(at(62)), Standing::Stale);
        schedule.answered(at(90));
        assert_eq!(schedule.standing(at(91)), Standing::Fresh);
    }
}
