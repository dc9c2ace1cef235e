//! Websocket frames: RFC 6455 framing, RFC 7692 permessage-deflate, and the values of the handshake headers.
//!
//! Pure: bytes in, messages out, and the reverse. It must not know sockets, runtimes, clocks, nor anything of
//! Engine.IO or Socket.IO, which are the layer above.

mod close;
pub mod deflate;
mod error;
pub mod handshake;
mod header;
mod mask;
mod partial;
mod reader;
mod writer;

pub use error::{ProtocolError, ReadError};
pub use reader::Reader;
pub use writer::{close_frame, frame_header_bytes, write_frame, write_frame_header, write_masked_frame};

/// Which end of the connection we are. It decides who masks (RFC 6455 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Expects masked frames, writes unmasked ones.
    Server,
    /// Expects unmasked frames, writes masked ones.
    Client,
}

/// What a [`Reader`] refuses. Passed with each read, so that a connection does not carry its own copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Payload of one data frame, as it is on the wire. Refused at the header, before a byte of it is kept.
    pub frame_bytes_max: usize,
    /// A whole message: the sum of its fragments, and also what they inflate to.
    pub message_bytes_max: usize,
}

/// The kinds of frame that we write. Continuations are only ever read: we do not fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

/// What arrived: a complete message, or a control frame. Borrowed from the input wherever it lay whole in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
    Ping(&'a [u8]),
    Pong(&'a [u8]),
    /// Nothing is read after it.
    Close(Option<(u16, &'a str)>),
}
