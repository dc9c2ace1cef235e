//! What can be found, by name.

use std::fmt;

use crate::line::BadLine;

/// Something is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The first record that is not what it should be: changed, missing, or in the wrong place. Where only a signature or an anchor
    /// told, the record that it stands in: the change lies between `signed` and this.
    pub seq: u64,
    /// Every record with a lower number is covered by a signature that holds.
    pub signed: u64,
    /// The file, by its name without ending.
    pub segment: String,
    pub problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error(transparent)]
    Line(#[from] BadLine),
    #[error("the file cannot be read: {0}")]
    File(String),
    #[error("records are missing: number {found} stands here")]
    Missing { found: u64 },
    #[error("number {found} stands here, after records with higher numbers")]
    Repeated { found: u64 },
    #[error("does not follow the record before it")]
    Unchained,
    #[error("belongs to another log")]
    OtherLog,
    #[error("a file is missing: the next begins with record {until}")]
    SegmentMissing { until: u64 },
    #[error(
        "the log begins with record {first}, and no record says that what was before was removed for its age"
    )]
    BeginningMissing { first: u64 },
    #[error("the file does not begin as a file of this log must here")]
    SegmentHead,
    #[error("the checkpoint is not in the form in which checkpoints are written")]
    CheckpointForm,
    #[error("the checkpoint is signed by {0}, and by no key that may sign here")]
    Signer(String),
    #[error("the checkpoint was signed over other records than these")]
    Root,
    #[error("no checkpoint has signed anything")]
    NeverSigned,
    #[error("a checkpoint that was kept elsewhere covers {size} records, and they were other ones")]
    Anchor { size: u64 },
    #[error("the end is missing: a checkpoint that was kept elsewhere covers {size} records")]
    CutOff { size: u64 },
    #[error("a personal value was taken away, or a record pruned, and no record says so")]
    Removed,
    #[error("personal values were erased or records pruned, as a record says, and they are back")]
    Restored,
}

impl Problem {
    /// A slug for scripts.
    pub fn slug(&self) -> &'static str {
        match self {
            Self::Line(BadLine::Long) => "line_too_long",
            Self::Line(BadLine::Unreadable) => "line_unreadable",
            Self::Line(BadLine::NotCanonical) => "line_not_canonical",
            Self::Line(BadLine::Hash) => "content_changed",
            Self::Line(BadLine::Beside) => "personal_value_changed",
            Self::File(_) => "file_unreadable",
            Self::Missing { .. } => "records_missing",
            Self::Repeated { .. } => "records_repeated",
            Self::Unchained => "chain_broken",
            Self::OtherLog => "other_log",
            Self::SegmentMissing { .. } => "file_missing",
            Self::BeginningMissing { .. } => "beginning_missing",
            Self::SegmentHead => "file_head",
            Self::CheckpointForm => "checkpoint_form",
            Self::Signer(_) => "signer_unknown",
            Self::Root => "signed_other_records",
            Self::NeverSigned => "never_signed",
            Self::Anchor { .. } => "anchor_contradicts",
            Self::CutOff { .. } => "cut_off",
            Self::Removed => "removed_unrecorded",
            Self::Restored => "restored",
        }
    }

    /// Whether records are missing as a whole, rather than changed.
    pub(super) fn is_gap(&self) -> bool {
        matches!(self, Self::SegmentMissing { .. } | Self::BeginningMissing { .. })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seq, signed, segment, problem } = self;
        write!(f, "record {seq} ({segment}): {problem}; the records before {signed} are signed and unchanged")
    }
}
