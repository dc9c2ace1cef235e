//! What a node may believe of its own lease. By its steady clock alone; the time is an argument.

use std::time::Duration;

use tokio::time::Instant;

use crate::Lease;

/// So long before the lease ends it counts as doubtful, because a renewal that is sent now may come too late.
const MARGIN: Duration = Duration::from_millis(500);

/// So long after its end a lease can still be renewed. It covers the failover of the Redis process that keeps the leases,
/// in which nobody can renew. Behind it the node takes itself for dead, and only then may others clear away what is its.
pub(crate) const REVOCABLE: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(crate) struct OwnLease {
    length: Duration,
    /// When the latest renewal that succeeded was sent, not when it was answered: the store counts from some moment
    /// between the two.
    renewed: Instant,
    lost: bool,
}

impl OwnLease {
    pub(crate) fn new(length: Duration, renewed: Instant) -> Self {
        Self { length, renewed, lost: false }
    }

    pub(crate) fn renewed(&mut self, sent: Instant) {
        self.renewed = self.renewed.max(sent);
    }

    pub(crate) fn lose(&mut self) {
        self.lost = true;
    }

    /// What is lost stays lost: others may have cleared away already.
    pub(crate) fn at(&mut self, now: Instant) -> Lease {
        let age = now.saturating_duration_since(self.renewed);
        self.lost |= age >= self.length + REVOCABLE;
        if self.lost {
            Lease::Lost
        } else if age >= self.length.saturating_sub(MARGIN) {
            Lease::Doubtful
        } else {
            Lease::Held
        }
    }

    /// When the answer changes, if nothing is renewed until then.
    pub(crate) fn changes(&self, now: Instant) -> Option<Instant> {
        let doubtful = self.renewed + self.length.saturating_sub(MARGIN);
        let lost = self.renewed + self.length + REVOCABLE;
        [doubtful, lost].into_iter().find(|moment| !self.lost && *moment > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn lease(start: Instant) -> OwnLease {
        OwnLease::new(3 * SECOND, start)
    }

    #[test]
    fn doubtful_before_its_end_and_lost_before_others_clear_away() {
        let start = Instant::now();
        let mut own = lease(start);
        for (millis, expected) in [
            (0, Lease::Held),
            (2_499, Lease::Held),
            (2_500, Lease::Doubtful),
            (5_999, Lease::Doubtful),
            (6_000, Lease::Lost),
        ] {
            assert_eq!(own.at(start + Duration::from_millis(millis)), expected, "after {millis} ms");
        }
        own.renewed(start + 6 * SECOND);
        assert_eq!(own.at(start + 6 * SECOND), Lease::Lost, "for ever");
    }

    #[test]
    fn a_failover_of_three_seconds_is_survived() {
        let start = Instant::now();
        let mut own = lease(start);
        assert_eq!(own.at(start + 4 * SECOND), Lease::Doubtful);
        own.renewed(start + 4 * SECOND);
        assert_eq!(own.at(start + 4 * SECOND), Lease::Held);
        own.renewed(start + SECOND);
        assert_eq!(
            own.at(start + 6 * SECOND),
            Lease::Held,
            "an older answer that comes late takes nothing away"
        );
    }

    #[test]
    fn whoever_waits_for_changes_misses_none() {
        let start = Instant::now();
        let mut own = lease(start);
        let mut seen = vec![own.at(start)];
        let mut now = start;
        while let Some(moment) = own.changes(now) {
            now = moment;
            seen.push(own.at(now));
        }
        assert_eq!(seen, [Lease::Held, Lease::Doubtful, Lease::Lost]);
    }
}
