//! Checkpoints that were kept elsewhere, found in whatever they were kept in: another node's log, an export, a file of notes.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use serde_json::Value;

use crate::note::Note;
use crate::segment::segments;

/// A line of an export can be longer than a record, but not by much.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// All checkpoints in a file, or in the files of a log's directory. Who signed them is not asked here.
pub fn anchors_in(path: &Path) -> io::Result<Vec<Note>> {
    let mut notes = Vec::new();
    if path.is_dir() {
        for segment in segments(path)? {
            let mut lines = segment.lines()?;
            while let Some(line) = lines.next_line()? {
                notes.extend(in_json(line.bytes));
            }
        }
    } else {
        collect(BufReader::new(File::open(path)?), &mut notes)?;
    }
    Ok(notes)
}

/// All checkpoints in a text of that kind.
pub fn notes_in(text: impl BufRead) -> io::Result<Vec<Note>> {
    let mut notes = Vec::new();
    collect(text, &mut notes)?;
    Ok(notes)
}

/// Lines of JSON with notes as text anywhere in them, and notes as they are, one behind the other.
fn collect(mut from: impl BufRead, notes: &mut Vec<Note>) -> io::Result<()> {
    let (mut line, mut text) = (Vec::new(), String::new());
    loop {
        line.clear();
        from.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        let is_signature = line.starts_with("—".as_bytes());
        // A note ends where no further signature follows.
        if !is_signature && text.contains("\n—") {
            notes.extend(Note::parse(&text).ok());
            text.clear();
        }
        if line.is_empty() {
            return Ok(());
        }
        if line.starts_with(b"{") {
            notes.extend(in_json(&line));
            text.clear();
        } else if text.len() + line.len() <= LINE_BYTES_MAX as usize && !(text.is_empty() && line == b"\n") {
            text.push_str(&String::from_utf8_lossy(&line));
        }
    }
}

fn in_json(line: &[u8]) -> Vec<Note> {
    fn within(value: &Value, notes: &mut Vec<Note>) {
        match value {
            Value::String(text) => notes.extend(Note::parse(text).ok()),
            Value::Array(values) => values.iter().for_each(|value| within(value, notes)),
            Value::Object(members) => members.values().for_each(|value| within(value, notes)),
            _ => {}
        }
    }
    let mut notes = Vec::new();
    if let Ok(value) = serde_json::from_slice(line) {
        within(&value, &mut notes);
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::key::Signer;
    use crate::note::Checkpoint;

    #[test]
    fn notes_are_found_in_whatever_they_were_kept_in() {
        let signers = [1, 2].map(|seed| Signer::from_seed("turnpike/a", [seed; 32]).unwrap());
        let notes = [3, 4, 5, 6].map(|size| {
            let checkpoint =
                Checkpoint { origin: "turnpike/a".into(), size, root: Digest::NONE, bound: "x".into() };
            Note::sign(checkpoint, &signers.iter().collect::<Vec<_>>())
        });
        let json = |note: &Note| serde_json::json!({ "a": [1, { "b": note.text() }] }).to_string();
        let text = format!(
            "{}\nnonsense\n\n{}{}{}\n\n{}",
            json(&notes[0]),
            json(&notes[1]),
            "\n",
            notes[2].text(),
            notes[3].text()
        );
        let mut found = Vec::new();
        collect(text.as_bytes(), &mut found).unwrap();
        assert_eq!(found, notes);
    }
}
