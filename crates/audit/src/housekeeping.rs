//! What is done to files that are no longer written: they are packed, pruned by class and age, erased from, and removed.
//!
//! It blocks and takes as long as the files are large: a thread of its own or `spawn_blocking`, never the writer.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::disk::sync_directory;
use crate::event::{Event, Object};
use crate::handle::{Audit, NotRecorded};
use crate::kind::{Kind, Outcome};
use crate::line::{Body, Line};
use crate::query::Filter;
use crate::retention::Retention;
use crate::rewrite::{Draft, Fate, pack};
use crate::segment::{Segment, segments};
use crate::time::Time;

/// Takes care of the files of a log that is open.
pub struct Housekeeper {
    audit: Audit,
    directory: PathBuf,
    retention: Retention,
    /// When something more of a file will be past its age, by its first record, so that old files are not read every hour. Held while
    /// files are rewritten: two at a time on one file would lose one of both.
    due: Mutex<BTreeMap<u64, Time>>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kept {
    pub packed: u64,
    pub rewritten: u64,
    pub retired: u64,
    /// Of the files that were rewritten: how many values are erased and records pruned, all in all.
    pub erased: u64,
    pub pruned: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum HousekeepingError {
    #[error("cannot rewrite the files of the audit log")]
    Io(#[from] io::Error),
    #[error("nothing was rewritten, because it could not be recorded")]
    NotRecorded(#[from] NotRecorded),
}

impl Housekeeper {
    pub fn new(audit: Audit, directory: impl Into<PathBuf>, retention: Retention) -> Self {
        Self { audit, directory: directory.into(), retention, due: Mutex::default() }
    }

    /// Packs what is done, prunes what is past its age, removes files of which nothing is left. Meant for once an hour.
    pub fn keep(&self, now: Time) -> Result<Kept, HousekeepingError> {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = Kept::default();
        let shortest = u64::try_from(self.retention.shortest().as_millis()).unwrap_or(u64::MAX);
        let young = Time(now.0.saturating_sub(shortest)).compact();
        let mut leading = true;
        for segment in self.done()? {
            let first = segment.name.first;
            let waits = segment.name.begun > young || due.get(&first).is_some_and(|due| *due > now);
            if waits {
                leading = false;
                self.pack(&segment, &mut kept)?;
                continue;
            }
            let survey = Survey::of(&segment, &self.retention, now)?;
            if leading && survey.spent {
                self.retire(&segment, survey.last)?;
                due.remove(&first);
                kept.retired += 1;
                continue;
            }
            leading = false;
            due.insert(first, survey.due);
            if !survey.prunes {
                self.pack(&segment, &mut kept)?;
                continue;
            }
            let fate = |line: &Line| {
                if prunes(line, &self.retention, now) { Fate::Prune } else { Fate::Keep }
            };
            if let Some(draft) = Draft::write(&self.directory, &segment, fate)? {
                self.put_in_place(draft, &segment, "age", &mut kept)?;
            }
        }
        Ok(kept)
    }

    fn pack(&self, segment: &Segment, kept: &mut Kept) -> io::Result<()> {
        if !segment.packed {
            pack(&self.directory, segment)?;
            kept.packed += 1;
        }
        Ok(())
    }

    /// Takes the personal values from all records that the filter finds. The record about it names nobody.
    pub fn erase(&self, filter: &Filter) -> Result<Kept, HousekeepingError> {
        let _turn = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        // What stands in the file that is being written is meant too.
        if !self.audit.rotate_blocking() {
            return Err(NotRecorded::Closed.into());
        }
        let mut kept = Kept::default();
        for segment in self.done()? {
            let fate = |line: &Line| match &line.body {
                Body::Record { members, .. } if filter.finds(members) => Fate::Erase,
                _ => Fate::Keep,
            };
            if let Some(draft) = Draft::write(&self.directory, &segment, fate)? {
                self.put_in_place(draft, &segment, "erasure", &mut kept)?;
            }
        }
        Ok(kept)
    }

    /// All files but the one that is written.
    fn done(&self) -> io::Result<Vec<Segment>> {
        let mut segments = segments(&self.directory)?;
        segments.pop();
        Ok(segments)
    }

    fn put_in_place(
        &self,
        draft: Draft,
        segment: &Segment,
        reason: &'static str,
        kept: &mut Kept,
    ) -> Result<(), HousekeepingError> {
        kept.rewritten += 1;
        kept.erased += draft.missing.erased;
        kept.pruned += draft.missing.pruned;
        self.record(draft.record(reason))?;
        Ok(draft.put_in_place(&self.directory, segment)?)
    }

    /// Under the policy that goes on without a record, nothing may be taken away all the same.
    fn record(&self, event: Event) -> Result<(), NotRecorded> {
        self.audit.decide_blocking(event)?.seq.map(drop).ok_or(NotRecorded::Failing)
    }

    fn retire(&self, segment: &Segment, last: u64) -> Result<(), HousekeepingError> {
        let event = Event::new(Kind::Retired, Outcome::Success)
            .reason("age")
            .on(Object::Segment, segment.name.to_string())
            .detail("first", segment.name.first)
            .detail("last", last);
        self.record(event)?;
        fs::remove_file(&segment.path)?;
        Ok(sync_directory(&self.directory)?)
    }
}

/// The log's own records are kept as long as their file: everything else is checked by them.
fn prunes(line: &Line, retention: &Retention, now: Time) -> bool {
    line.body != Body::Husk
        && line.class != Kind::Checkpoint.class()
        && line.time.parse().is_ok_and(|time| retention.is_past(&line.class, time, now))
}

/// What time has made of a file.
struct Survey {
    last: u64,
    /// Every record is past its age, the log's own among them.
    spent: bool,
    /// Some record is past its age and still there.
    prunes: bool,
    /// When that may be true of more.
    due: Time,
}

impl Survey {
    fn of(segment: &Segment, retention: &Retention, now: Time) -> io::Result<Self> {
        let mut survey = Self { last: segment.name.first, spent: true, prunes: false, due: Time(u64::MAX) };
        let (mut others, mut own) = (Time(u64::MAX), Time(0));
        let mut lines = segment.lines()?;
        while let Some(raw) = lines.next_line()? {
            // What does not hold stays as it is: the verifier must find it.
            let Ok(line) = Line::read(raw.bytes) else {
                return Ok(Self { spent: false, prunes: false, ..survey });
            };
            survey.last = line.seq;
            let Ok(time) = line.time.parse::<Time>() else { continue };
            let age = u64::try_from(retention.of(&line.class).as_millis()).unwrap_or(u64::MAX);
            let ends = Time(time.0.saturating_add(age));
            survey.spent &= ends < now;
            survey.prunes |= prunes(&line, retention, now);
            if line.class == Kind::Checkpoint.class() {
                own = own.max(ends);
            } else if line.body != Body::Husk && ends >= now {
                others = others.min(ends);
            }
        }
        survey.due = if others == Time(u64::MAX) { own } else { others };
        Ok(survey)
    }
}
