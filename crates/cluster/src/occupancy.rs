//! Which rooms somebody is in, on whichever node, and who reports when that changes.

use turnpike_wire::RoomId;

use crate::{Soon, Unavailable};

/// - A node says of a room that it has somebody there, and later that it has nobody there any more. Said again, both mean
///   the same.
/// - When a room becomes occupied, or vacated, one node is given the turn to report it: whoever made it so.
/// - A turn is owed until its node says that it has been reported. What a dead node owes another one is given, under the
///   same number; and what it said of its rooms holds no more.
/// - Turns of a room rise, whoever has them. A store that loses its latest changes, as Redis does in a failover, may bring
///   about a turn that repeats what the room was already.
pub trait Occupancy: Send + Sync + 'static {
    /// Other nodes go on when this one ends.
    fn is_shared(&self) -> bool;

    fn enter(&self, room: &RoomId) -> Soon<Result<Option<Turn>, Unavailable>>;

    fn leave(&self, room: &RoomId) -> Soon<Result<Option<Turn>, Unavailable>>;

    /// The turn has been reported. Nothing happens if the room has had another one since.
    fn told(&self, room: &RoomId, turn: Turn) -> Soon<Result<(), Unavailable>>;

    /// What the dead have left, from now on this node's to report.
    fn take_over(&self) -> Soon<Result<Vec<(RoomId, Turn)>, Unavailable>>;
}

/// A change of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Turn {
    pub occupied: bool,
    /// Higher than that of any earlier change of the room.
    pub number: u64,
}
