//! permessage-deflate (RFC 7692) without context takeover in either direction: every message stands alone, so a
//! broadcast is compressed once for all, and no connection owns a compressor.

use std::cell::RefCell;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// What a sync flush ends with; it is cut off by the sender and put back by the receiver (RFC 7692 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// An empty last block. After a message that is whole it ends the stream; inside of one that is not it does not.
const LAST_BLOCK: [u8; 2] = [0x03, 0x00];
/// Measured on chat-like JSON (time, and size of the original), flate2 1.1.10 with zlib-rs 0.6.8, one Xeon core:
///
/// | level |   1.1 KB     |    2 KB      |    64 KB      |
/// | ----- | ------------ | ------------ | ------------- |
/// | 1     |  6.4 us 47 % |  7.9 us 42 % |  192 us 35 %  |
/// | 2     | 14.0 us 37 % | 17.7 us 33 % |  339 us 26 %  |
/// | 3     | 14.4 us 36 % | 18.3 us 31 % |  445 us 25 %  |
/// | 6     | 16.0 us 36 % | 20.5 us 31 % | 1288 us 23 %  |
///
/// Level 1 has one fixed code, so that noise grows by 6 %, and every recipient pays for its larger frames; a
/// broadcast pays for level 2 once. Beyond it time grows faster than anything shrinks. 3.9 us of each are the
/// reset, which clears the hash table.
const LEVEL: u32 = 2;
/// Output goes through a buffer of the thread and is copied from there: handing a vector's spare room to flate2 has
/// it zeroed in full beforehand, which for a large buffer costs more than the compression.
const CHUNK_BYTES: usize = 16 * 1024;

thread_local! {
    // One of each a thread is a whole pool: a message is compressed or inflated in one go.
    static COMPRESSOR: RefCell<(Compress, Box<[u8]>)> =
        RefCell::new((Compress::new(Compression::new(LEVEL), false), vec![0; CHUNK_BYTES].into()));
    static DECOMPRESSOR: RefCell<(Decompress, Box<[u8]>)> =
        RefCell::new((Decompress::new(false), vec![0; CHUNK_BYTES].into()));
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    #[error("more than {max} bytes")]
    TooLong { max: usize },
    #[error("not a deflate stream, or cut short")]
    Malformed,
}

/// Appends the compressed form of `payload`, ready to be framed with `compressed` set.
pub fn compress(payload: &[u8], out: &mut Vec<u8>) {
    COMPRESSOR.with_borrow_mut(|(compressor, chunk)| {
        compressor.reset();
        loop {
            let (consumed, before) = (compressor.total_in() as usize, compressor.total_out());
            compressor
                .compress(&payload[consumed..], chunk, FlushCompress::Sync)
                .expect("a compressor between reset and finish takes any input");
            let written = (compressor.total_out() - before) as usize;
            out.extend_from_slice(&chunk[..written]);
            // The flush is complete once it has left room.
            if written < chunk.len() {
                break;
            }
        }
    });
    debug_assert!(out.ends_with(&TAIL));
    out.truncate(out.len() - TAIL.len());
}

/// Inflates one message into `out`, whose old content is dropped. The bound holds while inflating: `out` never grows
/// past `bytes_max`, whatever the payload would become.
pub fn inflate<'b>(payload: &[u8], bytes_max: usize, out: &'b mut Vec<u8>) -> Result<&'b [u8], InflateError> {
    out.clear();
    // RFC 7692 7.2.3.6 writes an empty message as one zero byte; some senders leave out even that.
    if payload.is_empty() {
        return Ok(out);
    }
    DECOMPRESSOR.with_borrow_mut(|(decompressor, chunk)| {
        decompressor.reset(false);
        let mut inflater = Inflater { decompressor, chunk, bytes_max, out };
        // A sender may end with a final block (RFC 7692 7.2.3.4). Then there is nothing to complete.
        let ended = inflater.feed(payload)? || inflater.feed(&TAIL)? || inflater.feed(&LAST_BLOCK)?;
        if ended { Ok(()) } else { Err(InflateError::Malformed) }
    })?;
    Ok(out)
}

struct Inflater<'a> {
    decompressor: &'a mut Decompress,
    chunk: &'a mut [u8],
    bytes_max: usize,
    out: &'a mut Vec<u8>,
}

impl Inflater<'_> {
    /// Whether the stream ended exactly with the end of `input`.
    fn feed(&mut self, mut input: &[u8]) -> Result<bool, InflateError> {
        loop {
            let (in_before, out_before) = (self.decompressor.total_in(), self.decompressor.total_out());
            let status = self
                .decompressor
                .decompress(input, self.chunk, FlushDecompress::Sync)
                .map_err(|_| InflateError::Malformed)?;
            let consumed = (self.decompressor.total_in() - in_before) as usize;
            let written = (self.decompressor.total_out() - out_before) as usize;
            self.keep(written)?;
            input = &input[consumed..];
            if status == Status::StreamEnd {
                if input.is_empty() {
                    return Ok(true);
                }
                // Final blocks may follow one another; each begins at a whole byte.
                self.decompressor.reset(false);
            } else if written < self.chunk.len() {
                // It stopped with room left, so it lacks input.
                return if input.is_empty() { Ok(false) } else { Err(InflateError::Malformed) };
            }
        }
    }

    fn keep(&mut self, written: usize) -> Result<(), InflateError> {
        let needed = self.out.len() + written;
        if needed > self.bytes_max {
            return Err(InflateError::TooLong { max: self.bytes_max });
        }
        if needed > self.out.capacity() {
            let target = (2 * self.out.capacity()).max(needed).min(self.bytes_max);
            self.out.reserve_exact(target - self.out.len());
        }
        self.out.extend_from_slice(&self.chunk[..written]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{CHUNK_BYTES, InflateError, compress, inflate};

    fn compressed(payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        compress(payload, &mut out);
        out
    }

    /// Bytes that do not shrink.
    fn noise(len: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        std::iter::repeat_with(next).take(len).collect()
    }

    /// The examples of RFC 7692 7.2.3, "Hello" each, and the empty message of 7.2.3.6.
    #[test]
    fn examples_of_the_rfc() {
        let cases: &[(&[u8], &[u8])] = &[
            (&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], b"Hello"),
            (&[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00], b"Hello"),
            (&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00], b"Hello"),
            (&[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00], b"Hello"),
            (&[0x00], b""),
            (&[], b""),
            // A final block with nothing behind it, and two final blocks.
            (&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], b"Hello"),
            (
                &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
                b"HelloHello",
            ),
        ];
        for (payload, expected) in cases {
            assert_eq!(inflate(payload, 10, &mut Vec::new()), Ok(*expected), "{payload:02x?}");
        }
    }

    #[test]
    fn round_trips() {
        let payloads = [
            vec![],
            b"x".to_vec(),
            vec![b'a'; 70_000],
            noise(1),
            noise(5_000),
            noise(300_000),
            b"{}".repeat(999),
        ];
        // One buffer for all, as the reader uses it.
        let mut out = Vec::new();
        for payload in payloads {
            let small = compressed(&payload);
            assert!(!small.ends_with(&super::TAIL));
            assert!(small.len() <= payload.len() + payload.len() / 64 + 64);
            assert_eq!(inflate(&small, payload.len(), &mut out), Ok(&payload[..]));
            // No context: the same message makes the same bytes.
            assert_eq!(compressed(&payload), small);
            if let Some(max) = payload.len().checked_sub(1) {
                assert_eq!(inflate(&small, max, &mut out), Err(InflateError::TooLong { max }));
            }
        }
    }

    /// Noise is stored, with 10 bytes beside it: some of these fill the buffer between to its last byte.
    #[test]
    fn output_that_just_fills_a_chunk() {
        let all = noise(CHUNK_BYTES + 20);
        for len in CHUNK_BYTES - 20..CHUNK_BYTES + 20 {
            let small = compressed(&all[..len]);
            assert_eq!(inflate(&small, len, &mut Vec::new()), Ok(&all[..len]), "{len}");
            assert!(small.len() <= len + 16, "{len} became {}", small.len());
        }
    }

    #[test]
    fn compress_appends() {
        let mut out = b"header".to_vec();
        compress(b"payload", &mut out);
        assert_eq!(out, [b"header".to_vec(), compressed(b"payload")].concat());
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        // About a kilobyte that would become a megabyte.
        let bomb = compressed(&vec![0; 1 << 20]);
        assert!(bomb.len() < 6_000, "{}", bomb.len());
        for max in [0, 1, 255, 1_000, 65_536, (1 << 20) - 1] {
            let mut out = Vec::new();
            assert_eq!(inflate(&bomb, max, &mut out), Err(InflateError::TooLong { max }));
            assert!(out.capacity() <= max, "{} for a limit of {max}", out.capacity());
        }
        assert_eq!(inflate(&bomb, 1 << 20, &mut Vec::new()).map(<[u8]>::len), Ok(1 << 20));
    }

    #[test]
    fn what_is_cut_short_or_garbled_is_refused() {
        let text = r#"{"room":"chat:1","text":"hello, who is there?"}"#.repeat(3).into_bytes();
        let whole = compressed(&text);
        for cut in 1..whole.len() {
            assert_eq!(
                inflate(&whole[..cut], 10_000, &mut Vec::new()),
                Err(InflateError::Malformed),
                "cut at {cut}"
            );
        }
        for payload in [&b"\xff"[..], b"\x07", b"\x04\x05", b"\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00"] {
            assert_eq!(
                inflate(payload, 10_000, &mut Vec::new()),
                Err(InflateError::Malformed),
                "{payload:02x?}"
            );
        }
        // A fault leaves nothing behind for the next message of the thread.
        assert_eq!(inflate(&whole, text.len(), &mut Vec::new()), Ok(&text[..]));
    }
}
