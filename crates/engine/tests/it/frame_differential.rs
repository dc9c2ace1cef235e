//! Our frame codec against tungstenite's: what one writes the other reads, and any stream is taken or refused by
//! both alike. Where tungstenite is laxer than the RFC, [`excused`] says so, case by case.

#![allow(clippy::print_stdout, reason = "the seed of a run must be seen")]

use std::{
    convert::Infallible,
    io::{self, Cursor, Read, Write},
};

use tungstenite::{
    Error, Message,
    protocol::{
        CloseFrame, Role as TheirRole, WebSocketConfig, WebSocketContext,
        frame::{
            Frame,
            coding::{Data, OpCode},
        },
    },
};
use turnpike_engine::frame::{
    Incoming, Limits, Opcode, ProtocolError, ReadError, Reader, Role, write_frame, write_masked_frame,
};

use turnpike_fuzz::Random;

const LIMITS: Limits = Limits { frame_bytes_max: 70_000, message_bytes_max: 100_000 };
/// Streams a test; in the dev profile some 20 us each.
const STREAMS: u64 = 20_000;

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_frame_size(Some(LIMITS.frame_bytes_max))
        .max_message_size(Some(LIMITS.message_bytes_max))
        .read_buffer_size(4096)
}

/// A stream that yields what was put in, and drops what is answered.
struct Wire(Cursor<Vec<u8>>);

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Wire {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
enum End<E> {
    /// The stream ended, in order or inside of a frame.
    Open,
    Closed,
    Refused(E),
}

/// Messages that were read, in tungstenite's words, and how it ended.
fn ours(role: Role, stream: &[u8]) -> (Vec<Message>, End<ProtocolError>) {
    let mut reader = Reader::new(role, false);
    let mut messages = Vec::new();
    let mut end = End::Open;
    let read = reader.read(&mut stream.to_vec(), &LIMITS, |incoming| {
        messages.push(match incoming {
            Incoming::Text(text) => Message::text(text),
            Incoming::Binary(bytes) => Message::binary(bytes.to_vec()),
            Incoming::Ping(bytes) => Message::Ping(bytes.to_vec().into()),
            Incoming::Pong(bytes) => Message::Pong(bytes.to_vec().into()),
            Incoming::Close(close) => {
                end = End::Closed;
                Message::Close(
                    close.map(|(code, reason)| CloseFrame { code: code.into(), reason: reason.into() }),
                )
            }
        });
        Ok::<_, Infallible>(())
    });
    match read {
        Ok(()) => (messages, end),
        Err(ReadError::Protocol(error)) => (messages, End::Refused(error)),
        Err(ReadError::Sink(never)) => match never {},
    }
}

fn theirs(role: TheirRole, stream: &[u8]) -> (Vec<Message>, End<Error>) {
    let mut context = WebSocketContext::new(role, Some(config()));
    let mut wire = Wire(Cursor::new(stream.to_vec()));
    let mut messages = Vec::new();
    loop {
        match context.read(&mut wire) {
            Ok(message) => {
                let closed = message.is_close();
                messages.push(message);
                if closed {
                    return (messages, End::Closed);
                }
            }
            Err(Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)) => {
                return (messages, End::Open);
            }
            Err(error) => return (messages, End::Refused(error)),
        }
    }
}

/// Both on one stream; the reason by which a difference is excused, if there was one.
fn compare(ours_role: Role, stream: &[u8]) -> Option<&'static str> {
    let their_role = match ours_role {
        Role::Server => TheirRole::Server,
        Role::Client => TheirRole::Client,
    };
    let (our_messages, our_end) = ours(ours_role, stream);
    let (their_messages, their_end) = theirs(their_role, stream);
    let same_end = matches!(
        (&our_end, &their_end),
        (End::Open, End::Open) | (End::Closed, End::Closed) | (End::Refused(_), End::Refused(_))
    );
    if same_end && our_messages == their_messages {
        return None;
    }
    let excuse = excused(&our_messages, &our_end, &their_messages, &their_end);
    assert!(
        excuse.is_some(),
        "ours: {our_messages:?}, {our_end:?}\ntheirs: {their_messages:?}, {their_end:?}\nstream: {stream:02x?}"
    );
    excuse
}

/// Where tungstenite 0.30 knowingly does something else. In all cases but one it is we who refuse, and what was read
/// before is the same.
fn excused(
    our_messages: &[Message],
    our_end: &End<ProtocolError>,
    their_messages: &[Message],
    their_end: &End<Error>,
) -> Option<&'static str> {
    let common = our_messages.iter().zip(their_messages).take_while(|(ours, theirs)| ours == theirs).count();
    // Registered with IANA after the RFC; tungstenite does not know it and treats it as forbidden.
    if let (End::Closed, End::Closed) = (our_end, their_end)
        && let ([Message::Close(Some(ours))], [Message::Close(Some(_))]) =
            (&our_messages[common..], &their_messages[common..])
        && u16::from(ours.code) == 1014
    {
        return Some("close code 1014");
    }
    let End::Refused(fault) = our_end else { return None };
    let more = their_messages.strip_prefix(our_messages)?;
    match fault {
        // RFC 6455 5.2 demands the shortest form; tungstenite reads any.
        ProtocolError::LengthNotMinimal => Some("lengths that are not minimal"),
        // RFC 6455 7.4: tungstenite reports such a close as one of its own making, with code 1002.
        ProtocolError::CloseCode(_) => matches!(
            more,
            [Message::Close(Some(close))] if u16::from(close.code) == 1002 && close.reason.as_str() == "Protocol violation"
        )
        .then_some("close codes"),
        // 5.5 allows the short form alone; tungstenite looks at the payload, which is short enough here.
        ProtocolError::ControlTooLong if !more.is_empty() => Some("control lengths in two bytes"),
        // We refuse at the header. tungstenite waits for the payload, which did not come any more.
        ProtocolError::ReservedBit
        | ProtocolError::CompressionNotNegotiated
        | ProtocolError::CompressedControl
        | ProtocolError::UnknownOpcode(_)
        | ProtocolError::FragmentedControl
        | ProtocolError::ControlTooLong
        | ProtocolError::NotMasked
        | ProtocolError::Masked
        | ProtocolError::ContinuationWithoutStart
        | ProtocolError::MessageInsideMessage
        | ProtocolError::MessageTooLong { .. }
        | ProtocolError::LengthOverflow
        | ProtocolError::FrameTooLong { .. } => {
            (more.is_empty() && matches!(their_end, End::Open)).then_some("refused before the payload")
        }
        _ => None,
    }
}

const TEXTS: [&str; 6] = ["", "a", "Hello", "κόσμε, \u{10ffff}", r#"42["message",{"text":"hi"}]"#, "😀😀😀"];
const CODES: [u16; 12] = [0, 999, 1000, 1001, 1003, 1004, 1006, 1011, 1015, 2999, 3000, 5000];

/// Frames that are mostly in order, so that mutations of them reach deep.
fn stream(random: &mut Random, role: Role) -> Vec<u8> {
    let mut out = Vec::new();
    let mut inside = false;
    for _ in 0..=random.below(6) {
        let kind = random.below(16);
        let (opcode, payload) = match kind {
            0 => (Opcode::Ping, vec![7; random.below(126)]),
            1 => (Opcode::Pong, vec![8; random.below(126)]),
            2 => {
                let mut payload = CODES[random.below(CODES.len())].to_be_bytes().to_vec();
                payload.extend(TEXTS[random.below(TEXTS.len())].bytes());
                payload.truncate(random.below(20));
                (Opcode::Close, payload)
            }
            3 => {
                const LENGTHS: [usize; 7] = [125, 126, 127, 65_535, 65_536, 70_000, 70_001];
                (Opcode::Binary, vec![1; LENGTHS[random.below(LENGTHS.len())]])
            }
            4..8 => (Opcode::Binary, (0..random.below(40)).map(|_| random.next() as u8).collect()),
            _ => (Opcode::Text, TEXTS[random.below(TEXTS.len())].as_bytes().to_vec()),
        };
        let start = out.len();
        match role {
            Role::Server => {
                write_masked_frame(&mut out, opcode, &payload, false, (random.next() as u32).to_le_bytes());
            }
            Role::Client => write_frame(&mut out, opcode, &payload, false),
        }
        if matches!(opcode, Opcode::Text | Opcode::Binary) {
            // Inside of a message it goes on as a continuation; about a third of the frames is not the last.
            let fin = random.below(3) != 0;
            let opcode = if inside { 0 } else { out[start] & 0x0f };
            out[start] = opcode | if fin { 0x80 } else { 0 };
            inside = !fin;
        }
    }
    out
}

/// A few bytes of the first hundred: further behind there is mostly payload.
fn spoil(random: &mut Random, stream: &mut Vec<u8>) {
    for _ in 0..=random.below(3) {
        let near = stream.len().min(100);
        if near == 0 {
            return;
        }
        let at = random.below(near);
        match random.below(6) {
            0 | 1 => stream[at] ^= 1 << random.below(8),
            2 => stream[at] = random.next() as u8,
            3 => stream.insert(at, random.next() as u8),
            4 => drop(stream.remove(at)),
            _ => stream.truncate(random.below(stream.len())),
        }
    }
}

fn seed() -> u64 {
    let seed =
        std::env::var("TURNPIKE_FUZZ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_260_722);
    println!("seed {seed} (TURNPIKE_FUZZ_SEED)");
    seed
}

#[test]
fn streams_are_judged_alike() {
    let mut random = Random(seed());
    // A comparison that never meets a case proves nothing about it.
    let (mut taken, mut refused, mut different) = (0, 0, 0);
    for round in 0..STREAMS {
        let role = if round % 2 == 0 { Role::Server } else { Role::Client };
        let mut bytes = stream(&mut random, role);
        if round % 5 != 0 {
            spoil(&mut random, &mut bytes);
        }
        match compare(role, &bytes) {
            Some(_) => different += 1,
            None if matches!(ours(role, &bytes), (messages, End::Open | End::Closed) if !messages.is_empty()) =>
            {
                taken += 1;
            }
            None => refused += 1,
        }
    }
    println!("both take {taken}, both refuse {refused}, excused {different}");
    assert!(taken > STREAMS / 4 && refused > STREAMS / 4 && different < STREAMS / 4);
}

#[test]
fn noise_is_judged_alike() {
    let mut random = Random(seed());
    for round in 0..STREAMS {
        let role = if round % 2 == 0 { Role::Server } else { Role::Client };
        let mut bytes: Vec<u8> = (0..random.below(60)).map(|_| random.next() as u8).collect();
        // Half of them begin so that the first frame is likely to be read.
        if let [first, second, ..] = &mut bytes[..]
            && round % 4 < 2
        {
            *first &= 0x8f;
            *second = (*second & 0x1f) | if role == Role::Server { 0x80 } else { 0 };
        }
        compare(role, &bytes);
    }
}

/// Each excuse, with a stream that needs it: should tungstenite become stricter, this tells.
#[test]
fn the_excuses_are_needed() {
    let cases: [(&[u8], &str); 5] = [
        (&[0x82, 0xfe, 0, 1, 0, 0, 0, 0, b'x'], "lengths that are not minimal"),
        (&[0x89, 0xfe, 0, 1, 0, 0, 0, 0, b'x'], "control lengths in two bytes"),
        (&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xed], "close codes"),
        (&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xf6], "close code 1014"),
        (&[0xa1, 0x85, 0, 0, 0, 0], "refused before the payload"),
    ];
    for (stream, excuse) in cases {
        assert_eq!(compare(Role::Server, stream), Some(excuse), "{stream:02x?}");
    }
}

#[test]
fn they_read_what_we_write() {
    let mut random = Random(seed());
    for round in 0..300 {
        let len = [0, 1, 125, 126, 127, 1_000, 65_535, 65_536, 70_000][random.below(9)];
        let bytes: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
        let text = "é".repeat(len / 2);
        let small = &bytes[..len.min(125)];
        let messages = vec![
            Message::text(text.clone()),
            Message::binary(bytes.clone()),
            Message::Ping(small.to_vec().into()),
            Message::Pong(small.to_vec().into()),
            Message::Close(Some(CloseFrame { code: 4001.into(), reason: "why".into() })),
        ];
        let parts: [(Opcode, &[u8]); 5] = [
            (Opcode::Text, text.as_bytes()),
            (Opcode::Binary, &bytes),
            (Opcode::Ping, small),
            (Opcode::Pong, small),
            (Opcode::Close, b"\x0f\xa1why"),
        ];
        let mut out = Vec::new();
        let role = if round % 2 == 0 { TheirRole::Client } else { TheirRole::Server };
        for (opcode, payload) in parts {
            match role {
                TheirRole::Client => write_frame(&mut out, opcode, payload, false),
                TheirRole::Server => {
                    write_masked_frame(
                        &mut out,
                        opcode,
                        payload,
                        false,
                        (random.next() as u32).to_le_bytes(),
                    );
                }
            }
        }
        let (read, end) = theirs(role, &out);
        assert!(read == messages && matches!(end, End::Closed), "{len} bytes, {role:?}: {end:?}");
    }
}

/// The other half of [`Wire`]: keeps what is written.
struct Written(Vec<u8>);

impl Read for Written {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Write for Written {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn we_read_what_they_write() {
    let mut random = Random(seed());
    for round in 0..300 {
        let len = [0, 1, 125, 126, 127, 1_000, 65_535, 65_536, 70_000][random.below(9)];
        let bytes: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
        let text = "é".repeat(len / 2);
        let ping = Message::Ping(bytes[..len.min(125)].to_vec().into());
        // A text in three fragments that cut its characters, with a ping between them.
        let (one, two) = (random.below(text.len() + 1), random.below(text.len() + 1));
        let (one, two) = (one.min(two), one.max(two));
        let part = |range: std::ops::Range<usize>, data, fin| {
            Message::Frame(Frame::message(text.as_bytes()[range].to_vec(), OpCode::Data(data), fin))
        };
        let written = [
            Message::text(text.clone()),
            Message::binary(bytes.clone()),
            part(0..one, Data::Text, false),
            ping.clone(),
            part(one..two, Data::Continue, false),
            part(two..text.len(), Data::Continue, true),
            Message::Close(Some(CloseFrame { code: 1001.into(), reason: "κ".into() })),
        ];
        let (their_role, our_role) = if round % 2 == 0 {
            (TheirRole::Client, Role::Server)
        } else {
            (TheirRole::Server, Role::Client)
        };
        let mut context = WebSocketContext::new(their_role, Some(config()));
        let mut out = Written(Vec::new());
        for message in written.clone() {
            context.write(&mut out, message).unwrap();
        }
        context.flush(&mut out).unwrap();
        let [first, second, _, _, _, _, close] = written;
        let (read, end) = ours(our_role, &out.0);
        assert!(
            read == [first, second, ping, Message::text(text.clone()), close] && matches!(end, End::Closed),
            "{len} bytes, {our_role:?}: {end:?}"
        );
    }
}
