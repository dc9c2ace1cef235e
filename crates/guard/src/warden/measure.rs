//! What is to be done about somebody, and why.

use std::net::IpAddr;

use turnpike_wire::UserId;

use super::signal::Signal;

/// Who is to feel it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Suspect {
    User(UserId),
    /// One of its addresses: of IPv6 the whole /64 is meant.
    Address(IpAddr),
}

/// The rungs of the ladder, the lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rung {
    /// A user may say nothing; of an address nobody new is let in.
    Mute,
    /// Besides, the connections are closed.
    Disconnect,
    Ban,
}

impl Rung {
    pub const ALL: [Self; 3] = [Self::Mute, Self::Disconnect, Self::Ban];

    /// A constant name, fit for a metric's label.
    pub fn slug(self) -> &'static str {
        match self {
            Self::Mute => "mute",
            Self::Disconnect => "disconnect",
            Self::Ban => "ban",
        }
    }
}

/// How often a signal was seen, older ones counting less.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    pub signal: Signal,
    pub count: f32,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    pub suspect: Suspect,
    pub rung: Rung,
    /// Unix milliseconds.
    pub until_ms: u64,
    pub score: f32,
    /// The signals that made the score, the weightiest first.
    pub evidence: Vec<Evidence>,
}
