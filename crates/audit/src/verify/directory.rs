//! Reads the files of a copy, one after the other, and says how far it is.

use std::io::{self, BufRead};
use std::path::Path;
use std::time::Duration;

use super::{Finding, Problem, Report, Trust, Verification};
use crate::line::BadLine;
use crate::segment::{Lines, Segment, SegmentName, segments};

/// What is verified, and what is asked of its end.
#[derive(Debug, Clone)]
pub struct Verify {
    pub trust: Trust,
    /// How much time may lie between the newest anchor, or the last checkpoint, and the last record.
    pub tail_max: Duration,
    /// Without, a log whose end was cut off passes: a checkpoint in the log itself does not show that.
    pub anchors_needed: bool,
}

/// How far a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub records: u64,
    /// Of the files read to their end.
    pub bytes: u64,
    pub bytes_total: u64,
}

/// Between two reports of progress.
const RECORDS_PER_REPORT: u64 = 4_096;

impl Verify {
    /// Fails only if the directory cannot be read at all.
    pub fn directory(&self, directory: &Path, progress: &mut dyn FnMut(Progress)) -> io::Result<Report> {
        let segments = segments(directory)?;
        let bytes_total = segments.iter().map(|segment| segment.bytes).sum();
        let mut verification = Verification::new(self.trust.clone());
        let mut reading = Reading { bytes: 0, bytes_total, records: 0, progress };
        for (index, segment) in segments.iter().enumerate() {
            let is_last = index + 1 == segments.len();
            if let Err(finding) = reading.segment(&mut verification, segment, is_last) {
                return Ok(verification.broken(finding));
            }
        }
        Ok(verification.finish(self.tail_max, self.anchors_needed))
    }

    /// The same of files at hand, in their order.
    pub fn files(&self, files: &[(SegmentName, &[u8])]) -> Report {
        let mut verification = Verification::new(self.trust.clone());
        let mut reading = Reading { bytes: 0, bytes_total: 0, records: 0, progress: &mut |_| () };
        for (index, (name, bytes)) in files.iter().enumerate() {
            let is_last = index + 1 == files.len();
            let read = verification
                .segment(name)
                .and_then(|()| reading.lines(&mut verification, Lines::new(*bytes), 0, is_last));
            if let Err(finding) = read {
                return verification.broken(finding);
            }
        }
        verification.finish(self.tail_max, self.anchors_needed)
    }
}

struct Reading<'a> {
    records: u64,
    bytes: u64,
    bytes_total: u64,
    progress: &'a mut dyn FnMut(Progress),
}

impl Reading<'_> {
    fn segment(
        &mut self,
        verification: &mut Verification,
        segment: &Segment,
        is_last: bool,
    ) -> Result<(), Finding> {
        verification.segment(&segment.name)?;
        let lines = segment.lines().map_err(|error| verification.found(Problem::File(error.to_string())))?;
        // How much of a packed file was read can only be told at its end.
        let bytes_max = if segment.packed { 0 } else { segment.bytes };
        self.lines(verification, lines, bytes_max, is_last)?;
        self.bytes += segment.bytes;
        self.report(self.bytes);
        Ok(())
    }

    fn lines<R: BufRead>(
        &mut self,
        verification: &mut Verification,
        mut lines: Lines<R>,
        bytes_max: u64,
        is_last: bool,
    ) -> Result<(), Finding> {
        let mut read = 0;
        loop {
            let line =
                lines.next_line().map_err(|error| verification.found(Problem::File(error.to_string())))?;
            let Some(line) = line else { break };
            read += line.bytes.len() as u64 + 1;
            if !line.ended {
                if line.bytes.len() > crate::LINE_BYTES_MAX {
                    return Err(verification.found(Problem::Line(BadLine::Long)));
                }
                if !is_last {
                    return Err(verification.found(Problem::Line(BadLine::Unreadable)));
                }
                verification.torn(line.bytes.len() as u64);
                break;
            }
            verification.line(line.bytes)?;
            self.records += 1;
            if self.records.is_multiple_of(RECORDS_PER_REPORT) {
                self.report(self.bytes + read.min(bytes_max));
            }
        }
        Ok(())
    }

    fn report(&mut self, bytes: u64) {
        (self.progress)(Progress { records: self.records, bytes, bytes_total: self.bytes_total });
    }
}
