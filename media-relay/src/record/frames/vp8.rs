//! VP8 (RFC 7741, RFC 6386 9.1): what is behind the descriptors, one after the other.

use turnpike_rtp::codec::vp8::Descriptor;

use crate::record::matroska::Format;

const START_CODE: [u8; 3] = [0x9d, 0x01, 0x2a];

pub(super) fn body(payload: &[u8]) -> Option<&[u8]> {
    payload.get(Descriptor::parse(payload)?.len..)
}

pub(super) fn format(keyframe: &[u8]) -> Option<Format> {
    let &[_, _, _, a, b, c, w0, w1, h0, h1] = keyframe.first_chunk()?;
    if [a, b, c] != START_CODE {
        return None;
    }
    // The upper two bits say how it is to be scaled.
    let side = |low, high| u16::from_le_bytes([low, high]) & 0x3fff;
    Some(Format::Vp8 { width: side(w0, w1), height: side(h0, h1) })
}
