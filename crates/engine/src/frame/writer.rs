//! Writing frames. Always whole ones: a message that we send is never fragmented.

use super::{Opcode, header, mask};

const MASKED: u8 = 0x80;

/// Appends one complete unmasked frame, as a server sends it. `compressed` says that the payload went through
/// [`super::deflate::compress`].
#[inline]
pub fn write_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], compressed: bool) {
    // One reservation for both parts; 10 bytes are the longest header without a key.
    out.reserve(10 + payload.len());
    write_header(out, opcode, payload.len(), compressed, 0);
    out.extend_from_slice(payload);
}

/// Appends one complete masked frame, as a client sends it.
pub fn write_masked_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], compressed: bool, key: [u8; 4]) {
    out.reserve(header::HEADER_BYTES_MAX + payload.len());
    write_header(out, opcode, payload.len(), compressed, MASKED);
    out.extend_from_slice(&key);
    let start = out.len();
    out.extend_from_slice(payload);
    mask::apply(&mut out[start..], key, 0);
}

/// A server's close frame. The reason is cut at a character's edge to the 123 bytes that a control frame has
/// left beside the code.
pub fn close_frame(code: u16, reason: &str) -> Vec<u8> {
    let reason = &reason[..reason.floor_char_boundary(header::CONTROL_BYTES_MAX as usize - 2)];
    let mut payload = Vec::with_capacity(2 + reason.len());
    payload.extend_from_slice(&code.to_be_bytes());
    payload.extend_from_slice(reason.as_bytes());
    let mut out = Vec::with_capacity(2 + payload.len());
    write_frame(&mut out, Opcode::Close, &payload, false);
    out
}

#[inline]
fn write_header(out: &mut Vec<u8>, opcode: Opcode, len: usize, compressed: bool, masked: u8) {
    let bits = match opcode {
        Opcode::Text => 0x81,
        Opcode::Binary => 0x82,
        Opcode::Close => 0x88,
        Opcode::Ping => 0x89,
        Opcode::Pong => 0x8a,
    };
    debug_assert!(matches!(opcode, Opcode::Text | Opcode::Binary) || (len <= 125 && !compressed));
    let first = bits | if compressed { header::RSV1 } else { 0 };
    if len < 126 {
        out.extend_from_slice(&[first, masked | len as u8]);
    } else if let Ok(len) = u16::try_from(len) {
        let [high, low] = len.to_be_bytes();
        out.extend_from_slice(&[first, masked | 126, high, low]);
    } else {
        out.extend_from_slice(&[first, masked | 127]);
        out.extend_from_slice(&(len as u64).to_be_bytes());
    }
}
