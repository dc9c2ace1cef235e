//! The nouns of live video: sessions, descriptions, candidates, layers, and how a stream is.
//!
//! Nothing here knows what stands in a session description; that is between the client and the relay. [`relay`] holds
//! what gateways and relays say to each other.

mod candidate;
mod look;
pub mod relay;
mod sdp;
mod session;
mod state;
mod text;

use serde::{Deserialize, Serialize};

pub use candidate::Candidate;
pub use look::{LayerLook, StreamLook, TRACKS_NAMED_MAX, TrackLook};
pub use sdp::{Sdp, SdpError};
pub use session::{MediaSession, MediaSessionError};
pub use state::{Phase, StreamState, Track, TrackLayer};
pub use text::{Text, TextError};

use crate::limits::{MID_BYTES_MAX, RID_BYTES_MAX};

/// Names a media section of a session's description (RFC 8843).
pub type Mid = Text<MID_BYTES_MAX>;

/// Names one of a track's simulcast layers (RFC 8851).
pub type Rid = Text<RID_BYTES_MAX>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Audio,
    Video,
}

/// How good a picture somebody wants. What that means in pixels depends on what is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    Low,
    Medium,
    High,
    /// As good as the connection carries and the view needs.
    Auto,
    /// None: the track is not sent until something else is wanted.
    Off,
}

/// Which layers of a track a viewer wants. What is not said is the relay's choice; nothing said means all of it is again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LayerWish {
    /// Of which track. Without it: of all video tracks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mid: Option<Mid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<Quality>,
    /// Just this simulcast layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rid: Option<Rid>,
    /// At most this spatial layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spatial: Option<u8>,
    /// At most this temporal layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temporal: Option<u8>,
    /// How large the view is, in pixels: no more is sent than can be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u16>,
}

/// What is silenced, or not any more. Without `kind` and `mid` it is everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mute {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mid: Option<Mid>,
    pub muted: bool,
}
