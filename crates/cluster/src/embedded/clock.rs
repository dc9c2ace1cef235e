//! What time it is, in the two ways that matter: by the wall for others to read, and steadily for measuring.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    started: Instant,
    anchor_ms: u64,
}

/// One moment on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// Since 1970, by the wall clock.
    pub(super) unix_ms: u64,
    /// By the steady clock. Times that were kept on disk are on the same scale.
    pub(super) steady_ms: u64,
}

impl Clock {
    /// The steady clock starts at the wall's time, but not before what an earlier process noted last.
    pub(super) fn start(noted_ms: u64) -> Self {
        Self { started: Instant::now(), anchor_ms: unix_ms().max(noted_ms) }
    }

    pub(super) fn now(&self) -> Moment {
        Moment { unix_ms: unix_ms(), steady_ms: self.steady_ms() }
    }

    pub(super) fn steady_ms(&self) -> u64 {
        self.anchor_ms + self.started.elapsed().as_millis() as u64
    }
}

/// Milliseconds since 1970.
pub(super) fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
