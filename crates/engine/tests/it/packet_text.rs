//! Packets of the default parser from clients: what is read, and what is refused and why.
#![allow(clippy::unwrap_used, reason = "what helps a test is a test")]

use turnpike_engine::packet::{Decoder, Inbound, Limits, PacketError, Parser};

/// A packet on one line: kind, namespace, ack, text, and the attachments' sizes.
pub(crate) fn shown(packet: &Inbound) -> String {
    let (kind, namespace, number, args) = match packet {
        Inbound::Connect { namespace, auth } => {
            return format!("connect {namespace} {}", auth.as_deref().unwrap_or("-"));
        }
        Inbound::Disconnect { namespace } => return format!("disconnect {namespace}"),
        Inbound::Event { namespace, args, ack } => ("event", namespace, *ack, args),
        Inbound::Ack { namespace, id, args } => ("ack", namespace, Some(*id), args),
    };
    let number = number.map_or("-".to_owned(), |number| number.to_string());
    let sizes: Vec<_> = args.attachments().iter().map(bytes::Bytes::len).collect();
    format!("{kind} {namespace} {number} {} {sizes:?}", args.text())
}

fn read(text: &str) -> Result<String, PacketError> {
    read_within(text, &Limits::default())
}

fn read_within(text: &str, limits: &Limits) -> Result<String, PacketError> {
    let packet = Decoder::new().text(text, limits)?;
    Ok(packet.map_or("waits".to_owned(), |packet| shown(&packet)))
}

#[test]
fn packets_are_read() {
    for (text, packet) in [
        ("0", "connect / -"),
        ("0{}", "connect / {}"),
        (r#"0{"token":"abc","n":{"a":[1]}}"#, r#"connect / {"token":"abc","n":{"a":[1]}}"#),
        ("0/admin", "connect /admin -"),
        ("0/admin,", "connect /admin -"),
        (r#"0/admin,{"a":1}"#, r#"connect /admin {"a":1}"#),
        ("0/admin?x=1,{}", "connect /admin?x=1 {}"),
        ("0/é😀,{}", "connect /é😀 {}"),
        ("1", "disconnect /"),
        ("1/admin", "disconnect /admin"),
        ("1/admin,", "disconnect /admin"),
        (r#"2["a"]"#, r#"event / - ["a"] []"#),
        ("2 \t\r\n[ \"a\" , 1 ] \n", r#"event / - [ "a" , 1 ] []"#),
        (r#"2["a",{"b":[null,true,1.5e3,"c"]},[]]"#, r#"event / - ["a",{"b":[null,true,1.5e3,"c"]},[]] []"#),
        (r#"20["a"]"#, r#"event / 0 ["a"] []"#),
        (r#"212["a",1]"#, r#"event / 12 ["a",1] []"#),
        (r#"2007["a"]"#, r#"event / 7 ["a"] []"#),
        (r#"29007199254740991["a"]"#, r#"event / 9007199254740991 ["a"] []"#),
        (r#"2/chat,["a"]"#, r#"event /chat - ["a"] []"#),
        (r#"2/chat,12["a"]"#, r#"event /chat 12 ["a"] []"#),
        (r#"2/12,12["a"]"#, r#"event /12 12 ["a"] []"#),
        (r#"2/,["a"]"#, r#"event / - ["a"] []"#),
        ("30[]", "ack / 0 [] []"),
        ("312[1]", "ack / 12 [1] []"),
        (r#"3/chat,12["connect",null]"#, r#"ack /chat 12 ["connect",null] []"#),
        // Announced as binary, without any.
        (r#"50-["a"]"#, r#"event / - ["a"] []"#),
        ("60-1[]", "ack / 1 [] []"),
        (r#"51-["a",{"_placeholder":true,"num":0}]"#, "waits"),
    ] {
        assert_eq!(read(text).as_deref(), Ok(packet), "{text}");
    }
}

#[test]
fn packets_are_refused() {
    use PacketError as E;
    let json = |at| E::Json { at };
    for (text, error) in [
        ("", E::Empty),
        ("7", E::UnknownType),
        ("x", E::UnknownType),
        ("-1", E::UnknownType),
        ("é", E::UnknownType),
        (" 2[\"a\"]", E::UnknownType),
        ("4", E::NotForClients),
        (r#"4{"message":"x"}"#, E::NotForClients),
        // Auth is an object or absent.
        ("0[]", E::Payload),
        ("0null", E::Payload),
        (r#"0"a""#, E::Payload),
        ("0/chat,7", E::Payload),
        ("0{", json(1)),
        ("0{}{}", json(2)),
        ("0{} x", json(3)),
        ("01{}", E::AckId),
        (r#"0{"__proto__":1}"#, E::ForbiddenKey),
        (r#"0{"a":{"_placeholder":true,"num":0}}"#, E::Placeholder),
        // A disconnect says nothing else.
        ("1{}", E::Payload),
        ("11", E::Payload),
        ("1,", E::Payload),
        ("1/chat,{}", E::Payload),
        ("1/chat,,", E::Payload),
        // An event is an array with its name in front.
        ("2", E::Payload),
        ("2{}", E::Payload),
        ("2null", E::Payload),
        (r#"2"a""#, E::Payload),
        ("2/chat", E::Payload),
        ("2/chat,", E::Payload),
        ("2[]", E::EventName),
        ("2[1]", E::EventName),
        ("2[null]", E::EventName),
        (r#"2[["a"]]"#, E::EventName),
        (r#"2[{"a":1}]"#, E::EventName),
        (r#"2["a""#, json(4)),
        (r#"2["a"]]"#, json(5)),
        (r#"2["a"]["a"]"#, json(5)),
        (r#"2["a"],"#, json(5)),
        (r#"2["a",]"#, json(5)),
        (r#"2["a",1e999]"#, E::NotJson),
        (r#"2["\ud800"]"#, json(8)),
        (r#"2["a",{"__proto__":{"admin":true}}]"#, E::ForbiddenKey),
        // Acks have a number, and numbers are exact.
        ("3[]", E::AckId),
        ("3", E::AckId),
        ("3/chat,[]", E::AckId),
        ("312", E::AckId),
        ("312{}", E::Payload),
        ("312null", E::AckId),
        ("60-[]", E::AckId),
        (r#"29007199254740992["a"]"#, E::AckId),
        (r#"29223372036854775808["a"]"#, E::AckId),
        (r#"299999999999999999999999["a"]"#, E::AckId),
        (r#"2/chat,99999999999999999999["a"]"#, E::AckId),
        ("39007199254740992[]", E::AckId),
        (r#"2-1["a"]"#, E::Payload),
        (r#"21.5["a"]"#, E::AckId),
        (r#"21 ["a"]"#, E::AckId),
        // Binary.
        (r#"5["a"]"#, E::Malformed),
        (r#"5-["a"]"#, E::Malformed),
        (r#"51["a"]"#, E::Malformed),
        (r#"5-1-["a"]"#, E::Malformed),
        ("5", E::Malformed),
        ("51", E::Malformed),
        (r#"599999999999999999999999-["a"]"#, E::Malformed),
        (r#"51-["a"]"#, E::UnusedAttachment),
        (r#"51-[{"_placeholder":true,"num":0}]"#, E::EventName),
        (r#"52-["a",{"_placeholder":true,"num":0}]"#, E::UnusedAttachment),
        (r#"51-["a",{"_placeholder":true,"num":1}]"#, E::Placeholder),
        (r#"51-["a",{"_placeholder":true,"num":-1}]"#, E::Placeholder),
        (r#"51-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]"#, E::Placeholder),
        (r#"2["a",{"_placeholder":true,"num":0}]"#, E::Placeholder),
        (r#"50-["a",{"_placeholder":true,"num":0}]"#, E::Placeholder),
        (r#"51-{"_placeholder":true,"num":0}"#, E::Payload),
        ("511-[\"a\"]", E::TooManyAttachments { attachments_max: 10 }),
        ("51000000000-[\"a\"]", E::TooManyAttachments { attachments_max: 10 }),
    ] {
        assert_eq!(read(text), Err(error), "{text}");
    }
}

#[test]
fn names_that_socket_io_keeps_for_itself_are_refused() {
    for name in ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"] {
        assert_eq!(read(&format!(r#"2["{name}"]"#)), Err(PacketError::ReservedEvent), "{name}");
        assert_eq!(read(&format!(r#"3/chat,1["{name}"]"#)).err(), None, "{name}");
    }
    assert_eq!(read(r#"2["c\u006fnnect"]"#), Err(PacketError::ReservedEvent));
    assert_eq!(read(r#"2["Connect"]"#).err(), None);
}

#[test]
fn limits_hold_at_their_edge() {
    let limits = Limits {
        packet_bytes_max: 40,
        namespace_bytes_max: 6,
        event_name_bytes_max: 5,
        arguments_max: 3,
        json_depth_max: 3,
        json_keys_max: 2,
        attachments_max: 2,
        attachment_bytes_max: 8,
    };
    let read = |text: &str| read_within(text, &limits).err();
    let padded = |bytes: usize| format!(r#"2["a","{}"]"#, "x".repeat(bytes - 9));
    assert_eq!(padded(40).len(), 40);
    assert_eq!(read(&padded(40)), None);
    assert_eq!(read(&padded(41)), Some(PacketError::TooLarge { bytes_max: 40 }));

    assert_eq!(read(r#"2/chatt,["a"]"#), None);
    assert_eq!(read(r#"2/chatty,["a"]"#), Some(PacketError::NamespaceTooLong { bytes_max: 6 }));
    assert_eq!(read("0/chatty"), Some(PacketError::NamespaceTooLong { bytes_max: 6 }));

    assert_eq!(read(r#"2["abcde"]"#), None);
    assert_eq!(read(r#"2["abcdef"]"#), Some(PacketError::EventNameTooLong { bytes_max: 5 }));
    // The name counts, not how it is written.
    assert_eq!(read(r#"2["\u0061bcde"]"#), None);

    assert_eq!(read(r#"2["a",1,2]"#), None);
    assert_eq!(read(r#"2["a",1,2,3]"#), Some(PacketError::TooManyArguments { arguments_max: 3 }));
    assert_eq!(read("31[0,1,2,3]"), Some(PacketError::TooManyArguments { arguments_max: 3 }));

    assert_eq!(read(r#"2["a",[[]]]"#), None);
    assert_eq!(read(r#"2["a",[[[]]]]"#), Some(PacketError::TooDeep { depth_max: 3 }));
    assert_eq!(read(r#"0{"a":{"b":{"c":1}}}"#), Some(PacketError::TooManyKeys { keys_max: 2 }));
    assert_eq!(read(r#"2["a",{"a":1,"b":1}]"#), None);
    assert_eq!(read(r#"2["a",{"a":1,"b":1,"c":1}]"#), Some(PacketError::TooManyKeys { keys_max: 2 }));

    assert_eq!(read(r#"53-["a"]"#), Some(PacketError::TooManyAttachments { attachments_max: 2 }));
}

const TWO: &str = r#"52-/chat,7["pics",{"_placeholder":true,"num":1},{"a":{"_placeholder":true,"num":0}}]"#;

#[test]
fn a_binary_packet_is_complete_with_its_last_attachment() {
    let limits = Limits::default();
    let mut decoder = Decoder::new();
    for round in 1..=2 {
        assert_eq!(decoder.pending(), None);
        assert!(decoder.text(TWO, &limits).unwrap().is_none());
        // A deadline that was set for the first packet must not hit the second.
        assert_eq!(decoder.pending(), Some(round));
        assert!(decoder.binary(b"first", &limits).unwrap().is_none());
        assert!(decoder.is_pending());
        let packet = decoder.binary(b"", &limits).unwrap().unwrap();
        assert!(!decoder.is_pending());
        let Inbound::Event { namespace, args, ack } = packet else { panic!("{packet:?}") };
        assert_eq!((namespace.as_str(), ack, args.name(), args.len()), ("/chat", Some(7), Some("pics"), 2));
        assert_eq!(args.attachments(), [&b"first"[..], b""]);
        assert_eq!(args.raw(0), Some(r#"{"_placeholder":true,"num":1}"#));
        assert_eq!(args.byte_len(), TWO.len() - "52-/chat,7".len() + 5);
        assert_eq!(args.to_raw_data(0).as_deref(), Some(r#"{"$binary":""}"#));
        assert_eq!(args.to_raw_data(1).as_deref(), Some(r#"{"a":{"$binary":"Zmlyc3Q="}}"#));
    }
    assert!(decoder.text(r#"2["after"]"#, &limits).unwrap().is_some());
    assert_eq!(decoder.parser(), Some(Parser::Default));
}

#[test]
fn acks_may_be_binary() {
    let limits = Limits::default();
    let mut decoder = Decoder::new();
    assert!(decoder.text(r#"61-3[{"_placeholder":true,"num":0}]"#, &limits).unwrap().is_none());
    let packet = decoder.binary(&[1, 2, 3], &limits).unwrap().unwrap();
    assert_eq!(shown(&packet), r#"ack / 3 [{"_placeholder":true,"num":0}] [3]"#);
}

/// Traps of other servers: each would mix up packets if it were let through.
#[test]
fn frames_in_the_wrong_order_are_refused() {
    let limits = Limits { attachment_bytes_max: 8, ..Limits::default() };
    let with = |frames: &dyn Fn(&mut Decoder) -> Result<(), PacketError>| frames(&mut Decoder::new()).err();
    // Text between attachments, even another packet of the kind.
    for text in [r#"2["a"]"#, TWO, "1", ""] {
        let error = with(&|decoder| {
            decoder.text(TWO, &limits)?;
            decoder.binary(b"a", &limits)?;
            decoder.text(text, &limits).map(|_| ())
        });
        assert_eq!(error, Some(PacketError::UnexpectedText), "{text}");
    }
    // One attachment more than announced, and one that nobody announced.
    let error = with(&|decoder| {
        decoder.text(TWO, &limits)?;
        decoder.binary(b"a", &limits)?;
        decoder.binary(b"b", &limits)?;
        decoder.binary(b"c", &limits).map(|_| ())
    });
    assert_eq!(error, Some(PacketError::UnexpectedBinary));
    let error = with(&|decoder| {
        decoder.text("0", &limits)?;
        decoder.binary(b"a", &limits).map(|_| ())
    });
    assert_eq!(error, Some(PacketError::UnexpectedBinary));
    // Attachments count together.
    let error = with(&|decoder| {
        decoder.text(TWO, &limits)?;
        decoder.binary(b"12345", &limits)?;
        decoder.binary(b"6789", &limits).map(|_| ())
    });
    assert_eq!(error, Some(PacketError::AttachmentsTooLarge { bytes_max: 8 }));
    // A msgpack client never sends text.
    let error = with(&|decoder| {
        decoder.binary(b"\x82\xa4type\x00\xa3nsp\xa1/", &limits)?;
        decoder.text("0", &limits).map(|_| ())
    });
    assert_eq!(error, Some(PacketError::UnexpectedText));
}

#[test]
fn arguments_are_found_and_read() {
    let packet = Decoder::new()
        .text(r#"2["n\u00e4me\n", {"a":[1,2]} ,"te\"xt",-5, null,[],7]"#, &Limits::default())
        .unwrap()
        .unwrap();
    let Inbound::Event { args, .. } = packet else { panic!("{packet:?}") };
    assert_eq!(args.name(), Some("näme\n"));
    assert_eq!((args.len(), args.is_empty()), (6, false));
    let raw: Vec<_> = (0..7).map(|index| args.raw(index)).collect();
    assert_eq!(
        raw,
        [Some(r#"{"a":[1,2]}"#), Some(r#""te\"xt""#), Some("-5"), Some("null"), Some("[]"), Some("7"), None]
    );
    assert_eq!(args.get::<String>(1).unwrap(), "te\"xt");
    assert_eq!(args.get::<i8>(2).unwrap(), -5);
    assert_eq!(args.get::<Option<u8>>(3).unwrap(), None);
    assert_eq!(args.get::<u8>(2).unwrap_err().to_string(), "argument 2 is not what was expected");
    assert_eq!(args.get::<u8>(6).unwrap_err().to_string(), "argument 6 is missing");
    assert_eq!(args.raw(usize::MAX), None);
    assert_eq!(args.to_raw_data(0).as_deref(), Some(r#"{"a":[1,2]}"#));

    let packet = Decoder::new().text(r#"30["first"]"#, &Limits::default()).unwrap().unwrap();
    let Inbound::Ack { args, .. } = packet else { panic!("{packet:?}") };
    assert_eq!((args.name(), args.len(), args.raw(0)), (None, 1, Some(r#""first""#)));
}
