//! What goes into a follower and what comes out of it.

use std::sync::Arc;

use turnpike_wire::RoomId;

use crate::redis::frame::Header;
use crate::{Continuity, LanePosition, Message, Standing};

/// Where a room stands in its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) at: LanePosition,
    pub(crate) seq: u64,
}

/// To be done by whoever drives the follower.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    /// [`Follower::subscribed`] with this number when it is.
    Subscribe {
        room: RoomId,
        number: u64,
    },
    Unsubscribe {
        room: RoomId,
    },
    /// [`Follower::compared`] with this number.
    Compare {
        number: u64,
        rooms: Vec<(RoomId, Option<Place>)>,
        quiet: Option<LanePosition>,
    },
    /// What is in the room behind `from`; [`Follower::read`] with this number.
    Read {
        number: u64,
        room: RoomId,
        from: LanePosition,
    },
    /// The node is to be told; nothing follows before [`Follower::lane_ready`].
    Lane(LanePosition),
    Opened(RoomId, Standing),
    /// [`Follower::refused`] if the node has no room.
    Message(Arc<Message>),
    /// Every open room of the lane, this one among them, is with the node up to there.
    Verified(RoomId, LanePosition),
    Broken(RoomId, Standing),
    /// Whoever waits under this number has what was asked for.
    Done(u64),
    /// For the log and the counters.
    Noticed(Notice),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    Gap(Gap),
    Resync,
    Repaired(usize),
}

/// Why something may have been missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gap {
    BusLost,
    /// The reader of the bus was too slow.
    Lagged,
    /// A message does not join on to the one before.
    Sequence,
    /// The log has what the bus did not bring.
    Audit,
    Epoch,
    /// More was held back, or waits for the node, than there is room for.
    Overflow,
}

/// How rooms stood in the log at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Comparison {
    pub(crate) lane: LanePosition,
    pub(crate) forgotten: Forgotten,
    /// Epochs with their first positions, oldest first; empty if the present one is that of `quiet`.
    pub(crate) epochs: Vec<(u64, u64)>,
    /// Those that stand elsewhere than was asked, by their index in the question. None: not remembered.
    pub(crate) differing: Vec<(usize, Option<Place>)>,
}

/// Rooms that are not remembered stood at most here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Forgotten {
    pub(crate) seq: u64,
    pub(crate) pos: u64,
}

/// A part of a room's log.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) standing: Standing,
    pub(crate) messages: Vec<(Header, Arc<Message>)>,
    pub(crate) more: bool,
    pub(crate) continuity: Continuity,
    /// Before the oldest message that is kept the room was not remembered.
    pub(crate) oldest_is_first: bool,
}

/// The other side did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unanswered;
