//! What came of a verification.

use std::time::Duration;

use super::finding::Finding;
use crate::key::PublicKey;

/// The answer in one word, and the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verdict {
    Sound = 0,
    #[default]
    Tampered = 2,
    /// Whole files are missing, or records were lost to damage that the log itself has noted.
    Gap = 3,
    /// Nothing is wrong with what is there, but nothing says that it is all.
    TailNotAnchored = 4,
}

impl Verdict {
    pub fn word(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::Tampered => "tampered",
            Self::Gap => "gap",
            Self::TailNotAnchored => "tail not anchored",
        }
    }
}

/// How far the end is vouched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tail {
    /// After the last checkpoint.
    pub unsigned_records: u64,
    pub unsigned: Duration,
    /// Records that the newest anchor covers.
    pub anchored: Option<u64>,
    /// From that to the last record.
    pub unanchored: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    pub verdict: Verdict,
    pub finding: Option<Finding>,
    /// The number of the first record that is there.
    pub first: u64,
    /// The number after the last.
    pub size: u64,
    pub segments: u64,
    pub records: u64,
    /// Records pruned for their age.
    pub husks: u64,
    /// Personal values that were erased.
    pub erased: u64,
    pub checkpoints: u64,
    /// Every record with a lower number is covered by a signature that holds.
    pub signed: u64,
    /// The key that signed last.
    pub key: Option<PublicKey>,
    /// Bytes at the end that are no whole record.
    pub torn_bytes: u64,
    /// How often the log itself found that signed records were damaged.
    pub damaged: u64,
    /// Where the log says that something is missing, and by which record.
    pub explained: Vec<(u64, String)>,
    pub tail: Tail,
}

impl Report {
    pub(super) fn conclude(&mut self, tail_max: Duration, anchors_needed: bool) {
        let Tail { unsigned, anchored, unanchored, .. } = self.tail;
        self.verdict = match &self.finding {
            Some(finding) if finding.problem.is_gap() => Verdict::Gap,
            Some(_) => Verdict::Tampered,
            None if self.damaged > 0 => Verdict::Gap,
            None if self.torn_bytes > 0 || unsigned > tail_max => Verdict::TailNotAnchored,
            None if anchors_needed && (anchored.is_none() || unanchored > tail_max) => {
                Verdict::TailNotAnchored
            }
            None => Verdict::Sound,
        };
    }
}
