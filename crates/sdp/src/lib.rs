//! Session descriptions of browsers and of WHIP and WHEP clients: read, answered, offered.
//!
//! Text becomes a [`Description`] of values that cannot be wrong, and values become text; nothing that a peer wrote is
//! copied through. What the relay works with is not the description but what came of it: [`answer_publisher`] gives
//! [`Published`], [`answer_viewer`] and [`Offer`] give [`Watched`].
//!
//! It knows no socket, no time and no chance: numbers for sources are an argument.

mod agreement;
mod candidate;
mod codec;
mod description;
mod dtls;
mod error;
mod extension;
mod format;
mod fragment;
mod ice;
pub mod limits;
mod line;
mod matching;
mod media;
mod offer;
mod path;
mod publisher;
mod section;
mod simulcast;
mod source;
mod viewer;
mod word;

pub use agreement::{AgreedCodec, AgreedRed, Local, Peer, Rules, payload_for};
pub use candidate::{Candidate, CandidateAddress, CandidateKind, CandidateProtocol, TcpKind};
pub use codec::{Av1, Codec, H264, Opus};
pub use description::Description;
pub use dtls::{DtlsRole, Fingerprint, HashFunction, Setup};
pub use error::{SdpError, SdpFault};
pub use extension::{Extension, ExtensionIds, ExtensionLine};
pub use format::{Encoding, Feedback, Format};
pub use fragment::{Fragment, FragmentSection};
pub use ice::{Credentials, IceOptions};
pub use media::{Direction, Kind, Media, Protocol};
pub use offer::Offer;
pub use publisher::{Published, PublishedSource, PublishedTrack, answer_publisher};
pub use simulcast::{Layer, RidLine, Simulcast};
pub use source::{Msid, Source, SourceGroup};
pub use viewer::{Available, AvailableTrack, Watched, WatchedTrack, answer_viewer};
pub use word::{Mid, Rid, Word};
