//! The epochs of a lane: which of its positions were given out in which.

/// Epochs in which a message was kept, and the present one: each with its first position. Beyond that many the oldest
/// are forgotten, and whoever comes with a position of theirs must reload.
const EPOCHS_MAX: usize = 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Epochs {
    /// Both numbers rise.
    first: Vec<(u64, u64)>,
}

impl Epochs {
    /// The present epoch begins behind everything that was kept in `earlier`.
    pub(super) fn begin(earlier: Vec<(u64, u64)>, epoch: u64, head: u64) -> Self {
        let mut first = earlier;
        // An epoch in which nothing was kept need not be remembered: its positions are those of the one before.
        if first.last().is_some_and(|(_, first)| *first > head) {
            first.pop();
        }
        first.push((epoch, head + 1));
        first.drain(..first.len().saturating_sub(EPOCHS_MAX));
        Self { first }
    }

    pub(super) fn present(&self) -> u64 {
        self.first.last().expect("the present epoch is always there").0
    }

    pub(super) fn all(&self) -> &[(u64, u64)] {
        &self.first
    }

    /// The epoch in which the position was given out.
    pub(super) fn of(&self, pos: u64) -> u64 {
        let index = self.first.partition_point(|(_, first)| *first <= pos);
        self.first[index.saturating_sub(1)].0
    }

    /// The last position that was kept of this epoch and those before it, as of `head`. None: nothing is known of it.
    pub(super) fn last_of(&self, epoch: u64, head: u64) -> Option<u64> {
        let index = self.first.partition_point(|(known, _)| *known <= epoch);
        if epoch > self.present() {
            return None;
        }
        if index == 0 {
            // Before the lane's first message there were only epochs in which nothing was kept.
            let (_, first) = self.first[0];
            return (first == 1).then_some(0);
        }
        Some(self.first.get(index).map_or(head, |(_, next)| next - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_belong_to_epochs() {
        let epochs = Epochs::begin(vec![(10, 1), (20, 6)], 30, 8);
        assert_eq!([1, 5, 6, 8, 9, 99].map(|pos| epochs.of(pos)), [10, 10, 20, 20, 30, 30]);
        let last = |epoch| epochs.last_of(epoch, 12);
        assert_eq!([10, 15, 20, 29, 30].map(last), [Some(5), Some(5), Some(8), Some(8), Some(12)]);
        assert_eq!([0, 9, 31].map(last), [Some(0), Some(0), None]);
    }

    #[test]
    fn unused_epochs_leave_no_trace() {
        let mut epochs = Epochs::begin(Vec::new(), 10, 0);
        for epoch in 11..50 {
            epochs = Epochs::begin(epochs.all().to_vec(), epoch, 0);
        }
        assert_eq!(epochs.all(), [(49, 1)]);
        for epoch in 50..3_000 {
            epochs = Epochs::begin(epochs.all().to_vec(), epoch, epoch);
        }
        assert_eq!(epochs.all().len(), EPOCHS_MAX);
        assert_eq!(epochs.present(), 2_999);
    }
}
