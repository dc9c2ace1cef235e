//! What is taken out of files later: personal values that are erased, records past their age, and files of which nothing else is left.
//!
//! Nothing of the chain changes by it. What was taken is recorded first, as a count and a digest over which, and the verifier holds the
//! files against that. The order survives a crash at any point: the new file is complete under another name, then the record is durable,
//! then the name changes; a start finds the name not yet changed and changes it if the record is there.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::disk::{FILE_MODE, sync_directory};
use crate::event::{Event, Object, Value};
use crate::kind::{Kind, Outcome};
use crate::line::{Body, Line};
use crate::segment::{Segment, SegmentName, segments};
use crate::verify::{Counting, Missing, Stated};

/// What is to become of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Keep,
    /// Its personal values go.
    Erase,
    /// All goes but its place, time and class.
    Prune,
}

/// A file without some of its content, not yet in the place of the one that has it.
pub(crate) struct Draft {
    pub missing: Missing,
    path: PathBuf,
    target: PathBuf,
    name: SegmentName,
}

const DRAFT: &str = "draft";
const PACKED: Compression = Compression::new(6);

impl Draft {
    /// Writes the packed form of a file under another name. `None` if nothing is to be taken from it.
    pub(crate) fn write(
        directory: &Path,
        segment: &Segment,
        mut fate: impl FnMut(&Line) -> Fate,
    ) -> io::Result<Option<Self>> {
        let path = directory.join(format!("{}.{DRAFT}", segment.name));
        let target = directory.join(segment.name.packed());
        let mut out = Packing::new(&path)?;
        let (mut counting, mut changed) = (Counting::new(), false);
        let mut lines = segment.lines()?;
        while let Some(raw) = lines.next_line()? {
            // What does not hold is left as it is: the verifier must find it.
            let Ok(line) = Line::read(raw.bytes) else {
                drop(out);
                fs::remove_file(&path)?;
                return Ok(None);
            };
            let rewritten = match fate(&line) {
                Fate::Keep => None,
                Fate::Erase => line.without_personal(),
                Fate::Prune => line.husk(raw.bytes),
            };
            changed |= rewritten.is_some();
            let left = match &rewritten {
                None => line,
                Some(bytes) => Line::read(&bytes[..bytes.len() - 1])
                    .map_err(|bad| io::Error::new(io::ErrorKind::InvalidData, bad))?,
            };
            match &left.body {
                Body::Husk => counting.pruned(left.seq),
                Body::Record { erased, .. } => {
                    for field in erased {
                        counting.erased(left.seq, field);
                    }
                }
            }
            if let Some(bytes) = rewritten {
                out.0.write_all(&bytes)?;
            } else {
                out.0.write_all(raw.bytes)?;
                out.0.write_all(b"\n")?;
            }
        }
        out.finish()?;
        if !changed {
            fs::remove_file(&path)?;
            return Ok(None);
        }
        let (missing, _) = counting.done();
        Ok(Some(Self { missing, path, target, name: segment.name.clone() }))
    }

    /// What must be on disk before [`put_in_place`](Self::put_in_place).
    pub(crate) fn record(&self, reason: &'static str) -> Event {
        let Missing { erased, pruned, digest } = self.missing;
        Event::new(Kind::Rewritten, Outcome::Success)
            .reason(reason)
            .on(Object::Segment, self.name.to_string())
            .detail("first", self.name.first)
            .detail("erased", erased)
            .detail("pruned", pruned)
            .detail("digest", Value::Own(digest.to_string()))
    }

    pub(crate) fn put_in_place(self, directory: &Path, before: &Segment) -> io::Result<()> {
        fs::rename(&self.path, &self.target)?;
        sync_directory(directory)?;
        if before.path != self.target {
            fs::remove_file(&before.path)?;
        }
        sync_directory(directory)
    }
}

/// Packs a file. Its lines stay as they are, so nothing has to be said about it.
pub(crate) fn pack(directory: &Path, segment: &Segment) -> io::Result<()> {
    let path = directory.join(format!("{}.packing", segment.name));
    let mut out = Packing::new(&path)?;
    io::copy(&mut File::open(&segment.path)?, &mut out.0)?;
    out.finish()?;
    fs::rename(&path, directory.join(segment.name.packed()))?;
    sync_directory(directory)?;
    fs::remove_file(&segment.path)?;
    sync_directory(directory)
}

struct Packing(GzEncoder<BufWriter<File>>);

impl Packing {
    /// Over whatever an attempt left that got no further.
    fn new(path: &Path) -> io::Result<Self> {
        let file = File::options().write(true).create(true).truncate(true).mode(FILE_MODE).open(path)?;
        Ok(Self(GzEncoder::new(BufWriter::new(file), PACKED)))
    }

    fn finish(self) -> io::Result<()> {
        let mut buffered = self.0.finish()?;
        buffered.flush()?;
        buffered.get_ref().sync_all()
    }
}

/// What a crash left between a record and the change of name: the draft takes its place if the last record about that file says what is in
/// the draft.
pub(crate) fn finish_drafts(directory: &Path) -> io::Result<()> {
    let mut drafts = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let Some(file) = path.file_name().and_then(|file| file.to_str()) else { continue };
        if file.ends_with(".packing") {
            fs::remove_file(&path)?;
        } else if let Some(stem) = file.strip_suffix(&format!(".{DRAFT}"))
            && let Some(name) = SegmentName::parse(&format!("{stem}.ndjson.gz"))
        {
            drafts.push(Segment { name, path, bytes: 0, packed: true });
        }
    }
    let segments = segments(directory)?;
    let stated = if drafts.is_empty() { Stated::default() } else { stated(&segments)? };
    for draft in &drafts {
        // A draft that was not finished cannot be read, and no record speaks of it.
        let missing = count(draft).ok();
        if missing.is_some() && missing == stated.get(draft.name.first) {
            fs::rename(&draft.path, directory.join(draft.name.packed()))?;
        } else {
            fs::remove_file(&draft.path)?;
        }
    }
    sync_directory(directory)?;
    for segment in segments {
        let plain = directory.join(segment.name.plain());
        if directory.join(segment.name.packed()).exists() && plain.exists() {
            fs::remove_file(plain)?;
        }
    }
    sync_directory(directory)
}

/// What the log says is missing from its files.
fn stated(segments: &[Segment]) -> io::Result<Stated> {
    let mut stated = Stated::default();
    for segment in segments {
        let mut lines = segment.lines()?;
        while let Some(raw) = lines.next_line()? {
            if let Some(line) = Line::read(raw.bytes).ok().filter(|line| line.is(Kind::Rewritten)) {
                stated.add(&line);
            }
        }
    }
    Ok(stated)
}

fn count(segment: &Segment) -> io::Result<Missing> {
    let mut counting = Counting::new();
    let mut lines = segment.lines()?;
    while let Some(raw) = lines.next_line()? {
        let line = Line::read(raw.bytes).map_err(|bad| io::Error::new(io::ErrorKind::InvalidData, bad))?;
        match &line.body {
            Body::Husk => counting.pruned(line.seq),
            Body::Record { erased, .. } => {
                for field in erased {
                    counting.erased(line.seq, field);
                }
            }
        }
    }
    Ok(counting.done().0)
}
