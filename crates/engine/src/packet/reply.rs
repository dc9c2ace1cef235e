//! Packets of the engine itself, each to one receiver.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use socketioxide_core::Value;
use socketioxide_core::packet::{Packet, PacketData};
use socketioxide_core::parser::Parse;
use socketioxide_parser_common::CommonParser;

use super::default::{Kind, head};
use super::wire::Line;
use super::{Dialect, Str, Wire, msgpack, raw};

/// A packet to one client.
#[derive(Debug, Clone, Copy)]
pub enum Reply<'a> {
    Connected {
        namespace: &'a str,
        sid: &'a str,
        pid: Option<&'a str>,
    },
    /// `data` is JSON text.
    ConnectError {
        namespace: &'a str,
        message: &'a str,
        data: Option<&'a str>,
    },
    /// `args_json` is the JSON text of an array.
    Ack {
        namespace: &'a str,
        id: u64,
        args_json: &'a str,
        attachments: &'a [Bytes],
    },
    /// Raw clients learn it from the close frame: nothing is written for them.
    Disconnect {
        namespace: &'a str,
    },
}

/// Appends the bytes of a packet: complete websocket frames, or polling packets joined by `\x1e`.
pub fn encode_reply(
    reply: &Reply<'_>,
    dialect: Dialect,
    wire: Wire,
    compress_above: usize,
    out: &mut Vec<u8>,
) {
    let mut line = Line::new(wire, compress_above, out);
    match dialect {
        Dialect::Default => default(reply, &mut line),
        Dialect::Msgpack => line.binary(&msgpack(reply)),
        Dialect::Raw => {
            if let Some(text) = raw(reply) {
                line.text(&[], text.as_bytes());
            }
        }
    }
}

fn default(reply: &Reply<'_>, line: &mut Line<'_>) {
    match *reply {
        Reply::Ack { namespace, id, args_json, attachments } => {
            line.text(&head(Kind::Ack, attachments.len(), namespace, Some(id)), args_json.as_bytes());
            for attachment in attachments {
                line.binary(attachment);
            }
        }
        Reply::ConnectError { namespace, message, data } => {
            // The crate's carries a message alone.
            let payload = refusal(message, data);
            line.text(&head(Kind::ConnectError, 0, namespace, None), payload.as_bytes());
        }
        Reply::Connected { namespace, sid, pid } => {
            let payload = Value::Str(Str::from(admission(sid, pid)), None);
            parsed(Packet::connect(Str::copy_from_slice(namespace), Some(payload)), line);
        }
        Reply::Disconnect { namespace } => {
            parsed(Packet::disconnect(Str::copy_from_slice(namespace)), line);
        }
    }
}

fn parsed(packet: Packet, line: &mut Line<'_>) {
    if let Value::Str(text, _) = CommonParser.encode(packet) {
        line.text(b"4", text.as_bytes());
    }
}

fn msgpack(reply: &Reply<'_>) -> Bytes {
    let json = |json: &str, attachments| Value::Bytes(msgpack::from_json(json, attachments));
    match *reply {
        Reply::Connected { namespace, sid, pid } => {
            msgpack::write(PacketData::Connect(Some(json(&admission(sid, pid), &[]))), namespace)
        }
        Reply::ConnectError { namespace, message, data } => {
            msgpack::connect_error(namespace, &refusal(message, data))
        }
        Reply::Ack { namespace, id, args_json, attachments } => {
            msgpack::write(PacketData::EventAck(json(args_json, attachments), id.cast_signed()), namespace)
        }
        Reply::Disconnect { namespace } => msgpack::write(PacketData::Disconnect, namespace),
    }
}

fn raw(reply: &Reply<'_>) -> Option<String> {
    match *reply {
        Reply::Connected { sid, pid, .. } => Some(raw::event("connect", &admission(sid, pid), &[])),
        Reply::ConnectError { message, data, .. } => {
            Some(raw::event("connect_error", &refusal(message, data), &[]))
        }
        Reply::Ack { id, args_json, attachments, .. } => Some(raw::answer(id, args_json, attachments)),
        Reply::Disconnect { .. } => None,
    }
}

/// What a client is told when it is connected.
fn admission(sid: &str, pid: Option<&str>) -> String {
    #[derive(Serialize)]
    struct Admission<'a> {
        sid: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        pid: Option<&'a str>,
    }
    serde_json::to_string(&Admission { sid, pid }).expect("strings serialise")
}

/// What a client is told when it may not connect. Data that is no JSON is left out.
fn refusal(message: &str, data: Option<&str>) -> String {
    #[derive(Serialize)]
    struct Refusal<'a> {
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<&'a RawValue>,
    }
    let data = data.and_then(|data| serde_json::from_str(data).ok());
    serde_json::to_string(&Refusal { message, data }).expect("strings serialise")
}
