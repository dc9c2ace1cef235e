//! The msgpack form of Socket.IO packets: one binary message with `{type, nsp, data, id}`, binary values inside it.
//!
//! Packets are read and written by socketioxide's parser. What stands in `data` is turned into neutral JSON text with
//! attachments, so that one set of checks serves both forms, and back.

mod date;
mod envelope;
mod from_json;
mod to_json;
mod token;

use bytes::Bytes;
use rmp::encode::{self, ValueWriteError};
use socketioxide_core::Value;
use socketioxide_core::packet::{Packet, PacketData};
use socketioxide_core::parser::{Parse, ParseConfig, ParserState};
use socketioxide_parser_msgpack::MsgPackParser;

use super::{Args, Inbound, Limits, PacketError, Str, check};

const NIL: &[u8] = &[0xc0];

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Inbound, PacketError> {
    let bytes_max = limits.packet_bytes_max.saturating_add(limits.attachment_bytes_max);
    if bytes.len() > bytes_max {
        return Err(PacketError::TooLarge { bytes_max });
    }
    envelope::check(bytes)?;
    let packet = MsgPackParser
        .decode_bin(&ParseConfig::default(), &ParserState::default(), Bytes::copy_from_slice(bytes))
        .map_err(|_| PacketError::Msgpack)?;
    check::namespace(&packet.ns, limits)?;
    let namespace = packet.ns;
    match packet.inner {
        PacketData::Connect(data) => {
            let auth = match data {
                Some(Value::Bytes(data)) => auth(&data, limits)?,
                _ => None,
            };
            Ok(Inbound::Connect { namespace, auth })
        }
        PacketData::Disconnect => Ok(Inbound::Disconnect { namespace }),
        PacketData::Event(data, ack) | PacketData::BinaryEvent(data, ack) => {
            let args = args(&data, Args::event, limits)?;
            Ok(Inbound::Event { namespace, args, ack: ack.map(check::ack).transpose()? })
        }
        PacketData::EventAck(data, id) | PacketData::BinaryAck(data, id) => {
            let args = args(&data, Args::ack, limits)?;
            Ok(Inbound::Ack { namespace, id: check::ack(id)?, args })
        }
        PacketData::ConnectError(_) => Err(PacketError::NotForClients),
    }
}

/// Clients without auth send nil, or what JavaScript makes of `undefined`.
fn auth(data: &[u8], limits: &Limits) -> Result<Option<Str>, PacketError> {
    let (text, attachments) = to_json::to_json(data, limits)?;
    if !attachments.is_empty() {
        return Err(PacketError::Payload);
    }
    let auth = (text != "null").then(|| Str::from(text));
    check::auth(auth.as_ref(), limits)?;
    Ok(auth)
}

fn args(
    data: &Value,
    check: impl FnOnce(Str, usize, &Limits) -> Result<Args, PacketError>,
    limits: &Limits,
) -> Result<Args, PacketError> {
    let Value::Bytes(data) = data else {
        return Err(PacketError::Payload);
    };
    let (text, attachments) = to_json::to_json(data, limits)?;
    // Every attachment's number is taken by the placeholder that was just written for it. So a placeholder that the
    // client itself wrote fails here, whatever its number.
    let mut args = check(Str::from(text), attachments.len(), limits)?;
    args.attach(attachments);
    Ok(args)
}

/// Neutral JSON text as the value of `data`. Our own text is valid; text that an application passed through unread may
/// not be, and then the packet carries nothing rather than something else.
pub(super) fn from_json(json: &str, attachments: &[Bytes]) -> Bytes {
    from_json::from_json(json, attachments).map_or(Bytes::from_static(NIL), Bytes::from)
}

/// The packet's bytes. Data in it is as [`from_json`] makes it, ack numbers are below 2^53.
pub(super) fn write(packet: PacketData, namespace: &str) -> Bytes {
    match MsgPackParser.encode(Packet { inner: packet, ns: Str::copy_from_slice(namespace) }) {
        Value::Bytes(bytes) => bytes,
        Value::Str(text, _) => text.into(),
    }
}

/// `connect_error` with data, which the parser does not know. `payload` is JSON text.
pub(super) fn connect_error(namespace: &str, payload: &str) -> Bytes {
    const TYPE: u8 = 4;
    let write = || -> Result<Vec<u8>, ValueWriteError> {
        let mut out = Vec::with_capacity(payload.len() + namespace.len() + 32);
        encode::write_map_len(&mut out, 3)?;
        encode::write_str(&mut out, "type")?;
        encode::write_uint(&mut out, TYPE.into())?;
        encode::write_str(&mut out, "nsp")?;
        encode::write_str(&mut out, namespace)?;
        encode::write_str(&mut out, "data")?;
        out.extend_from_slice(&from_json(payload, &[]));
        Ok(out)
    };
    write().expect("vectors take any bytes").into()
}
