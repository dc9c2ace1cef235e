//! Socket.IO packets from a client.

use super::{Args, Limits, PacketError, Parser, Str};

/// A complete packet from a client.
#[derive(Debug, Clone)]
pub enum Inbound {
    /// `auth` is the JSON text of an object.
    Connect {
        namespace: Str,
        auth: Option<Str>,
    },
    Disconnect {
        namespace: Str,
    },
    Event {
        namespace: Str,
        args: Args,
        ack: Option<u64>,
    },
    Ack {
        namespace: Str,
        id: u64,
        args: Args,
    },
}

/// Decodes the packets of one session.
#[derive(Debug, Default)]
pub struct Decoder {
    parser: Option<Parser>,
    begun: u32,
    pending: Option<Box<Pending>>,
}

#[derive(Debug)]
struct Pending;

impl Decoder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Which parser the client has, once its first packet has come.
    pub fn parser(&self) -> Option<Parser> {
        self.parser
    }

    /// Reads the payload of an Engine.IO message. `None`: the packet waits for its attachments.
    pub fn text(&mut self, text: &str, limits: &Limits) -> Result<Option<Inbound>, PacketError> {
        let _ = (text, limits);
        Err(PacketError::Empty)
    }

    /// Reads a binary message: an attachment, or a msgpack packet.
    pub fn binary(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<Inbound>, PacketError> {
        let _ = (bytes, limits);
        Err(PacketError::Empty)
    }

    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Serial number of the packet that waits for its attachments. A deadline that was set for it still concerns it if
    /// the number is the same.
    pub fn pending(&self) -> Option<u32> {
        self.pending.as_ref().map(|_| self.begun)
    }
}
