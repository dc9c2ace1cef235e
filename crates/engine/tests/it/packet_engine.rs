//! Engine.IO packets and polling bodies.
#![allow(clippy::unwrap_used, reason = "what helps a test is a test")]

use std::borrow::Cow;

use engineioxide_core::{Packet, ProtocolVersion};
use proptest::prelude::*;
use turnpike_engine::packet::{
    EnginePacket, Limits, PacketError, open_packet, parse_engine, polling_packets,
};

fn binary(bytes: &[u8]) -> EnginePacket<'_> {
    EnginePacket::Binary(Cow::Borrowed(bytes))
}

#[test]
fn packets_are_read() {
    for (text, packet) in [
        ("1", EnginePacket::Close),
        ("2", EnginePacket::Ping),
        ("3", EnginePacket::Pong),
        ("2probe", EnginePacket::PingProbe),
        ("3probe", EnginePacket::PongProbe),
        ("4", EnginePacket::Message("")),
        ("42[\"é\"]", EnginePacket::Message("2[\"é\"]")),
        ("4b", EnginePacket::Message("b")),
        ("5", EnginePacket::Upgrade),
        ("6", EnginePacket::Noop),
        ("b", binary(b"")),
        ("bAQIDBA==", binary(&[1, 2, 3, 4])),
        ("b+/8=", binary(&[0xfb, 0xff])),
    ] {
        assert_eq!(parse_engine(text), Ok(packet), "{text}");
    }
}

#[test]
fn packets_are_refused() {
    use PacketError as E;
    for (text, error) in [
        ("", E::Empty),
        ("0", E::NotForClients),
        (r#"0{"sid":"x"}"#, E::NotForClients),
        ("1x", E::Payload),
        ("2prob", E::Payload),
        ("2probe2", E::Payload),
        ("2Probe", E::Payload),
        ("3 ", E::Payload),
        ("5probe", E::Payload),
        ("6é", E::Payload),
        ("7", E::UnknownType),
        (" 2", E::UnknownType),
        ("B", E::UnknownType),
        ("é", E::UnknownType),
        ("\u{0}", E::UnknownType),
        // Padding is not optional, and there is one alphabet, and one way to write each byte.
        ("bAQIDBA", E::Base64),
        ("bAQIDBA=", E::Base64),
        ("bAQIDBB==", E::Base64),
        ("b-_8=", E::Base64),
        ("bAQ ID", E::Base64),
        ("b4AQID", E::Base64),
        ("bé", E::Base64),
    ] {
        assert_eq!(parse_engine(text), Err(error), "{text}");
    }
}

#[test]
fn polling_bodies_are_split() {
    let limits = Limits { packet_bytes_max: 8, attachment_bytes_max: 4, ..Limits::default() };
    let read = |body: &'static str| polling_packets(body, &limits).collect::<Vec<_>>();
    let message = |text| Ok(EnginePacket::Message(text));
    assert_eq!(read("4a"), [message("a")]);
    assert_eq!(
        read("4a\x1e2\x1ebAQ==\x1e4b"),
        [message("a"), Ok(EnginePacket::Ping), Ok(binary(&[1])), message("b")]
    );
    // Empty packets anywhere, and nothing behind a fault.
    assert_eq!(read(""), [Err(PacketError::Empty)]);
    assert_eq!(read("\x1e4a"), [Err(PacketError::Empty)]);
    assert_eq!(read("4a\x1e"), [message("a"), Err(PacketError::Empty)]);
    assert_eq!(read("4a\x1e\x1e4b"), [message("a"), Err(PacketError::Empty)]);
    assert_eq!(read("4a\x1e9\x1e4b"), [message("a"), Err(PacketError::UnknownType)]);
    // One after the other, the limits of text and of binary.
    assert_eq!(read("412345678"), [message("12345678")]);
    assert_eq!(read("4123456789"), [Err(PacketError::TooLarge { bytes_max: 9 })]);
    assert_eq!(read("bAAAAAAAAAAAAAAAA"), [Ok(binary(&[0; 12]))]);
    assert_eq!(read("bAAAAAAAAAAAAAAAAAA=="), [Err(PacketError::TooLarge { bytes_max: 17 })]);
}

#[test]
fn the_open_packet_is_what_clients_read() {
    assert_eq!(
        open_packet("n1.0.AbC-_9", true, 25_000, 20_000, 1_000_000),
        r#"0{"sid":"n1.0.AbC-_9","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#
    );
    assert_eq!(
        open_packet("\"", false, 1, 2, 3),
        r#"0{"sid":"\"","upgrades":[],"pingInterval":1,"pingTimeout":2,"maxPayload":3}"#
    );
}

fn engineioxide(text: &str) -> Option<Packet> {
    Packet::parse(ProtocolVersion::V4, text.to_owned()).ok()
}

proptest! {
    /// Whatever we take, engineioxide reads in the same way; what it takes beyond that has something behind a packet
    /// that has no payload.
    #[test]
    fn agrees_with_engineioxide(text in "([0-7b]|probe|[A-D+/=]|.){0,8}") {
        let theirs = engineioxide(&text);
        match parse_engine(&text) {
            Ok(ours) => {
                let ours = match ours {
                    EnginePacket::Close => Packet::Close,
                    EnginePacket::Ping => Packet::Ping,
                    EnginePacket::Pong => Packet::Pong,
                    EnginePacket::PingProbe => Packet::PingUpgrade,
                    EnginePacket::PongProbe => Packet::PongUpgrade,
                    EnginePacket::Upgrade => Packet::Upgrade,
                    EnginePacket::Noop => Packet::Noop,
                    EnginePacket::Message(message) => Packet::Message(message.to_owned().into()),
                    EnginePacket::Binary(bytes) => Packet::Binary(bytes.into_owned().into()),
                };
                prop_assert_eq!(Some(ours), theirs);
            }
            Err(PacketError::Payload) => prop_assert!(text.len() > 1 && "12356".contains(&text[..1])),
            Err(_) => prop_assert_eq!(theirs, None),
        }
    }
}
