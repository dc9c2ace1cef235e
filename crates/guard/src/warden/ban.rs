//! Who is shut out, until when, and what somebody at a door is told.

use turnpike_wire::UserId;

/// Whom a ban is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Whom {
    User(UserId),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ban {
    pub whom: Whom,
    /// Unix milliseconds.
    pub until_ms: u64,
    /// For those who read the log.
    pub reason: String,
    /// Who placed it: an operator, or the warden of a node.
    pub by: String,
}

/// How a user is regarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Free,
    /// May stay and listen, and say nothing.
    Muted {
        retry_after_ms: u64,
    },
    Banned {
        until_ms: u64,
    },
}

/// Why somebody does not pass a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turned {
    Banned {
        until_ms: u64,
    },
    /// On a list of those to refuse, or on no list of those to let in.
    Address,
    Country,
    TooMany {
        retry_after_ms: u64,
    },
}

impl Turned {
    /// A constant name, fit for a metric's label.
    pub fn slug(&self) -> &'static str {
        match self {
            Self::Banned { .. } => "banned",
            Self::Address => "address",
            Self::Country => "country",
            Self::TooMany { .. } => "too_many",
        }
    }
}
