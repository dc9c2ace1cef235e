//! When somebody is told of changes: at once after a quiet time, and what comes soon after that together.

use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::track::TrackKey;

/// Whoever comes and goes in between is told together.
pub(crate) const INTERVAL: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
pub(crate) struct News {
    has: bool,
    /// Not before. None: nothing was ever told.
    next: Option<Instant>,
}

/// What a viewer was told of its own tracks: what each shows, and in which layer. That changes more often than anything that
/// all see, and is nobody else's business.
#[derive(Debug, Default)]
pub(crate) struct Own {
    told: SmallVec<[Shown; 2]>,
    next: Option<Instant>,
}

pub(crate) type Shown = (Option<TrackKey>, Option<u8>);

impl News {
    pub(crate) fn changed(&mut self) {
        self.has = true;
    }

    /// When it is to be told.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.has.then_some(self.next).flatten()
    }

    /// Whether it is to be told now.
    pub(crate) fn tells(&mut self, now: Instant) -> bool {
        let tells = self.has && self.next.is_none_or(|next| now >= next);
        if tells {
            self.has = false;
            self.next = Some(now + INTERVAL);
        }
        tells
    }
}

impl Own {
    /// Whether it is to be told that this is so now.
    pub(crate) fn tells(&self, now: Instant, shown: impl Iterator<Item = Shown>) -> bool {
        self.next.is_none_or(|next| now >= next) && !self.told.iter().copied().eq(shown)
    }

    /// It has been told.
    pub(crate) fn told(&mut self, now: Instant, shown: impl Iterator<Item = Shown>) {
        self.told.clear();
        self.told.extend(shown);
        self.next = Some(now + INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_changes_are_told_together() {
        let (start, mut news) = (Instant::now(), News::default());
        let mut told = Vec::new();
        for ms in 0..2_000 {
            if ms < 1_200 && ms % 3 == 0 {
                news.changed();
            }
            if news.tells(start + Duration::from_millis(ms)) {
                told.push(ms);
            }
        }
        assert_eq!(told, [0, 500, 1_000, 1_500]);
        assert_eq!(news.due(), None);
    }

    #[test]
    fn what_went_there_and_back_is_not_told() {
        let (start, mut own) = (Instant::now(), Own::default());
        let shown = |layer| [(Some(1), layer)].into_iter();
        assert!(own.tells(start, shown(None)));
        own.told(start, shown(None));
        let soon = start + Duration::from_millis(100);
        assert!(!own.tells(soon, shown(Some(0))), "later");
        assert!(!own.tells(start + INTERVAL, shown(None)), "by then it is as it was");
        assert!(own.tells(start + INTERVAL, shown(Some(0))));
    }
}
