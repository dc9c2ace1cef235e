//! The order of messages: who publishes gets a position, who follows a room gets every message of it once and in order,
//! who returns is told what was missed.

use std::sync::Arc;

use bytes::Bytes;
use turnpike_wire::{MessageId, Position, RoomId, UserId};

use crate::{Deliver, LanePosition, Message, Paged, Signal, Soon, Unavailable};

/// - A message has a position in its room (`seq`, without gaps as long as the room is remembered) and one in its lane.
///   Both are given out in one order, atomically with the message being kept.
/// - Publications that one task makes one after the other in one room keep that order, also when the first has not been
///   answered yet.
/// - A message that its sender names by an id stands in the room once, however often it is published within the window.
/// - An answer to a publication means that the message is kept as durably as was configured. Never less.
/// - A room's history reaches back to a known point. A read from before that point says so; there is never a hole.
pub trait Broker: Send + Sync + 'static {
    /// Gives the broker the node that it is to deliver to. Once, before anything else. When it is done every lane has
    /// been announced by [`Deliver::lane`].
    fn start(&self, deliver: Arc<dyn Deliver>) -> Soon<Result<(), Unavailable>>;

    fn publish(&self, publication: Publication) -> Soon<Result<Receipt, PublishError>>;

    /// Follows the room until it is closed: from the [`Deliver::opened`] of this call on every message is delivered.
    /// Whoever opens a room that is open already waits for the same. When it is done, everything that was published
    /// before the first call of `open` has a `seq` up to the standing or was delivered.
    fn open(&self, room: &RoomId) -> Soon<Result<(), Unavailable>>;

    /// Nothing of the room is delivered any more. Done at once, for what is concerned.
    fn close(&self, room: &RoomId);

    /// When it is done, everything that was published in the open room before the call has been delivered, and
    /// [`Deliver::verified`] has said so.
    fn level(&self, room: &RoomId) -> Soon<Result<(), Unavailable>>;

    fn read(&self, read: &Read) -> Soon<Result<Page, Unavailable>>;

    /// Brings something that is not kept to every node that has the room open, this one included, and to this one also
    /// when no other can be reached.
    fn signal(&self, room: &RoomId, signal: Signal);

    /// Rooms that are remembered, in no particular order, a page at a time. The cursor of the first page is empty; no
    /// cursor comes back with the last.
    fn rooms(&self, cursor: &str, max: usize) -> Soon<Result<Paged<(RoomId, Standing)>, Unavailable>>;
}

#[derive(Debug, Clone)]
pub struct Publication {
    pub room: RoomId,
    pub from: UserId,
    /// Without one every publication is a new message.
    pub id: Option<MessageId>,
    /// How long ago the sender first tried to send it under this id. Repetitions that are too old to be recognised are
    /// refused.
    pub age_ms: u64,
    /// JSON text. Attachments are referred to by placeholders.
    pub body: Box<str>,
    pub attachments: Vec<Bytes>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The sender's, or the one that was given to it.
    pub id: Box<str>,
    pub epoch: u64,
    pub seq: u64,
    /// Milliseconds since 1970.
    pub ts: u64,
    /// It was there already; this is what the first was answered.
    pub duplicate: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The message may or may not be kept. Publishing again under the same id clears that up.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// This node has no room for it now; it was not kept.
    #[error("the node is overloaded")]
    Full,
    /// A repetition so late that it could not be told from a new message.
    #[error("the first attempt was too long ago")]
    TooOld,
}

/// Where a room stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// The epoch of the room's latest message, or the lane's if there is none.
    pub epoch: u64,
    /// That of the latest message; of a room that is not remembered, one that no forgotten room was beyond.
    pub seq: u64,
    /// Where the latest message stands in the lane. Zero: there is none.
    pub pos: u64,
    /// How far the lane had come when this was read.
    pub lane: LanePosition,
}

#[derive(Debug, Clone)]
pub struct Read {
    pub room: RoomId,
    pub range: Range,
    /// At least one message is read, however large.
    pub messages_max: usize,
    pub bytes_max: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// What somebody missed who has everything up to this message, oldest first.
    After(Position),
    /// What somebody missed who has everything up to this place of the lane, oldest first.
    AfterLane(LanePosition),
    /// The messages after this number, oldest first, whatever was before.
    AfterSeq(u64),
    /// The latest messages before this number, oldest first.
    Before(u64),
    /// The latest messages, oldest first.
    Latest,
}

#[derive(Debug, Clone)]
pub struct Page {
    /// As of the reading: everything published before is in it.
    pub standing: Standing,
    /// Oldest first, without a gap between them.
    pub messages: Vec<Arc<Message>>,
    /// There are more in the direction of reading.
    pub more: bool,
    /// Whether `messages` go on right where the range begins.
    pub continuity: Continuity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Continuity {
    /// Nothing is missing.
    Whole,
    /// What follows was kept, but some of what the reader has was not.
    Truncated,
    /// Some of what the reader misses is no longer kept.
    Gone,
}
