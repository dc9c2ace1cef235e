//! What one viewer was shown: frames that came whole, those that did not, and how often the picture stood still. Labels and
//! times in, numbers out.

use std::collections::BTreeMap;

use super::picture::Label;

/// Frames that are under way at once. What is further back is given up.
const FRAMES_OPEN_MAX: usize = 64;
/// A picture that stands longer than this is seen to stand.
const FREEZE_US: u64 = 250_000;
/// Packets of one frame; nothing that is published has more.
const PACKETS_MAX: usize = 4_096;

#[derive(Debug, Default)]
pub(super) struct Screen {
    open: BTreeMap<u32, Open>,
    first: Option<u32>,
    highest: u32,
    pub(super) frames: u64,
    pub(super) packets: u64,
    pub(super) again: u64,
    shown_us: u64,
}

#[derive(Debug, Default)]
struct Open {
    seen: Vec<bool>,
    missing: usize,
}

/// A frame has come whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) due_us: u64,
    pub(super) is_first: bool,
    /// How long the one before stood, if that was too long.
    pub(super) froze_us: Option<u64>,
}

impl Screen {
    pub(super) fn take(&mut self, label: &Label, now_us: u64) -> Option<Shown> {
        self.packets += 1;
        let count = usize::from(label.count);
        if count > PACKETS_MAX || self.is_behind(label.frame) {
            self.again += 1;
            return None;
        }
        let open =
            self.open.entry(label.frame).or_insert_with(|| Open { seen: vec![false; count], missing: count });
        match open.seen.get_mut(usize::from(label.index)) {
            Some(seen) if !*seen => {
                *seen = true;
                open.missing -= 1;
            }
            _ => {
                self.again += 1;
                return None;
            }
        }
        let is_whole = open.missing == 0;
        self.highest = self.highest.max(label.frame);
        let shown = is_whole.then(|| self.show(label, now_us));
        while self.open.len() > FRAMES_OPEN_MAX {
            self.open.pop_first();
        }
        shown
    }

    /// From before the first frame that it was shown, or given up already.
    fn is_behind(&self, frame: u32) -> bool {
        let given_up = self.highest.saturating_sub(FRAMES_OPEN_MAX as u32);
        self.first.is_some_and(|first| frame < first) || (self.first.is_some() && frame < given_up)
    }

    fn show(&mut self, label: &Label, now_us: u64) -> Shown {
        // It stays open, so that what comes again is known.
        self.frames += 1;
        let is_first = self.first.is_none();
        if is_first {
            self.first = Some(label.frame);
            self.open.retain(|frame, _| *frame >= label.frame);
        }
        let stood_us = now_us.saturating_sub(self.shown_us);
        let froze_us = (!is_first && stood_us > FREEZE_US).then_some(stood_us);
        self.shown_us = now_us;
        Shown { due_us: label.due_us, is_first, froze_us }
    }

    /// Of those between the first that was shown and this one.
    pub(super) fn lost(&self, last: u32) -> u64 {
        let Some(first) = self.first else { return 0 };
        u64::from(last.saturating_sub(first)).saturating_add(1).saturating_sub(self.frames)
    }

    /// The last of which anything came.
    pub(super) fn highest(&self) -> u32 {
        self.highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(frame: u32, index: u16, count: u16) -> Label {
        Label { run: 1, frame, index, count, due_us: u64::from(frame) * 33_000 }
    }

    #[test]
    fn frames_are_whole_or_lost() {
        let mut screen = Screen::default();
        assert_eq!(screen.take(&label(5, 1, 2), 0), None, "it came in the middle of a frame");
        let first = screen.take(&label(6, 0, 1), 1_000).unwrap();
        assert!(first.is_first && first.froze_us.is_none());
        assert_eq!(screen.take(&label(7, 1, 2), 34_000), None);
        assert!(screen.take(&label(7, 0, 2), 35_000).is_some(), "order does not matter");
        assert_eq!(screen.take(&label(7, 0, 2), 35_000), None);
        let frozen = screen.take(&label(9, 0, 1), 435_000).unwrap();
        assert_eq!(frozen.froze_us, Some(400_000));
        assert_eq!((screen.frames, screen.lost(9), screen.lost(11), screen.again), (3, 1, 3, 1));
        assert_eq!(screen.highest(), 9);
    }

    #[test]
    fn a_server_that_makes_only_halves_does_not_fill_the_memory() {
        let mut screen = Screen::default();
        for frame in 0..10_000 {
            screen.take(&label(frame, 0, 2), 0);
        }
        assert!(screen.open.len() <= FRAMES_OPEN_MAX);
        assert_eq!((screen.frames, screen.lost(9_999)), (0, 0));
        assert_eq!(screen.take(&label(1, 0, u16::MAX), 0), None);
    }
}
