//! What time it is, in the two ways that matter: by the wall for others to read, and steadily for measuring.
//!
//! Nothing here decides by the wall clock how long something lasts: it may be set back or forward by an hour.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    started: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { started: Instant::now() }
    }

    pub(crate) fn steady_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }
}

/// Milliseconds since 1970.
pub(crate) fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
