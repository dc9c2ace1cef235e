//! How long a batch waits before it is tried again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const MAX: Duration = Duration::from_mins(1);

/// `failures` are at least one. Doubles up to a minute; chance takes off up to a half, so that the nodes of a system do
/// not all come back at the same moment.
pub(super) fn delay(failures: u32, chance: u64) -> Duration {
    let doubled = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(MAX);
    doubled.mul_f64(1.0 - chance as f64 / u64::MAX as f64 / 2.0)
}

/// Any number. Nothing depends on its not being foreseen.
pub(super) fn chance() -> u64 {
    RandomState::new().hash_one(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_from_a_second_to_a_minute_and_chance_takes_at_most_half() {
        let table = [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 32), (7, 60), (8, 60), (u32::MAX, 60)];
        for (failures, seconds) in table {
            let whole = Duration::from_secs(seconds);
            assert_eq!(delay(failures, 0), whole, "{failures}");
            assert_eq!(delay(failures, u64::MAX), whole / 2, "{failures}");
            let between = delay(failures, chance());
            assert!((whole / 2..=whole).contains(&between), "{failures}: {between:?}");
        }
    }

    #[test]
    fn chance_differs() {
        let drawn: std::collections::HashSet<u64> = (0..16).map(|_| chance()).collect();
        assert!(drawn.len() > 1);
    }
}
