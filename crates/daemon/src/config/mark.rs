//! Whether a value is another than before, also where it must not be shown: a hash whose key no other process has.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(u64);

static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl Mark {
    pub fn of(text: &str) -> Self {
        Self(KEY.hash_one(text))
    }
}
