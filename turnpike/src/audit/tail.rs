//! `turnpike audit tail`: the last records, and those that come.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use turnpike_audit::{LINE_BYTES_MAX, Record, Segment, segments};

use super::flags::Flags;
use super::show::{Form, written};
use super::verify::unreadable;

#[derive(Debug)]
pub(crate) struct Request {
    lines: usize,
    follow: bool,
    form: Form,
}

const LINES_DEFAULT: u64 = 20;
const LINES_MAX: u64 = 100_000;
/// Between two looks for something new.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const READ_BYTES: usize = 64 << 10;

impl Request {
    pub(super) fn parse(flags: &mut Flags<'_>) -> Self {
        let lines = flags.number("lines").unwrap_or(LINES_DEFAULT).min(LINES_MAX);
        Self {
            lines: usize::try_from(lines).unwrap_or(usize::MAX),
            follow: flags.switch("follow"),
            form: if flags.switch("json") { Form::LINES } else { Form::Text },
        }
    }
}

pub(super) fn execute(request: &Request, directory: &Path) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let (records, end) = last(directory, request.lines).with_context(|| unreadable(directory))?;
    for record in &records {
        if !written(&mut out, &request.form.line(record))? {
            return Ok(());
        }
    }
    let Some(mut follow) = end.filter(|_| request.follow) else { return Ok(()) };
    loop {
        for record in follow.look(directory)? {
            if !written(&mut out, &request.form.line(&record))? {
                return Ok(());
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The last records of the last files, and where the log ends.
fn last(directory: &Path, count: usize) -> io::Result<(VecDeque<Record>, Option<Follow>)> {
    let segments = segments(directory)?;
    let mut found = VecDeque::new();
    for segment in segments.iter().rev() {
        let mut records = VecDeque::new();
        let mut lines = segment.lines()?;
        while let Some(line) = lines.next_line()? {
            records.extend(Record::read(line.bytes).filter(|_| line.ended));
            if records.len() > count {
                records.pop_front();
            }
        }
        records.append(&mut found);
        found = records;
        if found.len() >= count {
            break;
        }
    }
    found.drain(..found.len().saturating_sub(count));
    let next = found.back().map_or(0, |record| record.seq() + 1);
    let follow = segments.into_iter().next_back().map(|segment| Follow::new(segment, next)).transpose()?;
    Ok((found, follow))
}

/// The end of a log that grows.
struct Follow {
    segment: Segment,
    file: File,
    /// What is there of a line that has not ended.
    rest: Vec<u8>,
    /// The number of the record that comes next.
    next: u64,
}

impl Follow {
    fn new(segment: Segment, next: u64) -> io::Result<Self> {
        Ok(Self { file: File::open(&segment.path)?, segment, rest: Vec::new(), next })
    }

    fn look(&mut self, directory: &Path) -> io::Result<Vec<Record>> {
        let mut records = Vec::new();
        // Asked for before the last look into this file: what is written to it after that look is not lost.
        let newer = segments(directory)?.into_iter().find(|segment| segment.name > self.segment.name);
        let mut chunk = vec![0; READ_BYTES];
        loop {
            let read = self.file.read(&mut chunk)?;
            if read == 0 {
                break;
            }
            for part in chunk[..read].split_inclusive(|byte| *byte == b'\n') {
                self.rest.extend(part);
                if self.rest.pop_if(|last| *last == b'\n').is_some() {
                    let line = std::mem::take(&mut self.rest);
                    records.extend(Record::read(&line).filter(|record| record.seq() >= self.next));
                }
                self.rest.truncate(LINE_BYTES_MAX + 1);
            }
        }
        if let Some(last) = records.last() {
            self.next = last.seq() + 1;
        }
        if let Some(newer) = newer.filter(|newer| !newer.packed) {
            *self = Self::new(newer, self.next)?;
        }
        Ok(records)
    }
}
