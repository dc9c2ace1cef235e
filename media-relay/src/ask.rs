//! What can be asked of a relay, whoever asks: a browser through the gateway's events, or WHIP and WHEP over HTTP. And what
//! a relay tells of its own accord.

use std::sync::Arc;
use std::time::{Duration, Instant};

use turnpike_wire::media::{LayerWish, MediaSession, Mute, StreamLook, StreamState};
use turnpike_wire::{RoomId, UserId};

/// Something that is asked, on behalf of somebody whose right to it has been checked.
#[derive(Debug, Clone)]
pub enum Ask {
    /// Begins a session of that name, which nobody can guess. Answered with [`Told::Opened`], whose `sdp` is the answer.
    Publish {
        session: MediaSession,
        stream: RoomId,
        user: UserId,
        offer: String,
        most: Most,
    },
    /// Answered with [`Told::Opened`]: its `sdp` answers the offer, or is an offer if there was none.
    Watch {
        session: MediaSession,
        stream: RoomId,
        user: UserId,
        offer: Option<String>,
        most: Most,
    },
    /// The answer to the relay's offer.
    Answer {
        session: MediaSession,
        sdp: String,
    },
    /// Another offer of a session that is there: other tracks, or new ICE credentials. Answered with [`Told::Sdp`].
    Offer {
        session: MediaSession,
        sdp: String,
    },
    /// Candidates, in the form of RFC 8840.
    Trickle {
        session: MediaSession,
        fragment: String,
    },
    /// New ICE credentials. Answered with [`Told::Fragment`].
    Restart {
        session: MediaSession,
        fragment: String,
    },
    /// Which picture a viewer wants.
    Layer {
        session: MediaSession,
        wish: LayerWish,
    },
    /// A publisher says that a track is silent or dark for a while, or a viewer that it does not want it now.
    Mute {
        session: MediaSession,
        mute: Mute,
    },
    Stop {
        session: MediaSession,
    },
    /// Ends a stream, with everybody in it.
    End {
        stream: RoomId,
    },
    /// Answered with [`Told::Streams`].
    Streams,
    /// How a stream is here. Answered with [`Told::Look`].
    Look {
        stream: RoomId,
    },
    /// Begins or ends the recording of a stream. Answered with [`Told::Recording`].
    Record {
        stream: RoomId,
        wanted: bool,
    },
    /// Where a shard is to give what comes of a stream. Only the relay itself asks for this.
    #[doc(hidden)]
    Tap {
        stream: RoomId,
        tap: Option<crate::record::Tap>,
    },
    /// Gives a stream through a pipe as well.
    #[doc(hidden)]
    Branch {
        stream: RoomId,
        pipe: crate::carry::Downward,
    },
    /// Takes a stream from a pipe, in place of the one that it came from before.
    #[doc(hidden)]
    Feed {
        stream: RoomId,
        pipe: crate::carry::Upward,
    },
    /// Forgets a pipe, whichever end of it is here.
    #[doc(hidden)]
    Unpipe {
        pipe: crate::carry::PipeId,
    },
}

/// How much a session is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Most {
    /// Several tracks of each kind; whoever watches gets everything that is published, also what comes later.
    All,
    /// One audio and one video track (WHIP, WHEP).
    OneOfEach,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Opened(Opened),
    Sdp(String),
    Fragment {
        fragment: String,
        etag: u64,
    },
    Streams(Vec<StreamInfo>),
    Look(StreamLook),
    /// What the names of the recording's files begin with.
    Recording {
        name: String,
    },
    Done,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    pub sdp: String,
    /// Names the ICE session; another after each restart.
    pub etag: u64,
    /// Until when an offer of the relay's may be answered.
    pub answer_within: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    pub stream: RoomId,
    pub publishers: Vec<UserId>,
    /// Here, and at all that are fed from here.
    pub viewers: u64,
    /// It comes from another relay.
    pub is_fed: bool,
}

/// What a relay tells about a session without being asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// Media flows to or from this peer.
    Connected,
    /// The relay's offer: tracks came or went.
    Offer(String),
    /// How the stream is; told again whenever it changes, at most twice a second.
    State(Arc<StreamState>),
    /// The relay leaves, and the session goes on until then: time to begin another one elsewhere.
    Moving { until: Instant },
    /// The session is over. The last notice.
    Ended(Ended),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// As it was asked for.
    Stopped,
    /// The peer said goodbye.
    PeerClosed,
    /// The peer was heard no more.
    Lost,
    /// It could not be secured: another certificate than was announced, or no agreement.
    Refused,
    /// Its path was never found, or an offer was not answered in time.
    TooLate,
    /// The stream was ended for everybody.
    StreamEnded,
    /// The relay is leaving.
    Drained,
}

impl Ended {
    pub fn slug(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::PeerClosed => "peer_closed",
            Self::Lost => "lost",
            Self::Refused => "refused",
            Self::TooLate => "too_late",
            Self::StreamEnded => "stream_ended",
            Self::Drained => "drained",
        }
    }
}
