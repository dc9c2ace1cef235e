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
    /// Rooms whose history does not reach back that far, and the position up to which it is gone; what comes after is
    /// among the frames. They must be named to the client before any frame is sent: a frame's offset may lie beyond them.
    pub(crate) lost: Vec<(RoomId, u64)>,
    pub(crate) frames: Vec<Frame>,
}

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) message: Arc<Stored>,
    /// What the receiver has been given after this one.
    pub(crate) offset: Vector,
}

/// `lanes` are at least those of the rooms, in the order of their index. As long as they are held, the frames and what
/// is published afterwards fit together without a gap.
pub(crate) fn replay(lanes: &[LaneGuard<'_>], rooms: &[Membership], from: Vector) -> Replay {
    let mut replay = Replay { lost: Vec::new(), frames: Vec::new() };
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
            replay.frames.push(Frame { message, offset: given });
        }
        // Nothing more of this lane is missing. Rooms that are joined later remember where.
        given.set(lane.index, lane.head().max(after));
    }
    replay
}

#[cfg(test)]
mod tests;
