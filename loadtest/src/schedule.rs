//! When something is due, whatever the server does: the open loop. Times are microseconds of whatever clock the caller has.

/// Every so often, beginning at some moment. What was not done in time stays due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    every_us: u64,
    next_us: u64,
}

impl Pace {
    /// Of one among many: they are spread evenly over the interval, so that together they make a steady load.
    pub fn spread(start_us: u64, every_us: u64, index: u32, of: u32) -> Self {
        let share = u64::from(index) * every_us / u64::from(of.max(1));
        Self { every_us: every_us.max(1), next_us: start_us + share }
    }

    pub fn next_us(&self) -> u64 {
        self.next_us
    }

    /// What is due by now, once; call it until there is nothing more.
    pub fn take(&mut self, now_us: u64) -> Option<u64> {
        if self.next_us > now_us {
            return None;
        }
        let due = self.next_us;
        self.next_us += self.every_us;
        Some(due)
    }

    /// Nothing is due until then: the user is away, and wants nothing. Keeps the beat.
    pub fn away_until(&mut self, until_us: u64) {
        if self.next_us < until_us {
            let beats = (until_us - self.next_us).div_ceil(self.every_us);
            self.next_us += beats * self.every_us;
        }
    }
}

/// Random enough to spread clients, and the same for the same seed.
pub fn mixed(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_make_a_steady_load() {
        let mut due: Vec<u64> = Vec::new();
        for index in 0..10 {
            let mut pace = Pace::spread(1_000, 100, index, 10);
            while let Some(at) = pace.take(1_199) {
                due.push(at);
            }
        }
        due.sort_unstable();
        assert_eq!(due, (0..20).map(|number| 1_000 + number * 10).collect::<Vec<_>>());
    }

    #[test]
    fn what_was_late_is_still_due_when_it_was() {
        let mut pace = Pace::spread(0, 10, 0, 1);
        assert_eq!(
            [pace.take(25), pace.take(25), pace.take(25), pace.take(25)],
            [Some(0), Some(10), Some(20), None]
        );
        pace.away_until(55);
        assert_eq!(pace.next_us(), 60);
        pace.away_until(60);
        assert_eq!(pace.next_us(), 60);
    }
}
