//! The verifier: whoever has a copy of the files and the public key can say whether anything was changed, and where first.
//!
//! [`Verification`] is pure and takes lines in order; [`Verify`] reads the files. Nothing of what is read is trusted until a
//! signature of a known key covers it.

mod directory;
mod finding;
mod places;
mod report;
mod rewrites;

use std::time::Duration;

pub use self::directory::{Progress, Verify};
pub use self::finding::{Finding, Problem};
use self::places::Anchors;
pub use self::report::{Report, Tail, Verdict};
use self::rewrites::Rewrites;
pub(crate) use self::rewrites::{Counting, Missing, Stated};
use crate::chain::{Chain, Stamp};
use crate::digest::Digest;
use crate::key::PublicKey;
use crate::kind::Kind;
use crate::line::{BadLine, Body, Line};
use crate::merkle::Frontier;
use crate::note::Note;
use crate::personal::Salt;
use crate::segment::SegmentName;
use crate::time::Time;

/// What is believed before the first line is read.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// One of these signed the first checkpoint. Further ones follow from the log, if the key before has signed for them.
    pub keys: Vec<PublicKey>,
    /// Checkpoints that were kept elsewhere. Those that no known key signed count for nothing.
    pub anchors: Vec<Note>,
}

/// The state of a verification between two lines.
pub struct Verification {
    trust: Trust,
    /// The trusted keys, and those that they have signed for.
    known: Vec<PublicKey>,
    anchors: Anchors,
    /// Where the next record must stand. `None` before the first.
    at: Option<Chain>,
    segment: String,
    /// Whether the next line must open a segment.
    opens: bool,
    /// The key that must sign the next checkpoint. `None` before the first.
    key: Option<PublicKey>,
    introduced: Option<PublicKey>,
    /// Keys that were followed by others. Whoever found one must not go on with it.
    replaced: Vec<PublicKey>,
    rewrites: Rewrites,
    report: Report,
    /// Number and time of the last checkpoint's record.
    signed: Option<(u64, Time)>,
    last_time: Time,
}

impl Verification {
    pub fn new(trust: Trust) -> Self {
        Self {
            anchors: Anchors::new(&trust.anchors),
            known: trust.keys.clone(),
            trust,
            at: None,
            segment: String::new(),
            opens: true,
            key: None,
            introduced: None,
            replaced: Vec::new(),
            rewrites: Rewrites::default(),
            report: Report::default(),
            signed: None,
            last_time: Time(0),
        }
    }

    /// The number of the record that comes next.
    pub fn seq(&self) -> u64 {
        self.at.as_ref().map_or(0, |at| at.seq)
    }

    /// A file begins.
    pub fn segment(&mut self, name: &SegmentName) -> Result<(), Finding> {
        self.segment = name.to_string();
        self.opens = true;
        match &self.at {
            Some(at) if name.first > at.seq => Err(self.found(Problem::SegmentMissing { until: name.first })),
            Some(at) if name.first < at.seq => Err(self.found(Problem::Repeated { found: name.first })),
            _ => {
                self.report.segments += 1;
                self.rewrites.segment(name.first);
                Ok(())
            }
        }
    }

    /// A line of the file, without its line feed.
    pub fn line(&mut self, bytes: &[u8]) -> Result<(), Finding> {
        let line = Line::read(bytes).map_err(|bad| self.found(Problem::Line(bad)))?;
        self.record(&line)
    }

    fn record(&mut self, line: &Line) -> Result<(), Finding> {
        if self.opens {
            self.open(line)?;
        }
        let at = self.at.as_ref().expect("the first line of a segment has set it");
        if line.seq > at.seq {
            return Err(self.found(Problem::Missing { found: line.seq }));
        }
        if line.seq < at.seq {
            return Err(self.found(Problem::Repeated { found: line.seq }));
        }
        if line.prev != at.prev {
            return Err(self.found(Problem::Unchained));
        }
        if let Some(anchored) = self.anchors.take(at.seq, &self.known)
            && anchored != at.frontier.root()
        {
            return Err(self.found(Problem::Anchor { size: at.seq }));
        }
        let Ok(time) = line.time.parse() else { return Err(self.found(Problem::Line(BadLine::Unreadable))) };
        match &line.body {
            Body::Record { members, erased } => {
                let log = members.get("log").and_then(serde_json::Value::as_str);
                if log != Some(&at.log) {
                    return Err(self.found(Problem::OtherLog));
                }
                self.report.erased += erased.len() as u64;
                self.rewrites.record(line.seq, erased);
                self.own(line, time)?;
            }
            Body::Husk => {
                if line.class == Kind::Checkpoint.class() {
                    return Err(self.found(Problem::Line(BadLine::Unreadable)));
                }
                self.report.husks += 1;
                self.rewrites.husk(line.seq);
            }
        }
        self.report.records += 1;
        self.last_time = time;
        self.at.as_mut().expect("as above").advance(line.hash);
        Ok(())
    }

    /// The first line of a file says where the log stands; at the very first file there is nothing to compare it with, and the
    /// next checkpoint tells whether it is true.
    fn open(&mut self, line: &Line) -> Result<(), Finding> {
        let wrong = Problem::SegmentHead;
        let head = Head::of(line).ok_or_else(|| self.found(wrong.clone()))?;
        let name = SegmentName::new(head.before, head.time);
        if name.to_string() != self.segment {
            return Err(self.found(wrong));
        }
        match &mut self.at {
            None => {
                if head.before == 0 && line.prev != Digest::NONE {
                    return Err(self.found(wrong));
                }
                self.report.first = head.before;
                self.at =
                    Some(Chain { log: head.log, seq: head.before, prev: line.prev, frontier: head.frontier });
            }
            Some(at) => {
                if head.frontier != at.frontier || line.seq != at.seq || node(&head.log) != node(&at.log) {
                    return Err(self.found(wrong));
                }
                at.log = head.log;
            }
        }
        self.opens = false;
        Ok(())
    }

    /// What the log says about itself.
    fn own(&mut self, line: &Line, time: Time) -> Result<(), Finding> {
        let text = |name: &str| line.detail(name).and_then(serde_json::Value::as_str);
        let number = |name: &str| line.detail(name).and_then(serde_json::Value::as_u64).unwrap_or(0);
        if line.is(Kind::Checkpoint) {
            return self.checkpoint(line, time);
        }
        if line.is(Kind::KeyIntroduced) {
            let Some(key) = text("key").and_then(|key| key.parse().ok()) else {
                return Err(self.found(Problem::Line(BadLine::Unreadable)));
            };
            self.introduced = Some(key);
        } else if line.is(Kind::Rewritten) {
            self.rewrites.stated(line);
        } else if line.is(Kind::Retired) {
            self.rewrites.retired(number("last"));
        } else if line.is(Kind::DamageFound) {
            self.report.damaged += 1;
        } else if line.is(Kind::TornTail) || line.is(Kind::Gap) || line.is(Kind::Dropped) {
            self.report.explained.push((line.seq, line.activity().to_owned()));
        }
        Ok(())
    }

    fn checkpoint(&mut self, line: &Line, time: Time) -> Result<(), Finding> {
        let at = self.at.as_ref().expect("a record stands somewhere");
        let note = line.detail("note").and_then(serde_json::Value::as_str);
        let note = note.and_then(|note| Note::parse(note).ok());
        let mono = match &line.body {
            Body::Record { members, .. } => members.get("mono").and_then(serde_json::Value::as_u64),
            Body::Husk => None,
        };
        let (Some(note), Some(mono)) = (note, mono) else { return Err(self.found(Problem::CheckpointForm)) };
        let stamp = Stamp { time, mono };
        // All of the record follows from the note: nothing can be put into it that no signature covers.
        let mut expected = at.clone();
        let mut none = || -> Salt { Salt::default() };
        expected.append(&crate::chain::checkpoint_event(&note), stamp, &mut none, &mut Vec::new());
        let origin = &note.checkpoint.origin;
        if expected.prev != line.hash || note.checkpoint.bound != at.unsigned(stamp, origin).bound {
            return Err(self.found(Problem::CheckpointForm));
        }
        let key = self.signer(&note).ok_or_else(|| self.found(Problem::Signer(claimed(&note))))?;
        if note.checkpoint != at.unsigned(stamp, key.name()) {
            return Err(self.found(Problem::Root));
        }
        if !self.known.contains(&key) {
            self.known.push(key.clone());
        }
        let before = self.key.replace(key.clone());
        self.replaced.extend(before.filter(|before| *before != key));
        self.introduced = None;
        self.report.checkpoints += 1;
        self.report.signed = line.seq + 1;
        self.signed = Some((line.seq, time));
        self.anchors.passed(line.seq, time);
        Ok(())
    }

    /// The key that signs from here on, if a key that may has signed.
    fn signer(&self, note: &Note) -> Option<PublicKey> {
        let Some(current) = &self.key else {
            return self.trust.keys.iter().rev().find(|key| note.is_signed_by(key)).cloned();
        };
        if let Some(next) = self.introduced.as_ref().filter(|next| note.is_signed_by(next))
            && (note.is_signed_by(current) || self.trust.keys.contains(next) && !self.replaced.contains(next))
        {
            return Some(next.clone());
        }
        note.is_signed_by(current).then(|| current.clone())
    }

    /// Bytes at the end of the last file that are no whole record.
    pub fn torn(&mut self, bytes: u64) {
        self.report.torn_bytes = bytes;
    }

    /// The end. `tail_max`: how much time may lie after the newest anchor.
    pub fn finish(mut self, tail_max: Duration, anchors_needed: bool) -> Report {
        let end = self.seq();
        let beyond = self.anchors.beyond(end, &self.known);
        let root = self.anchors.take(end, &self.known);
        if root.is_some_and(|root| self.at.as_ref().is_some_and(|at| at.frontier.root() != root)) {
            self.report.finding = Some(self.found(Problem::Anchor { size: end }));
        } else if let Some(size) = beyond {
            self.report.finding = Some(self.found(Problem::CutOff { size }));
        } else if let Some((seq, problem)) = self.rewrites.difference() {
            let segment = self.rewrites.segment_of(seq);
            self.report.finding = Some(Finding { seq, signed: self.report.signed, segment, problem });
        } else if self.report.first > 0 && !self.rewrites.is_retired(self.report.first) {
            let segment = "the first file".into();
            let problem = Problem::BeginningMissing { first: self.report.first };
            let seq = self.rewrites.next_after_retired();
            self.report.finding = Some(Finding { seq, signed: self.report.signed, segment, problem });
        } else if self.report.checkpoints == 0 && end > 0 {
            self.report.finding = Some(self.found(Problem::NeverSigned));
        }
        self.report.size = end;
        self.report.key = self.key.take();
        let since = |time: Time| Duration::from_millis(self.last_time.0.saturating_sub(time.0));
        self.report.tail = Tail {
            unsigned_records: end - self.report.signed.min(end),
            unsigned: self.signed.map_or(Duration::MAX, |(_, time)| since(time)),
            anchored: self.anchors.newest().map(|(size, _)| size),
            unanchored: self.anchors.newest().map_or(Duration::MAX, |(_, time)| since(time)),
        };
        self.report.conclude(tail_max, anchors_needed);
        self.report
    }

    /// With this, nothing further is read.
    pub fn broken(mut self, finding: Finding) -> Report {
        self.report.size = self.seq();
        self.report.finding = Some(finding);
        self.report.key = self.key.take();
        self.report.conclude(Duration::ZERO, false);
        self.report
    }

    fn found(&self, problem: Problem) -> Finding {
        Finding { seq: self.seq(), signed: self.report.signed, segment: self.segment.clone(), problem }
    }
}

fn claimed(note: &Note) -> String {
    note.signers().map(|(name, id)| format!("{name}+{id}")).collect::<Vec<_>>().join(", ")
}

fn node(log: &str) -> &str {
    log.rsplit_once('/').map_or(log, |(node, _)| node)
}

/// What the first record of a file says.
pub(crate) struct Head {
    pub log: String,
    pub before: u64,
    pub time: Time,
    pub frontier: Frontier,
}

impl Head {
    pub(crate) fn of(line: &Line) -> Option<Self> {
        let Body::Record { members, .. } = &line.body else { return None };
        let before = line.detail("records_before")?.as_u64()?;
        let roots = line.detail("roots")?.as_array()?;
        let roots: Option<Vec<Digest>> = roots.iter().map(|root| root.as_str()?.parse().ok()).collect();
        (line.is(Kind::SegmentOpened) && line.seq == before).then_some(Self {
            log: members.get("log")?.as_str()?.into(),
            before,
            time: line.time.parse().ok()?,
            frontier: Frontier::from_roots(before, &roots?)?,
        })
    }
}
