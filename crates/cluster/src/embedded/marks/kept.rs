//! Marks and cursors in memory. With a disk, those that are about to be written are on top of those that are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use turnpike_wire::{RoomId, UserId};

use crate::Mark;
use crate::embedded::bounded::Bounded;

/// Beyond it those that moved longest ago are forgotten.
const MARKS_MAX: usize = 262_144;
const CURSORS_MAX: usize = 262_144;

pub(super) type MarkKey = (RoomId, UserId);
pub(super) type CursorKey = (UserId, Box<str>);

pub(super) struct Kept {
    marks: Bounded<MarkKey, Pair>,
    cursors: Bounded<CursorKey, u64>,
    /// Of the commit that is being made. Not more than are written at once.
    staged_marks: HashMap<MarkKey, Pair>,
    staged_cursors: HashMap<CursorKey, u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Pair {
    received: u64,
    read: u64,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            marks: Bounded::new(MARKS_MAX),
            cursors: Bounded::new(CURSORS_MAX),
            staged_marks: HashMap::new(),
            staged_cursors: HashMap::new(),
        }
    }
}

impl Kept {
    pub(super) fn mark(&self, room: &RoomId, user: &UserId) -> Option<Mark> {
        let Pair { received, read } = *self.marks.get(&(room.clone(), user.clone()))?;
        Some(Mark { user: user.clone(), received, read })
    }

    pub(super) fn cursor(&self, key: &CursorKey) -> Option<u64> {
        self.cursors.get(key).copied()
    }

    /// Where the mark comes to stand: only up, not beyond the head, and what is read has been received. None: it does not
    /// move.
    pub(super) fn raised(&self, room: &RoomId, to: &Mark, head: u64) -> Option<Mark> {
        let key = (room.clone(), to.user.clone());
        let from = self.staged_marks.get(&key).or_else(|| self.marks.get(&key)).copied().unwrap_or_default();
        let read = from.read.max(to.read.min(head));
        let received = from.received.max(to.received.min(head)).max(read);
        let moves = Pair { received, read } != from;
        moves.then(|| Mark { user: to.user.clone(), received, read })
    }

    /// Where the cursor comes to stand. None: it does not move.
    pub(super) fn advanced(&self, key: &CursorKey, to: u64) -> Option<u64> {
        let from = self.staged_cursors.get(key).copied().or_else(|| self.cursor(key));
        from.is_none_or(|from| to > from).then_some(to)
    }

    pub(super) fn stage_mark(&mut self, room: &RoomId, mark: &Mark) {
        let Mark { user, received, read } = mark;
        self.staged_marks.insert((room.clone(), user.clone()), Pair { received: *received, read: *read });
    }

    pub(super) fn stage_cursor(&mut self, key: &CursorKey, to: u64) {
        self.staged_cursors.insert(key.clone(), to);
    }

    /// Whatever was about to be written has been, or will not be.
    pub(super) fn unstage(&mut self) {
        self.staged_marks.clear();
        self.staged_cursors.clear();
    }

    pub(super) fn put_mark(&mut self, room: &RoomId, mark: &Mark, now_ms: u64, forgotten: &mut Vec<MarkKey>) {
        let Mark { user, received, read } = mark;
        let pair = Pair { received: *received, read: *read };
        self.marks.put((room.clone(), user.clone()), pair, now_ms, |key| forgotten.push(key));
    }

    pub(super) fn put_cursor(
        &mut self,
        key: CursorKey,
        to: u64,
        now_ms: u64,
        forgotten: &mut Vec<CursorKey>,
    ) {
        self.cursors.put(key, to, now_ms, |key| forgotten.push(key));
    }
}

/// Of the marks and of what is written of them.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Kept>>);

impl Shared {
    pub(super) fn new(kept: Kept) -> Self {
        Self(Arc::new(Mutex::new(kept)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_only_rise_and_stay_below_the_head() {
        let (room, user) = (RoomId::parse("chat:a").unwrap(), UserId::parse("alice").unwrap());
        let mark = |received, read| Mark { user: user.clone(), received, read };
        let mut kept = Kept::default();
        assert_eq!(kept.raised(&room, &mark(0, 0), 9), None);
        assert_eq!(kept.raised(&room, &mark(3, 5), 9), Some(mark(5, 5)), "what is read has been received");
        assert_eq!(kept.raised(&room, &mark(99, 99), 9), Some(mark(9, 9)));
        kept.put_mark(&room, &mark(5, 3), 1, &mut Vec::new());
        assert_eq!(kept.raised(&room, &mark(4, 2), 9), None);
        assert_eq!(kept.raised(&room, &mark(4, 4), 9), Some(mark(5, 4)));
        kept.stage_mark(&room, &mark(7, 7));
        assert_eq!(kept.mark(&room, &user), Some(mark(5, 3)), "it is not written yet");
        assert_eq!(kept.raised(&room, &mark(6, 6), 9), None);
        kept.unstage();
        assert_eq!(kept.raised(&room, &mark(6, 6), 9), Some(mark(6, 6)));
    }
}
