//! One line of a log, read by somebody who trusts nothing: is it canonical, does its hash fit, do the values beside it? Pure.

use serde_json::{Map, Value};

use crate::canonical;
use crate::chain::{LINE_BYTES_MAX, hash};
use crate::digest::Digest;
use crate::personal;

/// A line whose hash is that of its content. That does not say yet that it belongs where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    pub seq: u64,
    pub time: String,
    pub class: String,
    pub prev: Digest,
    pub hash: Digest,
    pub body: Body,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Body {
    Record {
        members: Map<String, Value>,
        /// Personal values that the record was written with and that no longer lie beside it.
        erased: Vec<&'static str>,
    },
    /// What pruning leaves of a record: its place, time and class, and the digest of the rest.
    Husk,
}

/// What is wrong with a line by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    #[error("is longer than a record can be")]
    Long,
    #[error("cannot be read as a record")]
    Unreadable,
    #[error("is not in the canonical form in which records are written")]
    NotCanonical,
    #[error("has another content than its hash says")]
    Hash,
    #[error("has a personal value beside it that is not the one it was written with")]
    Beside,
}

impl Line {
    /// `line` without its line feed.
    pub(crate) fn read(line: &[u8]) -> Result<Self, BadLine> {
        if line.len() > LINE_BYTES_MAX {
            return Err(BadLine::Long);
        }
        let Ok(Value::Object(members)) = serde_json::from_slice(line) else {
            return Err(BadLine::Unreadable);
        };
        let digest = digest_of_canonical(&members, line)?;
        let text = |name: &str| members.get(name).and_then(Value::as_str).ok_or(BadLine::Unreadable);
        let value = |name: &str| text(name)?.parse::<Digest>().map_err(|_| BadLine::Unreadable);
        let seq = members.get("seq").and_then(Value::as_u64).ok_or(BadLine::Unreadable)?;
        let (time, class) = (text("time")?.to_owned(), text("class")?.to_owned());
        let (prev, stated) = (value("prev")?, value("hash")?);
        let husk = members.contains_key("husk");
        let digest = if husk { value("husk")? } else { digest };
        if hash(&prev, seq, &time, &class, &digest) != stated {
            return Err(BadLine::Hash);
        }
        let body = if husk {
            // Exactly what a husk has: nothing may hide in one.
            if members.len() != 6 {
                return Err(BadLine::Unreadable);
            }
            Body::Husk
        } else {
            Body::Record { erased: check_beside(&members)?, members }
        };
        Ok(Self { seq, time, class, prev, hash: stated, body })
    }

    pub(crate) fn activity(&self) -> &str {
        match &self.body {
            Body::Record { members, .. } => {
                members.get("activity").and_then(Value::as_str).unwrap_or_default()
            }
            Body::Husk => "",
        }
    }

    pub(crate) fn detail(&self, name: &str) -> Option<&Value> {
        match &self.body {
            Body::Record { members, .. } => members.get("detail")?.get(name),
            Body::Husk => None,
        }
    }

    pub(crate) fn is(&self, kind: crate::Kind) -> bool {
        self.class == kind.class() && self.activity() == kind.activity()
    }

    /// What remains of the record when it is pruned. `None` if it is a husk already.
    pub(crate) fn husk(&self, line: &[u8]) -> Option<Vec<u8>> {
        let Body::Record { members, .. } = &self.body else { return None };
        let digest = digest_of_canonical(members, line).ok()?;
        Some(canonical_line(&serde_json::json!({
            "class": self.class, "hash": self.hash, "husk": digest, "prev": self.prev, "seq": self.seq, "time": self.time,
        })))
    }

    /// The same record without the personal values beside it.
    pub(crate) fn without_personal(&self) -> Option<Vec<u8>> {
        let Body::Record { members, .. } = &self.body else { return None };
        let mut members = members.clone();
        members.remove("beside")?;
        Some(canonical_line(&Value::Object(members)))
    }
}

fn canonical_line(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    canonical::push(value, &mut out).expect("it was read from a canonical line");
    out.push(b'\n');
    out
}

/// The digest without `hash` and `beside`, if the line is the canonical form of its members.
fn digest_of_canonical(members: &Map<String, Value>, line: &[u8]) -> Result<Digest, BadLine> {
    let mut names: Vec<_> = members.iter().collect();
    names.sort_by(|(one, _), (other, _)| one.encode_utf16().cmp(other.encode_utf16()));
    let (mut whole, mut hashed) = (Vec::with_capacity(line.len()), Vec::with_capacity(line.len()));
    whole.push(b'{');
    hashed.push(b'{');
    for (name, value) in names {
        let from = whole.len();
        if from > 1 {
            whole.push(b',');
        }
        canonical::push_text(name, &mut whole);
        whole.push(b':');
        canonical::push(value, &mut whole).map_err(|_| BadLine::NotCanonical)?;
        if name != "hash" && name != "beside" {
            let comma = usize::from(hashed.len() == 1 && from > 1);
            hashed.extend(&whole[from + comma..]);
        }
    }
    whole.push(b'}');
    hashed.push(b'}');
    if whole == line { Ok(Digest::of(&[&hashed])) } else { Err(BadLine::NotCanonical) }
}

/// Each value beside fits its commitment and belongs to one. Gives the commitments that have no value any more.
fn check_beside(members: &Map<String, Value>) -> Result<Vec<&'static str>, BadLine> {
    let none = Map::new();
    let beside = match members.get("beside") {
        None => &none,
        Some(beside) => beside.as_object().filter(|beside| !beside.is_empty()).ok_or(BadLine::Beside)?,
    };
    let (mut erased, mut known) = (Vec::new(), 0);
    for field in personal::FIELDS {
        let committed = committed(members, field);
        match (committed, beside.get(field).map(Value::as_array)) {
            (None, None) => {}
            (Some(_), None) => erased.push(field),
            (Some(committed), Some(Some(pair))) => {
                let [Value::String(salt), Value::String(value)] = pair.as_slice() else {
                    return Err(BadLine::Beside);
                };
                if !personal::fits(salt, field, value, committed) {
                    return Err(BadLine::Beside);
                }
                known += 1;
            }
            _ => return Err(BadLine::Beside),
        }
    }
    if known == beside.len() { Ok(erased) } else { Err(BadLine::Beside) }
}

fn committed<'a>(members: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    let (part, name) = field.split_once('.')?;
    let part = members.get(part)?;
    let personal_object = |kind: &str| matches!(kind, "user" | "room" | "stream" | "address");
    if part.get("kind").and_then(Value::as_str).is_some_and(|kind| !personal_object(kind)) {
        return None;
    }
    part.get(name)?.as_str()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chain::{Chain, Stamp};
    use crate::{Event, Kind, Note, Object, Outcome, PublicKey, Record, SegmentName, Signer, Time};

    fn line(user: &str, detail: &str) -> Vec<u8> {
        let mut chain = Chain::new("a/b".into());
        let event = Event::new(Kind::BanPlaced, Outcome::Success)
            .user(user)
            .on(Object::Room, detail)
            .detail("x", detail)
            .detail("n", 5_u64);
        let mut out = Vec::new();
        let mut number = 0;
        let mut salt = || {
            number += 1;
            [number; 16]
        };
        chain.append(&event, Stamp { time: Time(5), mono: 7 }, &mut salt, &mut out);
        out.pop();
        out
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_whoever_chose_the_texts(user in any::<String>(), detail in any::<String>()) {
            let line = line(&user, &detail);
            let read = Line::read(&line).unwrap();
            let missing = |line: &Line| match &line.body {
                Body::Record { erased, .. } => erased.len(),
                Body::Husk => usize::MAX,
            };
            prop_assert_eq!(missing(&read), 0);

            let erased = read.without_personal().unwrap();
            let again = Line::read(&erased[..erased.len() - 1]).unwrap();
            prop_assert_eq!(again.hash, read.hash);
            prop_assert_eq!(missing(&again), 2);

            let husk = read.husk(&line).unwrap();
            let husk = Line::read(&husk[..husk.len() - 1]).unwrap();
            prop_assert_eq!((husk.hash, husk.seq, husk.body), (read.hash, 0, Body::Husk));
            let of_erased = again.husk(&erased[..erased.len() - 1]);
            prop_assert_eq!(of_erased, read.husk(&line), "a husk of a record is the same before and after erasure");
        }

        #[test]
        fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in any::<usize>(), with in any::<u8>()) {
            let read = |bytes: &[u8]| {
                let text = String::from_utf8_lossy(bytes);
                let _ = (Note::parse(&text), text.parse::<PublicKey>(), text.parse::<Signer>(), text.parse::<Time>());
                let _ = (SegmentName::parse(&text), text.parse::<Digest>(), Record::read(bytes));
                Line::read(bytes)
            };
            prop_assert!(read(&bytes).is_err());
            let mut line = line("alice", "lobby");
            let at = at % line.len();
            prop_assume!(line[at] != with);
            line[at] = with;
            prop_assert!(read(&line).is_err(), "{}", String::from_utf8_lossy(&line));
        }
    }

    #[test]
    fn nothing_hides_in_a_husk_or_beside() {
        let line = line("alice", "lobby");
        let husk = Line::read(&line).unwrap().husk(&line).unwrap();
        let husk = String::from_utf8(husk).unwrap();
        let more = husk.trim_end().replacen("\"seq\"", "\"reason\":\"x\",\"seq\"", 1);
        assert_eq!(Line::read(more.as_bytes()), Err(BadLine::Unreadable));
        let text = String::from_utf8(line).unwrap();
        let beside = text.replacen("\"object.id\"", "\"object.ie\"", 1);
        assert_eq!(Line::read(beside.as_bytes()), Err(BadLine::Beside));
        let empty = text.find(",\"beside\"").unwrap()..text.find(",\"class\"").unwrap();
        let mut empty_beside = text.clone();
        empty_beside.replace_range(empty, ",\"beside\":{}");
        assert_eq!(Line::read(empty_beside.as_bytes()), Err(BadLine::Beside));
    }
}
