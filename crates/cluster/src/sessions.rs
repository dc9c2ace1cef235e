//! Who may return to which rooms, for as long as they may.

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use turnpike_wire::{RoomId, UserId};

use crate::{Incarnation, LANES, LanePosition, Soon, Unavailable};

/// The public id of a connection, under which its session is found again.
pub type SessionId = Box<str>;

/// - A record belongs to one incarnation of a node. It outlives that by the recovery window and is then removed by
///   whoever lives. It is removed by its owner when the client will not come back.
/// - Of several that take a record at the same time one gets it, and later takers get it from that one.
pub trait Sessions: Send + Sync + 'static {
    /// Whether records outlive this process. If not, nothing needs to be put.
    fn outlive_the_process(&self) -> bool;

    /// Changes whenever what was put may be lost though it was answered: a process of the store was replaced by one that need
    /// not have the latest. Whoever has sessions puts their records again.
    fn doubts(&self) -> watch::Receiver<u64>;

    /// Keeps the record as this node's own. False: another node has taken it meanwhile, and nothing was changed.
    fn put(&self, id: &SessionId, record: &SessionRecord) -> Soon<Result<bool, Unavailable>>;

    /// Makes the record this node's own. If another node had it, that one is told by `Control::Taken`. None: there is no
    /// such session.
    fn take(&self, id: &SessionId) -> Soon<Result<Option<Taken>, Unavailable>>;

    /// Removes the record if it is this node's own.
    fn remove(&self, id: &SessionId) -> Soon<Result<(), Unavailable>>;

    /// Keeps a base until no client can come back with an offset against it. A base never changes.
    fn put_base(&self, id: BaseId, base: &Base) -> Soon<Result<(), Unavailable>>;

    fn base(&self, id: BaseId) -> Soon<Result<Option<Base>, Unavailable>>;
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    pub user: UserId,
    /// What the gateway needs to know of the user besides. Opaque here.
    pub identity: Box<str>,
    pub rooms: Vec<RoomRecord>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomRecord {
    pub room: RoomId,
    /// The place of the lane at which it was joined: nothing from before is replayed.
    pub joined: LanePosition,
    /// Shown to others in the room, and told of them.
    pub presence: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    pub record: SessionRecord,
    /// Who had it.
    pub from: Incarnation,
}

/// Names a base. Drawn at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BaseId(pub u64);

/// Positions in all lanes at some moment, against which offsets are written short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Base(pub [LanePosition; LANES]);
