//! Where an existing log ends, and what is put aside because it is no record.
//!
//! A crash can leave part of a record, and pages of the last write in any order. None of that was acknowledged: it goes into
//! `quarantine`, and the log says so. If a signed checkpoint stands behind the bad place, something was there and is no longer readable:
//! then it is put aside just the same, and called damage.

use std::fs::{self, File};
use std::io::{self, Read, Seek as _, SeekFrom};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::chain::Chain;
use crate::disk::{FILE_MODE, sync_directory};
use crate::event::{Event, Value};
use crate::key::{KeyId, PublicKey};
use crate::kind::{Kind, Outcome};
use crate::line::Line;
use crate::note::Note;
use crate::open::{OpenError, io_error};
use crate::segment::{Segment, segments};
use crate::verify::Head;

pub(crate) struct Recovered {
    /// `None`: there is no log yet.
    pub chain: Option<Chain>,
    /// The name of the last file.
    pub previous: Option<String>,
    /// What there is to say.
    pub events: Vec<Event>,
    /// Who signed the last checkpoint.
    pub signed_by: Vec<KeyId>,
    /// The log said of itself that it ends there.
    pub closed: bool,
}

const QUARANTINE: &str = "quarantine";

pub(crate) fn recover(directory: &Path, keys: &[PublicKey]) -> Result<Recovered, OpenError> {
    let mut recovered =
        Recovered { chain: None, previous: None, events: Vec::new(), signed_by: Vec::new(), closed: false };
    let segments = segments(directory).map_err(io_error("read the directory", directory))?;
    for segment in segments.iter().rev() {
        if recovered.chain.is_some() && !recovered.signed_by.is_empty() {
            break;
        }
        let scan = Scan::of(segment, keys).map_err(|error| {
            if segment.packed {
                OpenError::Packed { path: segment.path.clone() }
            } else {
                io_error("read", &segment.path)(error)
            }
        })?;
        recovered.signed_by = scan.signed_by;
        if recovered.chain.is_some() {
            continue;
        }
        if scan.chain.is_none() && scan.bad_bytes == 0 {
            // Made, and nothing written to it yet.
            fs::remove_file(&segment.path).map_err(io_error("remove the empty file", &segment.path))?;
            continue;
        }
        if scan.bad_bytes > 0 {
            if segment.packed {
                return Err(OpenError::Packed { path: segment.path.clone() });
            }
            put_aside(directory, segment, scan.good_bytes)
                .map_err(io_error("put aside a part of", &segment.path))?;
            let kind = if scan.signed_behind { Kind::DamageFound } else { Kind::TornTail };
            let event = Event::new(kind, Outcome::Failure)
                .detail("file", Value::Own(segment.name.to_string()))
                .detail("offset", scan.good_bytes)
                .detail("bytes", scan.bad_bytes);
            recovered.events.push(event);
        }
        if let Some(chain) = scan.chain {
            recovered.previous = Some(segment.name.to_string());
            recovered.chain = Some(chain);
            recovered.closed = scan.closed;
        }
    }
    Ok(recovered)
}

/// What stands in one file.
struct Scan {
    /// After the last good record. `None` if there is none.
    chain: Option<Chain>,
    good_bytes: u64,
    bad_bytes: u64,
    /// Whether a checkpoint that one of our keys signed stands behind the first bad record.
    signed_behind: bool,
    signed_by: Vec<KeyId>,
    /// Nothing but the last checkpoint follows the record of the log's end.
    closed: bool,
}

impl Scan {
    fn of(segment: &Segment, keys: &[PublicKey]) -> io::Result<Self> {
        let mut scan = Self {
            chain: None,
            good_bytes: 0,
            bad_bytes: 0,
            signed_behind: false,
            signed_by: Vec::new(),
            closed: false,
        };
        let mut lines = segment.lines()?;
        while let Some(raw) = lines.next_line()? {
            let bytes = raw.bytes.len() as u64 + u64::from(raw.ended);
            let line = Line::read(raw.bytes).ok().filter(|_| raw.ended);
            if scan.bad_bytes == 0
                && let Some(line) = &line
                && scan.follows(line, segment)
            {
                scan.good_bytes += bytes;
                scan.closed = line.is(Kind::Closed) || scan.closed && line.is(Kind::Checkpoint);
            } else {
                scan.bad_bytes += bytes;
                scan.closed = false;
            }
            let Some(note) = line.as_ref().and_then(note_of) else { continue };
            if scan.bad_bytes == 0 {
                scan.signed_by = note.signers().map(|(_, id)| id).collect();
            } else {
                scan.signed_behind |= keys.iter().any(|key| note.is_signed_by(key));
            }
        }
        Ok(scan)
    }

    fn follows(&mut self, line: &Line, segment: &Segment) -> bool {
        if self.chain.is_none() {
            let Some(head) = Head::of(line).filter(|head| head.before == segment.name.first) else {
                return false;
            };
            self.chain =
                Some(Chain { log: head.log, seq: head.before, prev: line.prev, frontier: head.frontier });
        }
        let chain = self.chain.as_mut().expect("it was set above");
        let follows = line.seq == chain.seq && line.prev == chain.prev;
        if follows {
            chain.advance(line.hash);
        }
        follows
    }
}

fn note_of(line: &Line) -> Option<Note> {
    line.is(Kind::Checkpoint).then(|| Note::parse(line.detail("note")?.as_str()?).ok()).flatten()
}

/// The copy is durable before the original is cut.
fn put_aside(directory: &Path, segment: &Segment, from: u64) -> io::Result<()> {
    let quarantine = directory.join(QUARANTINE);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&quarantine)?;
    let mut source = File::options().read(true).write(true).open(&segment.path)?;
    source.seek(SeekFrom::Start(from))?;
    // A file of that name is the same part, put aside by a start that got no further.
    let copy = quarantine.join(format!("{}.{from}", segment.name));
    let mut copy = File::options().write(true).create(true).truncate(true).mode(FILE_MODE).open(copy)?;
    io::copy(&mut Read::by_ref(&mut source).take(segment.bytes - from), &mut copy)?;
    copy.sync_all()?;
    sync_directory(&quarantine)?;
    if from == 0 {
        fs::remove_file(&segment.path)?;
        return sync_directory(directory);
    }
    source.set_len(from)?;
    source.sync_all()
}
