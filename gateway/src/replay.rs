//! What somebody missed: the messages of their rooms after an offset, each with the offset that they have once they got
//! it.
//!
//! A replayed frame never bears the offset of the original broadcast. That one names where the node stood, and would
//! claim messages of other lanes that have not been replayed yet; who was cut then would miss them for good.
//!
//! Pure: lanes that the caller has locked in, frames out.

use std::sync::Arc;

use turnpike_wire::RoomId;

use crate::broker::{LaneGuard, Lost, Stored};
use crate::offset::{Vector, lane_of};

/// A room that a session is in, and the lane position at which it came in: nothing from before is replayed.
#[derive(Debug, Clone)]
pub(crate) struct Membership {
    pub(crate) room: RoomId,
    pub(crate) joined: u64,
}

impl Membership {
    pub(crate) fn lane(&self) -> usize {
        lane_of(&self.room)
    }
}

#[derive(Debug)]
pub(crate) struct Replay {
    /// What the receiver has before any of it.
    from: Vector,
    /// Rooms whose history does not reach back that far, and the position up to which it is gone; what comes after is
    /// among the frames.
    lost: Vec<(RoomId, u64)>,
    /// Each with what the receiver has been given after it.
    frames: Vec<(Arc<Stored>, Vector)>,
}

/// What to send.
#[derive(Debug)]
pub(crate) enum Piece<'a> {
    Lost { room: &'a RoomId, seq: u64 },
    Message(&'a Stored),
}

impl Replay {
    pub(crate) fn lost(&self) -> &[(RoomId, u64)] {
        &self.lost
    }

    /// What to send, in this order, each with the offset that it bears. Losses come first and move nothing: whoever has
    /// a later piece has been told of them, and whoever has not is told again.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = (Piece<'_>, &Vector)> {
        let lost = self.lost.iter().map(|(room, seq)| (Piece::Lost { room, seq: *seq }, &self.from));
        lost.chain(self.frames.iter().map(|(message, offset)| (Piece::Message(message), offset)))
    }
}

/// `lanes` are at least those of the rooms, in the order of their index. As long as they are held, the frames and what
/// is published afterwards fit together without a gap.
pub(crate) fn replay(lanes: &[LaneGuard<'_>], rooms: &[Membership], from: Vector) -> Replay {
    let mut replay = Replay { from, lost: Vec::new(), frames: Vec::new() };
    let mut given = from;
    for lane in lanes {
        let after = from.at(lane.index);
        let mut missed = Vec::new();
        for membership in rooms.iter().filter(|membership| membership.lane() == lane.index) {
            let missed_here = lane.after_pos(&membership.room, after.max(membership.joined));
            missed.extend(missed_here.unwrap_or_else(|Lost| {
                let kept = lane.latest(&membership.room, usize::MAX);
                let gone = lane.seq(&membership.room) - kept.len() as u64;
                replay.lost.push((membership.room.clone(), gone));
                kept
            }));
        }
        missed.sort_unstable_by_key(|message| message.pos);
        for message in missed {
            given.set(lane.index, message.pos);
            replay.frames.push((message, given));
        }
        // Nothing more of this lane is missing. Rooms that are joined later remember where.
        given.set(lane.index, lane.head().max(after));
    }
    replay
}

#[cfg(test)]
mod tests;
