//! permessage-deflate (RFC 7692) without context takeover in either direction: every message stands alone, so a
//! broadcast is compressed once for all, and no connection owns a compressor.

use std::cell::RefCell;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// What a sync flush ends with; it is cut off by the sender and put back by the receiver (RFC 7692 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// An empty last block. After a message that is whole it ends the stream; inside of one that is not it does not.
const LAST_BLOCK: [u8; 2] = [0x03, 0x00];
const LEVEL: u32 = 1;
/// First guess of what a message inflates to; JSON shrinks to about a fourth.
const INFLATED_TIMES: usize = 4;

thread_local! {
    // One of each a thread is a whole pool: a message is compressed or inflated in one go.
    static COMPRESSOR: RefCell<Compress> = RefCell::new(Compress::new(Compression::new(LEVEL), false));
    static DECOMPRESSOR: RefCell<Decompress> = RefCell::new(Decompress::new(false));
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
    COMPRESSOR.with_borrow_mut(|compressor| {
        compressor.reset();
        // Deflate falls back to stored blocks, so the output exceeds the input by little; one call is the rule.
        out.reserve(payload.len() + payload.len() / 64 + 64);
        loop {
            let consumed = compressor.total_in() as usize;
            compressor
                .compress_vec(&payload[consumed..], out, FlushCompress::Sync)
                .expect("a compressor between reset and finish takes any input");
            // A flush is complete once it has left room in the output.
            if out.len() < out.capacity() {
                break;
            }
            out.reserve(payload.len() / 4 + 64);
        }
    });
    debug_assert!(out.ends_with(&TAIL));
    out.truncate(out.len() - TAIL.len());
}

/// Inflates one message into `out`, whose old content is dropped. The bound holds while inflating: `out` grows to
/// `bytes_max` and one byte at most, whatever the payload would become.
pub fn inflate<'b>(payload: &[u8], bytes_max: usize, out: &'b mut Vec<u8>) -> Result<&'b [u8], InflateError> {
    out.clear();
    // RFC 7692 7.2.3.6 writes an empty message as one zero byte; some senders leave out even that.
    if payload.is_empty() {
        return Ok(out);
    }
    DECOMPRESSOR.with_borrow_mut(|decompressor| {
        decompressor.reset(false);
        let mut inflater = Inflater { decompressor, bytes_max, out };
        let mut ended = inflater.feed(payload)?;
        // A sender may end with a final block (RFC 7692 7.2.3.4). Then there is nothing to complete.
        if !ended {
            ended = inflater.feed(&TAIL)? || inflater.feed(&LAST_BLOCK)?;
        }
        if ended { Ok(()) } else { Err(InflateError::Malformed) }
    })?;
    Ok(out)
}

struct Inflater<'a> {
    decompressor: &'a mut Decompress,
    bytes_max: usize,
    out: &'a mut Vec<u8>,
}

impl Inflater<'_> {
    /// Whether the stream ended exactly with the end of `input`.
    fn feed(&mut self, mut input: &[u8]) -> Result<bool, InflateError> {
        loop {
            self.make_room(input.len());
            let (in_before, out_before) = (self.decompressor.total_in(), self.out.len());
            let status = self
                .decompressor
                .decompress_vec(input, self.out, FlushDecompress::Sync)
                .map_err(|_| InflateError::Malformed)?;
            if self.out.len() > self.bytes_max {
                return Err(InflateError::TooLong { max: self.bytes_max });
            }
            let consumed = (self.decompressor.total_in() - in_before) as usize;
            input = &input[consumed..];
            if status == Status::StreamEnd {
                if input.is_empty() {
                    return Ok(true);
                }
                // Final blocks may follow one another; each begins at a whole byte.
                self.decompressor.reset(false);
            } else if self.out.len() < self.out.capacity() {
                // It stopped with room left, so it lacks input.
                return if input.is_empty() { Ok(false) } else { Err(InflateError::Malformed) };
            } else if consumed == 0 && self.out.len() == out_before {
                return Err(InflateError::Malformed);
            }
        }
    }

    fn make_room(&mut self, input: usize) {
        if self.out.len() < self.out.capacity() {
            return;
        }
        let ceiling = self.bytes_max.saturating_add(1);
        let wish = (2 * self.out.capacity()).max(input.saturating_mul(INFLATED_TIMES)).max(256);
        self.out.reserve_exact(wish.min(ceiling).saturating_sub(self.out.len()).max(1));
    }
}
