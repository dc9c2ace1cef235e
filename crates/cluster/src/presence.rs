//! Who is in a room: rows that nodes write of their own users, true as long as the node lives.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
pub use turnpike_wire::presence::Status;
use turnpike_wire::{RoomId, UserId};

use crate::{Incarnation, Soon, Unavailable};

/// One device of a user; a connection that names none is a device of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RowKey {
    pub user: UserId,
    pub device: Box<str>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    pub status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<Box<RawValue>>,
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        let text = |row: &Self| row.activity.as_ref().map(|activity| activity.get().to_owned());
        self.status == other.status && text(self) == text(other)
    }
}

/// - A row belongs to the incarnation that wrote it, and ends with it.
/// - A change is told to every node that has the room open as `Signal::Presence`, in the order of its version, as far
///   as nothing is lost; who sees a version missing reads the roster.
pub trait Presence: Send + Sync + 'static {
    /// Writes rows of this node and tells the others. To this node itself they are told at once, without a version.
    fn apply(&self, room: &RoomId, changes: Vec<Change>) -> Soon<Result<(), Unavailable>>;

    fn read(&self, room: &RoomId) -> Soon<Result<Roster, Unavailable>>;

    /// When the user's last row in the room went, milliseconds since 1970; remembered for a month.
    fn last_seen(&self, room: &RoomId, user: &UserId) -> Soon<Result<Option<u64>, Unavailable>>;
}

#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub key: RowKey,
    /// None: it is gone.
    pub row: Option<Row>,
}

/// Everybody who is there, by the rows of incarnations that are not known to be dead.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Roster {
    pub version: u64,
    pub rows: Vec<(Incarnation, RowKey, Row)>,
}
