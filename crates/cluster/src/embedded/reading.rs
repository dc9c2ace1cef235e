//! Reading a room of a log: which messages, and whether they go on right where the reader is.

use std::ops::Range as Span;
use std::sync::Arc;

use super::log::{Log, Room};
use crate::{Continuity, Message, Page, Range, Read};

impl Log {
    pub(super) fn read(&self, read: &Read) -> Page {
        let standing = self.standing(&read.room);
        let room = self.find(&read.room);
        let kept = room.map_or(0, Room::kept);
        // Messages are meant by their index among those kept; the first of them has the number `lost_seq + 1`.
        let lost_seq = standing.seq - kept as u64;
        let lost_pos = room.map_or(self.forgotten.pos, Room::lost_pos);
        let index_after = |seq: u64| seq.saturating_sub(lost_seq).min(kept as u64) as usize;
        let kept_up_to = |pos| room.map_or(0, |room| room.kept_up_to(pos));
        // Where a room begins that was forgotten before, a position of an earlier epoch may be that of a message that was
        // never kept.
        let unclear =
            |epoch| lost_seq > 0 && epoch < self.epochs.present() && !room.is_some_and(Room::lost_own);
        let from = |continuity, first| (continuity, Walk::Forward(first));
        let (continuity, walk) = match read.range {
            Range::Latest => (Continuity::Whole, Walk::Backward(kept)),
            Range::Before(seq) => {
                // There is nothing before the first, and whoever asks from beyond the latest asks for the latest.
                let there = seq <= 1 || seq > lost_seq + 1 || seq > standing.seq;
                let continuity = if there { Continuity::Whole } else { Continuity::Gone };
                (continuity, Walk::Backward(index_after(seq.saturating_sub(1))))
            }
            Range::AfterSeq(seq) if seq < lost_seq => from(Continuity::Gone, 0),
            Range::AfterSeq(seq) if seq > standing.seq => from(Continuity::Truncated, kept),
            Range::AfterSeq(seq) => from(Continuity::Whole, index_after(seq)),
            Range::After(position) => match self.epochs.last_of(position.epoch, self.head()) {
                Some(last) if lost_pos <= last => {
                    let index = kept_up_to(last);
                    if position.seq > lost_seq + index as u64 {
                        from(Continuity::Truncated, index)
                    } else if position.seq < lost_seq || (position.seq == lost_seq && unclear(position.epoch))
                    {
                        from(Continuity::Gone, 0)
                    } else {
                        from(Continuity::Whole, index_after(position.seq))
                    }
                }
                _ => from(Continuity::Gone, 0),
            },
            Range::AfterLane(place) => match self.epochs.last_of(place.epoch, self.head()) {
                Some(last) if lost_pos <= last.min(place.pos) => {
                    let continuity = if place.pos > last { Continuity::Truncated } else { Continuity::Whole };
                    from(continuity, kept_up_to(last.min(place.pos)))
                }
                _ => from(Continuity::Gone, 0),
            },
        };
        let span = walk.span(room, kept, read);
        let more = match walk {
            Walk::Forward(_) => span.end < kept,
            Walk::Backward(_) => span.start > 0,
        };
        let message = |index| Arc::clone(room.and_then(|room| room.message(index)).expect("it is kept"));
        Page { standing, messages: span.map(message).collect(), more, continuity }
    }
}

enum Walk {
    /// From this index on.
    Forward(usize),
    /// Up to before this one.
    Backward(usize),
}

impl Walk {
    fn span(&self, room: Option<&Room>, kept: usize, read: &Read) -> Span<usize> {
        let mut bytes_left = read.bytes_max;
        let messages_max = read.messages_max.max(1);
        let mut first = true;
        let mut fits = |index: usize| {
            let bytes =
                room.and_then(|room| room.message(index)).map_or(0, |message: &Arc<Message>| message.bytes());
            let fits = bytes <= bytes_left || first;
            bytes_left = bytes_left.saturating_sub(bytes);
            first = false;
            fits
        };
        match *self {
            Self::Forward(start) => {
                let last = start.saturating_add(messages_max).min(kept);
                let end = (start..last).find(|index| !fits(*index)).unwrap_or(last);
                start..end.max(start)
            }
            Self::Backward(end) => {
                let least = end.saturating_sub(messages_max);
                let start = (least..end).rev().find(|index| !fits(*index)).map_or(least, |index| index + 1);
                start..end
            }
        }
    }
}

#[cfg(test)]
mod tests;
