//! What holds for all messages and all ways in which their bytes may arrive.

use std::convert::Infallible;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use proptest::prelude::*;
use turnpike_engine::frame::{
    Incoming, Limits, Opcode, Reader, Role, deflate, write_frame, write_masked_frame,
};

use crate::fuzz_frame;

const LIMITS: Limits = Limits { frame_bytes_max: 1 << 20, message_bytes_max: 1 << 20 };

#[derive(Clone, Debug, PartialEq)]
enum Message {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

impl Message {
    fn parts(&self) -> (Opcode, &[u8]) {
        match self {
            Self::Text(text) => (Opcode::Text, text.as_bytes()),
            Self::Binary(bytes) => (Opcode::Binary, bytes),
            Self::Ping(bytes) => (Opcode::Ping, bytes),
            Self::Pong(bytes) => (Opcode::Pong, bytes),
        }
    }
}

/// A message and how it is sent: compressed or not, and the sizes of its fragments.
#[derive(Clone, Debug)]
struct Sent {
    message: Message,
    compressed: bool,
    fragments: Vec<usize>,
    key: [u8; 4],
}

fn message() -> impl Strategy<Value = Message> {
    let bytes = prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..200),
        2 => prop::collection::vec(any::<u8>(), 0..3_000),
        1 => (65_530_usize..65_540).prop_map(|len| vec![0x5a; len]),
    ];
    prop_oneof![
        4 => any::<String>().prop_map(Message::Text),
        4 => bytes.prop_map(Message::Binary),
        1 => prop::collection::vec(any::<u8>(), 0..=125).prop_map(Message::Ping),
        1 => prop::collection::vec(any::<u8>(), 0..=125).prop_map(Message::Pong),
    ]
}

fn sent() -> impl Strategy<Value = Sent> {
    (message(), any::<bool>(), prop::collection::vec(0_usize..300, 0..4), any::<[u8; 4]>())
        .prop_map(|(message, compressed, fragments, key)| Sent { message, compressed, fragments, key })
}

/// Frames of a message. Our writer makes whole ones, so the first byte of a fragment loses some of its bits here.
fn write(role: Role, deflate: bool, sent: &Sent, out: &mut Vec<u8>) {
    const WHOLE: u8 = 0xff;
    const NOT_LAST: u8 = 0x7f;
    const CONTINUATION: u8 = 0xf0;
    let (opcode, payload) = sent.message.parts();
    let mut frame = |opcode, payload: &[u8], compressed, kept_bits: u8| {
        let start = out.len();
        match role {
            Role::Client => write_masked_frame(out, opcode, payload, compressed, sent.key),
            Role::Server => write_frame(out, opcode, payload, compressed),
        }
        out[start] &= kept_bits;
    };
    if matches!(opcode, Opcode::Ping | Opcode::Pong) {
        frame(opcode, payload, false, WHOLE);
        return;
    }
    let compressed = deflate && sent.compressed;
    let mut small = Vec::new();
    if compressed {
        deflate::compress(payload, &mut small);
    }
    let mut rest = if compressed { &small[..] } else { payload };
    let mut position = WHOLE;
    for (at, size) in sent.fragments.iter().enumerate() {
        let (part, more) = rest.split_at((*size).min(rest.len()));
        frame(opcode, part, compressed && at == 0, position & NOT_LAST);
        // A control frame may stand anywhere between fragments.
        frame(Opcode::Pong, &[at as u8], false, WHOLE);
        rest = more;
        position = CONTINUATION;
    }
    frame(opcode, rest, compressed && sent.fragments.is_empty(), position);
}

fn expected(all: &[Sent]) -> Vec<Message> {
    let mut messages = Vec::new();
    for sent in all {
        if matches!(sent.message, Message::Text(_) | Message::Binary(_)) {
            messages.extend((0..sent.fragments.len()).map(|at| Message::Pong(vec![at as u8])));
        }
        messages.push(sent.message.clone());
    }
    messages
}

proptest! {
    #[test]
    fn messages_arrive_however_their_bytes_are_cut(
        all in prop::collection::vec(sent(), 0..6),
        pieces in prop::collection::vec(prop_oneof![1..8_usize, 1..300_usize, 1..70_000_usize], 1..12),
        masked in any::<bool>(),
        deflate in any::<bool>(),
    ) {
        let (writer, role) = if masked { (Role::Client, Role::Server) } else { (Role::Server, Role::Client) };
        let mut bytes = Vec::new();
        for sent in &all {
            write(writer, deflate, sent, &mut bytes);
        }
        let mut reader = Reader::new(role, deflate);
        let mut read = Vec::new();
        let mut rest = &mut bytes[..];
        for size in pieces.iter().cycle() {
            let (piece, more) = rest.split_at_mut((*size).min(rest.len()));
            let result = reader.read(piece, &LIMITS, |incoming| {
                read.push(match incoming {
                    Incoming::Text(text) => Message::Text(text.to_owned()),
                    Incoming::Binary(bytes) => Message::Binary(bytes.to_vec()),
                    Incoming::Ping(bytes) => Message::Ping(bytes.to_vec()),
                    Incoming::Pong(bytes) => Message::Pong(bytes.to_vec()),
                    Incoming::Close(_) => unreachable!("none was written"),
                });
                Ok::<_, Infallible>(())
            });
            prop_assert_eq!(result, Ok(()));
            rest = more;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(read, expected(&all));
        prop_assert!(!reader.has_partial());
    }

    #[test]
    fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        fuzz_frame::frame_reader(&bytes);
    }

    #[test]
    fn no_bytes_break_the_inflater(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        fuzz_frame::inflate(&bytes);
    }

    #[test]
    fn no_text_breaks_the_handshake(text in any::<String>()) {
        fuzz_frame::handshake_headers(text.as_bytes());
    }

    /// A client that resets its inflater with each message, as we tell it to, and one that keeps it regardless.
    #[test]
    fn clients_inflate_what_we_compress(messages in prop::collection::vec(message(), 1..5)) {
        let (mut fresh, mut kept) = (Decompress::new(false), Decompress::new(false));
        for message in &messages {
            let (_, payload) = message.parts();
            let mut small = Vec::new();
            deflate::compress(payload, &mut small);
            small.extend([0x00, 0x00, 0xff, 0xff]);
            fresh.reset(false);
            for client in [&mut fresh, &mut kept] {
                let mut out = Vec::with_capacity(payload.len() + 1);
                client.decompress_vec(&small, &mut out, FlushDecompress::Sync).unwrap();
                prop_assert_eq!(&out[..], payload);
            }
        }
    }

    /// Any level, any window that we did not forbid, and flushes within the message.
    #[test]
    fn we_inflate_what_clients_compress(
        payload in prop::collection::vec(0..16_u8, 0..2_000),
        level in 0..=9_u32,
        window_bits in 9..=15_u8,
        flush_at in 0..2_000_usize,
        last in prop_oneof![Just(FlushCompress::Sync), Just(FlushCompress::Full), Just(FlushCompress::Finish)],
    ) {
        let mut client = Compress::new_with_window_bits(Compression::new(level), false, window_bits);
        let mut small = Vec::with_capacity(8_000);
        let (head, tail) = payload.split_at(flush_at.min(payload.len()));
        client.compress_vec(head, &mut small, FlushCompress::Sync).unwrap();
        client.compress_vec(tail, &mut small, last).unwrap();
        // Without the second part a sync flush has nothing to add, and its tail stands already.
        if small.ends_with(&[0x00, 0x00, 0xff, 0xff]) {
            small.truncate(small.len() - 4);
        }
        let mut out = Vec::new();
        prop_assert_eq!(deflate::inflate(&small, payload.len(), &mut out), Ok(&payload[..]));
    }
}
