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
    /// The session is over. Nothing follows.
    Ended,
}

/// All of it, every time: it takes the place of what was said before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamState {
    #[serde(rename = "state")]
    pub phase: Phase,
    /// Who publishes, and what. A relay names a bounded number of them.
    #[serde(default)]
    pub publishers: Vec<Publisher>,
    /// How many watch, over all relays.
    pub viewers: u64,
    /// Who watches, for publishers alone: the first of them, by the order of their ids
    /// ([`crate::limits::VIEWERS_NAMED_MAX`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<Vec<UserId>>,
    /// Why it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
}

impl StreamState {
    /// The session is over, for this reason; with [`Code::retryable`] another may be asked for.
    pub fn ended(code: Option<Code>) -> Self {
        Self { phase: Phase::Ended, publishers: Vec::new(), viewers: 0, audience: None, code }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publisher {
    pub user: UserId,
    pub tracks: Vec<Track>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// In the description of the session that is told. None: it has no place there yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mid: Option<Mid>,
    pub kind: Kind,
    /// By the publisher.
    pub muted: bool,
    /// More than one with simulcast.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<TrackLayer>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackLayer {
    pub rid: Rid,
    /// It comes from the publisher right now.
    pub active: bool,
    /// Bits a second, lately.
    pub bitrate: u64,
}
