//! Who is restrained, until when, and what somebody at a door is told.

use std::fmt;

use turnpike_wire::UserId;

use super::measure::Rung;
use crate::address::Network;

/// Whom a measure is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Whom {
    User(UserId),
    /// An address, or more of them.
    Network(Network),
}

impl Whom {
    /// As in [`Whom`]'s text: `user:anna`, `network:192.0.2.0/24`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':')? {
            ("user", user) => UserId::parse(user).ok().map(Self::User),
            ("network", network) => network.parse().ok().map(Self::Network),
            _ => None,
        }
    }
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => write!(f, "user:{user}"),
            Self::Network(network) => write!(f, "network:{network}"),
        }
    }
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

/// A measure as it holds, on whichever node it was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restraint {
    pub whom: Whom,
    pub rung: Rung,
    /// Unix milliseconds.
    pub until_ms: u64,
    pub reason: String,
    pub by: String,
}

impl From<Ban> for Restraint {
    fn from(ban: Ban) -> Self {
        let Ban { whom, until_ms, reason, by } = ban;
        Self { whom, rung: Rung::Ban, until_ms, reason, by }
    }
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
    pub const SLUGS: [&str; 4] = ["banned", "address", "country", "too_many"];

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
