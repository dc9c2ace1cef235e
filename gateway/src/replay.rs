//! What somebody missed: the messages of their rooms after an offset, each with the offset that they have once they got
//! it.
//!
//! A replayed frame never bears the offset of the original broadcast. That one names where the node stood, and would
//! claim messages of other lanes that have not been replayed yet; who was cut then would miss them for good.
//!
//! Pure: what was found of each room in, frames out.

use std::sync::Arc;

use turnpike_cluster::{Lane, LanePosition, Message, Standing, lane_of};
use turnpike_wire::RoomId;

use crate::mirror::Reached;
use crate::offset::Vector;

/// A room that a session is in.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) room: RoomId,
    /// The place of the lane at which it came in: nothing from before is replayed.
    pub(crate) joined: LanePosition,
    /// Shown to others in the room, and told of them.
    pub(crate) presence: bool,
}

impl Member {
    pub(crate) fn lane(&self) -> Lane {
        lane_of(&self.room)
    }
}

/// What was found of a room.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) room: RoomId,
    /// Everything that was missed, or what is left of it, oldest first.
    pub(crate) messages: Vec<Arc<Message>>,
    /// Some of what was missed is no longer to be had, or some of what the reader has was not kept.
    pub(crate) broken: bool,
    pub(crate) standing: Standing,
}

#[derive(Debug)]
pub(crate) struct Replay {
    /// What the receiver has before any of it.
    from: Vector,
    /// Rooms that the receiver must reload, and where what follows of them begins.
    lost: Vec<Loss>,
    /// Each with what the receiver has been given after it.
    frames: Vec<(Arc<Message>, Vector)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Loss {
    pub(crate) room: RoomId,
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
}

/// What to send.
#[derive(Debug)]
pub(crate) enum Piece<'a> {
    Lost(&'a Loss),
    Message(&'a Message),
}

impl Replay {
    pub(crate) fn lost(&self) -> &[Loss] {
        &self.lost
    }

    pub(crate) fn from(&self) -> &Vector {
        &self.from
    }

    /// What to send, in this order, each with the offset that it bears. Losses come first and move nothing: whoever has
    /// a later piece has been told of them, and whoever has not is told again.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = (Piece<'_>, &Vector)> {
        let lost = self.lost.iter().map(|loss| (Piece::Lost(loss), &self.from));
        lost.chain(self.frames.iter().map(|(message, offset)| (Piece::Message(message), offset)))
    }
}

/// `found` is what was found of the receiver's rooms while their lanes are held; as long as they are, the frames and what
/// is handed over afterwards fit together without a gap. `from` is where the receiver stands; `reached`, where the node.
pub(crate) fn replay(mut found: Vec<Found>, from: &[LanePosition], reached: &Reached) -> Replay {
    let mut given = Vector(std::array::from_fn(|index| {
        let lane = Lane::new(index).expect("there are as many lanes as positions");
        let (from, now) = (from[index], reached.at(lane));
        let mut rooms = found.iter().filter(|found| lane_of(&found.room) == lane).peekable();
        // A place of an earlier epoch is one of the present epoch as well if something was found to go on from there.
        let holds = from.epoch == now.epoch || (rooms.peek().is_some() && rooms.all(|room| !room.broken));
        if holds { from.pos } else { from.pos.min(now.pos) }
    }));
    let mut replay = Replay { from: given, lost: Vec::new(), frames: Vec::new() };
    found.sort_by_key(|found| lane_of(&found.room));
    for rooms in found.chunk_by(|one, other| lane_of(&one.room) == lane_of(&other.room)) {
        let lane = lane_of(&rooms[0].room);
        for room in rooms.iter().filter(|room| room.broken) {
            let first = room.messages.first();
            let (epoch, seq) = first
                .map_or((room.standing.epoch, room.standing.seq), |first| (first.at.epoch, first.seq - 1));
            replay.lost.push(Loss { room: room.room.clone(), epoch, seq });
        }
        let mut missed: Vec<&Arc<Message>> = rooms.iter().flat_map(|room| &room.messages).collect();
        missed.sort_unstable_by_key(|message| message.at.pos);
        for message in missed {
            given.set(lane, message.at.pos);
            replay.frames.push((Arc::clone(message), given));
        }
        // Nothing more of this lane is missing. Rooms that are joined later remember where.
        given.set(lane, reached.vector.at(lane).max(given.at(lane)));
    }
    replay
}
