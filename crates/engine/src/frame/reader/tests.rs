//! Every rule of the protocol, one row each, and what the reader keeps in memory.

use std::convert::Infallible;

use super::super::{
    Incoming, Limits, Opcode, ProtocolError, ReadError, Reader, Role, close_frame,
    deflate::{self, InflateError},
    partial::{FRAGMENTS_MAX, Partial},
    write_frame, write_masked_frame,
};

const LIMITS: Limits = Limits { frame_bytes_max: 1000, message_bytes_max: 1500 };
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

fn seen(incoming: Incoming<'_>) -> Seen {
    match incoming {
        Incoming::Text(text) => Seen::Text(text.to_owned()),
        Incoming::Binary(bytes) => Seen::Binary(bytes.to_vec()),
        Incoming::Ping(bytes) => Seen::Ping(bytes.to_vec()),
        Incoming::Pong(bytes) => Seen::Pong(bytes.to_vec()),
        Incoming::Close(close) => Seen::Close(close.map(|(code, reason)| (code, reason.to_owned()))),
    }
}

/// A frame of a client, from its first byte and its payload, with the shortest length.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_masked_frame(&mut out, Opcode::Binary, payload, false, KEY);
    out[0] = first;
    out
}

fn frames(list: &[(u8, &[u8])]) -> Vec<u8> {
    list.iter().flat_map(|(first, payload)| frame(*first, payload)).collect()
}

fn read_pieces(
    reader: &mut Reader,
    bytes: &[u8],
    piece: usize,
) -> (Vec<Seen>, Result<(), ReadError<Infallible>>) {
    let mut all = Vec::new();
    let mut result = Ok(());
    for chunk in bytes.chunks(piece) {
        let read = reader.read(&mut chunk.to_vec(), &LIMITS, |incoming| {
            all.push(seen(incoming));
            Ok(())
        });
        if read.is_err() {
            assert!(result.is_ok(), "told twice: {result:?}, {read:?}");
            result = read;
        }
    }
    (all, result)
}

/// Whole, bytewise, and in pieces that cut headers and keys: the outcome must not depend on it.
fn read(role: Role, deflate: bool, bytes: &[u8]) -> (Vec<Seen>, Result<(), ProtocolError>) {
    let mut outcomes = [bytes.len().max(1), 1, 2, 3, 5, 7, 13, 64].map(|piece| {
        let mut reader = Reader::new(role, deflate);
        let (seen, result) = read_pieces(&mut reader, bytes, piece);
        let result = result.map_err(|error| match error {
            ReadError::Protocol(error) => error,
            ReadError::Sink(never) => match never {},
        });
        (seen, result)
    });
    for outcome in &outcomes[1..] {
        assert_eq!(outcome, &outcomes[0]);
    }
    std::mem::replace(&mut outcomes[0], (Vec::new(), Ok(())))
}

fn text(text: &str) -> Seen {
    Seen::Text(text.to_owned())
}

#[test]
fn messages() {
    let medium = [b'm'; 126];
    let long = [b'l'; 1000];
    let cases: Vec<(Vec<u8>, Vec<Seen>)> = vec![
        (Vec::new(), vec![]),
        (frame(0x81, b"Hello"), vec![text("Hello")]),
        (frame(0x81, b""), vec![text("")]),
        (frame(0x82, b""), vec![Seen::Binary(vec![])]),
        (frame(0x82, &medium), vec![Seen::Binary(medium.to_vec())]),
        (frame(0x82, &long), vec![Seen::Binary(long.to_vec())]),
        (frame(0x81, "κόσμε".as_bytes()), vec![text("κόσμε")]),
        (frame(0x89, b"ping"), vec![Seen::Ping(b"ping".to_vec())]),
        (frame(0x8a, b""), vec![Seen::Pong(vec![])]),
        (frame(0x89, &[7; 125]), vec![Seen::Ping(vec![7; 125])]),
        (
            frames(&[(0x81, b"a"), (0x82, b"b"), (0x81, b"c")]),
            vec![text("a"), Seen::Binary(vec![b'b']), text("c")],
        ),
        // Fragments; empty ones; a character cut by the edge of two of them.
        (frames(&[(0x01, b"Hel"), (0x80, b"lo")]), vec![text("Hello")]),
        (frames(&[(0x01, b""), (0x00, b""), (0x80, b"")]), vec![text("")]),
        (frames(&[(0x01, b"\xce"), (0x00, b"\xba\xe1\xbd"), (0x80, b"\xb9")]), vec![text("κ\u{1f79}")]),
        (frames(&[(0x02, b"\xce"), (0x80, b"\xff")]), vec![Seen::Binary(vec![0xce, 0xff])]),
        (frames(&[(0x02, &[1; 1000]), (0x80, &[1; 500])]), vec![Seen::Binary(vec![1; 1500])]),
        // Control frames between fragments come first, in order.
        (
            frames(&[(0x01, b"a"), (0x89, b"1"), (0x00, b"b"), (0x8a, b"2"), (0x80, b"c"), (0x89, b"3")]),
            vec![Seen::Ping(vec![b'1']), Seen::Pong(vec![b'2']), text("abc"), Seen::Ping(vec![b'3'])],
        ),
        (frame(0x88, b""), vec![Seen::Close(None)]),
        (frame(0x88, b"\x03\xe8done"), vec![Seen::Close(Some((1000, "done".to_owned())))]),
        // Nothing is read after a close, not even what would be a fault.
        (
            frames(&[(0x88, b"\x03\xe9"), (0x81, b"late"), (0xff, b"")]),
            vec![Seen::Close(Some((1001, String::new())))],
        ),
        (frames(&[(0x01, b"open"), (0x88, b"")]), vec![Seen::Close(None)]),
    ];
    for (bytes, expected) in cases {
        assert_eq!(read(Role::Server, false, &bytes), (expected, Ok(())), "{bytes:?}");
    }
}

#[test]
fn faults() {
    use ProtocolError as E;
    let unmasked = |first: u8, second: u8| vec![first, second, b'x', b'x'];
    let cases: Vec<(Vec<u8>, E, u16)> = vec![
        (frame(0xa1, b""), E::ReservedBit, 1002),
        (frame(0x91, b""), E::ReservedBit, 1002),
        (frame(0xb9, b""), E::ReservedBit, 1002),
        (frame(0xc1, b""), E::CompressionNotNegotiated, 1002),
        (frame(0xc9, b""), E::CompressedControl, 1002),
        (frame(0x83, b""), E::UnknownOpcode(0x3), 1002),
        (frame(0x87, b""), E::UnknownOpcode(0x7), 1002),
        (frame(0x8b, b""), E::UnknownOpcode(0xb), 1002),
        (frame(0x8f, b""), E::UnknownOpcode(0xf), 1002),
        (frame(0x09, b""), E::FragmentedControl, 1002),
        (frame(0x0a, b""), E::FragmentedControl, 1002),
        (frame(0x08, b""), E::FragmentedControl, 1002),
        (frame(0x89, &[0; 126]), E::ControlTooLong, 1002),
        (frame(0x88, &[0; 126]), E::ControlTooLong, 1002),
        (unmasked(0x81, 2), E::NotMasked, 1002),
        (unmasked(0x89, 2), E::NotMasked, 1002),
        // Lengths: 125 in two bytes, 65535 in eight, and the forbidden highest bit.
        (vec![0x82, 0xfe, 0, 125, 1, 2, 3, 4], E::LengthNotMinimal, 1002),
        (vec![0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4], E::LengthNotMinimal, 1002),
        (vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], E::LengthOverflow, 1002),
        (vec![0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], E::LengthOverflow, 1002),
        (
            vec![0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4],
            E::FrameTooLong { len: u64::MAX >> 1, max: 1000 },
            1009,
        ),
        (
            vec![0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4],
            E::FrameTooLong { len: 65536, max: 1000 },
            1009,
        ),
        (frame(0x82, &[0; 1001]), E::FrameTooLong { len: 1001, max: 1000 }, 1009),
        (frame(0x80, b"x"), E::ContinuationWithoutStart, 1002),
        (frame(0x00, b"x"), E::ContinuationWithoutStart, 1002),
        (frames(&[(0x01, b"a"), (0x81, b"b")]), E::MessageInsideMessage, 1002),
        (frames(&[(0x02, b"a"), (0x02, b"b")]), E::MessageInsideMessage, 1002),
        (frames(&[(0x02, &[1; 1000]), (0x80, &[1; 501])]), E::MessageTooLong { max: 1500 }, 1009),
        (frame(0x81, b"\xff"), E::TextNotUtf8, 1007),
        // A surrogate, an overlong form, a character that never ends, one that ends in the wrong fragment.
        (frame(0x81, b"\xed\xa0\x80"), E::TextNotUtf8, 1007),
        (frame(0x81, b"\xc0\xaf"), E::TextNotUtf8, 1007),
        (frame(0x81, b"abc\xe1\xbd"), E::TextNotUtf8, 1007),
        (frames(&[(0x01, b"\xce"), (0x80, b"x")]), E::TextNotUtf8, 1007),
        (frames(&[(0x01, b"\xce"), (0x80, b"")]), E::TextNotUtf8, 1007),
        // Refused with the fragment, not only with the end of the message.
        (frames(&[(0x01, b"\xce\xce"), (0x00, b"")]), E::TextNotUtf8, 1007),
        (frame(0x88, b"\x03"), E::CloseTruncated, 1002),
        (frame(0x88, b"\x03\xed"), E::CloseCode(1005), 1002),
        (frame(0x88, b"\x03\xe8\xff"), E::CloseReasonNotUtf8, 1007),
    ];
    for (bytes, expected, code) in cases {
        assert_eq!(expected.close_code(), code);
        assert_eq!(read(Role::Server, false, &bytes), (vec![], Err(expected)), "{bytes:?}");
        // The same behind a message that is in order.
        let behind = [frame(0x81, b"first"), bytes].concat();
        let (seen, result) = read(Role::Server, false, &behind);
        assert_eq!((seen, result.is_err()), (vec![text("first")], true), "{behind:?}");
    }
}

#[test]
fn a_fault_shows_with_the_first_bytes_that_prove_it() {
    let cases: &[(&[u8], ProtocolError)] = &[
        (&[0xa1, 0x80], ProtocolError::ReservedBit),
        (&[0x83, 0x80], ProtocolError::UnknownOpcode(3)),
        (&[0x09, 0x80], ProtocolError::FragmentedControl),
        (&[0x89, 0xfe], ProtocolError::ControlTooLong),
        (&[0x81, 0x05], ProtocolError::NotMasked),
        (&[0x82, 0xfe, 0, 1], ProtocolError::LengthNotMinimal),
        (&[0x82, 0xfe, 0xff, 0xff, 0, 0, 0, 0], ProtocolError::FrameTooLong { len: 65535, max: 1000 }),
    ];
    for (bytes, expected) in cases {
        assert_eq!(read(Role::Server, false, bytes), (vec![], Err(expected.clone())), "{bytes:?}");
        assert_eq!(read(Role::Server, false, &bytes[..bytes.len() - 1]), (vec![], Ok(())), "{bytes:?}");
    }
}

#[test]
fn a_client_reads_what_a_server_writes() {
    let mut bytes = Vec::new();
    write_frame(&mut bytes, Opcode::Text, b"one", false);
    write_frame(&mut bytes, Opcode::Binary, &[2; 700], false);
    write_frame(&mut bytes, Opcode::Ping, b"3", false);
    bytes.extend(close_frame(4000, "four"));
    let expected = vec![
        text("one"),
        Seen::Binary(vec![2; 700]),
        Seen::Ping(b"3".to_vec()),
        Seen::Close(Some((4000, "four".to_owned()))),
    ];
    assert_eq!(read(Role::Client, false, &bytes), (expected, Ok(())));
    assert_eq!(read(Role::Client, false, &frame(0x81, b"masked")), (vec![], Err(ProtocolError::Masked)));
}

#[test]
fn a_frame_is_measured_against_both_limits() {
    let limits = Limits { frame_bytes_max: 100, message_bytes_max: 10 };
    let read = |len: usize| {
        Reader::new(Role::Server, false)
            .read(&mut frame(0x82, &vec![0; len]), &limits, |_| Ok::<_, Infallible>(()))
    };
    assert_eq!(read(10), Ok(()));
    assert_eq!(read(11), Err(ReadError::Protocol(ProtocolError::MessageTooLong { max: 10 })));
    assert_eq!(read(101), Err(ReadError::Protocol(ProtocolError::FrameTooLong { len: 101, max: 100 })));
}

fn compressed(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    deflate::compress(payload, &mut out);
    out
}

#[test]
fn compressed_messages() {
    let json = r#"["message",{"room":"chat:1","text":"hello hello hello"}]"#.repeat(5);
    let whole = compressed(json.as_bytes());
    let (head, tail) = whole.split_at(whole.len() / 2);
    let mixed =
        frames(&[(0xc1, &whole), (0x81, b"plain"), (0x41, head), (0x89, b""), (0x80, tail), (0xc2, b"")]);
    let expected = vec![text(&json), text("plain"), Seen::Ping(vec![]), text(&json), Seen::Binary(vec![])];
    assert_eq!(read(Role::Server, true, &mixed), (expected, Ok(())));

    let cases = [
        (frames(&[(0x41, head), (0xc0, tail)]), ProtocolError::CompressedContinuation),
        (frame(0xc1, head), ProtocolError::Inflate(InflateError::Malformed)),
        (frame(0xc1, &compressed(b"\xff")), ProtocolError::TextNotUtf8),
        (frame(0xc2, &compressed(&[0; 1501])), ProtocolError::Inflate(InflateError::TooLong { max: 1500 })),
    ];
    for (bytes, expected) in cases {
        assert_eq!(read(Role::Server, true, &bytes), (vec![], Err(expected)), "{bytes:?}");
    }
    let full = vec![Seen::Binary(vec![0; 1500])];
    assert_eq!(read(Role::Server, true, &frame(0xc2, &compressed(&[0; 1500]))), (full, Ok(())));
}

#[test]
fn fragments_are_bounded_in_number() {
    let mut reader = Reader::new(Role::Server, false);
    let sink = |_: Incoming<'_>| Ok::<_, Infallible>(());
    reader.read(&mut frame(0x02, b""), &LIMITS, sink).unwrap();
    for _ in 1..FRAGMENTS_MAX {
        reader.read(&mut frame(0x00, b""), &LIMITS, sink).unwrap();
    }
    assert!(reader.held_bytes() <= size_of::<Partial>());
    let error = reader.read(&mut frame(0x00, b""), &LIMITS, sink).unwrap_err();
    assert_eq!(error, ReadError::Protocol(ProtocolError::TooManyFragments { max: FRAGMENTS_MAX }));
}

#[test]
fn an_announced_length_reserves_nothing() {
    let huge = Limits { frame_bytes_max: usize::MAX, message_bytes_max: usize::MAX };
    let mut reader = Reader::new(Role::Server, false);
    let mut bytes = vec![0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    bytes.extend([1; 100]);
    reader.read(&mut bytes, &huge, |_| Ok::<_, Infallible>(())).unwrap();
    assert!(reader.has_partial());
    assert!(reader.held_bytes() <= size_of::<Partial>() + 100, "{}", reader.held_bytes());
    for _ in 0..100 {
        reader.read(&mut [1; 10], &huge, |_| Ok::<_, Infallible>(())).unwrap();
    }
    assert!(reader.held_bytes() <= size_of::<Partial>() + 2 * 1100, "{}", reader.held_bytes());
}

#[test]
fn memory_is_held_only_while_something_is_unfinished() {
    assert!(size_of::<Reader>() <= 16);
    let message = frames(&[(0x01, &[b'a'; 900]), (0x89, b"ping"), (0x80, &[b'b'; 600])]);
    let mut reader = Reader::new(Role::Server, false);
    let mut count = 0;
    for (at, byte) in message.iter().enumerate() {
        let read = reader.read(&mut [*byte], &LIMITS, |_| {
            count += 1;
            Ok::<_, Infallible>(())
        });
        read.unwrap();
        assert!(reader.held_bytes() <= size_of::<Partial>() + 1500 + 125);
        assert_eq!(reader.has_partial(), at + 1 < message.len());
    }
    assert_eq!((count, reader.held_bytes()), (2, 0));
}

#[test]
fn a_message_that_lies_whole_in_the_input_is_not_copied() {
    let mut input = [frame(0x81, b"first"), frame(0x82, &[9; 300])].concat();
    let range = input.as_ptr_range();
    let mut reader = Reader::new(Role::Server, false);
    let read = reader.read(&mut input, &LIMITS, |incoming| {
        let start = match incoming {
            Incoming::Text(text) => text.as_ptr(),
            Incoming::Binary(bytes) => bytes.as_ptr(),
            other => panic!("{other:?}"),
        };
        assert!(range.contains(&start));
        Ok::<_, Infallible>(())
    });
    read.unwrap();
}

#[test]
fn the_sinks_error_ends_the_reader() {
    let mut reader = Reader::new(Role::Server, false);
    let mut calls = 0;
    let mut input = frames(&[(0x81, b"a"), (0x81, b"b"), (0x81, b"c")]);
    let result = reader.read(&mut input, &LIMITS, |_| {
        calls += 1;
        if calls == 2 { Err("full") } else { Ok(()) }
    });
    assert_eq!(result, Err(ReadError::Sink("full")));
    let after = reader.read(&mut frame(0x81, b"d"), &LIMITS, |_| {
        calls += 1;
        Ok::<_, Infallible>(())
    });
    assert_eq!((after, calls), (Ok(()), 2));
}

/// An application that, while it handles a message, reads another connection on the same thread.
#[test]
fn reading_inside_of_a_sink() {
    let payload = compressed(&[b'x'; 200]);
    let mut seen = Vec::new();
    let result = Reader::new(Role::Server, true).read(&mut frame(0xc1, &payload), &LIMITS, |outer| {
        Reader::new(Role::Server, true).read(&mut frame(0xc1, &payload), &LIMITS, |inner| {
            seen.push(outer == inner);
            Ok::<_, Infallible>(())
        })
    });
    assert!(result.is_ok());
    assert_eq!(seen, [true]);
}
