//! From packets in order to frames as files have them, codec by codec.
//!
//! A picture with a hole is left out, and with it all that follows until one that stands alone.

mod av1;
mod bits;
mod h264;
mod vp8;
mod vp9;

use turnpike_rtp::Codec;
use turnpike_rtp::red::Red;

use super::matroska::Format;

/// No picture of a live stream is larger. What is, is taken for a hole.
const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One packet of a track.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) codec: Codec,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) payload: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) timestamp: u32,
    pub(super) is_keyframe: bool,
    pub(super) bytes: Vec<u8>,
    /// What it is a frame of, as its stream says.
    pub(super) format: Format,
}

/// Puts the frames of one track together.
#[derive(Debug)]
pub(super) struct Assembler {
    codec: Option<Codec>,
    parts: Parts,
    current: Option<Current>,
    /// Until a keyframe begins.
    waits: bool,
    format: Option<Format>,
}

#[derive(Debug)]
struct Current {
    timestamp: u32,
    is_keyframe: bool,
}

/// What there is of the frame that is being put together.
#[derive(Debug)]
enum Parts {
    Vp8(Vec<u8>),
    Vp9(vp9::Parts),
    H264(h264::Parts),
    Av1(av1::Parts),
    Sound,
}

impl Parts {
    fn of(codec: Codec) -> Self {
        match codec {
            Codec::Opus | Codec::Red => Self::Sound,
            Codec::Vp8 => Self::Vp8(Vec::new()),
            Codec::Vp9 => Self::Vp9(vp9::Parts::default()),
            Codec::H264 => Self::H264(h264::Parts::default()),
            Codec::Av1 => Self::Av1(av1::Parts::default()),
        }
    }

    /// None: it is not of the form that it should have.
    fn push(&mut self, payload: &[u8]) -> Option<()> {
        match self {
            Self::Vp8(bytes) => bytes.extend_from_slice(vp8::body(payload)?),
            Self::Vp9(parts) => parts.push(payload)?,
            Self::H264(parts) => parts.push(payload)?,
            Self::Av1(parts) => parts.push(payload)?,
            Self::Sound => return None,
        }
        (self.len() <= FRAME_BYTES_MAX).then_some(())
    }

    fn len(&self) -> usize {
        match self {
            Self::Vp8(bytes) => bytes.len(),
            Self::Vp9(parts) => parts.len(),
            Self::H264(parts) => parts.len(),
            Self::Av1(parts) => parts.len(),
            Self::Sound => 0,
        }
    }

    /// The frame, whole. None: it is not.
    fn take(&mut self) -> Option<Vec<u8>> {
        let bytes = match self {
            Self::Vp8(bytes) => std::mem::take(bytes),
            Self::Vp9(parts) => parts.take(),
            Self::H264(parts) => parts.take()?,
            Self::Av1(parts) => parts.take()?,
            Self::Sound => return None,
        };
        (!bytes.is_empty()).then_some(bytes)
    }

    /// What a keyframe says about its stream.
    fn format(&self, keyframe: &[u8]) -> Option<Format> {
        match self {
            Self::Vp8(_) => vp8::format(keyframe),
            Self::Vp9(_) => vp9::format(keyframe),
            Self::H264(parts) => parts.format(),
            Self::Av1(parts) => parts.format(),
            Self::Sound => None,
        }
    }

    fn clear(&mut self) {
        match self {
            Self::Vp8(bytes) => bytes.clear(),
            Self::Vp9(parts) => *parts = vp9::Parts::default(),
            Self::H264(parts) => parts.clear(),
            Self::Av1(parts) => parts.clear(),
            Self::Sound => {}
        }
    }
}

impl Assembler {
    pub(super) fn new() -> Self {
        Self { codec: None, parts: Parts::Sound, current: None, waits: true, format: None }
    }

    /// Whether nothing comes of what is sent until there is a keyframe.
    pub(super) fn waits_for_keyframe(&self) -> bool {
        self.waits && self.codec.is_some_and(Codec::is_video)
    }

    pub(super) fn is_of_pictures(&self) -> bool {
        self.codec.is_some_and(Codec::is_video)
    }

    /// Something is missing here, or what follows is of another source.
    pub(super) fn hole(&mut self) {
        self.current = None;
        self.parts.clear();
        self.waits = true;
    }

    /// Gives every frame that is whole with this packet to `out`.
    pub(super) fn packet(&mut self, piece: &Piece, mut out: impl FnMut(Frame)) {
        if self.codec != Some(piece.codec) {
            self.codec = Some(piece.codec);
            self.parts = Parts::of(piece.codec);
            self.hole();
        }
        if !piece.codec.is_video() {
            if let Some(bytes) = sound(piece) {
                let (timestamp, bytes) = (piece.timestamp, bytes.to_vec());
                out(Frame { timestamp, is_keyframe: true, bytes, format: Format::Opus });
            }
            return;
        }
        // Not everybody marks the last packet.
        if self.current.as_ref().is_some_and(|current| current.timestamp != piece.timestamp) {
            self.finish(&mut out);
        }
        let Some(facts) = piece.codec.frame(&piece.payload, piece.marker) else {
            // Padding, which is numbered like everything else.
            if !piece.payload.is_empty() {
                self.hole();
            }
            return;
        };
        if self.waits {
            if !(facts.keyframe && facts.starts_frame) {
                return;
            }
            self.waits = false;
        }
        let current = self.current.get_or_insert(Current { timestamp: piece.timestamp, is_keyframe: false });
        current.is_keyframe |= facts.keyframe;
        if self.parts.push(&piece.payload).is_none() {
            return self.hole();
        }
        if piece.marker {
            self.finish(&mut out);
        }
    }

    fn finish(&mut self, out: &mut impl FnMut(Frame)) {
        let Some(Current { timestamp, is_keyframe }) = self.current.take() else { return };
        let Some(bytes) = self.parts.take() else { return self.hole() };
        if is_keyframe {
            self.format = self.parts.format(&bytes).or(self.format.take());
        }
        let Some(format) = self.format.clone() else { return self.hole() };
        out(Frame { timestamp, is_keyframe, bytes, format });
    }
}

/// Width and height, as the first packet of a keyframe says. None: it stands in another one.
pub(crate) fn size_of(codec: Codec, payload: &[u8]) -> Option<(u16, u16)> {
    let mut parts = Parts::of(codec);
    parts.push(payload)?;
    let format = match &parts {
        Parts::Vp8(bytes) => parts.format(bytes),
        // The other kinds have it apart.
        Parts::Vp9(of) => parts.format(of.bytes()),
        _ => parts.format(&[]),
    };
    format?.size()
}

/// A packet of sound, without what it says again.
fn sound(piece: &Piece) -> Option<&[u8]> {
    let bytes = match piece.codec {
        Codec::Red => Red::parse(&piece.payload)?.primary()?.payload,
        _ => &piece.payload,
    };
    (!bytes.is_empty()).then_some(bytes)
}

#[cfg(test)]
mod tests;
