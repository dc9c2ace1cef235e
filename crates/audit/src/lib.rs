//! The audit log that cannot be quietly changed.
//!
//! [`Audit`] takes [`Event`]s and writes them as canonical lines, each chained to the one before, all of them leaves of a Merkle tree
//! whose root is signed every second and handed to an [`Anchor`]. [`Verify`] reads a copy of the files with nothing but the public key and says
//! whether anything was changed. docs/audit.md is for those who read and verify.
//!
//! It must not know who calls it: no engine, no cluster, no configuration.

mod anchors;
mod canonical;
mod chain;
mod digest;
mod disk;
mod event;
mod export;
mod handle;
mod housekeeping;
mod key;
mod kind;
mod line;
mod merge;
pub mod merkle;
mod note;
mod open;
mod personal;
mod proof;
mod query;
mod queue;
mod records;
mod recovery;
mod retention;
mod rewrite;
mod segment;
mod text;
mod time;
mod verify;
mod writer;

pub use self::anchors::{anchors_in, notes_in};
pub use self::chain::LINE_BYTES_MAX;
pub use self::digest::{Digest, NotADigest};
pub use self::disk::{Directory, Disk, Medium};
pub use self::event::{DETAIL_ENTRIES_MAX, Event, Object, Value};
pub use self::export::Form;
pub use self::handle::{Anchor, Audit, Before, Closing, Figures, Health, NotRecorded, OnFailure, Recorded};
pub use self::housekeeping::{Housekeeper, HousekeepingError, Kept};
pub use self::key::{KeyId, NotAKey, PublicKey, Signer};
pub use self::kind::{Kind, Outcome, Severity, Wait, classes};
pub use self::line::BadLine;
pub use self::merge::MERGE_WINDOW;
pub use self::note::{Checkpoint, NotANote, Note};
pub use self::open::{OpenError, Settings};
pub use self::proof::{Disproven, Proof, ProofError};
pub use self::query::Filter;
pub use self::records::{Record, Records};
pub use self::retention::Retention;
pub use self::segment::{Lines, RawLine, Segment, SegmentName, segments};
pub use self::text::{TEXT_BYTES_MAX, Text};
pub use self::time::{NotATime, Time};
pub use self::verify::{Finding, Problem, Progress, Report, Tail, Trust, Verdict, Verification, Verify};
