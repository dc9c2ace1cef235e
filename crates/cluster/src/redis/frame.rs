//! Messages and signals as bytes: the same in a room's log and on the bus.
//!
//! ```text
//! message   1  flags  epoch  seq  pos  prev  ts   payload      numbers are 8 bytes, highest first
//! signal    2  0      origin version              payload
//! control   3                                     JSON
//! letter    4  origin  subject                    payload
//! marks     5  origin  length                     payload  JSON
//! payload   0 body | 1 deflate(body) | 2 sealed payload
//! ```
//!
//! The function library writes the header of messages and the JSON of marks, and may write the version of a signal (bytes
//! 10 to 17): none of that is under the seal (see `seal`). `prev` is
//! the lane position of the room's message before this one: it shows whether anything lies between.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use turnpike_wire::{RoomId, UserId};

use super::seal::{Forged, Place};
use crate::event::Event;
use crate::{Control, Incarnation, LETTER_BYTES_MAX, LanePosition, Letter, Message, Signal};

const MESSAGE: u8 = 1;
const SIGNAL: u8 = 2;
const CONTROL: u8 = 3;
const LETTER: u8 = 4;
const MARKS: u8 = 5;

pub(crate) const HEADER_BYTES: usize = 42;
const SIGNAL_HEADER_BYTES: usize = 18;

const FLAG_FIRST: u8 = 1;

/// Stands for the sender of a message that is withheld, and for its id.
const NOBODY: &str = "-";

/// Smaller ones gain little and cost a deflate each.
const COMPRESSED_BYTES_MIN: usize = 1024;

/// What a compressed payload may become. Above anything a node lets in; a broken entry must not take all memory.
const INFLATED_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// The header of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) at: LanePosition,
    pub(crate) seq: u64,
    /// Lane position of the room's message before it; what was forgotten counts as one.
    pub(crate) prev: u64,
    pub(crate) ts: u64,
    /// The room was not remembered before this message.
    pub(crate) first: bool,
}

/// What comes on a room's channel.
#[derive(Debug)]
pub(crate) enum Frame {
    Message(Header, Arc<Message>),
    Signal {
        origin: Incarnation,
        /// The function library has stamped it, so it is news to its origin as well.
        stamped: bool,
        signal: Signal,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the frame cannot be understood")]
pub(crate) struct Malformed;

/// Why a frame is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("it is not sealed by a node of this cluster, or for another place")]
    Forged,
}

impl From<Forged> for Unreadable {
    fn from(Forged: Forged) -> Self {
        Self::Forged
    }
}

impl Header {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor(bytes);
        (cursor.byte()? == MESSAGE).then_some(()).ok_or(Malformed)?;
        let flags = cursor.byte()?;
        let (epoch, seq, pos) = (cursor.u64()?, cursor.u64()?, cursor.u64()?);
        let (prev, ts) = (cursor.u64()?, cursor.u64()?);
        Ok(Self { at: LanePosition { epoch, pos }, seq, prev, ts, first: flags & FLAG_FIRST != 0 })
    }
}

/// What a node sends to be published.
pub(crate) fn message_payload(
    place: &Place<'_>,
    from: &UserId,
    id: &str,
    body: &str,
    attachments: &[Bytes],
) -> Bytes {
    let bytes =
        from.len() + id.len() + body.len() + attachments.iter().map(|one| one.len() + 4).sum::<usize>() + 8;
    let mut plain = BytesMut::with_capacity(bytes + 1);
    plain.put_u8(0);
    put_short(&mut plain, from);
    put_short(&mut plain, id);
    put_long(&mut plain, body.as_bytes());
    put_attachments(&mut plain, attachments);
    place.close(&[MESSAGE], packed(plain))
}

/// A message of the log.
pub(crate) fn message(
    place: &Place<'_>,
    room: &RoomId,
    frame: &[u8],
) -> Result<(Header, Arc<Message>), Unreadable> {
    let header = Header::parse(frame)?;
    let body = unpacked(place.open(&[MESSAGE], &frame[HEADER_BYTES..])?)?;
    let mut cursor = Cursor(&body);
    let from = UserId::parse(cursor.short()?).map_err(|_| Malformed)?;
    let id = cursor.short()?;
    let text = std::str::from_utf8(cursor.long()?).map_err(|_| Malformed)?;
    let Header { at, seq, ts, .. } = header;
    let data = Event { room, epoch: at.epoch, seq, id, from: &from, ts, body: text }.json();
    let attachments = cursor.attachments()?;
    Ok((header, Arc::new(Message { room: room.clone(), at, seq, from, ts, data, attachments })))
}

/// What stands in the log at the place of a message that no node of this cluster has sent: an empty one of nobody.
pub(crate) fn withheld(room: &RoomId, frame: &[u8]) -> Result<(Header, Arc<Message>), Malformed> {
    let header = Header::parse(frame)?;
    let from = UserId::parse(NOBODY).map_err(|_| Malformed)?;
    let Header { at, seq, ts, .. } = header;
    let data = Event { room, epoch: at.epoch, seq, id: NOBODY, from: &from, ts, body: "null" }.json();
    let message = Message { room: room.clone(), at, seq, from, ts, data, attachments: Vec::new() };
    Ok((header, Arc::new(message)))
}

pub(crate) fn parse(place: &Place<'_>, room: &RoomId, frame: &[u8]) -> Result<Frame, Unreadable> {
    let mut cursor = Cursor(frame);
    match cursor.byte()? {
        MESSAGE => {
            return message(place, room, frame).map(|(header, message)| Frame::Message(header, message));
        }
        MARKS => return marks(place, cursor),
        SIGNAL => {}
        _ => return Err(Malformed.into()),
    }
    cursor.byte()?;
    let (origin, version) = (Incarnation(cursor.u64()?), cursor.u64()?);
    let head = signal_head(origin);
    let mut signal = signal_body(&unpacked(place.open(&head, cursor.0)?)?)?;
    if let Signal::Presence(delta) = &mut signal
        && version > 0
    {
        delta.version = Some(version);
    }
    Ok(Frame::Signal { origin, stamped: version > 0, signal })
}

/// What of a signal's header is sealed: all but the version.
fn signal_head(origin: Incarnation) -> [u8; 10] {
    let mut head = [SIGNAL, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    head[2..].copy_from_slice(&origin.0.to_be_bytes());
    head
}

/// A whole frame, with no version.
pub(crate) fn signal(place: &Place<'_>, origin: Incarnation, signal: &Signal) -> Bytes {
    let mut plain = BytesMut::with_capacity(256);
    plain.put_u8(0);
    match signal {
        // Attachments would be four times their size in JSON.
        Signal::Volatile { data, attachments } => {
            plain.put_u8(1);
            put_long(&mut plain, data.as_bytes());
            put_attachments(&mut plain, attachments);
        }
        other => {
            plain.put_u8(0);
            serde_json::to_writer((&mut plain).writer(), other).expect("signals are made of what JSON has");
        }
    }
    let head = signal_head(origin);
    let payload = place.close(&head, packed(plain));
    let mut frame = BytesMut::with_capacity(SIGNAL_HEADER_BYTES + payload.len());
    frame.put_slice(&head);
    frame.put_u64(0);
    frame.put(payload);
    frame.freeze()
}

fn signal_body(body: &[u8]) -> Result<Signal, Malformed> {
    let mut cursor = Cursor(body);
    if cursor.byte()? == 0 {
        return serde_json::from_slice(cursor.0).map_err(|_| Malformed);
    }
    let data = std::str::from_utf8(cursor.long()?).map_err(|_| Malformed)?.into();
    Ok(Signal::Volatile { data, attachments: cursor.attachments()? })
}

/// What stands before the JSON of marks. Which users' marks move is under the seal, how far they move says Redis.
pub(crate) fn marks_header(place: &Place<'_>, origin: Incarnation, users: &[&UserId]) -> Bytes {
    let head = head_of(MARKS, origin);
    let mut plain = BytesMut::with_capacity(64);
    plain.put_u8(0);
    serde_json::to_writer((&mut plain).writer(), users).expect("ids are texts");
    let payload = place.close(&head, packed(plain));
    let mut header = BytesMut::with_capacity(head.len() + 4 + payload.len());
    header.put_slice(&head);
    put_long(&mut header, &payload);
    header.freeze()
}

/// As what a function has written it is news to its origin as well.
fn marks(place: &Place<'_>, mut cursor: Cursor<'_>) -> Result<Frame, Unreadable> {
    let origin = Incarnation(cursor.u64()?);
    let payload = unpacked(place.open(&head_of(MARKS, origin), cursor.long()?)?)?;
    let users: HashSet<UserId> = serde_json::from_slice(&payload).map_err(|_| Malformed)?;
    let signal: Signal = serde_json::from_slice(cursor.0).map_err(|_| Malformed)?;
    let Signal::Marks(marks) = &signal else { return Err(Malformed.into()) };
    if !marks.iter().all(|mark| users.contains(&mark.user)) {
        return Err(Unreadable::Forged);
    }
    Ok(Frame::Signal { origin, stamped: true, signal })
}

fn head_of(kind: u8, origin: Incarnation) -> [u8; 9] {
    let mut head = [kind; 9];
    head[1..].copy_from_slice(&origin.0.to_be_bytes());
    head
}

pub(crate) fn control(place: &Place<'_>, control: &Control) -> Bytes {
    let json = serde_json::to_vec(control).expect("controls are made of what JSON has");
    let payload = place.close(&[CONTROL], json.into());
    let mut frame = BytesMut::with_capacity(1 + payload.len());
    frame.put_u8(CONTROL);
    frame.put(payload);
    frame.freeze()
}

/// What comes on a node's own channel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Own {
    Control(Control),
    Letter(Box<str>, Letter),
}

pub(crate) fn parse_own(place: &Place<'_>, frame: &[u8]) -> Result<Own, Unreadable> {
    match frame.split_first() {
        Some((&CONTROL, payload)) => {
            let json = place.open(&[CONTROL], payload)?;
            Ok(serde_json::from_slice(json).map(Own::Control).map_err(|_| Malformed)?)
        }
        Some((&LETTER, rest)) => {
            let mut cursor = Cursor(rest);
            let from = Incarnation(cursor.u64()?);
            let subject: Box<str> = cursor.short()?.into();
            let payload = place.open(&letter_head(from, &subject), cursor.0)?;
            let words = unpacked_up_to(payload, LETTER_BYTES_MAX as u64)?.into_owned().into();
            Ok(Own::Letter(subject, Letter { from, words }))
        }
        _ => Err(Malformed.into()),
    }
}

fn letter_head(from: Incarnation, subject: &str) -> BytesMut {
    let mut head = BytesMut::with_capacity(10 + subject.len());
    head.put_slice(&head_of(LETTER, from));
    put_short(&mut head, subject);
    head
}

pub(crate) fn letter(place: &Place<'_>, from: Incarnation, subject: &str, words: &[u8]) -> Bytes {
    let mut plain = BytesMut::with_capacity(1 + words.len());
    plain.put_u8(0);
    plain.put_slice(words);
    let mut frame = letter_head(from, subject);
    let payload = place.close(&frame, packed(plain));
    frame.reserve(payload.len());
    frame.put(payload);
    frame.freeze()
}

fn put_short(bytes: &mut BytesMut, text: &str) {
    // Ids are bounded far below that.
    bytes.put_u8(text.len().min(255) as u8);
    bytes.put_slice(&text.as_bytes()[..text.len().min(255)]);
}

fn put_long(bytes: &mut BytesMut, text: &[u8]) {
    bytes.put_u32(text.len() as u32);
    bytes.put_slice(text);
}

fn put_attachments(bytes: &mut BytesMut, attachments: &[Bytes]) {
    bytes.put_u16(attachments.len() as u16);
    for attachment in attachments {
        put_long(bytes, attachment);
    }
}

/// `plain` begins with the marker of what is not compressed.
fn packed(plain: BytesMut) -> Bytes {
    if plain.len() > COMPRESSED_BYTES_MIN {
        let mut encoder = DeflateEncoder::new(vec![1], Compression::fast());
        let written = encoder.write_all(&plain[1..]).and_then(|()| encoder.finish());
        if let Ok(compressed) = written
            && compressed.len() < plain.len()
        {
            return compressed.into();
        }
    }
    plain.freeze()
}

fn unpacked(payload: &[u8]) -> Result<std::borrow::Cow<'_, [u8]>, Malformed> {
    unpacked_up_to(payload, INFLATED_BYTES_MAX)
}

fn unpacked_up_to(payload: &[u8], bytes_max: u64) -> Result<std::borrow::Cow<'_, [u8]>, Malformed> {
    match payload.split_first() {
        Some((0, body)) => Ok(body.into()),
        Some((1, compressed)) => {
            let mut body = Vec::new();
            let mut decoder = DeflateDecoder::new(compressed).take(bytes_max + 1);
            decoder.read_to_end(&mut body).map_err(|_| Malformed)?;
            if body.len() as u64 > bytes_max {
                return Err(Malformed);
            }
            Ok(body.into())
        }
        _ => Err(Malformed),
    }
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_be_bytes(self.take(4)?.try_into().map_err(|_| Malformed)?))
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_be_bytes(self.take(8)?.try_into().map_err(|_| Malformed)?))
    }

    fn short(&mut self) -> Result<&'a str, Malformed> {
        let bytes = usize::from(self.byte()?);
        std::str::from_utf8(self.take(bytes)?).map_err(|_| Malformed)
    }

    fn long(&mut self) -> Result<&'a [u8], Malformed> {
        let bytes = self.u32()? as usize;
        self.take(bytes)
    }

    fn attachments(&mut self) -> Result<Vec<Bytes>, Malformed> {
        let count = u16::from_be_bytes(self.take(2)?.try_into().map_err(|_| Malformed)?);
        (0..count).map(|_| self.long().map(Bytes::copy_from_slice)).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::redis::seal::Seal;
    use crate::{Mark, TypingChange};

    const ROOM: &str = "{tp:l1}:c:chat:a";
    const OWN: &str = "{tp:n0000000000000009}:c";

    /// One that believes everything, and one that does not.
    fn seals() -> [Seal; 2] {
        [Seal::none(Incarnation(9)), Seal::new(&[[7; 32]], Incarnation(9))]
    }

    fn framed(payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![MESSAGE, FLAG_FIRST];
        for number in [7u64, 42, 43, 40, 1_790_000_000_000] {
            frame.extend(number.to_be_bytes());
        }
        frame.extend(payload);
        frame
    }

    #[test]
    fn a_message_comes_back_with_its_places() {
        let (room, from) = (RoomId::parse("chat:a").unwrap(), UserId::parse("alice").unwrap());
        for (seal, text) in
            seals().iter().flat_map(|seal| [(seal, "hi".to_owned()), (seal, "long ".repeat(1_000))])
        {
            let place = seal.at(ROOM);
            let body = serde_json::to_string(&text).unwrap();
            let attachments = vec![Bytes::from_static(&[0, 255]), Bytes::new()];
            let payload = message_payload(&place, &from, "m1", &body, &attachments);
            let packed = place.open(&[MESSAGE], &payload).unwrap();
            assert_eq!(packed[0], u8::from(text.len() > 1_024));
            assert!(packed.len() < 1_024);
            let (header, message) = message(&place, &room, &framed(&payload)).unwrap();
            assert_eq!(
                (header.at, header.seq, header.prev, header.first),
                (LanePosition { epoch: 7, pos: 43 }, 42, 40, true)
            );
            assert_eq!(message.attachments, attachments);
            assert_eq!(
                *message.data,
                format!(
                    r#"{{"room":"chat:a","epoch":7,"seq":42,"id":"m1","from":"alice","ts":1790000000000,"body":{body}}}"#
                )
            );
        }
    }

    #[test]
    fn a_message_of_nobody_keeps_its_place_and_says_nothing() {
        let room = RoomId::parse("chat:a").unwrap();
        let from = UserId::parse("alice").unwrap();
        let [none, seal] = seals();
        let payload = message_payload(&none.at(ROOM), &from, "m1", "\"hi\"", &[]);
        let forged = message(&seal.at(ROOM), &room, &framed(&payload));
        assert_eq!(forged.unwrap_err(), Unreadable::Forged);
        let (header, message) = withheld(&room, &framed(&payload)).unwrap();
        assert_eq!((header.seq, &*message.from), (42, "-"));
        assert_eq!(
            *message.data,
            *r#"{"room":"chat:a","epoch":7,"seq":42,"id":"-","from":"-","ts":1790000000000,"body":null}"#
        );
    }

    #[test]
    fn signals_come_back_and_a_stamp_is_seen() {
        let room = RoomId::parse("chat:a").unwrap();
        for seal in &seals() {
            let place = seal.at(ROOM);
            let typing =
                Signal::Typing(vec![TypingChange { user: UserId::parse("a").unwrap(), typing: true }]);
            let volatile = Signal::Volatile {
                data: "x".repeat(3_000).into(),
                attachments: vec![Bytes::from_static(&[1])],
            };
            for sent in [typing, volatile] {
                let frame = signal(&place, Incarnation(u64::MAX), &sent);
                let Frame::Signal { origin, stamped, signal } = parse(&place, &room, &frame).unwrap() else {
                    panic!("no signal")
                };
                assert_eq!((origin, stamped, signal), (Incarnation(u64::MAX), false, sent));
            }
            let delta = crate::PresenceDelta {
                incarnation: Incarnation(3),
                version: None,
                gone: false,
                rows: Vec::new(),
            };
            let mut frame = signal(&place, Incarnation(3), &Signal::Presence(delta)).to_vec();
            frame[10..18].copy_from_slice(&9u64.to_be_bytes());
            let Frame::Signal { stamped: true, signal: Signal::Presence(delta), .. } =
                parse(&place, &room, &frame).unwrap()
            else {
                panic!("not stamped")
            };
            assert_eq!(delta.version, Some(9));
            let (taken, own) = (Control::Taken { session: "s1".into() }, seal.at(OWN));
            assert_eq!(parse_own(&own, &control(&own, &taken)), Ok(Own::Control(taken)));
        }
    }

    #[test]
    fn what_the_function_writes_of_marks_is_about_those_that_were_named() {
        let room = RoomId::parse("chat:a").unwrap();
        let user = |name: &str| UserId::parse(name).unwrap();
        let [none, seal] = seals();
        for seal in [&none, &seal] {
            let place = seal.at(ROOM);
            let mut whole = marks_header(&place, Incarnation(0x7b7b), &[&user("b"), &user("a@b")]).to_vec();
            let named = whole.clone();
            whole.extend(br#"{"Marks":[{"user":"a@b","received":7,"read":5}]}"#);
            let Frame::Signal { stamped, signal, origin } = parse(&place, &room, &whole).unwrap() else {
                panic!("no signal")
            };
            assert!(stamped && origin == Incarnation(0x7b7b));
            assert_eq!(signal, Signal::Marks(vec![Mark { user: user("a@b"), received: 7, read: 5 }]));
            let other = [&named[..], br#"{"Marks":[{"user":"c","received":7,"read":5}]}"#].concat();
            assert_eq!(parse(&place, &room, &other).unwrap_err(), Unreadable::Forged);
        }
        let unsealed = marks_header(&none.at(ROOM), Incarnation(1), &[]);
        assert_eq!(parse(&seal.at(ROOM), &room, &unsealed).unwrap_err(), Unreadable::Forged);
    }

    #[test]
    fn letters_come_back_and_are_not_blown_up() {
        for seal in &seals() {
            let place = seal.at(OWN);
            for words in [&b""[..], b"hi", &vec![7; 100_000]] {
                let sent = Letter { from: Incarnation(9), words: Bytes::copy_from_slice(words) };
                let frame = letter(&place, sent.from, "media", words);
                assert!(frame.len() < 1_100);
                assert_eq!(parse_own(&place, &frame), Ok(Own::Letter("media".into(), sent)));
            }
            let bomb = letter(&place, Incarnation(9), "media", &vec![0; LETTER_BYTES_MAX + 1]);
            assert_eq!(parse_own(&place, &bomb), Err(Malformed.into()));
        }
    }

    /// Whatever a node says, said again elsewhere or as something else, or by somebody without the secret.
    #[test]
    fn nothing_is_taken_that_was_sealed_for_another_place() {
        let room = RoomId::parse("chat:a").unwrap();
        let [none, seal] = seals();
        let typing = Signal::Typing(Vec::new());
        let from = UserId::parse("alice").unwrap();
        let made = |seal: &Seal, channel: &str| {
            let place = seal.at(channel);
            [
                framed(&message_payload(&place, &from, "m1", "1", &[])),
                signal(&place, Incarnation(9), &typing).to_vec(),
                [&marks_header(&place, Incarnation(9), &[])[..], br#"{"Marks":[]}"#].concat(),
            ]
        };
        for frame in made(&seal, ROOM) {
            assert!(parse(&seal.at(ROOM), &room, &frame).is_ok());
            assert_eq!(parse(&seal.at("{tp:l1}:c:chat:b"), &room, &frame).unwrap_err(), Unreadable::Forged);
        }
        for frame in made(&none, ROOM).into_iter().chain(made(&Seal::new(&[[8; 32]], Incarnation(9)), ROOM)) {
            assert_eq!(parse(&seal.at(ROOM), &room, &frame).unwrap_err(), Unreadable::Forged);
        }
        // Another origin than the one that has sealed it.
        let mut signal = signal(&seal.at(ROOM), Incarnation(9), &typing).to_vec();
        signal[9] = 8;
        assert_eq!(parse(&seal.at(ROOM), &room, &signal).unwrap_err(), Unreadable::Forged);
        for frame in [
            letter(&seal.at(OWN), Incarnation(9), "media", b"hi"),
            control(&seal.at(OWN), &Control::Taken { session: "s1".into() }),
        ] {
            assert!(parse_own(&seal.at(OWN), &frame).is_ok());
            assert_eq!(parse_own(&seal.at("{tp:n0000000000000008}:c"), &frame), Err(Unreadable::Forged));
        }
        let renamed = letter(&seal.at(OWN), Incarnation(9), "media", b"hi");
        let renamed: Vec<u8> = renamed.iter().map(|&byte| if byte == b'm' { b'M' } else { byte }).collect();
        assert_eq!(parse_own(&seal.at(OWN), &renamed), Err(Unreadable::Forged));
    }

    proptest! {
        #[test]
        fn nothing_that_arrives_panics(frame in proptest::collection::vec(any::<u8>(), 0..200), kind in 0u8..6, marker in 0u8..4) {
            let room = RoomId::parse("chat:a").unwrap();
            for seal in &seals() {
                let place = seal.at(ROOM);
                let _ = parse(&place, &room, &frame);
                let _ = parse_own(&place, &frame);
                let _ = parse_own(&place, &[&[3 + kind % 2][..], &frame].concat());
                let mut headed = framed(&[marker]);
                headed[0] = kind;
                headed.extend(&frame);
                let _ = parse(&place, &room, &headed);
                let _ = withheld(&room, &headed);
            }
        }
    }
}
