//! What one somebody has left of a rate: eight bytes.

use std::fmt;

use governor::state::InMemoryState;

use super::{Exceeded, Rate, told};

/// Full at first. May be asked from several threads; nothing is locked. The rate is not part of it, so that thousands share
/// one.
#[derive(Default)]
pub struct Bucket(InMemoryState);

impl Bucket {
    #[inline]
    pub fn check(&self, rate: &Rate, now_ms: u64) -> Result<(), Exceeded> {
        told::check(&self.0, rate, 1, now_ms)
    }

    /// All of `count` or nothing. More than the burst counts as the burst: it passes when the bucket is full.
    #[inline]
    pub fn check_n(&self, rate: &Rate, count: u32, now_ms: u64) -> Result<(), Exceeded> {
        told::check(&self.0, rate, count, now_ms)
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bucket")
    }
}
