//! What a node may believe of its own lease. By its steady clock alone; the time is an argument.

use std::time::Duration;

use tokio::time::Instant;

use crate::Lease;

/// So long before the lease ends it counts as doubtful, because a renewal that is sent now may come too late.
const MARGIN: Duration = Duration::from_millis(500);

/// So long after its end a lease can still be renewed. It covers the failover of the Redis process that keeps the leases,
/// in which nobody can renew. Behind it the node takes itself for dead, and only then may others clear away what is its.
pub(crate) const REVOCABLE: Duration = Duration::from_secs(3);

/// How far the clock of the store goes on in one step, after a time in which nobody asked it.
const STORE_STEP: Duration = Duration::from_millis(1_200);

/// A renewal that succeeds is sent each second.
const OVERDUE: Duration = Duration::from_millis(1_200);

/// Between two looks at the cluster that follow upon each other. What lies between others counts.
const LOOKS_APART_MAX: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct OwnLease {
    length: Duration,
    /// When the latest renewal that succeeded was sent, not when it was answered: the store counts from some moment
    /// between the two.
    renewed: Instant,
    /// Since when time counts again, and how much of it had counted before. The store's own clock stands still while nobody
    /// can ask it, so nobody is taken for dead meanwhile.
    since: Instant,
    counted: Duration,
    is_away: bool,
    lost: bool,
}

impl OwnLease {
    pub(crate) fn new(length: Duration, renewed: Instant) -> Self {
        Self { length, renewed, since: renewed, counted: Duration::ZERO, is_away: false, lost: false }
    }

    pub(crate) fn renewed(&mut self, sent: Instant) {
        if sent > self.renewed {
            (self.renewed, self.since, self.counted, self.is_away) = (sent, sent, Duration::ZERO, false);
        }
    }

    /// At that moment nobody could renew anything: the masters said together that the one which keeps the leases is gone, and
    /// it had no successor.
    pub(crate) fn nobody_could(&mut self, looked: Instant) {
        let gap = looked.saturating_duration_since(self.since);
        if gap.is_zero() {
            return;
        }
        if !self.is_away {
            self.counted += STORE_STEP;
        }
        if !self.is_away || gap > LOOKS_APART_MAX {
            self.counted += gap;
        }
        (self.since, self.is_away) = (looked, true);
    }

    /// When a renewal is missing, if none comes until then.
    pub(crate) fn overdue(&self) -> Instant {
        self.renewed + OVERDUE
    }

    pub(crate) fn is_overdue(&self, now: Instant) -> bool {
        now >= self.overdue()
    }

    /// How much of the time since the latest renewal counts.
    fn age(&self, now: Instant) -> Duration {
        self.counted + now.saturating_duration_since(self.since)
    }

    pub(crate) fn lose(&mut self) {
        self.lost = true;
    }

    /// What is lost stays lost: others may have cleared away already.
    pub(crate) fn at(&mut self, now: Instant) -> Lease {
        self.lost |= self.age(now) >= self.length + REVOCABLE;
        if self.lost {
            Lease::Lost
        } else if self.is_away || self.age(now) >= self.length.saturating_sub(MARGIN) {
            Lease::Doubtful
        } else {
            Lease::Held
        }
    }

    /// When the answer changes, if nothing is renewed until then.
    pub(crate) fn changes(&self, now: Instant) -> Option<Instant> {
        let ages = [self.length.saturating_sub(MARGIN), self.length + REVOCABLE];
        let mut moments = ages.into_iter().map(|age| self.since + age.saturating_sub(self.counted));
        moments.find(|moment| !self.lost && *moment > now)
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

    /// Somebody whose master is seen to be gone each tenth of a second in between.
    fn without_its_master(from: Duration, to: Duration) -> (OwnLease, Instant) {
        let start = Instant::now();
        let mut own = lease(start);
        let mut age = from;
        while age <= to {
            own.nobody_could(start + age);
            assert_eq!(own.at(start + age), Lease::Doubtful, "after {age:?}");
            age += SECOND / 10;
        }
        (own, start + to)
    }

    #[test]
    fn nobody_dies_while_nobody_can_renew() {
        let (mut own, back) = without_its_master(3 * SECOND, 60 * SECOND);
        // What was left is left, but for the step that the store takes then.
        assert_eq!(own.changes(back), Some(back + Duration::from_millis(1_800)));
        assert_eq!(own.at(back + Duration::from_millis(1_799)), Lease::Doubtful);
        assert_eq!(own.at(back + Duration::from_millis(1_800)), Lease::Lost);
        let (mut own, back) = without_its_master(3 * SECOND, 60 * SECOND);
        own.renewed(back + SECOND);
        assert_eq!(own.at(back + SECOND), Lease::Held);
        assert_eq!(own.at(back + 7 * SECOND), Lease::Lost, "and it counts as ever");
    }

    #[test]
    fn what_is_seen_now_and_then_excuses_nothing_between() {
        let start = Instant::now();
        let mut own = lease(start);
        own.nobody_could(start + 3 * SECOND);
        own.nobody_could(start + 3 * SECOND);
        own.nobody_could(start + SECOND);
        own.nobody_could(start + 4 * SECOND);
        assert_eq!(own.at(start + 4 * SECOND), Lease::Doubtful);
        own.nobody_could(start + 6 * SECOND);
        assert_eq!(own.at(start + 6 * SECOND), Lease::Lost);
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
