//! The default form of Socket.IO packets: `51-/chat,12["event",{"_placeholder":true,"num":0}]`, attachments behind it.
//!
//! Reading is socketioxide's parser, with everything checked around it that it takes too lightly. Attachments are
//! collected by [`super::Decoder`]: the parser would copy each a second time and look at the clock.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;
use socketioxide_core::packet::{Packet, PacketData};
use socketioxide_core::parser::{Parse, ParseConfig, ParseError, ParserState};
use socketioxide_parser_common::CommonParser;

use super::{Args, Inbound, Limits, PacketError, Str, check};

/// The packet, and how many attachments must follow before it is complete.
pub(super) fn decode(text: &str, limits: &Limits) -> Result<(Inbound, usize), PacketError> {
    if text.len() > limits.packet_bytes_max {
        return Err(PacketError::TooLarge { bytes_max: limits.packet_bytes_max });
    }
    let (Packet { inner, ns }, announced) = parse(text, limits)?;
    check::namespace(&ns, limits)?;
    let packet = match inner {
        PacketData::Connect(auth) => {
            let auth = match auth {
                Some(value) => Some(payload(text, value, None)?),
                None => nothing_follows(text, &ns).map(|()| None)?,
            };
            check::auth(auth.as_ref(), limits)?;
            Inbound::Connect { namespace: ns, auth }
        }
        PacketData::Disconnect => {
            nothing_follows(text, &ns)?;
            Inbound::Disconnect { namespace: ns }
        }
        PacketData::Event(value, ack) | PacketData::BinaryEvent(value, ack) => {
            let args = Args::event(payload(text, value, ack)?, announced, limits)?;
            Inbound::Event { namespace: ns, args, ack: ack.map(check::ack).transpose()? }
        }
        PacketData::EventAck(value, id) | PacketData::BinaryAck(value, id) => {
            let args = Args::ack(payload(text, value, Some(id))?, announced, limits)?;
            Inbound::Ack { namespace: ns, id: check::ack(id)?, args }
        }
        PacketData::ConnectError(_) => return Err(PacketError::NotForClients),
    };
    Ok((packet, announced))
}

fn parse(text: &str, limits: &Limits) -> Result<(Packet, usize), PacketError> {
    let attachments_max = limits.attachments_max();
    let config = ParseConfig { max_incoming_binaries: attachments_max, ..ParseConfig::default() };
    let state = ParserState::default();
    match CommonParser.decode_str(&config, &state, Str::copy_from_slice(text)) {
        Ok(packet) => Ok((packet, 0)),
        Err(ParseError::NeedsMoreBinaryData) => {
            let partial = state.partial_bin_packet.into_inner().unwrap_or_else(PoisonError::into_inner);
            let packet = partial.expect("the parser keeps the packet that waits").packet;
            Ok((packet, state.incoming_binary_cnt.load(Ordering::Relaxed)))
        }
        Err(ParseError::TooManyAttachments { .. }) => {
            Err(PacketError::TooManyAttachments { attachments_max })
        }
        Err(ParseError::InvalidPacketType) => Err(match text.as_bytes().first() {
            None => PacketError::Empty,
            // The parser's word for an ack without its number.
            Some(b'3' | b'6') => PacketError::AckId,
            Some(b'4') => PacketError::NotForClients,
            Some(_) => PacketError::UnknownType,
        }),
        Err(_) => Err(PacketError::Malformed),
    }
}

/// Behind the namespace. The parser does not look, and takes a number for granted.
fn nothing_follows(text: &str, namespace: &str) -> Result<(), PacketError> {
    let rest = match text[1..].strip_prefix(namespace) {
        Some(rest) => rest.strip_prefix(',').unwrap_or(rest),
        None => &text[1..],
    };
    if rest.is_empty() { Ok(()) } else { Err(PacketError::Payload) }
}

/// The payload's text. The parser passes silently over a number that it could not read: one that is too large, or that
/// no payload follows.
fn payload(text: &str, value: socketioxide_core::Value, ack: Option<i64>) -> Result<Str, PacketError> {
    let socketioxide_core::Value::Str(payload, _) = value else {
        return Err(PacketError::Payload);
    };
    let header = &text.as_bytes()[1..text.len() - payload.len()];
    if ack.is_none() && header.last().is_some_and(u8::is_ascii_digit) {
        return Err(PacketError::AckId);
    }
    Ok(payload)
}

/// What stands in front of a packet's payload, the Engine.IO type of a message included. Sixteen bytes hold it for all
/// but custom namespaces.
pub(super) type Head = SmallVec<[u8; 32]>;

/// `attachments`: how many frames follow; then the types are those of binary packets.
#[inline]
pub(super) fn head(kind: Kind, attachments: usize, namespace: &str, ack: Option<u64>) -> Head {
    let mut head = Head::new();
    head.push(b'4');
    head.push(kind as u8 + if attachments > 0 { BINARY } else { 0 });
    if attachments > 0 {
        push_number(&mut head, attachments as u64);
        head.push(b'-');
    }
    if namespace != "/" {
        head.extend_from_slice(namespace.as_bytes());
        head.push(b',');
    }
    if let Some(ack) = ack {
        push_number(&mut head, ack);
    }
    head
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Event = b'2' as isize,
    Ack = b'3' as isize,
    ConnectError = b'4' as isize,
}

/// From an event or an ack to its binary twin.
const BINARY: u8 = 3;

fn push_number(head: &mut Head, mut number: u64) {
    // 20 digits are the most that 64 bits have.
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    head.extend_from_slice(&digits[first..]);
}
