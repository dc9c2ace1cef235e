//! What two descriptions come to: whom we talk to, and which numbers mean what.

use crate::format::{Encoding, Feedback, Format};
use crate::{Candidate, Codec, Credentials, DtlsRole, Fingerprint, Kind};

/// Our side of a session.
#[derive(Debug, Clone)]
pub struct Local {
    /// For the `o=` line, drawn once a session; at most 63 bits are written.
    pub session_id: u64,
    pub credentials: Credentials,
    pub fingerprint: Fingerprint,
    /// All of them: none is told later.
    pub candidates: Vec<Candidate>,
    pub ice_lite: bool,
}

/// The other side of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    pub credentials: Credentials,
    /// At least one. The certificate has to have one of them.
    pub fingerprints: Vec<Fingerprint>,
    /// What we are.
    pub role: DtlsRole,
    pub candidates: Vec<Candidate>,
    pub end_of_candidates: bool,
    pub ice_lite: bool,
    pub trickle: bool,
    /// Whether one- and two-byte header extensions may stand in one session.
    pub extmap_allow_mixed: bool,
}

/// How much is taken of an offer, by whom it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    pub audio_max: usize,
    pub video_max: usize,
    pub streams_max: usize,
    /// All of an offer or nothing of it. Otherwise what we have no use for is refused section by section.
    pub whole: bool,
}

impl Rules {
    /// RFC 9725 4.2: one stream, and no partial success.
    pub const WHIP: Self = Self { audio_max: 1, video_max: 1, streams_max: 1, whole: true };
    pub const WHEP: Self = Self::WHIP;
    /// Browsers with code of their own: camera, screen and microphone in one session, perhaps a data channel.
    pub const SIGNALING: Self = Self { audio_max: 16, video_max: 16, streams_max: 16, whole: false };

    pub(crate) fn tracks_max(&self, kind: Kind) -> usize {
        if kind == Kind::Audio { self.audio_max } else { self.video_max }
    }
}

/// A codec with the number that it has in this session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgreedCodec {
    pub payload_type: u8,
    pub codec: Codec,
    pub feedback: Feedback,
    /// Under which number it is sent again.
    pub rtx: Option<u8>,
}

/// Redundant audio (RFC 2198).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgreedRed {
    pub payload_type: u8,
    /// The payload type of what is in it.
    pub of: u8,
    /// Whether it is preferred to what is in it: then it is what will be sent.
    pub preferred: bool,
}

/// Finds the number for what is sent: the closest decoder among what was agreed.
pub fn payload_for<'a>(agreed: &'a [AgreedCodec], sent: &Codec) -> Option<&'a AgreedCodec> {
    let fits = agreed.iter().filter_map(|agreed| Some((sent.decoded_by(&agreed.codec)?, agreed)));
    fits.min_by_key(|(distance, _)| *distance).map(|(_, agreed)| agreed)
}

/// As lines of a section.
pub(crate) fn formats(codecs: &[AgreedCodec], red: Option<AgreedRed>) -> Vec<Format> {
    let mut formats = Vec::with_capacity(codecs.len() * 2 + 1);
    for agreed in codecs {
        let AgreedCodec { payload_type, codec, feedback, rtx } = *agreed;
        formats.push(Format { payload_type, encoding: Encoding::Codec(codec), feedback });
        if let Some(payload_type) = rtx {
            let encoding = Encoding::Rtx { apt: Some(agreed.payload_type), clock_hz: codec.clock_hz() };
            formats.push(Format { payload_type, encoding, feedback: Feedback::default() });
        }
    }
    if let Some(AgreedRed { payload_type, of, preferred }) = red {
        let encoding = Encoding::Red { of: Some(of), clock_hz: 48_000, channels: Some(2) };
        let place = if preferred { 0 } else { formats.len() };
        formats.insert(place, Format { payload_type, encoding, feedback: Feedback::default() });
    }
    formats
}
