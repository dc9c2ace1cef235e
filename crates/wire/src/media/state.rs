//! How a stream is, as one of its sessions sees it.

use serde::{Deserialize, Serialize};

use super::{Kind, Mid, Rid};
use crate::{Code, UserId};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Somebody publishes.
    Live,
    /// Nobody does right now, and somebody may come back.
    Paused,
    /// The session goes on for a while, and its relay leaves: begin another session, and stop this one when the other
    /// shows something.
    Moving,
    /// The session is over. Nothing follows.
    Ended,
}

/// All of it, every time: it takes the place of what was said before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamState {
    #[serde(rename = "state")]
    pub phase: Phase,
    /// What is published, and by whom.
    #[serde(default)]
    pub tracks: Vec<Track>,
    /// How many watch, over all relays.
    #[serde(default)]
    pub viewers: u64,
    /// Who watches, for publishers alone: the first of them, by the order of their ids
    /// ([`crate::limits::VIEWERS_NAMED_MAX`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<Vec<UserId>>,
    /// Who is heard loudest at the moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaker: Option<UserId>,
    /// It is recorded: whoever is seen or heard in it must know.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recording: bool,
    /// Why it is over, if not because that was asked for; or why it will be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// With [`Phase::Moving`]: how long the session goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_in_ms: Option<u32>,
}

impl StreamState {
    /// The session is over, for this reason; with [`Code::retryable`] another may be asked for.
    pub fn ended(code: Option<Code>) -> Self {
        Self {
            phase: Phase::Ended,
            tracks: Vec::new(),
            viewers: 0,
            audience: None,
            speaker: None,
            recording: false,
            code,
            ends_in_ms: None,
        }
    }

    /// The same, of a session whose relay leaves in so long.
    #[must_use]
    pub fn moving(self, ends_in_ms: u32) -> Self {
        Self { phase: Phase::Moving, code: Some(Code::NoRelay), ends_in_ms: Some(ends_in_ms), ..self }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// In the description of the session that is told. None: it has no place there yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mid: Option<Mid>,
    pub kind: Kind,
    /// Who publishes it.
    pub user: UserId,
    /// By the publisher.
    pub muted: bool,
    /// More than one with simulcast.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<TrackLayer>,
    /// The one of them that this viewer gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Rid>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackLayer {
    pub rid: Rid,
    /// It comes from the publisher right now.
    pub active: bool,
    /// Bits a second, lately.
    pub bitrate: u64,
    pub width: u32,
    pub height: u32,
}
