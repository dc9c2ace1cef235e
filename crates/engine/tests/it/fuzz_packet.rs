//! Fuzz targets of the packet layer and of tickets: what must hold for any bytes whatsoever. That they hold little memory
//! is measured, not read off: the test binary counts allocations.
//!
//! Their corpus stands in `corpus/<target>/`; the form of an input is told at each target.
#![allow(clippy::unwrap_used, reason = "what helps a test is a test")]

use std::path::Path;

use allocation_counter::measure;
use bytes::Bytes;
use turnpike_engine::packet::{
    Args, Decoder, Dialect, EnginePacket, Inbound, Limits, RawInbound, Reply, Wire, encode_reply,
    open_packet, parse_engine, polling_packets,
};
use turnpike_engine::ticket::TicketKeys;

use crate::packet_out::{Message, received};
use turnpike_fuzz as fuzz;

/// Small, so that a length or a count that is trusted shows.
const LIMITS: Limits = Limits {
    attachments_max: 4,
    attachment_bytes_max: 256,
    json_depth_max: 8,
    json_keys_max: 16,
    packet_bytes_max: 512,
    namespace_bytes_max: 16,
    event_name_bytes_max: 16,
    arguments_max: 16,
};
/// The packet as it came, its neutral text while that grows (old and new buffer), its attachments, and whatever is small.
const ALLOCATED_BYTES_MAX: u64 = 4 * (512 + 256) + 2048;

fn run(name: &str, target: fn(&[u8])) {
    fuzz::run(name, &Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name), target);
}

#[test]
fn engine_packets_hold() {
    run("engine_packet", engine_packet);
}

#[test]
fn polling_payloads_hold() {
    run("polling_payload", polling_payload);
}

#[test]
fn default_packets_hold() {
    run("default_text", default_text);
}

#[test]
fn attachments_hold() {
    run("binary_sequence", binary_sequence);
}

#[test]
fn msgpack_packets_hold() {
    run("msgpack", msgpack);
}

#[test]
fn raw_requests_hold() {
    run("raw_json", raw_json);
}

#[test]
fn tickets_hold() {
    run("ticket", ticket);
}

/// The text of a frame.
pub(crate) fn engine_packet(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(packet) = parse_engine(&text) else { return };
    let written = match &packet {
        EnginePacket::Close => "1".to_owned(),
        EnginePacket::Ping => "2".to_owned(),
        EnginePacket::Pong => "3".to_owned(),
        EnginePacket::PingProbe => "2probe".to_owned(),
        EnginePacket::PongProbe => "3probe".to_owned(),
        EnginePacket::Upgrade => "5".to_owned(),
        EnginePacket::Noop => "6".to_owned(),
        EnginePacket::Message(message) => format!("4{message}"),
        EnginePacket::Binary(bytes) => {
            engineioxide_core::Packet::Binary(Bytes::copy_from_slice(bytes)).into()
        }
    };
    assert_eq!(written, text, "two texts for one packet");
    // Whatever id there is, the first packet is one line of JSON.
    let open = open_packet(&text, true, 1, 1, 1);
    let open: serde_json::Value = serde_json::from_str(&open[1..]).unwrap();
    assert_eq!(open["sid"], *text);
}

/// The body of a POST.
pub(crate) fn polling_payload(data: &[u8]) {
    let body = String::from_utf8_lossy(data);
    let mut packets = polling_packets(&body, &LIMITS);
    let mut written = Vec::new();
    let mut failed = false;
    for packet in &mut packets {
        assert!(!failed, "something behind a fault");
        match packet {
            Ok(EnginePacket::Message(message)) => {
                assert!(message.len() <= LIMITS.packet_bytes_max);
                written.push(format!("4{message}"));
            }
            Ok(EnginePacket::Binary(bytes)) => {
                assert!(bytes.len() <= LIMITS.packet_bytes_max + LIMITS.attachment_bytes_max + 2);
                written.push(engineioxide_core::Packet::Binary(bytes.into_owned().into()).into());
            }
            Ok(EnginePacket::PingProbe) => written.push("2probe".to_owned()),
            Ok(EnginePacket::PongProbe) => written.push("3probe".to_owned()),
            Ok(EnginePacket::Close) => written.push("1".to_owned()),
            Ok(EnginePacket::Ping) => written.push("2".to_owned()),
            Ok(EnginePacket::Pong) => written.push("3".to_owned()),
            Ok(EnginePacket::Upgrade) => written.push("5".to_owned()),
            Ok(EnginePacket::Noop) => written.push("6".to_owned()),
            Err(_) => failed = true,
        }
    }
    assert!(packets.next().is_none());
    let written = written.join("\x1e");
    assert!(if failed { body.starts_with(&written) } else { body == written }, "{written:?}");
}

/// A message's text; attachments of one byte each follow it.
pub(crate) fn default_text(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut decoder = Decoder::new();
    let mut result = Ok(None);
    let memory = measure(|| {
        result = decoder.text(&text, &LIMITS);
        for _ in 0..=LIMITS.attachments_max {
            if decoder.is_pending() {
                result = decoder.binary(b"x", &LIMITS);
            }
        }
    });
    assert!(memory.bytes_max <= ALLOCATED_BYTES_MAX, "{memory:?}");
    assert!(!decoder.is_pending(), "waits for more than the limit");
    if let Ok(packet) = result {
        check(&packet.expect("complete with its attachments"));
    }
}

/// Frames: a byte that says which kind (odd: binary) and how long (the other bits), then so many bytes.
pub(crate) fn binary_sequence(mut data: &[u8]) {
    let mut decoder = Decoder::new();
    // What the decoder keeps from one frame to the next counts as well.
    let mut kept = 0;
    while let Some((&kind, rest)) = data.split_first() {
        let (frame, rest) = rest.split_at(rest.len().min(usize::from(kind >> 1)));
        data = rest;
        let mut result = Ok(None);
        let memory = measure(|| {
            result = if kind & 1 == 1 {
                decoder.binary(frame, &LIMITS)
            } else {
                decoder.text(&String::from_utf8_lossy(frame), &LIMITS)
            };
        });
        assert!(kept + memory.bytes_max <= ALLOCATED_BYTES_MAX, "{kept} and {memory:?}");
        match result {
            Ok(Some(packet)) => {
                assert!(!decoder.is_pending());
                check(&packet);
                kept = 0;
            }
            Ok(None) => {
                assert!(decoder.pending().is_some());
                kept += u64::try_from(memory.bytes_current).unwrap();
            }
            Err(_) => return,
        }
    }
}

/// A binary message.
pub(crate) fn msgpack(data: &[u8]) {
    let mut decoder = Decoder::new();
    let mut result = Ok(None);
    let memory = measure(|| result = decoder.binary(data, &LIMITS));
    assert!(memory.bytes_max <= ALLOCATED_BYTES_MAX, "{memory:?}");
    assert!(!decoder.is_pending());
    if let Ok(packet) = result {
        check(&packet.expect("msgpack packets are whole"));
    }
}

/// A text frame.
pub(crate) fn raw_json(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let memory = measure(|| {
        let Ok(request) = RawInbound::parse(&text, &LIMITS) else { return };
        let args = request.to_args();
        assert_eq!(args.name(), Some(&*request.event));
        assert_eq!((args.len(), args.raw(0)), (1, Some(request.data)));
        assert!(request.event.len() <= LIMITS.event_name_bytes_max);
    });
    assert!(memory.bytes_max <= ALLOCATED_BYTES_MAX, "{memory:?}");
    let Ok(request) = RawInbound::parse(&text, &LIMITS) else { return };
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["event"], *request.event);
    assert_eq!(value.get("id").and_then(serde_json::Value::as_u64), request.id);
    let data: serde_json::Value = serde_json::from_str(request.data).unwrap();
    assert_eq!(value.get("data").unwrap_or(&serde_json::Value::Null), &data);
}

/// The text of a ticket. What opens was sealed by us, in these very characters.
pub(crate) fn ticket(data: &[u8]) {
    let keys = TicketKeys::new([&b"new"[..], b"old"]);
    let text = String::from_utf8_lossy(data);
    let Ok(ticket) = keys.open(&text, 1_000) else { return };
    assert!(ticket.expires > 1_000);
    let sealed = [&b"new"[..], b"old"].map(|secret| TicketKeys::new([secret]).seal(&ticket));
    assert!(sealed.contains(&Ok(text.into_owned())));
}

/// What came through can be used in every way, and goes on to others as the same.
fn check(packet: &Inbound) {
    let (namespace, args) = match packet {
        Inbound::Connect { namespace, auth } => {
            if let Some(auth) = auth {
                assert!(serde_json::from_str::<serde_json::Value>(auth).unwrap().is_object());
            }
            return assert!(namespace.len() <= LIMITS.namespace_bytes_max);
        }
        Inbound::Disconnect { namespace } => return assert!(namespace.len() <= LIMITS.namespace_bytes_max),
        Inbound::Event { namespace, args, .. } => {
            assert!(args.name().unwrap().len() <= LIMITS.event_name_bytes_max);
            (namespace, args)
        }
        Inbound::Ack { namespace, args, .. } => {
            assert_eq!(args.name(), None);
            (namespace, args)
        }
    };
    assert!(namespace.starts_with('/') && namespace.len() <= LIMITS.namespace_bytes_max);
    assert!(args.text().len() <= LIMITS.packet_bytes_max && args.len() <= LIMITS.arguments_max);
    assert!(args.attachments().len() <= LIMITS.attachments_max);
    assert!(args.byte_len() <= LIMITS.packet_bytes_max + LIMITS.attachment_bytes_max);
    let array: Vec<serde_json::Value> = serde_json::from_str(args.text()).unwrap();
    let named = usize::from(args.name().is_some());
    assert_eq!(array.len(), args.len() + named);
    for (index, value) in array[named..].iter().enumerate() {
        assert_eq!(&args.get::<serde_json::Value>(index).unwrap(), value);
        serde_json::from_str::<serde_json::Value>(&args.to_raw_data(index).unwrap()).unwrap();
    }
    assert_eq!(args.raw(args.len()), None);
    sent_on(namespace, args, &array);
}

/// As an ack, which takes any array: whoever reads it in either form gets the same.
fn sent_on(namespace: &str, args: &Args, array: &[serde_json::Value]) {
    let reply = Reply::Ack { namespace, id: 5, args_json: args.text(), attachments: args.attachments() };
    for dialect in [Dialect::Default, Dialect::Msgpack, Dialect::Raw] {
        for wire in [Wire::Websocket, Wire::WebsocketDeflate] {
            let mut out = Vec::new();
            encode_reply(&reply, dialect, wire, 64, &mut out);
            let mut decoder = Decoder::new();
            // In msgpack neutral text may grow: numbers are written out in full.
            let limits = Limits { packet_bytes_max: 1 << 16, ..LIMITS };
            let mut read = None;
            for message in received(&out).0 {
                read = match message {
                    Message::Text(text) if matches!(dialect, Dialect::Raw) => {
                        return drop(serde_json::from_str::<serde_json::Value>(&text).unwrap());
                    }
                    Message::Text(text) => decoder.text(&text[1..], &limits).unwrap(),
                    Message::Binary(bytes) => decoder.binary(&bytes, &limits).unwrap(),
                };
            }
            let Some(Inbound::Ack { args: again, id: 5, .. }) = read else { panic!("{read:?}") };
            let read: Vec<serde_json::Value> = serde_json::from_str(again.text()).unwrap();
            // Attachments may be numbered anew, in the order of their places.
            if args.attachments().is_empty() {
                assert_eq!(read, array);
            } else {
                assert_eq!(read.len(), array.len());
                assert_eq!(again.attachments().len(), args.attachments().len());
            }
        }
    }
}
