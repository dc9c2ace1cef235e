//! Proofs that can be handed to somebody who does not get the log: that a record is in it, and that it only grew.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Kind;
use crate::digest::Digest;
use crate::key::PublicKey;
use crate::line::{BadLine, Line};
use crate::merkle::{self, Subtrees, Unproven, verify_consistency, verify_inclusion};
use crate::note::Note;
use crate::segment::segments;
use crate::verify::Head;

/// A proof, as the JSON that is handed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "proof", rename_all = "lowercase", deny_unknown_fields)]
pub enum Proof {
    /// The record is one of those that the checkpoint covers.
    Inclusion { seq: u64, record: String, checkpoint: String, path: Vec<Digest> },
    /// What the older checkpoint covers is the beginning of what the newer one covers.
    Consistency { older: String, newer: String, path: Vec<Digest> },
}

#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    #[error("cannot read the log")]
    Io(#[from] io::Error),
    #[error("record {seq} does not hold by itself; verify the log first")]
    BadLine { seq: u64, source: BadLine },
    #[error("there is no record {seq}, or no checkpoint after it")]
    NoRecord { seq: u64 },
    #[error("there is no checkpoint that covers {size} records")]
    NoCheckpoint { size: u64 },
    #[error("the log is not what the checkpoint covers; verify it first")]
    NotThisLog,
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Disproven {
    #[error("the checkpoint is not signed by that key")]
    Signature,
    #[error("the record is not what it says")]
    Record(#[from] BadLine),
    #[error("the record has another number")]
    Number,
    #[error(transparent)]
    Path(#[from] Unproven),
}

impl Proof {
    /// That a record is in the log: with the first checkpoint after it, or the one that covers `size` records.
    pub fn inclusion(directory: &Path, seq: u64, size: Option<u64>) -> Result<Self, ProofError> {
        let mut found = None;
        let mut wanted = None;
        each(directory, |line, raw| {
            if line.seq == seq {
                found = Some((String::from_utf8_lossy(raw).into_owned(), line.hash));
            }
            if line.seq > seq && wanted.is_none() && size.is_none_or(|size| size == line.seq) {
                wanted = note_of(line);
            }
        })?;
        let (Some((record, hash)), Some(note)) = (found, wanted) else {
            return Err(ProofError::NoRecord { seq });
        };
        let ranges = merkle::inclusion(seq, note.checkpoint.size).ok_or(ProofError::NoRecord { seq })?;
        let path = roots(directory, ranges)?;
        verify_inclusion(merkle::leaf(&hash.0), seq, note.checkpoint.size, &path, note.checkpoint.root)
            .map_err(|_| ProofError::NotThisLog)?;
        Ok(Self::Inclusion { seq, record, checkpoint: note.text().into(), path })
    }

    /// That the log at `newer` records began with what it was at `older`. Both must be sizes that checkpoints cover.
    pub fn consistency(directory: &Path, older: u64, newer: u64) -> Result<Self, ProofError> {
        let mut notes = [older, newer].map(|size| (size, None));
        each(directory, |line, _| {
            for (size, note) in &mut notes {
                if *size == line.seq {
                    *note = note_of(line);
                }
            }
        })?;
        let [Some(first), Some(second)] = notes.map(|(_, note)| note) else {
            return Err(ProofError::NoCheckpoint { size: older });
        };
        let ranges = merkle::consistency(older, newer).ok_or(ProofError::NoCheckpoint { size: newer })?;
        let path = roots(directory, ranges)?;
        let ends = [&first, &second].map(|note| (note.checkpoint.size, note.checkpoint.root));
        verify_consistency(ends[0], ends[1], &path).map_err(|_| ProofError::NotThisLog)?;
        Ok(Self::Consistency { older: first.text().into(), newer: second.text().into(), path })
    }

    /// Holds if the log that this key signs has it so. Nothing else is needed, and nobody else believed.
    pub fn check(&self, key: &PublicKey) -> Result<(), Disproven> {
        let signed = |text: &str| {
            let note = Note::parse(text).map_err(|_| Disproven::Signature)?;
            if note.is_signed_by(key) && note.checkpoint.origin == key.name() {
                Ok(note.checkpoint)
            } else {
                Err(Disproven::Signature)
            }
        };
        match self {
            Self::Inclusion { seq, record, checkpoint, path } => {
                let checkpoint = signed(checkpoint)?;
                let line = Line::read(record.as_bytes())?;
                if line.seq != *seq {
                    return Err(Disproven::Number);
                }
                let leaf = merkle::leaf(&line.hash.0);
                Ok(verify_inclusion(leaf, *seq, checkpoint.size, path, checkpoint.root)?)
            }
            Self::Consistency { older, newer, path } => {
                let (older, newer) = (signed(older)?, signed(newer)?);
                Ok(verify_consistency((older.size, older.root), (newer.size, newer.root), path)?)
            }
        }
    }
}

/// All records, in order.
fn each(directory: &Path, mut take: impl FnMut(&Line, &[u8])) -> Result<(), ProofError> {
    let mut next = 0;
    for segment in segments(directory)? {
        let mut lines = segment.lines()?;
        while let Some(raw) = lines.next_line()? {
            if !raw.ended {
                break;
            }
            let line = Line::read(raw.bytes).map_err(|source| ProofError::BadLine { seq: next, source })?;
            next = line.seq + 1;
            take(&line, raw.bytes);
        }
    }
    Ok(())
}

fn roots(directory: &Path, ranges: Vec<std::ops::Range<u64>>) -> Result<Vec<Digest>, ProofError> {
    let mut subtrees = Subtrees::new(ranges);
    let mut begun = false;
    each(directory, |line, _| {
        if !begun && let Some(head) = Head::of(line) {
            subtrees.before(&head.frontier);
        }
        begun = true;
        subtrees.leaf(line.seq, merkle::leaf(&line.hash.0));
    })?;
    subtrees.roots().ok_or(ProofError::NotThisLog)
}

fn note_of(line: &Line) -> Option<Note> {
    line.is(Kind::Checkpoint).then(|| Note::parse(line.detail("note")?.as_str()?).ok()).flatten()
}
