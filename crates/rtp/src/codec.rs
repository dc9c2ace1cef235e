//! What a payload says about its frame, codec by codec, without decoding anything.
//!
//! Everything is read from one packet. What only a stream can tell (that a timestamp is new) is for whoever has the stream.

pub mod av1;
pub mod dependency;
pub mod h264;
pub mod opus;
pub mod vp8;
pub mod vp9;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    Opus,
    /// Opus with redundancy (RFC 2198).
    Red,
    Vp8,
    Vp9,
    H264,
    Av1,
}

/// What one packet says about the frame that it is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// The first packet of the frame (of one spatial layer, where there are several). H.264 does not mark it: true where a
    /// frame usually begins, and a packet with a new timestamp begins one too.
    pub starts_frame: bool,
    /// The last packet of the frame (of one spatial layer; the marker bit ends the picture).
    pub ends_frame: bool,
    /// Begins a frame that stands alone: somebody who has nothing yet can begin here.
    pub keyframe: bool,
    pub spatial: u8,
    pub temporal: u8,
    /// From this frame on its temporal layer can be taken up by somebody who has had the lower ones only.
    pub switch_up: bool,
    /// No other frame needs this one.
    pub discardable: bool,
    pub picture: Option<Picture>,
}

/// Numbers that an encoder gives to frames, and that a decoder expects to go on without jumps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picture {
    pub id: u16,
    /// 7 or 15 for VP8 and VP9, 16 for the frame number of a dependency descriptor.
    pub bits: u8,
    /// Counts the frames of the lowest temporal layer.
    pub tl0: Option<u8>,
}

/// The bits that a number of frames has.
pub(crate) fn mask(bits: u8) -> u16 {
    u16::MAX >> (16 - u32::from(bits.clamp(1, 16)))
}

impl Codec {
    /// By the name in `a=rtpmap`.
    pub fn parse(name: &str) -> Option<Self> {
        const ALL: [Codec; 6] = [Codec::Opus, Codec::Red, Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1];
        ALL.into_iter().find(|codec| codec.name().eq_ignore_ascii_case(name))
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::Red => "red",
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::H264 => "H264",
            Self::Av1 => "AV1",
        }
    }

    pub fn is_video(self) -> bool {
        !matches!(self, Self::Opus | Self::Red)
    }

    pub fn clock_hz(self) -> u32 {
        if self.is_video() { 90_000 } else { 48_000 }
    }

    /// `None` for a payload that is empty or breaks off in its descriptor. A dependency descriptor, where there is one,
    /// knows better than this: [`dependency::Descriptor::frame`].
    pub fn frame(self, payload: &[u8], marker: bool) -> Option<Frame> {
        match self {
            Self::Opus | Self::Red => opus::frame(payload),
            Self::Vp8 => vp8::Descriptor::parse(payload).map(|descriptor| descriptor.frame(payload, marker)),
            Self::Vp9 => vp9::Descriptor::parse(payload).map(|descriptor| descriptor.frame()),
            Self::H264 => h264::frame(payload, marker),
            Self::Av1 => av1::frame(payload, marker),
        }
    }

    /// Puts other numbers where the payload has some, in the width that they have there.
    pub fn rewrite_picture(self, payload: &mut [u8], id: u16, tl0: u8) {
        let places = match self {
            Self::Vp8 => vp8::Descriptor::parse(payload).map(|descriptor| descriptor.places),
            Self::Vp9 => vp9::Descriptor::parse(payload).map(|descriptor| descriptor.places),
            _ => None,
        };
        if let Some(places) = places {
            places.write(payload, id, tl0);
        }
    }
}

/// Where VP8 and VP9 have their numbers. Both write them alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Places {
    id: Option<u8>,
    wide: bool,
    tl0: Option<u8>,
}

impl Places {
    /// Reads a picture id at `at` and says where it ends.
    fn id_at(&mut self, payload: &[u8], at: usize) -> Option<(u16, usize)> {
        let first = *payload.get(at)?;
        self.id = Some(at as u8);
        self.wide = first & 0x80 != 0;
        if self.wide {
            let low = *payload.get(at + 1)?;
            return Some((u16::from_be_bytes([first & 0x7f, low]), at + 2));
        }
        Some((first.into(), at + 1))
    }

    fn bits(self) -> u8 {
        if self.wide { 15 } else { 7 }
    }

    /// The places were read from this payload, or from one of the same shape.
    fn write(self, payload: &mut [u8], id: u16, tl0: u8) {
        if let Some(at) = self.id.map(usize::from) {
            let [high, low] = id.to_be_bytes();
            if self.wide {
                if let Some(bytes) = payload.get_mut(at..at + 2) {
                    bytes.copy_from_slice(&[high | 0x80, low]);
                }
            } else if let Some(byte) = payload.get_mut(at) {
                *byte = low & 0x7f;
            }
        }
        if let Some(byte) = self.tl0.and_then(|at| payload.get_mut(usize::from(at))) {
            *byte = tl0;
        }
    }
}
