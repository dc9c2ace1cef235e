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

/// Appends the header of an unmasked frame. The caller appends exactly `payload_bytes` bytes right behind it, in as many
/// parts as it has: a payload that stands in several places needs no copy to be joined.
#[inline]
pub fn write_frame_header(out: &mut Vec<u8>, opcode: Opcode, payload_bytes: usize, compressed: bool) {
    write_header(out, opcode, payload_bytes, compressed, 0);
}

/// How long [`write_frame_header`] makes it, for who wants a buffer of exactly the right size.
pub fn frame_header_bytes(payload_bytes: usize) -> usize {
    match payload_bytes {
        0..126 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
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
    if len < usize::from(header::LEN_16) {
        out.extend_from_slice(&[first, masked | len as u8]);
    } else if let Ok(len) = u16::try_from(len) {
        let [high, low] = len.to_be_bytes();
        out.extend_from_slice(&[first, masked | header::LEN_16, high, low]);
    } else {
        out.extend_from_slice(&[first, masked | header::LEN_64]);
        out.extend_from_slice(&(len as u64).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::{close_frame, frame_header_bytes, write_frame, write_frame_header, write_masked_frame};
    use crate::frame::Opcode;

    #[test]
    fn headers() {
        let cases: &[(Opcode, usize, bool, &[u8])] = &[
            (Opcode::Text, 0, false, &[0x81, 0]),
            (Opcode::Binary, 125, false, &[0x82, 125]),
            (Opcode::Text, 126, true, &[0xc1, 126, 0, 126]),
            (Opcode::Binary, 65_535, true, &[0xc2, 126, 0xff, 0xff]),
            (Opcode::Binary, 65_536, false, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
            (Opcode::Close, 2, false, &[0x88, 2]),
            (Opcode::Ping, 125, false, &[0x89, 125]),
            (Opcode::Pong, 1, false, &[0x8a, 1]),
        ];
        for (opcode, len, compressed, header) in cases {
            let payload = vec![0xa5; *len];
            let mut out = b"before".to_vec();
            write_frame(&mut out, *opcode, &payload, *compressed);
            assert_eq!(out, [b"before", *header, &payload].concat());
            let mut alone = Vec::new();
            write_frame_header(&mut alone, *opcode, *len, *compressed);
            assert_eq!((&alone[..], frame_header_bytes(*len)), (*header, header.len()));
        }
    }

    #[test]
    fn masked() {
        // RFC 6455 5.7.
        let mut out = Vec::new();
        write_masked_frame(&mut out, Opcode::Text, b"Hello", false, [0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(out, [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    }

    #[test]
    fn close_reasons_are_cut_at_a_character() {
        assert_eq!(close_frame(1000, ""), [0x88, 2, 0x03, 0xe8]);
        let cases =
            [("a".repeat(123), 123), ("a".repeat(124), 123), ("é".repeat(62), 122), ("€".repeat(80), 123)];
        for (reason, kept) in cases {
            let frame = close_frame(4999, &reason);
            assert_eq!(frame[..4], [0x88, 2 + kept as u8, 0x13, 0x87]);
            assert_eq!(&frame[4..], &reason.as_bytes()[..kept]);
        }
    }
}
