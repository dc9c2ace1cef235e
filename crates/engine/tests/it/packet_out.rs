//! Events and replies in every form that goes to clients.
#![allow(clippy::unwrap_used, reason = "what helps a test is a test")]

use std::convert::Infallible;
use std::slice;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use turnpike_engine::frame::{self, Incoming, Reader, Role};
use turnpike_engine::packet::{Class, Dialect, Encoded, Reply, Wire, encode_reply};

use turnpike_fuzz::Random;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Message {
    Text(String),
    Binary(Vec<u8>),
}

pub(crate) fn text(text: &str) -> Message {
    Message::Text(text.to_owned())
}

/// What a websocket client reads, and whether any of it was compressed.
pub(crate) fn received(stream: &[u8]) -> (Vec<Message>, bool) {
    let limits = frame::Limits { frame_bytes_max: 1 << 24, message_bytes_max: 1 << 24 };
    let mut messages = Vec::new();
    let mut reader = Reader::new(Role::Client, true);
    let mut stream = stream.to_vec();
    let compressed = stream.first().is_some_and(|first| first & 0x40 != 0);
    let read = reader.read(&mut stream, &limits, |incoming| {
        messages.push(match incoming {
            Incoming::Text(text) => Message::Text(text.to_owned()),
            Incoming::Binary(bytes) => Message::Binary(bytes.to_vec()),
            other => panic!("{other:?}"),
        });
        Ok::<_, Infallible>(())
    });
    read.unwrap();
    assert!(!reader.has_partial(), "half a frame");
    (messages, compressed)
}

fn sent(event: &Encoded, dialect: Dialect) -> Vec<Message> {
    received(event.bytes(dialect, Wire::Websocket)).0
}

fn polled(event: &Encoded, dialect: Dialect) -> String {
    String::from_utf8(event.bytes(dialect, Wire::Polling).to_vec()).unwrap()
}

fn two_pictures() -> Arc<Encoded> {
    Encoded::event("/chat", "pics")
        .raw_arg(r#"{"a":{"_placeholder":true,"num":1},"b":[{"num":0,"_placeholder":true}]}"#)
        .attachments(vec![Bytes::from_static(&[1, 2]), Bytes::from_static(b"")])
        .offset("t")
        .build()
}

#[test]
fn an_event_in_all_its_forms() {
    let event = Encoded::event("/", "message").raw_arg(r#"{"n":1}"#).arg(&[1.5]).offset("0-17").build();
    let packet = r#"42["message",{"n":1},[1.5],"0-17"]"#;
    assert_eq!(sent(&event, Dialect::Default), [text(packet)]);
    assert_eq!(polled(&event, Dialect::Default), packet);
    // The offset is for Socket.IO clients alone, and a push of the raw protocol has one argument.
    let push = r#"{"event":"message","data":{"n":1}}"#;
    assert_eq!(sent(&event, Dialect::Raw), [text(push)]);
    let msgpack = b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x94\xa7message\x81\xa1n\x01\x91\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\xa40-17";
    assert_eq!(sent(&event, Dialect::Msgpack), [Message::Binary(msgpack.to_vec())]);
    assert_eq!(
        polled(&event, Dialect::Msgpack),
        "bg6R0eXBlAqNuc3ChL6RkYXRhlKdtZXNzYWdlgaFuAZHLP/gAAAAAAACkMC0xNw=="
    );
    assert_eq!((event.namespace(), event.name(), event.offset()), ("/", "message", Some("0-17")));
    assert_eq!(event.class(), Class::Reliable);
    assert_eq!(event.queue_bytes(), packet.len() - 2);
}

#[test]
fn attachments_follow_their_event() {
    let event = two_pictures();
    let json = r#"["pics",{"a":{"_placeholder":true,"num":1},"b":[{"num":0,"_placeholder":true}]},"t"]"#;
    assert_eq!(
        sent(&event, Dialect::Default),
        [text(&format!("452-/chat,{json}")), Message::Binary(vec![1, 2]), Message::Binary(vec![])]
    );
    assert_eq!(polled(&event, Dialect::Default), format!("452-/chat,{json}\x1ebAQI=\x1eb"));
    let push = r#"{"event":"pics","data":{"a":{"$binary":""},"b":[{"$binary":"AQI="}]}}"#;
    assert_eq!(sent(&event, Dialect::Raw), [text(push)]);
    let msgpack = b"\x83\xa4type\x02\xa3nsp\xa5/chat\xa4data\x93\xa4pics\x82\xa1a\xc4\x00\xa1b\x91\xc4\x02\x01\x02\xa1t";
    assert_eq!(sent(&event, Dialect::Msgpack), [Message::Binary(msgpack.to_vec())]);
    assert_eq!(event.queue_bytes(), json.len() + 2);
}

#[test]
fn events_with_more_or_less_than_usual() {
    let bare = Encoded::event("/chat", "a\"é").class(Class::State { key: 7 }).build();
    assert_eq!(sent(&bare, Dialect::Default), [text(r#"42/chat,["a\"é"]"#)]);
    assert_eq!(sent(&bare, Dialect::Raw), [text(r#"{"event":"a\"é","data":null}"#)]);
    assert_eq!((bare.name(), bare.class(), bare.offset()), ("a\"é", Class::State { key: 7 }, None));

    let asking = Encoded::event("/", "q").arg("x").ack(9_007_199_254_740_991).class(Class::Volatile).build();
    assert_eq!(sent(&asking, Dialect::Default), [text(r#"429007199254740991["q","x"]"#)]);
    let msgpack =
        b"\x84\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1q\xa1x\xa2id\xcf\x00\x1f\xff\xff\xff\xff\xff\xff";
    assert_eq!(sent(&asking, Dialect::Msgpack), [Message::Binary(msgpack.to_vec())]);

    let asking = Encoded::event("/a", "q").raw_arg(r#"{"_placeholder":true,"num":0}"#).ack(0);
    let asking = asking.attachments(vec![Bytes::from_static(b"x")]).build();
    let first = r#"451-/a,0["q",{"_placeholder":true,"num":0}]"#;
    assert_eq!(sent(&asking, Dialect::Default), [text(first), Message::Binary(b"x".to_vec())]);
}

/// What an application passes on as text without having read it must not break a client's connection.
#[test]
fn placeholders_without_attachment_stay_what_they_are() {
    let lone = r#"{"_placeholder":true,"num":3}"#;
    let event = Encoded::event("/", "a").raw_arg(lone).build();
    assert_eq!(sent(&event, Dialect::Default), [text(&format!(r#"42["a",{lone}]"#))]);
    let event = Encoded::event("/", "a").raw_arg(lone).attachments(vec![Bytes::new()]).build();
    assert_eq!(sent(&event, Dialect::Raw), [text(&format!(r#"{{"event":"a","data":{lone}}}"#))]);
    let msgpack = b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1a\x82\xac_placeholder\xc3\xa3num\x03";
    assert_eq!(sent(&event, Dialect::Msgpack), [Message::Binary(msgpack.to_vec())]);
    let more = r#"{"_placeholder":true,"num":0,"x":1}"#;
    let event = Encoded::event("/", "a").raw_arg(more).attachments(vec![Bytes::new()]).build();
    let msgpack =
        b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1a\x83\xac_placeholder\xc3\xa3num\x00\xa1x\x01";
    assert_eq!(sent(&event, Dialect::Msgpack), [Message::Binary(msgpack.to_vec())]);
    let broken = Encoded::event("/", "a").raw_arg("{").attachments(vec![Bytes::new()]).build();
    assert_eq!(sent(&broken, Dialect::Raw), [text(r#"{"event":"a","data":{}"#)]);
    let msgpack = b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\xc0";
    assert_eq!(sent(&broken, Dialect::Msgpack), [Message::Binary(msgpack.to_vec())]);
}

/// `serde_json` reads this one as its neighbour unless it is told to take care.
#[test]
fn doubles_keep_their_last_digit_in_msgpack() {
    let event = Encoded::event("/", "a").raw_arg("3.430131811093504e-86").build();
    let packet = [
        &b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1a\xcb"[..],
        &3.430_131_811_093_504e-86_f64.to_be_bytes(),
    ];
    assert_eq!(sent(&event, Dialect::Msgpack), [Message::Binary(packet.concat())]);
}

#[test]
fn long_containers_have_long_heads_in_msgpack() {
    for (length, head) in [
        (15, &b"\x9f"[..]),
        (16, b"\xdc\x00\x10"),
        (65_535, b"\xdc\xff\xff"),
        (65_536, b"\xdd\x00\x01\x00\x00"),
    ] {
        let event = Encoded::event("/", "a").arg(&vec![0_u8; length]).build();
        let packet = [b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1a", head, &vec![0; length]].concat();
        assert_eq!(sent(&event, Dialect::Msgpack), [Message::Binary(packet)], "{length}");
    }
    let members: serde_json::Map<_, _> = (10..26).map(|key| (key.to_string(), json!([[]]))).collect();
    let event = Encoded::event("/", "a").arg(&members).build();
    let members: Vec<u8> =
        (10..26).flat_map(|key| [&[0xa2], key.to_string().as_bytes(), &[0x91, 0x90]].concat()).collect();
    let packet = [b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1a\xde\x00\x10", &members[..]].concat();
    assert_eq!(sent(&event, Dialect::Msgpack), [Message::Binary(packet)]);
}

#[test]
fn payloads_are_compressed_from_the_threshold_on() {
    // 42["a","..."] is ten bytes and the text.
    let event =
        |bytes: usize| Encoded::event("/", "a").arg(&"x".repeat(bytes - 10)).compress_above(200).build();
    for (bytes, compressed) in [(20, false), (199, false), (200, true), (20_000, true)] {
        let event = event(bytes);
        let plain = event.bytes(Dialect::Default, Wire::Websocket);
        let packed = event.bytes(Dialect::Default, Wire::WebsocketDeflate);
        assert_eq!(received(plain).0, received(packed).0);
        assert_eq!((received(plain).1, received(packed).1), (false, compressed), "{bytes}");
        assert_eq!(packed.len() < plain.len(), compressed, "{bytes}");
    }
    // One buffer serves both where nothing comes near to being compressed.
    let small = event(20);
    let plain = small.bytes(Dialect::Default, Wire::Websocket);
    assert_eq!(small.bytes(Dialect::Default, Wire::WebsocketDeflate).as_ptr(), plain.as_ptr());
    // Each frame on its own: the text is short, and one of the attachments does not shrink.
    let mut random = Random(1);
    let noise: Vec<u8> = (0..300).map(|_| random.next() as u8).collect();
    let attachments = vec![Bytes::from(noise), Bytes::from(vec![0; 300])];
    let placeholders = r#"[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
    let event =
        Encoded::event("/", "a").raw_arg(placeholders).attachments(attachments).compress_above(200).build();
    let plain = event.bytes(Dialect::Default, Wire::Websocket);
    let packed = event.bytes(Dialect::Default, Wire::WebsocketDeflate);
    assert_eq!(received(plain).0, received(packed).0);
    let shared = packed.iter().zip(plain).take_while(|(packed, plain)| packed == plain).count();
    assert!(shared > 300, "what does not shrink goes out as it is");
    assert!(packed.len() < plain.len() - 250, "{} {}", packed.len(), plain.len());
    // Polling is compressed as a whole, by HTTP.
    let body = Encoded::event("/", "a").arg(&"x".repeat(5_000)).build();
    assert_eq!(body.bytes(Dialect::Default, Wire::Polling).len(), 5_010);
}

#[test]
fn forms_are_made_once() {
    let event = two_pictures();
    for dialect in [Dialect::Default, Dialect::Msgpack, Dialect::Raw] {
        for wire in [Wire::Websocket, Wire::WebsocketDeflate, Wire::Polling] {
            let first = event.bytes(dialect, wire).clone();
            assert_eq!(event.bytes(dialect, wire).as_ptr(), first.as_ptr());
            assert_eq!(two_pictures().bytes(dialect, wire), &first, "{dialect:?} {wire:?}");
        }
    }
}

fn replied(reply: &Reply<'_>, dialect: Dialect) -> Vec<Message> {
    let mut out = b"before".to_vec();
    encode_reply(reply, dialect, Wire::Websocket, usize::MAX, &mut out);
    received(out.strip_prefix(b"before").unwrap()).0
}

fn replied_to_poll(reply: &Reply<'_>, dialect: Dialect) -> String {
    let mut out = Vec::new();
    encode_reply(reply, dialect, Wire::Polling, 0, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn replies_of_the_default_parser() {
    let picture = Bytes::from_static(&[0xff]);
    let picture = slice::from_ref(&picture);
    for (reply, packet) in [
        (Reply::Connected { namespace: "/", sid: "abc", pid: None }, r#"40{"sid":"abc"}"#),
        (
            Reply::Connected { namespace: "/chat", sid: "abc", pid: Some("p-_1") },
            r#"40/chat,{"sid":"abc","pid":"p-_1"}"#,
        ),
        (
            Reply::ConnectError { namespace: "/", message: "no \"way\"", data: None },
            r#"44{"message":"no \"way\""}"#,
        ),
        (
            Reply::ConnectError { namespace: "/é", message: "no", data: Some(r#"{"code":104,"x":[1.50]}"#) },
            r#"44/é,{"message":"no","data":{"code":104,"x":[1.50]}}"#,
        ),
        (Reply::ConnectError { namespace: "/", message: "no", data: Some("{") }, r#"44{"message":"no"}"#),
        (Reply::Ack { namespace: "/", id: 0, args_json: "[]", attachments: &[] }, "430[]"),
        (
            Reply::Ack {
                namespace: "/chat",
                id: 9_007_199_254_740_991,
                args_json: r#"[{"ok":true}]"#,
                attachments: &[],
            },
            r#"43/chat,9007199254740991[{"ok":true}]"#,
        ),
        (Reply::Disconnect { namespace: "/" }, "41"),
        (Reply::Disconnect { namespace: "/chat" }, "41/chat,"),
    ] {
        assert_eq!(replied(&reply, Dialect::Default), [text(packet)]);
        assert_eq!(replied_to_poll(&reply, Dialect::Default), packet);
    }
    let args_json = r#"[{"_placeholder":true,"num":0}]"#;
    let reply = Reply::Ack { namespace: "/", id: 12, args_json, attachments: picture };
    let packet = r#"461-12[{"_placeholder":true,"num":0}]"#;
    assert_eq!(replied(&reply, Dialect::Default), [text(packet), Message::Binary(vec![0xff])]);
    assert_eq!(replied_to_poll(&reply, Dialect::Default), format!("{packet}\x1eb/w=="));
}

#[test]
fn replies_of_the_msgpack_parser() {
    let picture = Bytes::from_static(&[0xff]);
    for (reply, packet) in [
        (
            Reply::Connected { namespace: "/", sid: "abc", pid: Some("p") },
            &b"\x83\xa4type\x00\xa3nsp\xa1/\xa4data\x82\xa3sid\xa3abc\xa3pid\xa1p"[..],
        ),
        (
            Reply::ConnectError { namespace: "/c", message: "no", data: None },
            b"\x83\xa4type\x04\xa3nsp\xa2/c\xa4data\x81\xa7message\xa2no",
        ),
        (
            Reply::ConnectError { namespace: "/", message: "no", data: Some(r#"{"code":104}"#) },
            b"\x83\xa4type\x04\xa3nsp\xa1/\xa4data\x82\xa7message\xa2no\xa4data\x81\xa4code\x68",
        ),
        (
            Reply::Ack {
                namespace: "/",
                id: 200,
                args_json: r#"[{"_placeholder":true,"num":0},-1]"#,
                attachments: slice::from_ref(&picture),
            },
            b"\x84\xa4type\x03\xa3nsp\xa1/\xa4data\x92\xc4\x01\xff\xff\xa2id\xcc\xc8",
        ),
        (Reply::Disconnect { namespace: "/" }, b"\x82\xa4type\x01\xa3nsp\xa1/"),
    ] {
        assert_eq!(replied(&reply, Dialect::Msgpack), [Message::Binary(packet.to_vec())]);
        assert!(replied_to_poll(&reply, Dialect::Msgpack).starts_with('b'));
    }
}

#[test]
fn replies_of_the_raw_protocol() {
    let picture = Bytes::from_static(&[0xff]);
    let ack = |args_json| Reply::Ack { namespace: "/", id: 7, args_json, attachments: &[] };
    for (reply, packet) in [
        (
            Reply::Connected { namespace: "/", sid: "abc", pid: None },
            r#"{"event":"connect","data":{"sid":"abc"}}"#,
        ),
        (
            Reply::ConnectError { namespace: "/", message: "no", data: Some("[1]") },
            r#"{"event":"connect_error","data":{"message":"no","data":[1]}}"#,
        ),
        (ack(r#"[{"ok":true,"n":{"id":1}}]"#), r#"{"id":7,"ok":true,"n":{"id":1}}"#),
        (ack("[{}]"), r#"{"id":7}"#),
        (ack("[]"), r#"{"id":7}"#),
        (ack(r#"["yes"]"#), r#"{"id":7,"data":"yes"}"#),
        (ack("[[1],2]"), r#"{"id":7,"data":[1]}"#),
        // The number that the client waits for cannot be hidden by the answer's own.
        (ack(r#"[{"ok":true,"id":"m-1","seq":5}]"#), r#"{"id":7,"ok":true,"result_id":"m-1","seq":5}"#),
        (ack(r#"[{"\u0069d":1,"a\"b" : 2 }]"#), r#"{"id":7,"result_id":1,"a\"b":2}"#),
        (
            Reply::Ack {
                namespace: "/",
                id: 7,
                args_json: r#"[{"pic":{"_placeholder":true,"num":0}}]"#,
                attachments: slice::from_ref(&picture),
            },
            r#"{"id":7,"pic":{"$binary":"/w=="}}"#,
        ),
        (
            Reply::Ack {
                namespace: "/",
                id: 7,
                args_json: r#"[{"_placeholder":true,"num":0}]"#,
                attachments: slice::from_ref(&picture),
            },
            r#"{"id":7,"data":{"$binary":"/w=="}}"#,
        ),
    ] {
        assert_eq!(replied(&reply, Dialect::Raw), [text(packet)]);
    }
    assert_eq!(replied(&Reply::Disconnect { namespace: "/" }, Dialect::Raw), []);
}

#[test]
fn replies_are_compressed_from_the_threshold_on() {
    let args_json = format!(r#"["{}"]"#, "x".repeat(500));
    let reply = Reply::Ack { namespace: "/", id: 1, args_json: &args_json, attachments: &[] };
    let mut plain = Vec::new();
    encode_reply(&reply, Dialect::Default, Wire::WebsocketDeflate, 1024, &mut plain);
    let mut packed = Vec::new();
    encode_reply(&reply, Dialect::Default, Wire::WebsocketDeflate, 507, &mut packed);
    assert_eq!(received(&plain), (vec![text(&format!("431{args_json}"))], false));
    assert_eq!(received(&packed), (vec![text(&format!("431{args_json}"))], true));
    assert!(packed.len() < 40);
}
