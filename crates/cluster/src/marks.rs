//! How far each user has received and read a room, and how far each device has got its personal room.

use serde::{Deserialize, Serialize};
use turnpike_wire::{RoomId, UserId};

use crate::{Soon, Unavailable};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub user: UserId,
    /// Everything up to this number.
    pub received: u64,
    /// Never more than received.
    pub read: u64,
}

/// Marks and cursors only rise, and are never beyond the room's latest message.
pub trait Marks: Send + Sync + 'static {
    /// Raises marks. Those that moved are told to every node that has the room open as `Signal::Marks`.
    fn mark(&self, room: &RoomId, marks: Vec<Mark>) -> Soon<Result<(), Unavailable>>;

    /// The marks of these users, for those that have one.
    fn marks(&self, room: &RoomId, users: &[UserId]) -> Soon<Result<Vec<Mark>, Unavailable>>;

    /// Up to where this device has got the user's personal room.
    fn cursor(&self, user: &UserId, device: &str) -> Soon<Result<Option<u64>, Unavailable>>;

    fn advance(&self, user: &UserId, device: &str, seq: u64) -> Soon<Result<(), Unavailable>>;
}
