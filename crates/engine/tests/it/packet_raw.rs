//! Requests of the plain JSON protocol.
#![allow(clippy::unwrap_used, reason = "what helps a test is a test")]

use turnpike_engine::packet::{Limits, PacketError, RawInbound};

fn read(text: &str) -> Result<(Option<u64>, String, String), PacketError> {
    RawInbound::parse(text, &Limits::default())
        .map(|request| (request.id, request.event.into_owned(), request.data.to_owned()))
}

#[test]
fn requests_are_read() {
    for (text, id, event, data) in [
        (
            r#"{"id":1,"event":"room:join","data":{"room":"a","n":[1,{}]}}"#,
            Some(1),
            "room:join",
            r#"{"room":"a","n":[1,{}]}"#,
        ),
        (r#" { "data" : [ 1 ] , "event" : "a" , "id" : 0 } "#, Some(0), "a", "[ 1 ]"),
        (r#"{"event":"connect","data":{"token":"x"}}"#, None, "connect", r#"{"token":"x"}"#),
        (r#"{"event":"a"}"#, None, "a", "null"),
        (r#"{"id":9007199254740991,"event":"","data":"x"}"#, Some(9_007_199_254_740_991), "", r#""x""#),
        (r#"{"\u0069d":2,"\u0065vent":"\u0061\n","dat\u0061":null}"#, Some(2), "a\n", "null"),
        (r#"{"v":2,"event":"a","trace":{"id":5}}"#, None, "a", "null"),
    ] {
        assert_eq!(read(text), Ok((id, event.to_owned(), data.to_owned())), "{text}");
    }
}

#[test]
fn requests_are_refused() {
    use PacketError as E;
    for (text, error) in [
        ("", E::Payload),
        ("null", E::Payload),
        (r#"["a"]"#, E::Payload),
        (r#"{"event":"a""#, E::Json { at: 12 }),
        (r#"{"event":"a"}{}"#, E::Json { at: 13 }),
        ("{}", E::EventName),
        (r#"{"id":1,"data":{}}"#, E::EventName),
        (r#"{"event":1}"#, E::EventName),
        (r#"{"event":null}"#, E::EventName),
        (r#"{"event":"disconnect"}"#, E::ReservedEvent),
        (r#"{"event":"connect_error"}"#, E::ReservedEvent),
        (r#"{"event":"a","event":"b"}"#, E::Payload),
        (r#"{"event":"a","id":1,"id":2}"#, E::Payload),
        (r#"{"event":"a","data":1,"d\u0061ta":2}"#, E::Payload),
        (r#"{"event":"a","id":-1}"#, E::AckId),
        (r#"{"event":"a","id":-0}"#, E::AckId),
        (r#"{"event":"a","id":1.0}"#, E::AckId),
        (r#"{"event":"a","id":"1"}"#, E::AckId),
        (r#"{"event":"a","id":null}"#, E::AckId),
        (r#"{"event":"a","id":9007199254740992}"#, E::AckId),
        (r#"{"event":"a","id":99999999999999999999}"#, E::AckId),
        (r#"{"event":"a","data":{"__proto__":1}}"#, E::ForbiddenKey),
        (r#"{"event":"a","__proto__":1}"#, E::ForbiddenKey),
        (r#"{"event":"a","data":{"_placeholder":true,"num":0}}"#, E::Placeholder),
        (r#"{"event":"a","data":"\ud800"}"#, E::Json { at: 27 }),
    ] {
        assert_eq!(read(text), Err(error), "{text}");
    }
}

#[test]
fn limits_hold_at_their_edge() {
    let limits = Limits {
        packet_bytes_max: 24,
        event_name_bytes_max: 3,
        json_depth_max: 2,
        json_keys_max: 3,
        ..Limits::default()
    };
    let read = |text: &str| RawInbound::parse(text, &limits).err();
    assert_eq!(read(r#"{"event":"abc"}"#), None);
    assert_eq!(read(r#"{"event":"abcd"}"#), Some(PacketError::EventNameTooLong { bytes_max: 3 }));
    assert_eq!(read(r#"{"event":"a","data":[]}"#), None);
    assert_eq!(read(r#"{"event":"a","data":[ ]}"#), None);
    assert_eq!(read(r#"{"event":"a","data":[  ]}"#), Some(PacketError::TooLarge { bytes_max: 24 }));
    let limits = Limits { packet_bytes_max: 100, ..limits };
    let read = |text: &str| RawInbound::parse(text, &limits).err();
    assert_eq!(read(r#"{"event":"a","data":[[]]}"#), Some(PacketError::TooDeep { depth_max: 2 }));
    assert_eq!(read(r#"{"event":"a","data":{"a":1}}"#), None);
    assert_eq!(read(r#"{"event":"a","data":{"a":1,"b":2}}"#), Some(PacketError::TooManyKeys { keys_max: 3 }));
}

/// The application sees the same as of a Socket.IO client.
#[test]
fn a_request_becomes_arguments() {
    let request = |text| RawInbound::parse(text, &Limits::default()).unwrap().to_args();
    let args = request(r#"{"id":1,"event":"a\nb","data": {"n":[1]} }"#);
    assert_eq!(args.text().as_str(), r#"["a\nb",{"n":[1]}]"#);
    assert_eq!((args.name(), args.len(), args.raw(0)), (Some("a\nb"), 1, Some(r#"{"n":[1]}"#)));
    let args = request(r#"{"event":"plain"}"#);
    assert_eq!((args.name(), args.len(), args.raw(0)), (Some("plain"), 1, Some("null")));
    assert_eq!(args.raw(1), None);
    assert!(args.attachments().is_empty());
}
