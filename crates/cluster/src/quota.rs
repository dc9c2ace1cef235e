//! How much of something all nodes together may still give out.

use crate::{Soon, Unavailable};

/// Nodes take from it in chunks, and count for themselves in between.
pub trait Quota: Send + Sync + 'static {
    /// Takes up to `wanted` and gives how many were granted.
    fn take(&self, key: &str, wanted: u64, limit: &QuotaLimit) -> Soon<Result<u64, Unavailable>>;

    /// Gives back what was not used.
    fn give_back(&self, key: &str, unused: u64, limit: &QuotaLimit) -> Soon<Result<(), Unavailable>>;
}

/// A bucket: this many at once, and this many more every second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuotaLimit {
    pub burst: u64,
    pub per_second: f64,
}
