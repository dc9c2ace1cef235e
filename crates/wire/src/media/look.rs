//! How a stream is at one relay, for operators who look into a cluster.

use serde::{Deserialize, Serialize};

use super::{Kind, Phase, Rid};
use crate::UserId;

/// Tracks of one stream that are named.
pub const TRACKS_NAMED_MAX: usize = 32;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamLook {
    pub phase: Phase,
    /// Who watches at this relay, by whichever way.
    pub viewers: u64,
    pub recording: bool,
    /// It comes from another relay.
    pub is_fed: bool,
    /// By its number, where that is known.
    #[serde(default)]
    pub from: Option<u64>,
    /// To so many other relays it goes on from here.
    pub gives_to: u32,
    pub tracks: Vec<TrackLook>,
    /// Tracks beyond those.
    pub more: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackLook {
    pub user: UserId,
    pub kind: Kind,
    pub muted: bool,
    /// One without a name, or those of simulcast.
    pub layers: Vec<LayerLook>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerLook {
    #[serde(default)]
    pub rid: Option<Rid>,
    /// It comes right now.
    pub active: bool,
    pub bits_per_second: u64,
    /// Of a picture, once one came.
    #[serde(default)]
    pub size: Option<(u16, u16)>,
}
