//! Engine.IO v4 packets: one websocket text frame, or one chunk of a polling body.

use std::borrow::Cow;

use engineioxide_core::{Packet, ProtocolVersion};
use serde::Serialize;

use super::{Limits, PacketError, Str};

/// Stands between the packets of a polling body.
pub(super) const SEPARATOR: char = '\x1e';

/// A packet from a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnginePacket<'a> {
    Close,
    Ping,
    Pong,
    PingProbe,
    PongProbe,
    Upgrade,
    Noop,
    Message(&'a str),
    /// In text only where binary frames do not exist: in polling bodies.
    Binary(Cow<'a, [u8]>),
}

/// Reads one packet. `open` from a client is an error, and so is anything behind a packet that has no payload.
///
/// Not engineioxide's parser: that one owns what it returns, which costs an allocation and a copy for each message, and
/// ignores what stands behind `2` or `5`.
pub fn parse_engine(text: &str) -> Result<EnginePacket<'_>, PacketError> {
    let kind = text.as_bytes().first().ok_or(PacketError::Empty)?;
    Ok(match (kind, text) {
        (b'4', _) => EnginePacket::Message(&text[1..]),
        (b'b', _) => EnginePacket::Binary(Cow::Owned(base64(text)?)),
        (_, "1") => EnginePacket::Close,
        (_, "2") => EnginePacket::Ping,
        (_, "3") => EnginePacket::Pong,
        (_, "2probe") => EnginePacket::PingProbe,
        (_, "3probe") => EnginePacket::PongProbe,
        (_, "5") => EnginePacket::Upgrade,
        (_, "6") => EnginePacket::Noop,
        (b'0', _) => return Err(PacketError::NotForClients),
        (b'1'..=b'6', _) => return Err(PacketError::Payload),
        _ => return Err(PacketError::UnknownType),
    })
}

fn base64(packet: &str) -> Result<Vec<u8>, PacketError> {
    match Packet::parse(ProtocolVersion::V4, Str::copy_from_slice(packet)) {
        Ok(Packet::Binary(bytes)) => Ok(bytes.into()),
        _ => Err(PacketError::Base64),
    }
}

/// The packets of a polling body, in order. An empty one, also behind the last separator, is an error. Nothing follows
/// an error.
pub fn polling_packets<'a>(body: &'a str, limits: &Limits) -> PollingPackets<'a> {
    // The packet's type stands in front of both.
    let text_bytes_max = limits.packet_bytes_max.saturating_add(1);
    let binary_bytes_max = limits.packet_bytes_max.saturating_add(limits.attachment_bytes_max);
    let base64_bytes_max = binary_bytes_max.div_ceil(3).saturating_mul(4).saturating_add(1);
    PollingPackets { rest: Some(body), text_bytes_max, base64_bytes_max }
}

#[derive(Debug)]
pub struct PollingPackets<'a> {
    rest: Option<&'a str>,
    text_bytes_max: usize,
    base64_bytes_max: usize,
}

impl<'a> Iterator for PollingPackets<'a> {
    type Item = Result<EnginePacket<'a>, PacketError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        let (packet, behind) = match rest.split_once(SEPARATOR) {
            Some((packet, behind)) => (packet, Some(behind)),
            None => (rest, None),
        };
        let bytes_max = if packet.starts_with('b') { self.base64_bytes_max } else { self.text_bytes_max };
        let parsed = if packet.len() > bytes_max {
            Err(PacketError::TooLarge { bytes_max })
        } else {
            parse_engine(packet)
        };
        if parsed.is_ok() {
            self.rest = behind;
        }
        Some(parsed)
    }
}

/// The first packet of a session: `0{"sid":...}`. engineioxide's can only carry ids of its own format.
pub fn open_packet(
    sid: &str,
    upgrades_websocket: bool,
    ping_interval_ms: u64,
    ping_timeout_ms: u64,
    max_payload: usize,
) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Open<'a> {
        sid: &'a str,
        upgrades: &'a [&'a str],
        ping_interval: u64,
        ping_timeout: u64,
        max_payload: usize,
    }
    let open = Open {
        sid,
        upgrades: if upgrades_websocket { &["websocket"] } else { &[] },
        ping_interval: ping_interval_ms,
        ping_timeout: ping_timeout_ms,
        max_payload,
    };
    let mut text = Vec::with_capacity(160);
    text.push(b'0');
    serde_json::to_writer(&mut text, &open).expect("strings and numbers serialise");
    String::from_utf8(text).expect("JSON is UTF-8")
}
