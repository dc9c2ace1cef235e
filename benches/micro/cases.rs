//! The cases: each sets its bytes up once and then does one thing over and over.

mod guards;
mod relay;

use bytes::Bytes;
use serde_json::value::RawValue;
use turnpike_benches::{frames, packets};
use turnpike_engine::{
    frame::{self, Incoming, Opcode, Reader, Role, deflate, handshake},
    packet::{self, Decoder, Dialect, Encoded, Reply, Wire},
    wheel::Wheel,
};

pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Whether it takes as many instructions every time: no other thread, nothing drawn at random.
    pub(crate) counted: bool,
    /// So many are counted together: as many as it takes until everything has come round.
    pub(crate) round: u64,
    /// Returns something that depends on the work, so that the compiler cannot leave it out.
    pub(crate) once: Box<dyn FnMut() -> usize>,
}

const ROUND: u64 = 200;

fn case(name: &'static str, once: impl FnMut() -> usize + 'static) -> Case {
    Case { name, counted: true, round: ROUND, once: Box::new(once) }
}

pub(crate) fn all() -> Vec<Case> {
    let engine = vec![
        read("frame: read, 170 B masked event", &message(128), false),
        read("frame: read, 2 KB masked event, deflated", &json(), true),
        write(),
        accept(),
        compress(),
        inflate(),
        decode("packet: decode ping with ack", &ping()),
        decode("packet: decode message:send, 128 B", &message(128)),
        decode("packet: decode message:send, 2 KB object", &json()),
        encode("packet: encode message, 128 B", message_object(128), Wire::Websocket),
        encode(
            "packet: encode message, 2 KB, deflated",
            object(packets::Body::Json(2_048)),
            Wire::WebsocketDeflate,
        ),
        acknowledge(),
        heartbeat(),
    ];
    engine.into_iter().chain(relay::all()).chain(guards::all()).collect()
}

fn body(body: packets::Body) -> Vec<u8> {
    let mut body = body.template();
    packets::stamp(&mut body, 42);
    body
}

fn message(bytes: usize) -> Vec<u8> {
    let mut payload = Vec::new();
    packets::send(&mut payload, 17, 3, &body(packets::Body::Text(bytes)));
    payload
}

fn json() -> Vec<u8> {
    let mut payload = Vec::new();
    packets::send(&mut payload, 17, 3, &body(packets::Body::Json(2_048)));
    payload
}

fn ping() -> Vec<u8> {
    let mut payload = Vec::new();
    packets::ping(&mut payload, 17, 42);
    payload
}

fn object(of: packets::Body) -> Box<RawValue> {
    let body = String::from_utf8(body(of)).expect("templates are ASCII");
    let text = format!(
        r#"{{"room":"bench-3","epoch":"abcdefgh","seq":1234567,"id":"abcdefghijklmnopqrstuv","from":"user-17","ts":1767225600000,"body":{body}}}"#
    );
    RawValue::from_string(text).expect("templates are JSON")
}

fn message_object(bytes: usize) -> Box<RawValue> {
    object(packets::Body::Text(bytes))
}

fn read(name: &'static str, payload: &[u8], deflated: bool) -> Case {
    let mut wire = Vec::new();
    if deflated {
        let mut packed = Vec::new();
        deflate::compress(payload, &mut packed);
        frame::write_masked_frame(&mut wire, Opcode::Text, &packed, true, frames::KEY);
    } else {
        frames::write_masked(&mut wire, frames::TEXT, payload);
    }
    let limits = frame::Limits { frame_bytes_max: 1 << 20, message_bytes_max: 1 << 20 };
    let mut reader = Reader::new(Role::Server, deflated);
    let mut input = wire.clone();
    case(name, move || {
        // The reader unmasks in place.
        input.copy_from_slice(&wire);
        let mut seen = 0;
        let outcome = reader.read(&mut input, &limits, |incoming| {
            if let Incoming::Text(text) = incoming {
                seen += text.len();
            }
            Ok::<(), ()>(())
        });
        assert!(outcome.is_ok() && seen > 0, "the frame is whole and right");
        seen
    })
}

fn write() -> Case {
    let payload = vec![b'x'; 300];
    let mut out = Vec::with_capacity(512);
    case("frame: write, 300 B", move || {
        out.clear();
        frame::write_frame(&mut out, Opcode::Text, &payload, false);
        out.len()
    })
}

fn accept() -> Case {
    case("handshake: accept key", || handshake::accept("dGhlIHNhbXBsZSBub25jZQ==").map_or(0, |key| key.len()))
}

fn compress() -> Case {
    let payload = json();
    let mut out = Vec::with_capacity(4_096);
    case("deflate: compress 2 KB of JSON", move || {
        out.clear();
        deflate::compress(&payload, &mut out);
        out.len()
    })
}

fn inflate() -> Case {
    let mut packed = Vec::new();
    deflate::compress(&json(), &mut packed);
    let mut out = Vec::with_capacity(4_096);
    case("deflate: inflate 2 KB of JSON", move || {
        out.clear();
        deflate::inflate(&packed, 1 << 20, &mut out).map_or(0, <[u8]>::len)
    })
}

fn decode(name: &'static str, payload: &[u8]) -> Case {
    // As the engine gets it: without the Engine.IO packet type.
    let text = String::from_utf8(payload[1..].to_vec()).expect("payloads are ASCII");
    let limits = packet::Limits::default();
    let mut decoder = Decoder::new();
    case(name, move || {
        let inbound = decoder.text(&text, &limits).expect("the packet is right");
        usize::from(inbound.is_some())
    })
}

fn encode(name: &'static str, object: Box<RawValue>, wire: Wire) -> Case {
    case(name, move || {
        let event = Encoded::event("/", "message").raw_arg(object.get()).offset("abcdefghijklmnop").build();
        event.bytes(Dialect::Default, wire).len()
    })
}

fn acknowledge() -> Case {
    let mut out = Vec::with_capacity(512);
    let attachments: [Bytes; 0] = [];
    case("packet: encode an ack", move || {
        out.clear();
        let args_json = r#"[{"ok":true,"id":"abcdefghijklmnopqrstuv","epoch":"abcdefgh","seq":1234567,"ts":1767225600000}]"#;
        let reply = Reply::Ack { namespace: "/", id: 17, args_json, attachments: &attachments };
        packet::encode_reply(&reply, Dialect::Default, Wire::Websocket, 1_024, &mut out);
        out.len()
    })
}

/// What the wheel costs a heartbeat: 10,000 keys with the interval's deadlines, moved on one after the other.
fn heartbeat() -> Case {
    const KEYS: u64 = 10_000;
    const INTERVAL_MS: u64 = 25_000;
    let mut wheel = Wheel::new(0, 50);
    for key in 0..KEYS {
        wheel.insert(key * INTERVAL_MS / KEYS, key);
    }
    let mut now_ms = 0;
    let mut due = Vec::new();
    let heartbeat = case("wheel: one heartbeat of 10,000 connections", move || {
        while due.is_empty() {
            now_ms += 50;
            wheel.expire(now_ms, |key| due.push(key));
        }
        let key = due.pop().expect("not empty");
        wheel.insert(now_ms + INTERVAL_MS, key);
        key as usize
    });
    Case { round: KEYS, ..heartbeat }
}
