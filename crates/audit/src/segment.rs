//! Files of a log: their names, which there are, and their lines.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::chain::LINE_BYTES_MAX;
use crate::time::Time;

const PREFIX: &str = "audit-";
const PLAIN: &str = ".ndjson";
const PACKED: &str = ".ndjson.gz";
const READ_BYTES: usize = 256 << 10;

/// What a file of a log is called: the number of its first record and when it was begun.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentName {
    pub first: u64,
    /// `20261121T100501Z`.
    pub begun: String,
}

impl SegmentName {
    pub fn new(first: u64, time: Time) -> Self {
        Self { first, begun: time.compact() }
    }

    pub fn plain(&self) -> String {
        format!("{self}{PLAIN}")
    }

    pub fn packed(&self) -> String {
        format!("{self}{PACKED}")
    }

    /// From the name of a file, packed or not.
    pub fn parse(file: &str) -> Option<Self> {
        let stem = file.strip_suffix(PACKED).or_else(|| file.strip_suffix(PLAIN))?;
        let (first, begun) = stem.strip_prefix(PREFIX)?.split_once('-')?;
        let name = Self { first: first.parse().ok()?, begun: begun.into() };
        (name.to_string() == stem && begun.len() == 16).then_some(name)
    }
}

impl std::fmt::Display for SegmentName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{PREFIX}{:016}-{}", self.first, self.begun)
    }
}

/// A file of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    pub name: SegmentName,
    pub path: PathBuf,
    pub bytes: u64,
    pub packed: bool,
}

/// The files in a directory, oldest first. Where a file is there packed and plain, the packed one counts: it has
/// its name only since it was complete.
pub fn segments(directory: &Path) -> io::Result<Vec<Segment>> {
    let mut found: Vec<Segment> = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let file = entry.file_name();
        let Some(name) = file.to_str().and_then(SegmentName::parse) else { continue };
        let packed = entry.path().extension().is_some_and(|extension| extension == "gz");
        found.push(Segment { name, path: entry.path(), bytes: entry.metadata()?.len(), packed });
    }
    found.sort_by(|one, other| (&one.name, !one.packed).cmp(&(&other.name, !other.packed)));
    found.dedup_by(|next, kept| next.name == kept.name);
    Ok(found)
}

impl Segment {
    /// Its lines, unpacked. `read` is told how many bytes of the file were taken.
    pub fn lines(&self) -> io::Result<Lines<Box<dyn BufRead + Send>>> {
        let file = File::open(&self.path)?;
        Ok(Lines::new(if self.packed {
            Box::new(BufReader::with_capacity(READ_BYTES, MultiGzDecoder::new(BufReader::new(file))))
        } else {
            Box::new(BufReader::with_capacity(READ_BYTES, file))
        }))
    }
}

/// Lines of bounded length from a stream.
pub struct Lines<R> {
    from: R,
    line: Vec<u8>,
}

/// One line, without its line feed.
#[derive(Debug, PartialEq, Eq)]
pub struct RawLine<'a> {
    pub bytes: &'a [u8],
    /// Whether there was a line feed. What has none was cut off, or is longer than a record can be.
    pub ended: bool,
}

impl<R: BufRead> Lines<R> {
    pub fn new(from: R) -> Self {
        Self { from, line: Vec::new() }
    }

    /// `None` at the end.
    pub fn next_line(&mut self) -> io::Result<Option<RawLine<'_>>> {
        self.line.clear();
        let limit = LINE_BYTES_MAX as u64 + 1;
        self.from.by_ref().take(limit).read_until(b'\n', &mut self.line)?;
        if self.line.is_empty() {
            return Ok(None);
        }
        let ended = self.line.pop_if(|last| *last == b'\n').is_some();
        Ok(Some(RawLine { bytes: &self.line, ended }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_their_records_do() {
        let names = [7, 42, 1_000_000].map(|first| SegmentName::new(first, Time(1_767_225_661_000)));
        assert_eq!(names[1].plain(), "audit-0000000000000042-20260101T000101Z.ndjson");
        assert!(names.map(|name| name.to_string()).is_sorted());
        for name in &[7, 42].map(|first| SegmentName::new(first, Time(0))) {
            assert_eq!(SegmentName::parse(&name.plain()).as_ref(), Some(name));
            assert_eq!(SegmentName::parse(&name.packed()).as_ref(), Some(name));
        }
        for wrong in [
            "",
            "audit-1-20260101T000101Z.ndjson",
            "audit-0000000000000042-20260101T000101Z.json",
            "x-0000000000000042-20260101T000101Z.ndjson",
        ] {
            assert_eq!(SegmentName::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn lines_are_bounded() {
        let mut lines = Lines::new(&b"a\n\nbc"[..]);
        for (bytes, ended) in [(&b"a"[..], true), (b"", true), (b"bc", false)] {
            assert_eq!(lines.next_line().unwrap(), Some(RawLine { bytes, ended }));
        }
        assert_eq!(lines.next_line().unwrap(), None);
        let long = vec![b'x'; 3 * LINE_BYTES_MAX];
        let line = Lines::new(&long[..]).next_line().unwrap().map(|line| (line.bytes.len(), line.ended));
        assert_eq!(line, Some((LINE_BYTES_MAX + 1, false)));
    }
}
