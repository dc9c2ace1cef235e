//! How much: rates, the buckets that count against them, tables of buckets by key, classes of users, and a node's share
//! of what a whole cluster may give out.
//!
//! The arithmetic is that of `governor` (GCRA: one number says how full a bucket is); here stand the told time, the
//! bounds on memory and what is leased from the cluster. It knows no clock and nobody who is limited.

mod bucket;
mod classes;
mod rate;
mod share;
mod table;
mod told;

pub use bucket::Bucket;
pub use classes::{CLASSES_MAX, Class, Classes, Limit, Of, Rates};
pub use rate::Rate;
pub use share::{ANSWER_MS, Ask, Settled, Share, Verdict, Whole};
pub use table::Table;

/// Too much. The same may be tried again then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceeded {
    pub retry_after_ms: u64,
}
