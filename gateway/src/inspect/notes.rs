//! What the gateway writes into the flight recorders of connections, and how a record is read again.
//!
//! A room stands in a record as a number of 32 bits that is the same on every node. Which room it is can be told as long as
//! somebody knows its name; what was asked about is always recognised.
//!
//! Pure: entries in, lines out.

use serde::{Deserialize, Serialize};
use turnpike_engine::flight::{Entry, Happened};
use turnpike_engine::{Handle, SocketRef};
use turnpike_wire::event::ClientEvent;
use turnpike_wire::{Code, RoomId};

/// What is written down. The numbers stay within one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Note {
    /// A room, and the place in its lane, as far as 32 bits tell it.
    Joined {
        tag: u32,
        pos: u32,
    },
    Left {
        tag: u32,
        pos: u32,
    },
    /// An event was refused because of the room that it names.
    Denied {
        tag: u32,
        event: Option<ClientEvent>,
        code: Code,
    },
    /// An event was refused that nobody waited for the answer of.
    Refused {
        event: Option<ClientEvent>,
        code: Code,
    },
    Muted {
        event: ClientEvent,
    },
    /// The session was taken up, with so many messages that were missed.
    Recovered {
        replayed: u32,
    },
    /// It could not be: so many rooms were lost, or it was not there any more.
    NotRecovered {
        lost: u32,
    },
    /// The token ends in so many seconds.
    Expiring {
        seconds: u32,
    },
    /// The token was exchanged.
    Refreshed,
}

const JOINED: u8 = 1;
const LEFT: u8 = 2;
const DENIED: u8 = 3;
const REFUSED: u8 = 4;
const MUTED: u8 = 5;
const RECOVERED: u8 = 6;
const NOT_RECOVERED: u8 = 7;
const EXPIRING: u8 = 8;
const REFRESHED: u8 = 9;

/// The room in 32 bits (FNV-1a): the same on every node of every version.
pub(crate) fn tag(room: &str) -> u32 {
    room.bytes().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

const SEQ_BITS: u32 = 24;
const SEQ_MASK: u32 = (1 << SEQ_BITS) - 1;

/// What is written down of a message that is delivered: a part of its room's tag, and of its number.
pub(crate) fn mark(room: &str, seq: u64) -> u32 {
    tag(room) << SEQ_BITS | seq as u32 & SEQ_MASK
}

/// What an event is called, in eight bits. Zero: it is none that is known.
pub(crate) fn code_of(event: Option<ClientEvent>) -> u8 {
    let known = event.and_then(|event| ClientEvent::ALL.iter().position(|other| *other == event));
    known.map_or(0, |index| index as u8 + 1)
}

fn event_of(code: u8) -> Option<ClientEvent> {
    ClientEvent::ALL.get(usize::from(code.checked_sub(1)?)).copied()
}

/// An event and why it was refused, in one number.
pub(crate) fn refusal(event: Option<ClientEvent>, code: Code) -> u32 {
    u32::from(code_of(event)) << 16 | u32::from(code.number())
}

fn refusal_of(number: u32) -> (Option<ClientEvent>, Code) {
    (event_of((number >> 16) as u8), Code::of(number as u16).unwrap_or(Code::Internal))
}

impl Note {
    fn write(self) -> (u8, u32, Option<u32>) {
        match self {
            Self::Joined { tag, pos } => (JOINED, tag, Some(pos)),
            Self::Left { tag, pos } => (LEFT, tag, Some(pos)),
            Self::Denied { tag, event, code } => (DENIED, tag, Some(refusal(event, code))),
            Self::Refused { event, code } => (REFUSED, refusal(event, code), None),
            Self::Muted { event } => (MUTED, u32::from(code_of(Some(event))), None),
            Self::Recovered { replayed } => (RECOVERED, replayed, None),
            Self::NotRecovered { lost } => (NOT_RECOVERED, lost, None),
            Self::Expiring { seconds } => (EXPIRING, seconds, None),
            Self::Refreshed => (REFRESHED, 0, None),
        }
    }

    pub(super) fn read(kind: u8, number: u32, more: Option<u32>) -> Option<Self> {
        Some(match (kind, more) {
            (JOINED, Some(pos)) => Self::Joined { tag: number, pos },
            (LEFT, Some(pos)) => Self::Left { tag: number, pos },
            (DENIED, Some(why)) => {
                let (event, code) = refusal_of(why);
                Self::Denied { tag: number, event, code }
            }
            (REFUSED, None) => {
                let (event, code) = refusal_of(number);
                Self::Refused { event, code }
            }
            (MUTED, None) => Self::Muted { event: event_of(number as u8)? },
            (RECOVERED, None) => Self::Recovered { replayed: number },
            (NOT_RECOVERED, None) => Self::NotRecovered { lost: number },
            (EXPIRING, None) => Self::Expiring { seconds: number },
            (REFRESHED, None) => Self::Refreshed,
            _ => return None,
        })
    }
}

/// Writes into the recorder of the socket's connection.
pub(crate) fn note(handle: &Handle, socket: &SocketRef, note: Note) {
    let (kind, number, more) = note.write();
    handle.note(socket, kind, number, more);
}

/// One line of a record, for people and for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    pub what: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
}

/// Rooms by their tags, and where each stands, as far as that is known.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<(u32, RoomId, Option<u64>)>);

impl Names {
    pub(super) fn add(&mut self, room: &RoomId, seq: Option<u64>) {
        let tag = tag(room);
        if !self.0.iter().any(|(_, known, _)| known == room) {
            self.0.push((tag, room.clone(), seq));
        }
    }

    pub(super) fn of(&self, tag: u32) -> Box<str> {
        let known = self.0.iter().find(|(other, ..)| *other == tag);
        known.map_or_else(|| format!("#{tag:08x}").into(), |(_, room, _)| room.as_str().into())
    }

    /// Of a delivered message: its room if only one comes into question, and its number in full as far as that is known.
    fn of_mark(&self, mark: u32) -> (Option<&RoomId>, u64) {
        let low = u64::from(mark & SEQ_MASK);
        let mut fitting = self.0.iter().filter(|(tag, ..)| tag << SEQ_BITS == mark & !SEQ_MASK);
        match (fitting.next(), fitting.next()) {
            (Some((_, room, Some(standing))), None) => {
                // The latest number that ends so, and is not beyond where the room stands.
                let behind = (standing & u64::from(SEQ_MASK)).wrapping_sub(low) & u64::from(SEQ_MASK);
                (Some(room), standing.checked_sub(behind).unwrap_or(low))
            }
            (Some((_, room, None)), None) => (Some(room), low),
            _ => (None, low),
        }
    }
}

fn line(at_ms: u64, what: &str) -> Line {
    Line { at_ms, what: what.into(), room: None, event: None, reason: None, number: None }
}

fn named(event: Option<ClientEvent>) -> Box<str> {
    event.map_or("unknown", ClientEvent::name).into()
}

/// A record as lines, oldest first. `unix_of` says when something was.
pub(super) fn lines(entries: &[Entry], names: &Names, unix_of: impl Fn(u64) -> u64) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::with_capacity(entries.len());
    for entry in entries {
        let at_ms = unix_of(entry.at_ms);
        let number = Some(u64::from(entry.number));
        let plain = |what| Line { number, ..line(at_ms, what) };
        lines.push(match entry.what {
            Happened::Delivered | Happened::DeliveredThrough => {
                let (room, seq) = names.of_mark(entry.number);
                let is_last = entry.what == Happened::DeliveredThrough;
                Line {
                    room: room.map(|room| room.as_str().into()),
                    number: Some(seq),
                    ..line(at_ms, if is_last { "delivered_through" } else { "delivered" })
                }
            }
            Happened::Asked { code, answered_after_ms } => Line {
                event: Some(named(event_of(code))),
                number: answered_after_ms.map(u64::from),
                ..line(at_ms, if answered_after_ms.is_some() { "answered" } else { "asked" })
            },
            Happened::Refused => refused(at_ms, refusal_of(entry.number)),
            Happened::Behind => plain("behind"),
            Happened::Refilled => plain("refilled"),
            Happened::Blocked => plain("blocked"),
            Happened::Dropped => plain("dropped"),
            Happened::PongLate => plain("pong_late"),
            Happened::Discarded => plain("discarded"),
            Happened::Noted(kind) => match Note::read(kind, entry.number, entry.more) {
                Some(Note::Joined { tag, .. }) => Line { room: Some(names.of(tag)), ..line(at_ms, "joined") },
                Some(Note::Left { tag, .. }) => Line { room: Some(names.of(tag)), ..line(at_ms, "left") },
                Some(Note::Denied { tag, event, code }) => {
                    Line { room: Some(names.of(tag)), ..refused(at_ms, (event, code)) }
                }
                Some(Note::Refused { event, code }) => refused(at_ms, (event, code)),
                Some(Note::Muted { event }) => {
                    Line { event: Some(named(Some(event))), ..line(at_ms, "muted") }
                }
                Some(Note::Recovered { .. }) => plain("recovered"),
                Some(Note::NotRecovered { .. }) => plain("not_recovered"),
                Some(Note::Expiring { .. }) => plain("token_expiring"),
                Some(Note::Refreshed) => line(at_ms, "token_refreshed"),
                None => plain("unknown"),
            },
        });
    }
    lines
}

fn refused(at_ms: u64, (event, code): (Option<ClientEvent>, Code)) -> Line {
    Line { event: Some(named(event)), reason: Some(code.slug().into()), ..line(at_ms, "refused") }
}

/// What a record says of one room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct OfRoom {
    /// The last time that it was joined, and where; the same of leaving.
    pub(super) joined: Option<(u64, u32)>,
    pub(super) left: Option<(u64, u32)>,
    /// The last time that joining it was refused, and why.
    pub(super) denied: Option<(u64, Code)>,
}

pub(super) fn of_room(entries: &[Entry], room: u32) -> OfRoom {
    let mut of_room = OfRoom::default();
    for entry in entries {
        let Happened::Noted(kind) = entry.what else { continue };
        match Note::read(kind, entry.number, entry.more) {
            Some(Note::Joined { tag, pos }) if tag == room => of_room.joined = Some((entry.at_ms, pos)),
            Some(Note::Left { tag, pos }) if tag == room => of_room.left = Some((entry.at_ms, pos)),
            Some(Note::Denied { tag, event: Some(ClientEvent::RoomJoin), code }) if tag == room => {
                of_room.denied = Some((entry.at_ms, code));
            }
            _ => {}
        }
    }
    of_room
}

#[cfg(test)]
mod tests {
    use turnpike_engine::flight::Recorder;

    use super::*;

    #[test]
    fn every_note_is_read_as_it_was_written() {
        let (tag, event, code) = (tag("chat:a"), ClientEvent::RoomJoin, Code::Forbidden);
        let notes = [
            Note::Joined { tag, pos: 7 },
            Note::Left { tag, pos: u32::MAX },
            Note::Denied { tag, event: Some(event), code },
            Note::Refused { event: None, code },
            Note::Muted { event },
            Note::Recovered { replayed: 3 },
            Note::NotRecovered { lost: 0 },
            Note::Expiring { seconds: 60 },
            Note::Refreshed,
        ];
        for note in notes {
            let (kind, number, more) = note.write();
            assert!(kind < turnpike_engine::flight::NOTES);
            assert_eq!(Note::read(kind, number, more), Some(note));
        }
        assert_eq!(Note::read(JOINED, 1, None), None, "a half of it");
        for event in ClientEvent::ALL {
            assert_eq!(event_of(code_of(Some(*event))), Some(*event));
        }
        assert_eq!(event_of(code_of(None)), None);
    }

    #[test]
    fn rooms_are_named_and_numbers_whole_as_far_as_is_known() {
        let room = RoomId::parse("chat:a").unwrap();
        let mut names = Names::default();
        names.add(&room, Some((5 << SEQ_BITS) + 2));
        let of = |seq: u64| names.of_mark(mark(&room, seq));
        assert_eq!(of((5 << SEQ_BITS) + 2), (Some(&room), (5 << SEQ_BITS) + 2));
        assert_eq!(of((5 << SEQ_BITS) - 1), (Some(&room), (5 << SEQ_BITS) - 1));
        assert_eq!(names.of_mark(mark("chat:b", 9)), (None, 9));
        assert_eq!(&*names.of(tag("chat:b")), format!("#{:08x}", tag("chat:b")));
    }

    #[test]
    fn a_record_is_told_in_lines() {
        let room = RoomId::parse("chat:a").unwrap();
        let mut names = Names::default();
        names.add(&room, Some(50));
        let mut recorder = Recorder::default();
        let mut put = |note: Note, at_ms| {
            let (kind, number, more) = note.write();
            recorder.note(kind, number, more, at_ms);
        };
        put(Note::Joined { tag: tag(&room), pos: 100 }, 10);
        put(
            Note::Denied { tag: tag("chat:b"), event: Some(ClientEvent::RoomJoin), code: Code::Forbidden },
            20,
        );
        recorder.delivered(mark(&room, 41), 30);
        recorder.delivered(mark(&room, 42), 40);
        let told: Vec<String> = lines(&recorder.entries(), &names, |at| at + 1_000)
            .iter()
            .map(|line| serde_json::to_string(line).unwrap())
            .collect();
        let denied = tag("chat:b");
        assert_eq!(
            told,
            [
                r#"{"at_ms":1010,"what":"joined","room":"chat:a"}"#.to_owned(),
                format!(
                    r##"{{"at_ms":1020,"what":"refused","room":"#{denied:08x}","event":"room:join","reason":"forbidden"}}"##
                ),
                r#"{"at_ms":1030,"what":"delivered","room":"chat:a","number":41}"#.to_owned(),
                r#"{"at_ms":1040,"what":"delivered_through","room":"chat:a","number":42}"#.to_owned(),
            ]
        );
        let of = of_room(&recorder.entries(), tag("chat:b"));
        assert_eq!(of, OfRoom { denied: Some((20, Code::Forbidden)), ..OfRoom::default() });
        assert_eq!(of_room(&recorder.entries(), tag("chat:a")).joined, Some((10, 100)));
    }
}
