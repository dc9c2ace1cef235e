//! How long records are kept, by class; and what that means for a file. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::time::Time;

const DAY: Duration = Duration::from_hours(24);

/// How long records of a class are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Of classes that are not named.
    pub otherwise: Duration,
    pub classes: BTreeMap<String, Duration>,
}

impl Default for Retention {
    /// What decides over access and what operators did, for 400 days, so that a year can be compared with the one before; what only
    /// tells who was there, for 90.
    fn default() -> Self {
        let short = ["connection", "media", "limit", "turn"].map(|class| (class.to_owned(), 90 * DAY));
        Self { otherwise: 400 * DAY, classes: short.into() }
    }
}

impl Retention {
    pub fn of(&self, class: &str) -> Duration {
        self.classes.get(class).copied().unwrap_or(self.otherwise)
    }

    pub(crate) fn is_past(&self, class: &str, time: Time, now: Time) -> bool {
        let age = Duration::from_millis(now.0.saturating_sub(time.0));
        age > self.of(class)
    }

    /// The shortest there is: a file that is younger has nothing to prune.
    pub(crate) fn shortest(&self) -> Duration {
        self.classes.values().copied().min().map_or(self.otherwise, |least| least.min(self.otherwise))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_its_age() {
        let retention = Retention::default();
        let now = Time(1_800_000_000_000);
        let ago = |days: u64| Time(now.0 - days * 86_400_000);
        for (class, days, past) in [
            ("connection", 89, false),
            ("connection", 91, true),
            ("authentication", 91, false),
            ("authentication", 401, true),
        ] {
            assert_eq!(retention.is_past(class, ago(days), now), past, "{class} {days}");
        }
        assert!(!retention.is_past("connection", Time(now.0 + 1), now), "a clock that was ahead");
        assert_eq!(retention.shortest(), 90 * DAY);
    }
}
