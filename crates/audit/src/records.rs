//! Reading a log for what it says: one record after the other, those that a filter finds. Whether they are true is the verifier's business.

use std::io::{self, BufRead};
use std::path::Path;

use serde_json::{Map, Value};

use crate::query::{Filter, personal};
use crate::segment::{Lines, Segment, segments};
use crate::time::Time;

/// A record as it stands in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Record(pub Map<String, Value>);

/// Clocks are set back now and then; a file is skipped only if the next one was begun that much before what is asked for.
const CLOCK_SET_BACK_MAX_MS: u64 = 3_600_000;

impl Record {
    /// `None` for what is no record.
    pub fn read(line: &[u8]) -> Option<Self> {
        match serde_json::from_slice(line) {
            Ok(Value::Object(members)) if members.contains_key("seq") => Some(Self(members)),
            _ => None,
        }
    }

    /// A text of the record by its path: `["connection", "id"]`.
    pub fn text(&self, path: &[&str]) -> Option<&str> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.0.get(*first)?, |value, name| value.get(name))?.as_str()
    }

    pub fn seq(&self) -> u64 {
        self.0.get("seq").and_then(Value::as_u64).unwrap_or(0)
    }

    pub fn time(&self) -> Option<Time> {
        self.text(&["time"])?.parse().ok()
    }

    pub fn class(&self) -> &str {
        self.text(&["class"]).unwrap_or_default()
    }

    pub fn activity(&self) -> &str {
        self.text(&["activity"]).unwrap_or_default()
    }

    /// The node that wrote it.
    pub fn node(&self) -> &str {
        let log = self.text(&["log"]).unwrap_or_default();
        log.split_once('/').map_or(log, |(node, _)| node)
    }

    /// A personal value, if it was not erased: `actor.user`, `connection.address`, `connection.agent`, `object.id`.
    pub fn personal(&self, field: &str) -> Option<&str> {
        personal(&self.0, field)
    }

    /// What it was done to. Ids that are not personal stand in the record itself.
    pub fn object(&self) -> Option<(&str, Option<&str>)> {
        let kind = self.text(&["object", "kind"])?;
        let is_personal = matches!(kind, "user" | "room" | "stream" | "address");
        let id = if is_personal { self.personal("object.id") } else { self.text(&["object", "id"]) };
        Some((kind, id))
    }

    pub fn detail(&self) -> Option<&Map<String, Value>> {
        self.0.get("detail")?.as_object()
    }
}

/// The records of a directory that a filter finds, oldest first.
pub struct Records {
    filter: Filter,
    after: Option<u64>,
    segments: std::vec::IntoIter<Segment>,
    lines: Option<Lines<Box<dyn BufRead + Send>>>,
}

impl Records {
    pub fn of(directory: &Path, filter: Filter) -> io::Result<Self> {
        let mut segments = segments(directory)?;
        if let Some(since) = filter.since {
            let since = Time(since.0.saturating_sub(CLOCK_SET_BACK_MAX_MS)).compact();
            let skipped = segments.iter().skip(1).take_while(|next| next.name.begun < since).count();
            segments.drain(..skipped);
        }
        Ok(Self { filter, after: None, segments: segments.into_iter(), lines: None })
    }

    /// Only those with a higher number. Files that cannot have any are not read.
    #[must_use]
    pub fn after(mut self, seq: Option<u64>) -> Self {
        self.after = seq;
        if let Some(seq) = seq {
            let rest = self.segments.as_slice();
            let skipped =
                rest.iter().skip(1).take_while(|next| next.name.first <= seq.saturating_add(1)).count();
            self.segments.by_ref().take(skipped).for_each(drop);
        }
        self
    }
}

impl Records {
    fn finds(&self, record: &Record) -> bool {
        self.after.is_none_or(|after| record.seq() > after) && self.filter.finds(&record.0)
    }
}

impl Iterator for Records {
    type Item = io::Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some(lines) = &mut self.lines else {
                match self.segments.next()?.lines() {
                    Ok(lines) => self.lines = Some(lines),
                    Err(error) => return Some(Err(error)),
                }
                continue;
            };
            match lines.next_line() {
                Err(error) => {
                    self.lines = None;
                    return Some(Err(error));
                }
                Ok(None) => self.lines = None,
                Ok(Some(line)) => {
                    if let Some(record) = Record::read(line.bytes).filter(|record| self.finds(record)) {
                        return Some(Ok(record));
                    }
                }
            }
        }
    }
}
