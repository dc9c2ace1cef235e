//! What nodes tell each other beside messages: nothing of it is kept, and losing it harms nobody for long.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use turnpike_wire::{RoomId, UserId};

use crate::presence::RowKey;
use crate::{Incarnation, Mark, Row, SessionId};

/// To the nodes that have a room open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Signal {
    /// A message that nobody keeps: the JSON of its event, and its attachments.
    Volatile {
        data: Box<str>,
        attachments: Vec<Bytes>,
    },
    Typing(Vec<TypingChange>),
    Presence(PresenceDelta),
    /// Marks that have moved.
    Marks(Vec<Mark>),
    /// In a personal room: what is to be done with that user's connections.
    Command(Command),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypingChange {
    pub user: UserId,
    pub typing: bool,
}

/// What has changed in who is present.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PresenceDelta {
    /// Whose rows these are.
    pub incarnation: Incarnation,
    /// Counts the room's changes without gaps. None: this node's own, not confirmed by the store yet.
    pub version: Option<u64>,
    /// The incarnation is dead, and all of its rows went with it.
    pub gone: bool,
    /// Rows that are there now, or no more.
    pub rows: Vec<(RowKey, Option<Row>)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Close the user's connections with this code (see `turnpike_wire::Disconnect`).
    Disconnect {
        code: u16,
    },
    Join {
        room: RoomId,
    },
    Leave {
        room: RoomId,
    },
}

/// To one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Control {
    /// Another node has taken up this session.
    Taken { session: SessionId },
}
