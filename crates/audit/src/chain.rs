//! The chain: it gives each record its number, the hash of the one before, and its own, and keeps the tree over all. Pure:
//! time and salts are arguments.

use crate::canonical::{INTEGER_MAX, push_integer, push_text};
use crate::digest::{Digest, HEX_BYTES};
use crate::event::{Event, Value};
use crate::key::Signer;
use crate::kind::{Kind, Outcome};
use crate::merkle::{self, Frontier};
use crate::note::{Checkpoint, Note};
use crate::personal::{self, Salt};
use crate::text::Text;
use crate::time::Time;

/// Bytes of one record, without its line feed.
pub const LINE_BYTES_MAX: usize = 8_192;
/// Of the form of records. Another form is another number.
pub(crate) const VERSION: i64 = 1;
/// Begins what is hashed, so that no hash of ours is one of something else.
const PURPOSE: &str = "turnpike-audit-1";

/// When a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub time: Time,
    /// Milliseconds since the process began, by a clock that nobody sets.
    pub mono: u64,
}

/// Where a log ends. Cheap to clone: what could not be written is undone by going back to the clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chain {
    /// Node and boot.
    pub log: String,
    /// The number of the next record, and how many there are.
    pub seq: u64,
    pub prev: Digest,
    pub frontier: Frontier,
}

impl Chain {
    pub(crate) fn new(log: String) -> Self {
        Self { log, seq: 0, prev: Digest::NONE, frontier: Frontier::default() }
    }

    /// Appends the record's line, with its line feed. `salt` is asked once for each personal value.
    pub(crate) fn append(
        &mut self,
        event: &Event,
        stamp: Stamp,
        salt: &mut dyn FnMut() -> Salt,
        out: &mut Vec<u8>,
    ) {
        let hash = write(self, event, stamp, salt, out);
        self.advance(hash);
    }

    pub(crate) fn advance(&mut self, hash: Digest) {
        self.frontier.push(merkle::leaf(&hash.0));
        self.prev = hash;
        self.seq += 1;
    }

    /// The record with which a file begins: all that is needed to go on from here without what came before.
    pub(crate) fn segment_opened(&self, previous: Option<&str>) -> Event {
        let roots = self.frontier.roots().map(|root| root.to_string()).collect();
        let event = Event::new(Kind::SegmentOpened, Outcome::Success)
            .detail("records_before", self.seq)
            .detail("roots", Value::Owns(roots));
        match previous {
            Some(name) => event.detail("previous", Value::Own(name.into())),
            None => event,
        }
    }

    /// A signed checkpoint of all that is there, as the event whose record must come next, at this very stamp.
    pub(crate) fn checkpoint(&self, stamp: Stamp, origin: &str, signers: &[&Signer]) -> (Event, Note) {
        let note = Note::sign(self.unsigned(stamp, origin), signers);
        (checkpoint_event(&note), note)
    }

    /// What a checkpoint that stands here must say.
    pub(crate) fn unsigned(&self, stamp: Stamp, origin: &str) -> Checkpoint {
        let Self { log, seq, prev, .. } = self;
        let Stamp { time, mono } = stamp;
        Checkpoint {
            origin: origin.into(),
            size: *seq,
            root: self.frontier.root(),
            bound: format!("{PURPOSE} {log} {seq} {time} {mono} {prev}"),
        }
    }
}

pub(crate) fn checkpoint_event(note: &Note) -> Event {
    Event::new(Kind::Checkpoint, Outcome::Success).detail("note", Value::Own(note.text().into()))
}

/// The hash of a record. `digest` is of its canonical form without `hash` and `beside`. What else stands here is what remains
/// readable when the rest of the record has been pruned.
pub(crate) fn hash(prev: &Digest, seq: u64, time: &str, class: &str, digest: &Digest) -> Digest {
    let mut text = Vec::with_capacity(256);
    text.extend(PURPOSE.as_bytes());
    text.push(b'\n');
    text.extend(prev.hex());
    text.push(b'\n');
    push_count(seq, &mut text);
    for part in [time, class] {
        text.push(b'\n');
        text.extend(part.as_bytes());
    }
    text.push(b'\n');
    text.extend(digest.hex());
    text.push(b'\n');
    Digest::of(&[&text])
}

fn write(
    chain: &Chain,
    event: &Event,
    stamp: Stamp,
    salt: &mut dyn FnMut() -> Salt,
    out: &mut Vec<u8>,
) -> Digest {
    let from = out.len();
    let hash = write_with(chain, event, &event.detail, stamp, salt, out);
    if out.len() - from <= LINE_BYTES_MAX {
        out.push(b'\n');
        return hash;
    }
    // All fields at their longest and a long detail: it is the detail that goes.
    out.truncate(from);
    let hash = write_with(chain, event, &[("cut", Value::Truth(true))], stamp, salt, out);
    out.push(b'\n');
    hash
}

/// Names in the order that RFC 8785 asks for. `hash` and `beside` are written in their places and left out of the digest.
fn write_with(
    chain: &Chain,
    event: &Event,
    detail: &[(&'static str, Value)],
    stamp: Stamp,
    salt: &mut dyn FnMut() -> Salt,
    out: &mut Vec<u8>,
) -> Digest {
    let from = out.len();
    let mut beside = Vec::new();
    let mut commit = |field: &'static str, value: &Text| {
        let salt = salt();
        let committed = personal::commitment(&salt, field, value.as_str());
        beside.push((field, personal::written(&salt), value.clone()));
        committed
    };
    let Event { actor, connection, request, .. } = event;

    out.extend(b"{\"activity\":");
    push_text(event.kind.activity(), out);
    let user = actor.user.as_ref().map(|user| commit(personal::FIELDS[0], user));
    object(
        "actor",
        &[("key", text(actor.key.as_ref())), ("role", text(actor.role.as_ref())), ("user", user.as_deref())],
        out,
    );
    let beside_from = out.len();

    let address = connection.address.as_ref().map(|address| commit(personal::FIELDS[1], address));
    let agent = connection.agent.as_ref().map(|agent| commit(personal::FIELDS[2], agent));
    let object_id = event.object.as_ref().map(|(object, id)| {
        if object.is_personal() { commit(personal::FIELDS[3], id) } else { id.as_str().to_owned() }
    });
    push_beside(&beside, out);
    let beside_to = out.len();

    member("class", event.kind.class(), out);
    object(
        "connection",
        &[
            ("address", address.as_deref()),
            ("agent", agent.as_deref()),
            ("country", text(connection.country.as_ref())),
            ("id", text(connection.id.as_ref())),
            ("origin", text(connection.origin.as_ref())),
            ("transport", text(connection.transport.as_ref())),
        ],
        out,
    );
    push_detail(detail, out);
    let hash_from = out.len();
    name("hash", out);
    out.push(b'"');
    let digits = out.len()..out.len() + HEX_BYTES;
    out.resize(digits.end, b' ');
    out.push(b'"');
    let hash_to = out.len();

    member("log", &chain.log, out);
    out.extend(b",\"mono\":");
    push_count(stamp.mono, out);
    if let (Some((kind, _)), Some(id)) = (&event.object, &object_id) {
        object("object", &[("id", Some(id.as_str())), ("kind", Some(kind.word()))], out);
    }
    member("outcome", event.outcome.word(), out);
    out.extend(b",\"prev\":\"");
    out.extend(chain.prev.hex());
    out.push(b'"');
    if let Some(reason) = &event.reason {
        member("reason", reason.as_str(), out);
    }
    object(
        "request",
        &[
            ("id", text(request.id.as_ref())),
            ("method", text(request.method.as_ref())),
            ("route", text(request.route.as_ref())),
        ],
        out,
    );
    out.extend(b",\"seq\":");
    push_count(chain.seq, out);
    member("severity", event.severity.word(), out);
    let time = stamp.time.text();
    member("time", &time, out);
    out.extend(b",\"v\":");
    push_integer(VERSION, out);
    out.push(b'}');

    // Put together behind the line, in memory that is there.
    let to = out.len();
    for part in [from..beside_from, beside_to..hash_from, hash_to..to] {
        out.extend_from_within(part);
    }
    let digest = Digest::of(&[&out[to..]]);
    out.truncate(to);
    let hash = hash(&chain.prev, chain.seq, &time, event.kind.class(), &digest);
    out[digits].copy_from_slice(&hash.hex());
    hash
}

/// No log has so many records, and no process runs for so many milliseconds.
fn push_count(count: u64, out: &mut Vec<u8>) {
    push_integer(i64::try_from(count).unwrap_or(INTEGER_MAX), out);
}

fn text(text: Option<&Text>) -> Option<&str> {
    text.map(Text::as_str)
}

fn name(name: &str, out: &mut Vec<u8>) {
    out.push(b',');
    push_text(name, out);
    out.push(b':');
}

fn member(of: &str, value: &str, out: &mut Vec<u8>) {
    name(of, out);
    push_text(value, out);
}

/// Members in the order of their names. Nothing at all if none has a value.
fn object(of: &str, members: &[(&str, Option<&str>)], out: &mut Vec<u8>) {
    let mut given = members.iter().filter_map(|(name, value)| value.map(|value| (name, value))).peekable();
    if given.peek().is_none() {
        return;
    }
    name(of, out);
    for (index, (of, value)) in given.enumerate() {
        out.push(if index == 0 { b'{' } else { b',' });
        push_text(of, out);
        out.push(b':');
        push_text(value, out);
    }
    out.push(b'}');
}

fn push_beside(beside: &[(&str, String, Text)], out: &mut Vec<u8>) {
    if beside.is_empty() {
        return;
    }
    name("beside", out);
    for (index, (field, salt, value)) in beside.iter().enumerate() {
        out.push(if index == 0 { b'{' } else { b',' });
        push_text(field, out);
        out.extend(b":[");
        push_text(salt, out);
        out.push(b',');
        push_text(value.as_str(), out);
        out.push(b']');
    }
    out.push(b'}');
}

fn push_detail(detail: &[(&'static str, Value)], out: &mut Vec<u8>) {
    if detail.is_empty() {
        return;
    }
    let mut entries: Vec<_> = detail.iter().collect();
    // The last of a name wins. Our names are ASCII, for which bytes and UTF-16 units have one order.
    entries.reverse();
    entries.sort_by_key(|(name, _)| *name);
    entries.dedup_by_key(|(name, _)| *name);
    name("detail", out);
    for (index, (of, value)) in entries.into_iter().enumerate() {
        out.push(if index == 0 { b'{' } else { b',' });
        push_text(of, out);
        out.push(b':');
        match value {
            Value::Text(text) => push_text(text.as_str(), out),
            Value::Own(text) => push_text(text, out),
            Value::Number(number) => {
                push_integer((*number).clamp(-INTEGER_MAX, INTEGER_MAX), out);
            }
            Value::Truth(truth) => out.extend(if *truth { &b"true"[..] } else { b"false" }),
            Value::List(texts) => list(texts.iter().map(Text::as_str), out),
            Value::Owns(texts) => list(texts.iter().map(String::as_str), out),
        }
    }
    out.push(b'}');
}

fn list<'a>(texts: impl Iterator<Item = &'a str>, out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, text) in texts.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_text(text, out);
    }
    out.push(b']');
}
