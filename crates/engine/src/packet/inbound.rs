//! Socket.IO packets from a client: the state of one session's decoding, and what comes out of it.

use bytes::Bytes;

use super::{Args, Limits, PacketError, Parser, Str, default, msgpack};

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

/// Decodes the packets of one session. It is small, for there is one a session: what waits for attachments is boxed.
#[derive(Debug, Default)]
pub struct Decoder {
    parser: Option<Parser>,
    /// Packets with attachments that have begun.
    begun: u32,
    pending: Option<Box<Pending>>,
}

const _: () = assert!(size_of::<Decoder>() <= 16);

/// A packet that waits for its attachments.
#[derive(Debug)]
pub(super) struct Pending {
    packet: Inbound,
    announced: usize,
    attachments: Vec<Bytes>,
    /// Of the attachments so far.
    bytes: usize,
}

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
        if self.pending.is_some() || self.parser == Some(Parser::Msgpack) {
            return Err(PacketError::UnexpectedText);
        }
        self.parser = Some(Parser::Default);
        let (packet, announced) = default::decode(text, limits)?;
        if announced == 0 {
            return Ok(Some(packet));
        }
        self.begun = self.begun.wrapping_add(1);
        self.pending = Some(Box::new(Pending { packet, announced, attachments: Vec::new(), bytes: 0 }));
        Ok(None)
    }

    /// Reads a binary message: an attachment, or a msgpack packet. `None`: more attachments must follow.
    pub fn binary(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<Inbound>, PacketError> {
        if *self.parser.get_or_insert(Parser::Msgpack) == Parser::Msgpack {
            return msgpack::decode(bytes, limits).map(Some);
        }
        let pending = self.pending.as_mut().ok_or(PacketError::UnexpectedBinary)?;
        pending.attach(bytes, limits)?;
        if pending.attachments.len() < pending.announced {
            return Ok(None);
        }
        Ok(self.pending.take().map(|pending| pending.complete()))
    }

    /// Whether a packet waits for its attachments.
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Serial number of the packet that waits for its attachments. A deadline that was set for it still concerns it if
    /// the number is the same: the clock is the caller's.
    pub fn pending(&self) -> Option<u32> {
        self.pending.as_ref().map(|_| self.begun)
    }
}

impl Pending {
    fn attach(&mut self, bytes: &[u8], limits: &Limits) -> Result<(), PacketError> {
        self.bytes += bytes.len();
        if self.bytes > limits.attachment_bytes_max {
            return Err(PacketError::AttachmentsTooLarge { bytes_max: limits.attachment_bytes_max });
        }
        self.attachments.push(Bytes::copy_from_slice(bytes));
        Ok(())
    }

    fn complete(self) -> Inbound {
        let Self { mut packet, attachments, .. } = self;
        if let Inbound::Event { args, .. } | Inbound::Ack { args, .. } = &mut packet {
            args.attach(attachments);
        }
        packet
    }
}
