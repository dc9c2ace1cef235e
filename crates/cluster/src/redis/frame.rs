//! Messages and signals as bytes: the same in a room's log and on the bus.
//!
//! ```text
//! message   1  flags  epoch  seq  pos  prev  ts   payload      numbers are 8 bytes, highest first
//! signal    2  0      origin version              payload
//! control   3                                     JSON
//! letter    4  origin  subject                    payload
//! payload   0 body | 1 deflate(body)
//! ```
//!
//! The function library writes the header of messages, and may write the version of a signal (bytes 10 to 17). `prev` is
//! the lane position of the room's message before this one: it shows whether anything lies between.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use turnpike_wire::{RoomId, UserId};

use crate::event::Event;
use crate::{Control, Incarnation, LETTER_BYTES_MAX, LanePosition, Letter, Message, Signal};

const MESSAGE: u8 = 1;
const SIGNAL: u8 = 2;
const CONTROL: u8 = 3;
const LETTER: u8 = 4;

pub(crate) const HEADER_BYTES: usize = 42;
const SIGNAL_HEADER_BYTES: usize = 18;

const FLAG_FIRST: u8 = 1;

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
pub(crate) fn message_payload(from: &UserId, id: &str, body: &str, attachments: &[Bytes]) -> Bytes {
    let bytes =
        from.len() + id.len() + body.len() + attachments.iter().map(|one| one.len() + 4).sum::<usize>() + 8;
    let mut plain = BytesMut::with_capacity(bytes + 1);
    plain.put_u8(0);
    put_short(&mut plain, from);
    put_short(&mut plain, id);
    put_long(&mut plain, body.as_bytes());
    put_attachments(&mut plain, attachments);
    packed(plain)
}

/// A message of the log.
pub(crate) fn message(room: &RoomId, frame: &[u8]) -> Result<(Header, Arc<Message>), Malformed> {
    let header = Header::parse(frame)?;
    let body = unpacked(&frame[HEADER_BYTES..])?;
    let mut cursor = Cursor(&body);
    let from = UserId::parse(cursor.short()?).map_err(|_| Malformed)?;
    let id = cursor.short()?;
    let text = std::str::from_utf8(cursor.long()?).map_err(|_| Malformed)?;
    let Header { at, seq, ts, .. } = header;
    let data = Event { room, epoch: at.epoch, seq, id, from: &from, ts, body: text }.json();
    let attachments = cursor.attachments()?;
    Ok((header, Arc::new(Message { room: room.clone(), at, seq, from, ts, data, attachments })))
}

pub(crate) fn parse(room: &RoomId, frame: &[u8]) -> Result<Frame, Malformed> {
    if frame.first() == Some(&MESSAGE) {
        return message(room, frame).map(|(header, message)| Frame::Message(header, message));
    }
    let mut cursor = Cursor(frame);
    (cursor.byte()? == SIGNAL).then_some(()).ok_or(Malformed)?;
    cursor.byte()?;
    let (origin, version) = (Incarnation(cursor.u64()?), cursor.u64()?);
    let mut signal = signal_body(&unpacked(cursor.0)?)?;
    if let Signal::Presence(delta) = &mut signal
        && version > 0
    {
        delta.version = Some(version);
    }
    Ok(Frame::Signal { origin, stamped: version > 0, signal })
}

/// A whole frame, with no version.
pub(crate) fn signal(origin: Incarnation, signal: &Signal) -> Bytes {
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
    let payload = packed(plain);
    let mut frame = BytesMut::with_capacity(SIGNAL_HEADER_BYTES + payload.len());
    frame.put_slice(&[SIGNAL, 0]);
    frame.put_u64(origin.0);
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

pub(crate) fn control(control: &Control) -> Bytes {
    let mut frame = vec![CONTROL];
    serde_json::to_writer(&mut frame, control).expect("controls are made of what JSON has");
    frame.into()
}

/// What comes on a node's own channel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Own {
    Control(Control),
    Letter(Box<str>, Letter),
}

pub(crate) fn parse_own(frame: &[u8]) -> Result<Own, Malformed> {
    match frame.split_first() {
        Some((&CONTROL, json)) => serde_json::from_slice(json).map(Own::Control).map_err(|_| Malformed),
        Some((&LETTER, rest)) => {
            let mut cursor = Cursor(rest);
            let from = Incarnation(cursor.u64()?);
            let subject = cursor.short()?.into();
            let words = unpacked_up_to(cursor.0, LETTER_BYTES_MAX as u64)?.into_owned().into();
            Ok(Own::Letter(subject, Letter { from, words }))
        }
        _ => Err(Malformed),
    }
}

pub(crate) fn letter(from: Incarnation, subject: &str, words: &[u8]) -> Bytes {
    let mut plain = BytesMut::with_capacity(1 + words.len());
    plain.put_u8(0);
    plain.put_slice(words);
    let payload = packed(plain);
    let mut frame = BytesMut::with_capacity(10 + subject.len() + payload.len());
    frame.put_u8(LETTER);
    frame.put_u64(from.0);
    put_short(&mut frame, subject);
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
    use crate::TypingChange;

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
        for text in ["hi".to_owned(), "long ".repeat(1_000)] {
            let body = serde_json::to_string(&text).unwrap();
            let attachments = vec![Bytes::from_static(&[0, 255]), Bytes::new()];
            let payload = message_payload(&from, "m1", &body, &attachments);
            assert_eq!(payload[0], u8::from(text.len() > 1_024));
            assert!(payload.len() < 1_024);
            let (header, message) = message(&room, &framed(&payload)).unwrap();
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
    fn signals_come_back_and_a_stamp_is_seen() {
        let room = RoomId::parse("chat:a").unwrap();
        let typing = Signal::Typing(vec![TypingChange { user: UserId::parse("a").unwrap(), typing: true }]);
        let volatile =
            Signal::Volatile { data: "x".repeat(3_000).into(), attachments: vec![Bytes::from_static(&[1])] };
        for sent in [typing, volatile] {
            let frame = signal(Incarnation(u64::MAX), &sent);
            let Frame::Signal { origin, stamped, signal } = parse(&room, &frame).unwrap() else {
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
        let mut frame = signal(Incarnation(3), &Signal::Presence(delta)).to_vec();
        frame[10..18].copy_from_slice(&9u64.to_be_bytes());
        let Frame::Signal { stamped: true, signal: Signal::Presence(delta), .. } =
            parse(&room, &frame).unwrap()
        else {
            panic!("not stamped")
        };
        assert_eq!(delta.version, Some(9));
        let taken = Control::Taken { session: "s1".into() };
        assert_eq!(parse_own(&control(&taken)), Ok(Own::Control(taken)));
    }

    #[test]
    fn letters_come_back_and_are_not_blown_up() {
        for words in [&b""[..], b"hi", &vec![7; 100_000]] {
            let sent = Letter { from: Incarnation(9), words: Bytes::copy_from_slice(words) };
            let frame = letter(sent.from, "media", words);
            assert!(frame.len() < 1_000);
            assert_eq!(parse_own(&frame), Ok(Own::Letter("media".into(), sent)));
        }
        let bomb = letter(Incarnation(9), "media", &vec![0; LETTER_BYTES_MAX + 1]);
        assert_eq!(parse_own(&bomb), Err(Malformed));
    }

    proptest! {
        #[test]
        fn nothing_that_arrives_panics(frame in proptest::collection::vec(any::<u8>(), 0..200), kind in 0u8..4, marker in 0u8..3) {
            let room = RoomId::parse("chat:a").unwrap();
            let _ = parse(&room, &frame);
            let _ = parse_own(&frame);
            let _ = parse_own(&[&[3 + kind % 2][..], &frame].concat());
            let mut headed = framed(&[marker]);
            headed[0] = kind;
            headed.extend(&frame);
            let _ = parse(&room, &headed);
        }
    }
}
