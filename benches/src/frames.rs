//! Websocket frames as cheaply as a load driver can have them: writing masked frames into a buffer, and finding frames
//! in what was read while looking only at the head of each. Pure. Knows nothing of Socket.IO.
//!
//! Deliberately not the engine's codec: what measures the engine must not share its mistakes.

pub const TEXT: u8 = 0x1;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xa;

/// In place of a length: it stands behind, in so many bytes (RFC 6455 5.2).
const LEN_IN_2_BYTES: u8 = 0x7e;
const LEN_IN_8_BYTES: u8 = 0x7f;

/// A fixed masking key. Not zero: `ws` skips unmasking for a zero key, and Node would look cheaper than it is.
pub const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What of a long payload is waited for before the frame is reported; the rest is counted off and never looked at.
pub const HEAD_BYTES_MAX: usize = 512;

/// Appends one complete masked frame, as a client must send it.
pub fn write_masked(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    write_header(out, opcode, payload.len(), 0x80, false);
    out.extend_from_slice(&KEY);
    let start = out.len();
    out.extend_from_slice(payload);
    mask(&mut out[start..], KEY);
}

/// Appends one complete unmasked frame, as a server sends it.
pub fn write_unmasked(out: &mut Vec<u8>, opcode: u8, payload: &[u8], compressed: bool) {
    write_header(out, opcode, payload.len(), 0, compressed);
    out.extend_from_slice(payload);
}

fn write_header(out: &mut Vec<u8>, opcode: u8, len: usize, mask_bit: u8, compressed: bool) {
    out.push(0x80 | if compressed { 0x40 } else { 0 } | opcode);
    if len < usize::from(LEN_IN_2_BYTES) {
        out.push(mask_bit | len as u8);
    } else if let Ok(len) = u16::try_from(len) {
        out.push(mask_bit | LEN_IN_2_BYTES);
        out.extend_from_slice(&len.to_be_bytes());
    } else {
        out.push(mask_bit | LEN_IN_8_BYTES);
        out.extend_from_slice(&(len as u64).to_be_bytes());
    }
}

/// Masks or unmasks in place; the key starts at the slice's first byte.
pub fn mask(bytes: &mut [u8], key: [u8; 4]) {
    let word = u32::from_ne_bytes(key);
    let mut words = bytes.chunks_exact_mut(4);
    for chunk in &mut words {
        let value = u32::from_ne_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]) ^ word;
        chunk.copy_from_slice(&value.to_ne_bytes());
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(key) {
        *byte ^= key;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub opcode: u8,
    pub compressed: bool,
    pub key: Option<[u8; 4]>,
    /// Of the header itself, key included.
    pub header_bytes: usize,
    pub payload_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadFrame {
    /// None of the servers fragments; a driver that counts messages would have to count them differently.
    Fragmented,
    ReservedBits,
}

impl std::fmt::Display for BadFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Fragmented => "fragmented frame",
            Self::ReservedBits => "reserved bits set",
        })
    }
}

impl std::error::Error for BadFrame {}

/// The header at the start of `bytes`, or `None` while it is incomplete.
pub fn header(bytes: &[u8]) -> Result<Option<Header>, BadFrame> {
    let [first, second, ..] = *bytes else { return Ok(None) };
    let (last, opcode) = (first & 0x80 != 0, first & 0x0f);
    if !last || opcode == 0 {
        return Err(BadFrame::Fragmented);
    }
    if first & 0x30 != 0 {
        return Err(BadFrame::ReservedBits);
    }
    let (len_bytes, payload_bytes) = match second & 0x7f {
        LEN_IN_2_BYTES => match bytes.get(2..4) {
            Some(len) => (2, usize::from(u16::from_be_bytes([len[0], len[1]]))),
            None => return Ok(None),
        },
        LEN_IN_8_BYTES => match bytes.get(2..10).and_then(|len| <[u8; 8]>::try_from(len).ok()) {
            Some(len) => (8, u64::from_be_bytes(len) as usize),
            None => return Ok(None),
        },
        len => (0, usize::from(len)),
    };
    let mut header_bytes = 2 + len_bytes;
    let key = if second & 0x80 == 0 {
        None
    } else {
        let Some(key) = bytes.get(header_bytes..header_bytes + 4) else { return Ok(None) };
        header_bytes += 4;
        Some([key[0], key[1], key[2], key[3]])
    };
    Ok(Some(Header { opcode: first & 0x0f, compressed: first & 0x40 != 0, key, header_bytes, payload_bytes }))
}

/// A frame as far as the reader wanted to see it.
#[derive(Debug)]
pub struct Frame<'a> {
    pub opcode: u8,
    pub compressed: bool,
    /// The payload, or its first bytes.
    pub head: &'a [u8],
    pub payload_bytes: usize,
}

/// What one connection keeps between reads: an unfinished head, or how much of a long payload is still to come.
#[derive(Debug, Default)]
pub struct Inbox {
    partial: Vec<u8>,
    skip_bytes: usize,
}

impl Inbox {
    /// Reports each frame of which at least `head_max` payload bytes (or all) have come, in order.
    pub fn read(
        &mut self,
        input: &[u8],
        head_max: usize,
        mut sink: impl FnMut(Frame<'_>),
    ) -> Result<(), BadFrame> {
        let skipped = self.skip_bytes.min(input.len());
        self.skip_bytes -= skipped;
        let mut rest = &input[skipped..];
        let joined;
        if !self.partial.is_empty() {
            let mut bytes = std::mem::take(&mut self.partial);
            bytes.extend_from_slice(rest);
            joined = bytes;
            rest = &joined;
        }
        while !rest.is_empty() {
            let Some(found) = header(rest)? else { break };
            let head_bytes = found.payload_bytes.min(head_max);
            let Some(head) = rest.get(found.header_bytes..found.header_bytes + head_bytes) else { break };
            sink(Frame {
                opcode: found.opcode,
                compressed: found.compressed,
                head,
                payload_bytes: found.payload_bytes,
            });
            let frame_bytes = found.header_bytes + found.payload_bytes;
            if frame_bytes > rest.len() {
                self.skip_bytes = frame_bytes - rest.len();
                return Ok(());
            }
            rest = &rest[frame_bytes..];
        }
        if !rest.is_empty() {
            self.partial = rest.to_vec();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Vec<u8> {
        let mut bytes = Vec::new();
        for (number, len) in [1_usize, 125, 126, 511, 512, 513, 65_535, 65_536, 0, 7].into_iter().enumerate()
        {
            write_unmasked(&mut bytes, TEXT, &vec![b'a' + number as u8; len], number % 2 == 1);
        }
        bytes
    }

    #[test]
    fn frames_are_found_however_the_bytes_are_cut() {
        let bytes = stream();
        let mut whole = Vec::new();
        Inbox::default()
            .read(&bytes, HEAD_BYTES_MAX, |frame| {
                whole.push((frame.compressed, frame.payload_bytes, frame.head.to_vec()));
            })
            .unwrap();
        assert_eq!(whole.len(), 10);
        assert_eq!(whole[7], (true, 65_536, vec![b'h'; 512]));
        for step in [1, 2, 3, 7, 500, 4_096, 65_537] {
            let mut inbox = Inbox::default();
            let mut found = Vec::new();
            for chunk in bytes.chunks(step) {
                inbox
                    .read(chunk, HEAD_BYTES_MAX, |frame| {
                        found.push((frame.compressed, frame.payload_bytes, frame.head.to_vec()));
                    })
                    .unwrap();
            }
            assert_eq!(found, whole, "cut every {step} bytes");
            assert!(inbox.partial.is_empty() && inbox.skip_bytes == 0);
        }
    }

    #[test]
    fn a_masked_frame_unmasks_to_its_payload() {
        for len in [0_usize, 1, 3, 4, 5, 125, 126, 70_000] {
            let payload: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            let mut bytes = Vec::new();
            write_masked(&mut bytes, TEXT, &payload);
            let found = header(&bytes).unwrap().unwrap();
            assert_eq!((found.key, found.payload_bytes), (Some(KEY), len));
            let body = &mut bytes[found.header_bytes..];
            assert!(len < 4 || *body != payload[..], "the payload was sent in the clear");
            mask(body, KEY);
            assert_eq!(*body, payload[..]);
        }
    }

    #[test]
    fn fragments_and_reserved_bits_are_refused() {
        assert_eq!(header(&[0x01, 0x00]), Err(BadFrame::Fragmented));
        assert_eq!(header(&[0x80, 0x00]), Err(BadFrame::Fragmented));
        assert_eq!(header(&[0xa1, 0x00]), Err(BadFrame::ReservedBits));
    }
}
