//! Packets: what stands inside frames and polling bodies, in both directions.
//!
//! Owns Engine.IO packets, Socket.IO packets with their binary attachments in the default and the msgpack form, and the
//! plain JSON form of `/ws`. Everything is pure: bytes in, packets out, and the reverse; no clock, no socket, no session.
//! Socket.IO packets are decoded and encoded by socketioxide's protocol crates, and every limit is checked around them.
//!
//! Whatever form a client speaks, the application sees one neutral form: the JSON text of the arguments, in which a
//! binary value stands as `{"_placeholder":true,"num":n}`, and the attachments beside it.

mod args;
mod binary_text;
mod check;
mod default;
mod encoded;
mod engine_io;
mod error;
mod inbound;
mod msgpack;
mod placeholder;
mod raw;
mod reply;
mod scan;
mod wire;

pub use args::{Args, ArgsError};
pub use encoded::{Encoded, EventBuilder};
pub use engine_io::{EnginePacket, PollingPackets, open_packet, parse_engine, polling_packets};
pub use engineioxide_core::Str;
pub use error::PacketError;
pub use inbound::{Decoder, Inbound};
pub use raw::RawInbound;
pub use reply::{Reply, encode_reply};

/// What a packet from a client may cost.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Binary attachments of one packet. More than 64 are never allowed: the used ones are kept in one word.
    pub attachments_max: usize,
    /// Bytes of all attachments of one packet together.
    pub attachment_bytes_max: usize,
    /// Nesting of arrays and objects, the argument array included. More than 127 are never allowed: the JSON parser
    /// that applications read arguments with stops there.
    pub json_depth_max: usize,
    /// Object keys of one packet together.
    pub json_keys_max: usize,
    /// Bytes of the packet's text (for msgpack: of its neutral JSON text), attachments not counted.
    pub packet_bytes_max: usize,
    pub namespace_bytes_max: usize,
    pub event_name_bytes_max: usize,
    /// Elements of the argument array, the event name included: each costs eight bytes of memory for two of text.
    pub arguments_max: usize,
}

/// Attachments that one word can keep account of.
const ATTACHMENTS_MAX: usize = 64;
/// Applications read arguments with `serde_json`, which stops at 128 levels.
const DEPTH_MAX: usize = 127;

impl Limits {
    /// For text of our own, or that has been checked. Nesting is bounded all the same.
    const TRUSTING: Self = Self {
        attachments_max: ATTACHMENTS_MAX,
        attachment_bytes_max: usize::MAX,
        json_depth_max: DEPTH_MAX,
        json_keys_max: usize::MAX,
        packet_bytes_max: usize::MAX,
        namespace_bytes_max: usize::MAX,
        event_name_bytes_max: usize::MAX,
        arguments_max: usize::MAX,
    };

    fn attachments_max(&self) -> usize {
        self.attachments_max.min(ATTACHMENTS_MAX)
    }

    fn json_depth_max(&self) -> usize {
        self.json_depth_max.min(DEPTH_MAX)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            attachments_max: 10,
            attachment_bytes_max: 1_000_000,
            json_depth_max: 64,
            json_keys_max: 1_024,
            packet_bytes_max: 1_000_000,
            namespace_bytes_max: 128,
            event_name_bytes_max: 128,
            arguments_max: 256,
        }
    }
}

/// The parser a client was built with. The first packet of a session tells which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parser {
    Default,
    Msgpack,
}

/// What happens to an event when its receiver is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Must arrive: a receiver that is behind is refilled from history.
    Reliable,
    /// The newest of its key replaces an older one that still waits.
    State { key: u64 },
    /// Dropped when the receiver is behind.
    Volatile,
}

/// The form of packets that a client understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    Default,
    Msgpack,
    /// The plain JSON protocol of `/ws`.
    Raw,
}

/// How bytes travel to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wire {
    Websocket,
    WebsocketDeflate,
    Polling,
}
