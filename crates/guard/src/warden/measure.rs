//! What is to be done about somebody, and why.

use super::ban::{Restraint, Whom};
use super::signal::Signal;

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

    pub fn named(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rung| rung.slug() == slug)
    }

    /// The next higher one, or the highest.
    pub fn next(self) -> Self {
        match self {
            Self::Mute => Self::Disconnect,
            Self::Disconnect | Self::Ban => Self::Ban,
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
    pub whom: Whom,
    pub rung: Rung,
    /// Unix milliseconds.
    pub until_ms: u64,
    pub score: f32,
    /// The signals that made the score, the weightiest first.
    pub evidence: Vec<Evidence>,
}

impl Measure {
    /// As it holds, and as other nodes are told of it.
    pub fn restraint(&self, by: impl Into<String>) -> Restraint {
        let Self { whom, rung, until_ms, .. } = self;
        Restraint {
            whom: whom.clone(),
            rung: *rung,
            until_ms: *until_ms,
            reason: self.reason(),
            by: by.into(),
        }
    }

    /// `bad_token 12, flood 80`: for logs and for the reason of a ban.
    pub fn reason(&self) -> String {
        let parts: Vec<String> = self
            .evidence
            .iter()
            .map(|Evidence { signal, count }| format!("{} {}", signal.slug(), count.round().max(1.0)))
            .collect();
        parts.join(", ")
    }
}
