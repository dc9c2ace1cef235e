//! What packets cost, roughly, and what the pieces of socketioxide's that we do not use would cost in their places. Not
//! run by default, since a time says nothing in the dev profile or on a busy machine:
//!
//! `cargo test --release -p turnpike-engine --test it -- --ignored --nocapture packet_cost`
#![allow(clippy::print_stdout, reason = "figures are for reading")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engineioxide_core::{Packet as EnginePacket, ProtocolVersion, Str};
use socketioxide_core::Value;
use socketioxide_core::packet::Packet;
use socketioxide_core::parser::{Parse, ParseConfig, ParserState};
use socketioxide_parser_common::CommonParser;
use turnpike_engine::frame::{Opcode, write_frame_header};
use turnpike_engine::packet::{
    Decoder, Dialect, Encoded, Limits, RawInbound, Reply, Wire, encode_reply, parse_engine,
};

const OPERATIONS: u32 = 2_000;

/// The best of some runs: the others were interrupted.
fn nanoseconds(name: &str, mut operation: impl FnMut()) {
    let best = (0..200)
        .map(|_| {
            let start = Instant::now();
            (0..OPERATIONS).for_each(|_| operation());
            start.elapsed()
        })
        .min()
        .unwrap_or(Duration::MAX);
    println!("{name}: {:.1} ns", best.as_secs_f64() * 1e9 / f64::from(OPERATIONS));
}

#[test]
#[ignore = "a measurement"]
fn packet_cost() {
    let limits = Limits::default();
    let argument = r#"{"room":"chat:lobby","id":"m-000001","body":{"text":"a message of ordinary length, as people write","n":1}}"#;
    let event = format!(r#"42["message:send",{argument}]"#);
    let event = format!("{event:<128}");
    println!("event of {} bytes", event.len());

    nanoseconds("in: engine packet", || {
        black_box(parse_engine(black_box(&event)).unwrap());
    });
    nanoseconds("in: engine packet, engineioxide", || {
        let text = Str::copy_from_slice(black_box(&event));
        black_box(EnginePacket::parse(ProtocolVersion::V4, text).unwrap());
    });
    let mut decoder = Decoder::new();
    nanoseconds("in: event", || {
        black_box(decoder.text(black_box(&event[1..]), &limits).unwrap());
    });
    nanoseconds("in: event, socketioxide alone", || {
        let text = Str::copy_from_slice(black_box(&event[1..]));
        black_box(CommonParser.decode_str(&ParseConfig::default(), &ParserState::default(), text).unwrap());
    });
    nanoseconds("in: serde_json to a value, for comparison", || {
        black_box(serde_json::from_str::<serde_json::Value>(black_box(&event[2..])).unwrap());
    });
    let mut msgpack = Vec::new();
    let reply = Reply::Ack { namespace: "/", id: 7, args_json: &event[2..], attachments: &[] };
    encode_reply(&reply, Dialect::Msgpack, Wire::Websocket, 1024, &mut msgpack);
    let mut msgpack_decoder = Decoder::new();
    nanoseconds("in: the same in msgpack", || {
        black_box(msgpack_decoder.binary(black_box(&msgpack[4..]), &limits).unwrap());
    });
    let raw = format!(r#"{{"id":1,"event":"message:send","data":{argument}}}"#);
    nanoseconds("in: the same on a raw websocket", || {
        black_box(RawInbound::parse(black_box(&raw), &limits).unwrap().to_args());
    });

    for (name, dialect) in
        [("default", Dialect::Default), ("msgpack", Dialect::Msgpack), ("raw", Dialect::Raw)]
    {
        nanoseconds(&format!("out: event built and encoded, {name}"), || {
            let event = Encoded::event("/", "message").raw_arg(black_box(argument)).build();
            black_box(event.bytes(dialect, Wire::Websocket).clone());
        });
    }
    let encoded = Encoded::event("/", "message").raw_arg(argument).offset("0-123456789").build();
    nanoseconds("out: bytes of an event that is encoded", || {
        black_box(black_box(&encoded).bytes(Dialect::Default, Wire::Websocket));
    });
    let array = format!(r#"["message",{argument}]"#);
    nanoseconds("out: the event's frame by socketioxide", || {
        let packet = Packet::event("/", Value::Str(Str::copy_from_slice(black_box(&array)), None));
        let mut out = Vec::new();
        frame_by_socketioxide(packet, &mut out);
        black_box(out);
    });

    let mut out = Vec::with_capacity(1 << 16);
    for (size, args_json) in [("small", r#"[{"ok":true,"seq":12345}]"#), ("128 B", &array)] {
        for (name, dialect) in
            [("default", Dialect::Default), ("msgpack", Dialect::Msgpack), ("raw", Dialect::Raw)]
        {
            nanoseconds(&format!("out: {size} ack, {name}"), || {
                out.clear();
                let reply = Reply::Ack { namespace: "/", id: black_box(123), args_json, attachments: &[] };
                encode_reply(&reply, dialect, Wire::Websocket, 1024, &mut out);
                black_box(&out);
            });
        }
        nanoseconds(&format!("out: {size} ack by socketioxide"), || {
            out.clear();
            let data = Value::Str(Str::copy_from_slice(black_box(args_json)), None);
            frame_by_socketioxide(Packet::ack("/", data, black_box(123)), &mut out);
            black_box(&out);
        });
    }
    let picture = Bytes::from(vec![7; 4096]);
    let reply = Reply::Ack {
        namespace: "/",
        id: 1,
        args_json: r#"[{"_placeholder":true,"num":0}]"#,
        attachments: std::slice::from_ref(&picture),
    };
    for (name, wire) in [("websocket", Wire::Websocket), ("polling", Wire::Polling)] {
        nanoseconds(&format!("out: ack with 4 KB, {name}"), || {
            out.clear();
            encode_reply(&reply, Dialect::Default, wire, usize::MAX, &mut out);
            black_box(&out);
        });
    }
}

/// As cheaply as that can be had: what the parser returns is copied straight behind the frame's header.
fn frame_by_socketioxide(packet: Packet, out: &mut Vec<u8>) {
    if let Value::Str(text, _) = CommonParser.encode(packet) {
        out.reserve(text.len() + 11);
        write_frame_header(out, Opcode::Text, text.len() + 1, false);
        out.push(b'4');
        out.extend_from_slice(text.as_bytes());
    }
}
