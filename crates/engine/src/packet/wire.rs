//! Putting messages on a wire: as websocket frames, or as packets of a polling body. It must not know Socket.IO.

use std::cell::RefCell;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::Wire;
use super::engine_io::SEPARATOR;
use crate::frame::{Opcode, deflate, frame_header_bytes, write_frame, write_frame_header};

/// Buffers of a thread that grew beyond this are not kept.
const SCRATCH_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<(Vec<u8>, Vec<u8>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// Where messages go, one behind the other. They begin at the end of `out` as it is; in a polling body that is the
/// beginning of the body.
pub(super) struct Line<'o> {
    wire: Wire,
    /// Payloads of so many bytes are worth compressing.
    compress_above: usize,
    out: &'o mut Vec<u8>,
    start: usize,
}

impl<'o> Line<'o> {
    pub(super) fn new(wire: Wire, compress_above: usize, out: &'o mut Vec<u8>) -> Self {
        let start = out.len();
        Self { wire, compress_above, out, start }
    }

    /// A text message that stands in two parts: its head, with the Engine.IO type in front, and its body.
    #[inline]
    pub(super) fn text(&mut self, head: &[u8], body: &[u8]) {
        let bytes = head.len() + body.len();
        match self.wire {
            Wire::WebsocketDeflate if bytes >= self.compress_above => {
                self.compressed(Opcode::Text, head, body);
            }
            Wire::Websocket | Wire::WebsocketDeflate => {
                // In an empty buffer this leaves no room to spare: it becomes shared bytes without another allocation.
                self.out.reserve(frame_header_bytes(bytes) + bytes);
                write_frame_header(self.out, Opcode::Text, bytes, false);
                self.out.extend_from_slice(head);
                self.out.extend_from_slice(body);
            }
            Wire::Polling => {
                self.separate();
                self.out.extend_from_slice(head);
                self.out.extend_from_slice(body);
            }
        }
    }

    /// A binary message: a frame of its own, or base64 behind a `b`.
    pub(super) fn binary(&mut self, bytes: &[u8]) {
        match self.wire {
            Wire::WebsocketDeflate if bytes.len() >= self.compress_above => {
                self.compressed(Opcode::Binary, &[], bytes);
            }
            Wire::Websocket | Wire::WebsocketDeflate => {
                write_frame(self.out, Opcode::Binary, bytes, false);
            }
            Wire::Polling => {
                self.separate();
                self.out.push(b'b');
                let start = self.out.len();
                let encoded = bytes.len().div_ceil(3) * 4;
                self.out.resize(start + encoded, 0);
                BASE64_STANDARD
                    .encode_slice(bytes, &mut self.out[start..])
                    .expect("four characters for each three bytes begun is what base64 takes");
            }
        }
    }

    fn separate(&mut self) {
        if self.out.len() > self.start {
            self.out.push(SEPARATOR as u8);
        }
    }

    fn compressed(&mut self, opcode: Opcode, head: &[u8], body: &[u8]) {
        SCRATCH.with_borrow_mut(|(plain, packed)| {
            let payload = if head.is_empty() {
                body
            } else {
                plain.extend_from_slice(head);
                plain.extend_from_slice(body);
                plain.as_slice()
            };
            deflate::compress(payload, packed);
            // What does not shrink (pictures, random bytes) is cheaper for its reader as it is.
            if packed.len() < payload.len() {
                write_frame(self.out, opcode, packed, true);
            } else {
                write_frame(self.out, opcode, payload, false);
            }
            plain.clear();
            plain.shrink_to(SCRATCH_BYTES_MAX);
            packed.clear();
            packed.shrink_to(SCRATCH_BYTES_MAX);
        });
    }
}
