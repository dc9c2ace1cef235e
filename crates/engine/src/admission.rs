//! How many may come at once: a token bucket for those who come by HTTP, and one for those who enter a namespace, of
//! which a share is kept for those who come back. The others are told when to try again.
//!
//! Pure: the time is an argument, and so is chance.

use std::time::Duration;

/// Of the burst, what only those who come back may use: half.
const RESERVED: u64 = 2;
/// However many wait, nobody is sent away for longer.
const PUT_OFF_MAX: Duration = Duration::from_secs(30);
/// Those who are put off at the same moment must not be back at the same moment.
const SPREAD_MIN: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comer {
    New,
    /// With a genuine ticket: the session is there, and costs memory until its client has taken it up again.
    Returning,
}

/// Everything is counted in thousandths, so that a rate a second is one a millisecond.
#[derive(Debug)]
pub(crate) struct Door {
    rate: u64,
    burst_milli: u64,
    tokens_milli: u64,
    /// Those who were put off and will be back, as far as they could have been let in since.
    backlog_milli: u64,
    at_ms: u64,
}

impl Door {
    pub(crate) fn new(rate_per_second: usize, burst: usize, now_ms: u64) -> Self {
        let burst_milli = (burst.max(1) as u64).saturating_mul(1_000);
        Self {
            rate: rate_per_second.max(1) as u64,
            burst_milli,
            tokens_milli: burst_milli,
            backlog_milli: 0,
            at_ms: now_ms,
        }
    }

    /// Lets the comer in, or says after how long it is to come again: the longer, the more are waiting. `chance` is any
    /// number, different from one to the next.
    pub(crate) fn ask(&mut self, comer: Comer, now_ms: u64, chance: u32) -> Result<(), Duration> {
        let gained = now_ms.saturating_sub(self.at_ms).saturating_mul(self.rate);
        self.at_ms = self.at_ms.max(now_ms);
        self.tokens_milli = self.tokens_milli.saturating_add(gained).min(self.burst_milli);
        self.backlog_milli = self.backlog_milli.saturating_sub(gained);
        let kept_milli = match comer {
            Comer::New => self.burst_milli / RESERVED,
            Comer::Returning => 0,
        };
        // A burst of one has nothing to share.
        let needed_milli = (kept_milli + 1_000).min(self.burst_milli);
        if self.tokens_milli >= needed_milli {
            self.tokens_milli -= 1_000;
            return Ok(());
        }
        self.backlog_milli += 1_000;
        let turn = Duration::from_millis(self.backlog_milli / self.rate);
        let spread = turn.max(SPREAD_MIN);
        Err((turn + spread.mul_f64(f64::from(chance) / f64::from(u32::MAX))).min(PUT_OFF_MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    use super::*;

    fn let_in(door: &mut Door, comer: Comer, now_ms: u64, count: usize) -> usize {
        (0..count).filter(|_| door.ask(comer, now_ms, 0).is_ok()).count()
    }

    #[test]
    fn a_burst_and_then_a_rate() {
        let mut door = Door::new(100, 50, 1_000);
        // (milliseconds, who come back, of whom are let in)
        for (now, come, expected) in
            [(1_000, 60, 50), (1_000, 1, 0), (1_009, 1, 0), (1_010, 2, 1), (1_100, 20, 9), (9_000, 99, 50)]
        {
            assert_eq!(let_in(&mut door, Comer::Returning, now, come), expected, "at {now}");
        }
        // A clock that goes back gives nothing.
        assert_eq!(let_in(&mut door, Comer::Returning, 0, 9), 0);
        assert_eq!(let_in(&mut door, Comer::Returning, 9_000, 9), 0);
    }

    #[test]
    fn newcomers_leave_a_share_to_those_who_come_back() {
        let mut door = Door::new(100, 50, 0);
        assert_eq!(let_in(&mut door, Comer::New, 0, 99), 25);
        assert_eq!(let_in(&mut door, Comer::Returning, 0, 99), 25);
        // As long as more come back than can be let in, no newcomer is.
        for now in (10..1_000).step_by(10) {
            assert_eq!(let_in(&mut door, Comer::New, now, 5), 0, "at {now}");
            assert_eq!(let_in(&mut door, Comer::Returning, now, 5), 1, "at {now}");
        }
        assert_eq!(let_in(&mut door, Comer::New, 2_000, 99), 25);
        let mut least = Door::new(1, 1, 0);
        assert_eq!(let_in(&mut least, Comer::New, 0, 9), 1);
        assert_eq!(let_in(&mut least, Comer::New, 1_000, 9), 1);
    }

    #[test]
    fn the_more_wait_the_later_they_are_to_come() {
        let mut door = Door::new(100, 10, 0);
        assert_eq!(let_in(&mut door, Comer::Returning, 0, 10), 10);
        let mut ask = |now, chance| door.ask(Comer::Returning, now, chance).map_err(|wait| wait.as_millis());
        assert_eq!(ask(0, 0), Err(10));
        assert_eq!(ask(0, u32::MAX), Err(1_020));
        for _ in 0..500 {
            assert!(ask(0, 0).is_err());
        }
        assert_eq!(ask(0, 0), Err(5_030));
        assert_eq!(ask(0, u32::MAX), Err(10_080));
        for _ in 0..10_000 {
            assert!(ask(0, 0).is_err());
        }
        assert_eq!(ask(0, u32::MAX), Err(30_000));
        // When all that wait could have been let in, the next is as one of a few.
        for _ in 0..10 {
            assert_eq!(ask(1_000_000, 0), Ok(()));
        }
        assert_eq!(ask(1_000_000, 0), Err(10));
    }

    /// Clients that come back when they were told, or when the stock client does, which does not listen.
    fn storm(clients: u32, door: &mut Door, listens: bool) -> (u64, usize) {
        // When each comes, and how often it has come before.
        let mut due: BinaryHeap<_> = (0..clients).map(|_| Reverse((0, 0_u32))).collect();
        let (mut last, mut refused, mut chance) = (0, 0, 0_u32);
        while let Some(Reverse((now, attempts))) = due.pop() {
            chance = chance.wrapping_add(0x9E37_79B9);
            let Err(wait) = door.ask(Comer::Returning, now, chance) else {
                last = now;
                continue;
            };
            refused += 1;
            // 1 s, doubling to 5 s, and half of it more or less.
            let own = (1_000 << attempts.min(3)).min(5_000);
            let own = own / 2 + u64::from(chance) * own / u64::from(u32::MAX);
            due.push(Reverse((now + if listens { wait.as_millis() as u64 } else { own }, attempts + 1)));
        }
        (last, refused)
    }

    #[test]
    fn a_crowd_is_back_soon_and_nobody_is_refused_without_need() {
        let door = || Door::new(8_000, 8_000, 0);
        assert_eq!(storm(5_000, &mut door(), true), (0, 0));
        // Three times what a second can bear. Who listens is refused once at most.
        for (listens, refused_max) in [(true, 16_000), (false, 20_500)] {
            let (last, refused) = storm(24_000, &mut door(), listens);
            assert!(last <= 5_000, "listens {listens}: the last was let in after {last} ms");
            assert!(refused <= refused_max, "listens {listens}: {refused} times somebody was refused");
        }
    }
}
