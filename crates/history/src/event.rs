//! What is written down.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Microseconds since 1970, by the one clock of the machine.
    pub at_us: u64,
    /// The client, node or observer that wrote it.
    pub who: String,
    #[serde(flatten)]
    pub what: What,
}

/// How durable an acknowledged message is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Stored,
    Replicated,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    // Publishers.
    /// An attempt to publish; the same id again is a repetition.
    Send {
        room: String,
        id: String,
        from: String,
        body: String,
    },
    Ack {
        room: String,
        id: String,
        from: String,
        epoch: u64,
        seq: u64,
        level: Level,
    },
    /// The attempt failed. Without `retryable` the publisher gives up.
    Refused {
        room: String,
        id: String,
        from: String,
        retryable: bool,
    },

    // Subscribers.
    Connect {
        user: String,
        #[serde(default)]
        device: String,
    },
    Session {
        recovered: bool,
    },
    Disconnect {
        /// The client said goodbye.
        #[serde(default)]
        clean: bool,
    },
    /// The room is joined. What comes next is the message after `seq` or, if `recovered`, after the last one given.
    Join {
        room: String,
        epoch: u64,
        seq: u64,
        #[serde(default)]
        recovered: bool,
    },
    Leave {
        room: String,
    },
    Message {
        room: String,
        epoch: u64,
        seq: u64,
        id: String,
        from: String,
        body: String,
    },
    /// Continuity was lost; the room goes on after this.
    Resync {
        room: String,
        epoch: u64,
        seq: u64,
    },
    /// A user's marks as the subscriber was told.
    Receipt {
        room: String,
        user: String,
        received: u64,
        read: u64,
    },
    /// A device's place in its user's personal room, as the store has it.
    Cursor {
        user: String,
        device: String,
        seq: u64,
    },

    // Presence and typing.
    Status {
        invisible: bool,
    },
    /// Everybody who is in the room, as the subscriber was told.
    Members {
        room: String,
        #[serde(default)]
        version: Option<u64>,
        users: Vec<String>,
    },
    Presence {
        room: String,
        #[serde(default)]
        version: Option<u64>,
        joined: Vec<String>,
        left: Vec<String>,
    },
    TypingStart {
        room: String,
        user: String,
    },
    TypingStop {
        room: String,
        user: String,
    },
    /// Who types in the room, all of them.
    Typing {
        room: String,
        users: Vec<String>,
    },

    // What happened around.
    NodeUp {
        node: String,
    },
    NodeDown {
        node: String,
    },
    /// Something is broken from here on. Some names say more: see [`What::STALLED`] and those beside it.
    Fault {
        name: String,
    },
    Healed {
        name: String,
    },
    /// The user may no longer be given anything of the room, or of any.
    Revoke {
        user: String,
        #[serde(default)]
        room: Option<String>,
    },
    /// No replica can have confirmed anything published in these rooms.
    NoReplica {
        rooms: Vec<String>,
    },
    ReplicaBack {
        rooms: Vec<String>,
    },

    // What there is in the end.
    /// The first message of the room that is still kept, or the next one if there is none.
    LogStart {
        room: String,
        seq: u64,
    },
    /// A message as it is kept, oldest first.
    Logged {
        room: String,
        epoch: u64,
        seq: u64,
        id: String,
        from: String,
        body: String,
    },
    /// Nodes that rows of presence, sessions and leases refer to.
    Rows {
        nodes: Vec<String>,
    },
    /// What is written in a stream or in the audit file.
    Dump {
        place: String,
        text: String,
    },
    /// The recording is over: all had time to come to rest.
    End,
}

impl What {
    /// A client that does not read, or that is hostile: the fault of law P13.
    pub const STALLED: &'static str = "stalled_client";
    /// Very many typing events: the fault of law TY4.
    pub const TYPING_LOAD: &'static str = "typing_load";

    /// The one room that this is about. None: it is about a connection, or about what happened around.
    ///
    /// No law but [`P13`](crate::Law::P13) and [`TY4`](crate::Law::TY4), which compare latencies, looks at two rooms at once. So
    /// a history too long to be held at once can be held against them room by room, each with everything that is about none.
    pub fn room(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Send { room, .. }
            | Self::Ack { room, .. }
            | Self::Refused { room, .. }
            | Self::Join { room, .. }
            | Self::Leave { room }
            | Self::Message { room, .. }
            | Self::Resync { room, .. }
            | Self::Receipt { room, .. }
            | Self::Members { room, .. }
            | Self::Presence { room, .. }
            | Self::TypingStart { room, .. }
            | Self::TypingStop { room, .. }
            | Self::Typing { room, .. }
            | Self::LogStart { room, .. }
            | Self::Logged { room, .. } => Some(room.into()),
            Self::Cursor { user, .. } => Some(format!("user:{user}").into()),
            Self::Connect { .. }
            | Self::Session { .. }
            | Self::Disconnect { .. }
            | Self::Status { .. }
            | Self::NodeUp { .. }
            | Self::NodeDown { .. }
            | Self::Fault { .. }
            | Self::Healed { .. }
            | Self::Revoke { .. }
            | Self::NoReplica { .. }
            | Self::ReplicaBack { .. }
            | Self::Rows { .. }
            | Self::Dump { .. }
            | Self::End => None,
        }
    }
}
