//! A message of a room as it is kept and handed on: its event is written once, positions included.

use bytes::Bytes;
use turnpike_wire::{RoomId, UserId};

use crate::LanePosition;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub room: RoomId,
    /// The lane's epoch when it was published, and its place in the lane.
    pub at: LanePosition,
    /// Its place in the room.
    pub seq: u64,
    pub from: UserId,
    /// Milliseconds since 1970.
    pub ts: u64,
    /// The JSON of the event's data, as `turnpike_wire::event::server::Message` writes it.
    pub data: Box<str>,
    /// What the placeholders in `data` stand for.
    pub attachments: Vec<Bytes>,
}

impl Message {
    /// What it takes in memory, roughly.
    pub fn bytes(&self) -> usize {
        const OVERHEAD_BYTES: usize = 160;
        OVERHEAD_BYTES + self.data.len() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }
}
