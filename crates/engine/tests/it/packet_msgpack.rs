//! Packets of the msgpack parser from clients.
#![allow(clippy::unwrap_used, reason = "what helps a test is a test")]

use turnpike_engine::packet::{Decoder, Inbound, Limits, PacketError, Parser};

use crate::packet_text::shown;

fn read(bytes: &[u8]) -> Result<String, PacketError> {
    read_within(bytes, &Limits::default())
}

fn read_within(bytes: &[u8], limits: &Limits) -> Result<String, PacketError> {
    Decoder::new().binary(bytes, limits).map(|packet| shown(&packet.unwrap()))
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.bytes().map(|digit| char::from(digit).to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// An event of `/` whose data are these bytes.
fn event(data: &[u8]) -> Vec<u8> {
    [b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data", data].concat()
}

/// An event named `a` with one argument.
fn argument(argument: &[u8]) -> Vec<u8> {
    event(&[b"\x92\xa1a", argument].concat())
}

/// Bytes as socket.io-msgpack-parser 3.0.2 writes them in Node, with what the client had put in.
#[test]
fn packets_of_the_stock_client_are_read() {
    for (bytes, packet) in [
        // auth: undefined
        ("83a47479706500a464617461d40000a36e7370a12f", "connect / -"),
        (
            "83a47479706500a46461746181a5746f6b656ea3616263a36e7370a62f61646d696e",
            r#"connect /admin {"token":"abc"}"#,
        ),
        ("82a47479706501a36e7370a12f", "disconnect /"),
        ("83a47479706501a76f7074696f6e7381a8636f6d7072657373c3a36e7370a52f63686174", "disconnect /chat"),
        (
            "84a47479706502a46461746191a161a76f7074696f6e7381a8636f6d7072657373c3a36e7370a12f",
            r#"event / - ["a"] []"#,
        ),
        (
            "85a47479706502a4646174619ea16181a16294c0c3cb3ff8000000000000a16390ffd0dfd1ff7fd2ffff63c0d3ffffffff4d\
             2fa2007fcc80cd0100ce00011170cf000000012a05f200cf001fffffffffffffa76f7074696f6e7381a8636f6d7072657373\
             c3a269640ca36e7370a52f63686174",
            r#"event /chat 12 ["a",{"b":[null,true,1.5,"c"]},[],-1,-33,-129,-40000,-3000000000,127,128,256,70000,5000000000,9007199254740991] []"#,
        ),
        // ["a", undefined, {x: undefined, y: 1, z: undefined}], which JSON.stringify writes in the same way
        (
            "84a47479706502a46461746193a161d4000083a178d40000a17901a17ad40000a76f7074696f6e7381a8636f6d7072657373\
             c3a36e7370a12f",
            r#"event / - ["a",null,{"y":1}] []"#,
        ),
        // ["a", new Date(1732147200123), new Date(-1)]
        (
            "83a47479706502a46461746193a161d700000001934c04c07bd700ffffffffffffffffa36e7370a12f",
            r#"event / - ["a","2024-11-21T00:00:00.123Z","1969-12-31T23:59:59.999Z"] []"#,
        ),
        // ["a", Buffer.from("first"), {b: Buffer.from("")}]
        (
            "83a47479706502a46461746193a161c405666972737481a162c400a36e7370a12f",
            r#"event / - ["a",{"_placeholder":true,"num":0},{"b":{"_placeholder":true,"num":1}}] [5, 0]"#,
        ),
        // ["a", new Uint8Array([7]).buffer, new Uint8Array(3)]: not binary to the library, but an extension
        (
            "83a47479706502a46461746193a161c7010007c70300000000a36e7370a12f",
            r#"event / - ["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}] [1, 3]"#,
        ),
        ("84a47479706503a4646174619181a26f6bc3a2696400a36e7370a12f", r#"ack / 0 [{"ok":true}] []"#),
        (
            "83a47479706502a46461746192a161aac3a9f09f98800a225c00a36e7370a12f",
            r#"event / - ["a","é😀\n\"\\\u0000"] []"#,
        ),
    ] {
        let bytes = hex(&bytes.split_whitespace().collect::<String>());
        assert_eq!(read(&bytes).as_deref(), Ok(packet), "{packet}");
        // Cut anywhere it is an error, never a smaller packet.
        for end in 0..bytes.len() {
            assert_eq!(read(&bytes[..end]).ok(), None, "{packet} cut at {end}");
        }
        let longer = [&bytes[..], &[0xc0]].concat();
        assert_eq!(read(&longer), Err(PacketError::Msgpack), "{packet} with more behind it");
    }
}

#[test]
fn every_length_and_number_has_several_forms() {
    for (bytes, json) in [
        (&b"\xc2"[..], "false"),
        (b"\x7f", "127"),
        (b"\xe0", "-32"),
        (b"\xcc\x05", "5"),
        (b"\xcd\x00\x05", "5"),
        (b"\xce\x00\x00\x00\x05", "5"),
        (b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615"),
        (b"\xd0\x80", "-128"),
        (b"\xd1\x00\x05", "5"),
        (b"\xd2\xff\xff\xff\xff", "-1"),
        (b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00", "-9223372036854775808"),
        (b"\xca\x3f\x00\x00\x00", "0.5"),
        (b"\xcb\x7f\xef\xff\xff\xff\xff\xff\xff", "1.7976931348623157e+308"),
        (b"\xcb\x80\x00\x00\x00\x00\x00\x00\x00", "-0.0"),
        (b"\xa0", r#""""#),
        (b"\xd9\x01x", r#""x""#),
        (b"\xda\x00\x01x", r#""x""#),
        (b"\xdb\x00\x00\x00\x01x", r#""x""#),
        (b"\xdc\x00\x01\x01", "[1]"),
        (b"\xdd\x00\x00\x00\x01\x01", "[1]"),
        (b"\xde\x00\x01\xa1x\x01", r#"{"x":1}"#),
        (b"\xdf\x00\x00\x00\x01\xd9\x01x\x01", r#"{"x":1}"#),
        (b"\xc5\x00\x01x", r#"{"_placeholder":true,"num":0}"#),
        (b"\xc6\x00\x00\x00\x01x", r#"{"_placeholder":true,"num":0}"#),
        (b"\xc8\x00\x01\x00x", r#"{"_placeholder":true,"num":0}"#),
        (b"\xc9\x00\x00\x00\x01\x00x", r#"{"_placeholder":true,"num":0}"#),
    ] {
        let packet = Decoder::new().binary(&argument(bytes), &Limits::default()).unwrap().unwrap();
        let Inbound::Event { args, .. } = packet else { panic!("{packet:?}") };
        assert_eq!(args.raw(0), Some(json), "{bytes:x?}");
        assert_eq!(args.attachments().len(), usize::from(json.contains("placeholder")));
    }
}

#[test]
fn packets_are_refused() {
    use PacketError as E;
    let packet = |kind: &[u8], rest: &[u8]| [b"\x83\xa4type", kind, b"\xa3nsp\xa1/", rest].concat();
    for (about, bytes, error) in [
        ("nothing", vec![], E::Msgpack),
        ("no map", b"\xa4type".to_vec(), E::Msgpack),
        ("an empty map", b"\x80".to_vec(), E::Msgpack),
        ("a key that is a number", b"\x81\x01\x02".to_vec(), E::Msgpack),
        ("no type", b"\x81\xa3nsp\xa1/".to_vec(), E::Msgpack),
        ("no namespace", b"\x81\xa4type\x00".to_vec(), E::Namespace),
        ("namespace without slash", b"\x82\xa4type\x00\xa3nsp\xa1a".to_vec(), E::Namespace),
        ("namespace with comma", b"\x82\xa4type\x00\xa3nsp\xa3/,a".to_vec(), E::Namespace),
        ("namespace is a number", b"\x82\xa4type\x00\xa3nsp\x01".to_vec(), E::Msgpack),
        ("type 4", packet(b"\x04", b"\xa4data\x81\xa7message\xa1x"), E::NotForClients),
        ("type 7", packet(b"\x07", b"\xa4data\x90"), E::Msgpack),
        ("type -1", packet(b"\xff", b"\xa4data\x90"), E::Msgpack),
        ("type 2.0", packet(b"\xcb\x40\x00\x00\x00\x00\x00\x00\x00", b"\xa4data\x90"), E::Msgpack),
        ("type twice", b"\x83\xa4type\x00\xa4type\x01\xa3nsp\xa1/".to_vec(), E::Msgpack),
        ("namespace twice", b"\x83\xa3nsp\xa2/a\xa3nsp\xa2/b\xa4type\x00".to_vec(), E::Msgpack),
        (
            "data twice",
            b"\x84\xa3nsp\xa1/\xa4type\x02\xa4data\x91\xa1a\xa4data\x91\xa1b".to_vec(),
            E::Msgpack,
        ),
        ("more keys than there are", b"\x84\xa4type\x00\xa3nsp\xa1/".to_vec(), E::Msgpack),
        (
            "21 keys",
            [&b"\xde\x00\x15\xa4type\x00\xa3nsp\xa1/"[..], &b"\xa1x\xc0".repeat(19)].concat(),
            E::Msgpack,
        ),
        ("auth is an array", packet(b"\x00", b"\xa4data\x90"), E::Payload),
        ("auth is text", packet(b"\x00", b"\xa4data\xa1a"), E::Payload),
        ("auth with binary", packet(b"\x00", b"\xa4data\x81\xa1a\xc4\x01x"), E::Payload),
        ("auth with __proto__", packet(b"\x00", b"\xa4data\x81\xa9__proto__\xc0"), E::ForbiddenKey),
        ("event without data", b"\x82\xa4type\x02\xa3nsp\xa1/".to_vec(), E::Msgpack),
        ("data is undefined", event(b"\xd4\x00\x00"), E::Payload),
        ("data is a map", event(b"\x81\xa1a\x01"), E::Payload),
        ("no name", event(b"\x90"), E::EventName),
        ("name is a number", event(b"\x91\x01"), E::EventName),
        ("name is binary", event(b"\x91\xc4\x01a"), E::EventName),
        ("reserved name", event(b"\x91\xaadisconnect"), E::ReservedEvent),
        ("ack without number", packet(b"\x03", b"\xa4data\x90"), E::Msgpack),
        ("key is a number", argument(b"\x81\x01\x02"), E::NotJson),
        ("key is nil", argument(b"\x81\xc0\x02"), E::NotJson),
        ("__proto__", argument(b"\x81\xa9__proto__\x80"), E::ForbiddenKey),
        ("not a number", argument(b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"), E::NotJson),
        ("infinity", argument(b"\xcb\xff\xf0\x00\x00\x00\x00\x00\x00"), E::NotJson),
        ("infinity, single", argument(b"\xca\x7f\x80\x00\x00"), E::NotJson),
        ("extension 1", argument(b"\xc7\x01\x01x"), E::NotJson),
        ("fixed extension 1", argument(b"\xd4\x01x"), E::NotJson),
        ("fixed extension of 2 bytes", argument(b"\xd5\x00xx"), E::NotJson),
        ("fixed extension of 16 bytes", argument(&[&b"\xd8\x00"[..], &[0; 16]].concat()), E::NotJson),
        ("timestamp of the standard", argument(b"\xd6\xff\x00\x00\x00\x00"), E::NotJson),
        ("date that there is not", argument(b"\xd7\x00\x7f\xff\xff\xff\xff\xff\xff\xff"), E::NotJson),
        ("not UTF-8", argument(b"\xa2\xc3\x28"), E::Msgpack),
        ("half a character", argument(b"\xa3\xed\xa0\x80"), E::Msgpack),
        ("never used marker", argument(b"\xc1"), E::Msgpack),
        ("array longer than the input", event(b"\xdd\xff\xff\xff\xff\xa1a"), E::Msgpack),
        ("map longer than the input", argument(b"\xdf\xff\xff\xff\xff"), E::Msgpack),
        ("text longer than the input", argument(b"\xdb\xff\xff\xff\xff"), E::Msgpack),
        ("binary longer than the input", argument(b"\xc6\xff\xff\xff\xff"), E::Msgpack),
        ("extension longer than the input", argument(b"\xc9\xff\xff\xff\xff\x00"), E::Msgpack),
    ] {
        assert_eq!(read(&bytes), Err(error), "{about}");
    }
}

/// Neutral text must not be able to say something that the client did not.
#[test]
fn placeholders_of_a_clients_own_are_refused() {
    let own = |num: u8| [b"\x82\xac_placeholder\xc3\xa3num", &[num][..]].concat();
    assert_eq!(read(&argument(&own(0))), Err(PacketError::Placeholder));
    for num in 0..3 {
        let with_binary = [b"\x93\xa1a\xc4\x01x", &own(num)[..]].concat();
        assert_eq!(read(&event(&with_binary)), Err(PacketError::Placeholder), "{num}");
    }
    let unmarked = [b"\x82\xac_placeholder\xc2\xa3num", &[0][..]].concat();
    let packet = r#"event / - ["a",{"_placeholder":false,"num":0}] []"#;
    assert_eq!(read(&argument(&unmarked)).as_deref(), Ok(packet));
}

#[test]
fn ack_numbers_are_exact() {
    let with = |id: &[u8]| [b"\x84\xa4type\x02\xa3nsp\xa1/\xa4data\x91\xa1a\xa2id", id].concat();
    assert_eq!(read(&with(b"\xc0")).as_deref(), Ok(r#"event / - ["a"] []"#));
    for (id, shown) in [
        (&b"\x00"[..], "0"),
        (b"\xcd\x01\x00", "256"),
        (b"\xcf\x00\x1f\xff\xff\xff\xff\xff\xff", "9007199254740991"),
    ] {
        assert_eq!(read(&with(id)), Ok(format!(r#"event / {shown} ["a"] []"#)));
    }
    for id in [&b"\xff"[..], b"\xcf\x00\x20\x00\x00\x00\x00\x00\x00", b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00"]
    {
        assert_eq!(read(&with(id)), Err(PacketError::AckId), "{id:x?}");
    }
    for id in
        [&b"\xcf\x80\x00\x00\x00\x00\x00\x00\x00"[..], b"\xa11", b"\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00"]
    {
        assert_eq!(read(&with(id)), Err(PacketError::Msgpack), "{id:x?}");
    }
}

#[test]
fn limits_hold_at_their_edge() {
    let limits = Limits {
        attachments_max: 2,
        attachment_bytes_max: 4,
        json_depth_max: 3,
        json_keys_max: 4,
        packet_bytes_max: 80,
        namespace_bytes_max: 4,
        event_name_bytes_max: 5,
        arguments_max: 4,
    };
    let read = |bytes: &[u8]| read_within(bytes, &limits).err();
    assert_eq!(read(&event(b"\x93\xa1a\xc4\x03xxx\xc4\x01x")), None);
    assert_eq!(
        read(&event(b"\x93\xa1a\xc4\x03xxx\xc4\x02xx")),
        Some(PacketError::AttachmentsTooLarge { bytes_max: 4 })
    );
    let three = b"\x94\xa1a\xc4\x00\xc4\x00\xc4\x00";
    assert_eq!(read(&event(three)), Some(PacketError::TooManyAttachments { attachments_max: 2 }));

    assert_eq!(read(&argument(b"\x91\x90")), None);
    assert_eq!(read(&argument(b"\x91\x91\x90")), Some(PacketError::TooDeep { depth_max: 3 }));
    // Those of the placeholders count as well, as they do when they come as text.
    let keys = |more: &[u8]| event(&[b"\x93\xa1a\xc4\x00", more].concat());
    assert_eq!(read(&keys(b"\x82\xa1a\x01\xa1b\x01")), None);
    assert_eq!(
        read(&keys(b"\x83\xa1a\x01\xa1b\x01\xa1c\x01")),
        Some(PacketError::TooManyKeys { keys_max: 4 })
    );
    assert_eq!(read(&event(b"\x94\xa1a\x01\x02\x03")), None);
    assert_eq!(
        read(&event(b"\x95\xa1a\x01\x02\x03\x04")),
        Some(PacketError::TooManyArguments { arguments_max: 4 })
    );
    assert_eq!(read(&event(b"\x91\xa6abcdef")), Some(PacketError::EventNameTooLong { bytes_max: 5 }));
    assert_eq!(
        read(b"\x82\xa4type\x00\xa3nsp\xa5/chat"),
        Some(PacketError::NamespaceTooLong { bytes_max: 4 })
    );

    // The neutral text counts: 12 control characters are 72 bytes of it.
    let text = |length: u8| argument(&[&[0xd9, length][..], &vec![1; length.into()]].concat());
    assert_eq!(read(&text(12)), None);
    assert_eq!(read(&text(13)), Some(PacketError::TooLarge { bytes_max: 80 }));
    assert_eq!(read(&[0x90; 84]), Some(PacketError::Msgpack));
    assert_eq!(read(&[0x90; 85]), Some(PacketError::TooLarge { bytes_max: 84 }));
}

#[test]
fn nesting_cannot_exhaust_the_stack() {
    for open in [&b"\x91"[..], b"\x81\xa1a"] {
        let deep = argument(&open.repeat(300_000));
        assert_eq!(read(&deep).ok(), None);
        let options = [b"\x83\xa4type\x00\xa3nsp\xa1/\xa7options", &open.repeat(300_000)[..]].concat();
        assert_eq!(read(&options), Err(PacketError::Msgpack));
        let closed =
            [b"\x83\xa4type\x00\xa3nsp\xa1/\xa7options", &open.repeat(300_000)[..], b"\xc0"].concat();
        assert_eq!(read(&closed), Err(PacketError::Msgpack));
    }
}

#[test]
fn the_first_packet_tells_the_parser() {
    let limits = Limits::default();
    let mut decoder = Decoder::new();
    assert_eq!(decoder.parser(), None);
    decoder.binary(b"\x82\xa4type\x00\xa3nsp\xa1/", &limits).unwrap();
    assert_eq!(decoder.parser(), Some(Parser::Msgpack));
    let packet = decoder.binary(&argument(b"\xc4\x01x"), &limits).unwrap();
    assert!(packet.is_some() && !decoder.is_pending());
}
