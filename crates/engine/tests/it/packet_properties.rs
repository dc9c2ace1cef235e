//! Any value with binary anywhere in it, through every form and back; our bytes as socketioxide's parsers read them.
#![allow(clippy::unwrap_used, reason = "what helps a test is a test")]

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use proptest::prelude::*;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value as Json, json};
use socketioxide_core::Value;
use socketioxide_core::packet::{Packet, PacketData};
use socketioxide_core::parser::{Parse, ParseConfig, ParseError, ParserState};
use socketioxide_parser_common::CommonParser;
use socketioxide_parser_msgpack::MsgPackParser;
use turnpike_engine::packet::{Args, Decoder, Dialect, Encoded, Inbound, Limits, Reply, Wire, encode_reply};

use crate::packet_out::{Message, received};

/// What a client sends or gets, whatever the form.
#[derive(Debug, Clone, PartialEq)]
enum Thing {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    Binary(Vec<u8>),
    List(Vec<Thing>),
    Map(BTreeMap<String, Thing>),
}

fn thing() -> impl Strategy<Value = Thing> {
    let number = prop_oneof![
        any::<i64>().prop_map(Number::from),
        any::<u64>().prop_map(Number::from),
        (-70_000..70_000_i32).prop_map(Number::from),
        any::<f64>().prop_filter_map("JSON has no others", Number::from_f64),
    ];
    let leaf = prop_oneof![
        Just(Thing::Null),
        any::<bool>().prop_map(Thing::Bool),
        number.prop_map(Thing::Number),
        any::<String>().prop_map(Thing::Text),
        "[a-z]{0,300}".prop_map(Thing::Text),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Thing::Binary),
    ];
    let key =
        prop_oneof![any::<String>(), "[a-z_]{1,20}", Just("num".to_owned()), Just("$binary".to_owned())];
    leaf.prop_recursive(4, 24, 20, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Thing::List),
            prop::collection::btree_map(key.clone(), inner, 0..20).prop_map(Thing::Map),
        ]
    })
}

impl Thing {
    /// The neutral form.
    fn to_neutral(&self, attachments: &mut Vec<Bytes>) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => json!(value),
            Self::Number(number) => Json::Number(number.clone()),
            Self::Text(text) => json!(text),
            Self::Binary(bytes) => {
                attachments.push(Bytes::copy_from_slice(bytes));
                json!({"_placeholder": true, "num": attachments.len() - 1})
            }
            Self::List(things) => things.iter().map(|thing| thing.to_neutral(attachments)).collect(),
            Self::Map(members) => {
                members.iter().map(|(key, thing)| (key.clone(), thing.to_neutral(attachments))).collect()
            }
        }
    }

    fn from_neutral(json: &Json, attachments: &[Bytes]) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => Self::Number(number.clone()),
            Json::String(text) => Self::Text(text.clone()),
            Json::Array(values) => {
                Self::List(values.iter().map(|value| Self::from_neutral(value, attachments)).collect())
            }
            Json::Object(members) if members.get("_placeholder") == Some(&Json::Bool(true)) => {
                let num = members["num"].as_u64().unwrap() as usize;
                Self::Binary(attachments[num].to_vec())
            }
            Json::Object(members) => Self::Map(
                members
                    .iter()
                    .map(|(key, value)| (key.clone(), Self::from_neutral(value, attachments)))
                    .collect(),
            ),
        }
    }

    /// As a raw client sees it.
    fn to_raw(&self) -> Json {
        match self {
            Self::Binary(bytes) => {
                json!({"$binary": base64::Engine::encode(&base64::prelude::BASE64_STANDARD, bytes)})
            }
            Self::List(things) => things.iter().map(Self::to_raw).collect(),
            Self::Map(members) => members.iter().map(|(key, thing)| (key.clone(), thing.to_raw())).collect(),
            other => other.to_neutral(&mut Vec::new()),
        }
    }

    fn write_msgpack(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => rmp::encode::write_nil(out).unwrap(),
            Self::Bool(value) => rmp::encode::write_bool(out, *value).unwrap(),
            Self::Number(number) => {
                if let Some(number) = number.as_u64() {
                    rmp::encode::write_uint(out, number).map(drop).unwrap();
                } else if let Some(number) = number.as_i64() {
                    rmp::encode::write_sint(out, number).map(drop).unwrap();
                } else {
                    rmp::encode::write_f64(out, number.as_f64().unwrap()).unwrap();
                }
            }
            Self::Text(text) => rmp::encode::write_str(out, text).unwrap(),
            Self::Binary(bytes) => rmp::encode::write_bin(out, bytes).unwrap(),
            Self::List(things) => {
                rmp::encode::write_array_len(out, things.len() as u32).map(drop).unwrap();
                for thing in things {
                    thing.write_msgpack(out);
                }
            }
            Self::Map(members) => {
                rmp::encode::write_map_len(out, members.len() as u32).map(drop).unwrap();
                for (key, thing) in members {
                    rmp::encode::write_str(out, key).unwrap();
                    thing.write_msgpack(out);
                }
            }
        }
    }
}

/// From msgpack by way of `rmp_serde`, as socketioxide reads it.
impl<'de> Deserialize<'de> for Thing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Things;
        impl<'de> Visitor<'de> for Things {
            type Value = Thing;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("anything")
            }

            fn visit_unit<E>(self) -> Result<Thing, E> {
                Ok(Thing::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Thing, E> {
                Ok(Thing::Bool(value))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Thing, E> {
                Ok(Thing::Number(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Thing, E> {
                Ok(Thing::Number(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Thing, E> {
                Ok(Thing::Number(Number::from_f64(value).unwrap()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Thing, E> {
                Ok(Thing::Text(value.to_owned()))
            }

            fn visit_bytes<E>(self, value: &[u8]) -> Result<Thing, E> {
                Ok(Thing::Binary(value.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Thing, A::Error> {
                let mut things = Vec::new();
                while let Some(thing) = elements.next_element()? {
                    things.push(thing);
                }
                Ok(Thing::List(things))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Thing, A::Error> {
                let mut things = BTreeMap::new();
                while let Some((key, thing)) = members.next_entry()? {
                    things.insert(key, thing);
                }
                Ok(Thing::Map(things))
            }
        }
        deserializer.deserialize_any(Things)
    }
}

const LIMITS: Limits = Limits {
    attachments_max: 64,
    attachment_bytes_max: 1 << 20,
    json_depth_max: 64,
    json_keys_max: 4096,
    packet_bytes_max: 1 << 20,
    namespace_bytes_max: 64,
    event_name_bytes_max: 4096,
    arguments_max: 64,
};

/// A message as a client sends or gets it.
#[derive(Debug, Clone)]
struct Event {
    namespace: String,
    name: String,
    argument: Thing,
    ack: Option<u64>,
}

fn event() -> impl Strategy<Value = Event> {
    let name = prop_oneof!["[a-z:]{1,16}", any::<String>()];
    let few = |thing: &Thing| {
        let mut attachments = Vec::new();
        thing.to_neutral(&mut attachments);
        attachments.len() <= 64
    };
    (
        prop_oneof![Just("/".to_owned()), "/[a-zé/?]{1,12}"],
        name.prop_filter("reserved", |name| !name.contains("connect") && !name.ends_with("Listener")),
        thing().prop_filter("too many attachments", few),
        prop::option::of(0_u64..1 << 53),
    )
        .prop_map(|(namespace, name, argument, ack)| Event { namespace, name, argument, ack })
}

impl Event {
    fn encoded(&self) -> std::sync::Arc<Encoded> {
        let mut attachments = Vec::new();
        let json = self.argument.to_neutral(&mut attachments);
        let builder = Encoded::event(&self.namespace, &self.name).arg(&json).attachments(attachments);
        self.ack.into_iter().fold(builder, turnpike_engine::packet::EventBuilder::ack).build()
    }

    fn assert_is(&self, packet: &Inbound) {
        let Inbound::Event { namespace, args, ack } = packet else { panic!("{packet:?}") };
        assert_eq!((namespace.as_str(), *ack), (self.namespace.as_str(), self.ack));
        assert_eq!(args.name(), Some(self.name.as_str()));
        assert_eq!(argument(args), self.argument);
    }
}

fn argument(args: &Args) -> Thing {
    assert_eq!(args.len(), 1);
    Thing::from_neutral(&args.get(0).unwrap(), args.attachments())
}

fn decode(decoder: &mut Decoder, messages: &[Message]) -> Inbound {
    let mut packet = None;
    for message in messages {
        assert!(packet.is_none(), "something behind a complete packet");
        packet = match message {
            // Behind the Engine.IO type.
            Message::Text(text) => decoder.text(&text[1..], &LIMITS).unwrap(),
            Message::Binary(bytes) => decoder.binary(bytes, &LIMITS).unwrap(),
        };
    }
    packet.expect("a complete packet")
}

fn decode_by_socketioxide(messages: &[Message]) -> Packet {
    let (config, state) = (ParseConfig::default(), ParserState::default());
    let mut result = Err(ParseError::NeedsMoreBinaryData);
    for message in messages {
        result = match message {
            Message::Text(text) => CommonParser.decode_str(&config, &state, text[1..].to_owned().into()),
            Message::Binary(bytes) => CommonParser.decode_bin(&config, &state, bytes.clone().into()),
        };
    }
    result.unwrap()
}

fn messages(event: &Encoded, dialect: Dialect) -> Vec<Message> {
    received(event.bytes(dialect, Wire::Websocket)).0
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn events_survive_the_default_form(event in event()) {
        let encoded = event.encoded();
        let messages = messages(&encoded, Dialect::Default);
        event.assert_is(&decode(&mut Decoder::new(), &messages));

        // The bytes are those that socketioxide writes, and it reads them as what they are.
        let mut attachments = Vec::new();
        let json = json!([event.name, event.argument.to_neutral(&mut attachments)]).to_string();
        let binary = !attachments.is_empty();
        let value = Value::Str(json.into(), binary.then(|| attachments.into()));
        let mut packet = Packet::event(event.namespace.clone(), value);
        if let PacketData::Event(_, ack) | PacketData::BinaryEvent(_, ack) = &mut packet.inner {
            *ack = event.ack.map(u64::cast_signed);
        }
        let Value::Str(text, _) = CommonParser.encode(packet.clone()) else { panic!() };
        prop_assert_eq!(&messages[0], &Message::Text(format!("4{text}")));
        prop_assert_eq!(decode_by_socketioxide(&messages), packet);

        // Over polling the same comes as one body.
        let body = String::from_utf8(encoded.bytes(Dialect::Default, Wire::Polling).to_vec()).unwrap();
        let polled: Vec<_> = turnpike_engine::packet::polling_packets(&body, &LIMITS)
            .map(|packet| match packet.unwrap() {
                turnpike_engine::packet::EnginePacket::Message(text) => Message::Text(format!("4{text}")),
                turnpike_engine::packet::EnginePacket::Binary(bytes) => Message::Binary(bytes.into_owned()),
                other => panic!("{other:?}"),
            })
            .collect();
        prop_assert_eq!(polled, messages);
    }

    #[test]
    fn events_survive_the_msgpack_form(event in event()) {
        let messages = messages(&event.encoded(), Dialect::Msgpack);
        event.assert_is(&decode(&mut Decoder::new(), &messages));

        let [Message::Binary(bytes)] = &messages[..] else { panic!("{messages:?}") };
        let (config, state) = (ParseConfig::default(), ParserState::default());
        let packet = MsgPackParser.decode_bin(&config, &state, bytes.clone().into()).unwrap();
        prop_assert_eq!(packet.ns.as_str(), &event.namespace);
        let PacketData::Event(mut value, ack) = packet.inner else { panic!() };
        prop_assert_eq!(ack, event.ack.map(u64::cast_signed));
        prop_assert_eq!(MsgPackParser.read_event(&value).unwrap(), &event.name);
        prop_assert_eq!(MsgPackParser.decode_value::<Thing>(&mut value, true).unwrap(), event.argument);
    }

    #[test]
    fn events_of_msgpack_clients_are_read(event in event()) {
        let mut data = vec![0x92];
        Thing::Text(event.name.clone()).write_msgpack(&mut data);
        event.argument.write_msgpack(&mut data);
        let packet = PacketData::Event(Value::Bytes(data.into()), event.ack.map(u64::cast_signed));
        let packet = MsgPackParser.encode(Packet { inner: packet, ns: event.namespace.clone().into() });
        let Value::Bytes(bytes) = packet else { panic!() };
        let packet = Decoder::new().binary(&bytes, &LIMITS).unwrap().unwrap();
        event.assert_is(&packet);
    }

    #[test]
    fn events_are_pushed_to_raw_clients(event in event()) {
        let messages = messages(&event.encoded(), Dialect::Raw);
        let [Message::Text(text)] = &messages[..] else { panic!("{messages:?}") };
        let push = serde_json::from_str::<Json>(text).unwrap();
        prop_assert_eq!(&push, &json!({"event": event.name, "data": event.argument.to_raw()}));
        // What an application passes on by hand is the same.
        let packet = decode(&mut Decoder::new(), &self::messages(&event.encoded(), Dialect::Default));
        let Inbound::Event { args, .. } = packet else { panic!("{packet:?}") };
        prop_assert_eq!(serde_json::from_str::<Json>(&args.to_raw_data(0).unwrap()).unwrap(), event.argument.to_raw());
    }

    #[test]
    fn acks_survive_both_forms(event in event(), id in 0_u64..1 << 53) {
        let mut attachments = Vec::new();
        let json = event.argument.to_neutral(&mut attachments);
        let args_json = json!([json]).to_string();
        let reply = Reply::Ack { namespace: &event.namespace, id, args_json: &args_json, attachments: &attachments };
        for dialect in [Dialect::Default, Dialect::Msgpack] {
            let mut out = Vec::new();
            encode_reply(&reply, dialect, Wire::Websocket, 1024, &mut out);
            let messages = received(&out).0;
            let packet = decode(&mut Decoder::new(), &messages);
            let Inbound::Ack { namespace, id: number, args } = packet else { panic!("{packet:?}") };
            prop_assert_eq!((namespace.as_str(), number), (event.namespace.as_str(), id));
            prop_assert_eq!(argument(&args), event.argument.clone());
            if matches!(dialect, Dialect::Default) {
                let binary = !attachments.is_empty();
                let value = Value::Str(args_json.clone().into(), binary.then(|| attachments.clone().into()));
                let packet = Packet::ack(event.namespace.clone(), value, id.cast_signed());
                prop_assert_eq!(decode_by_socketioxide(&messages), packet);
            }
        }
    }
}
