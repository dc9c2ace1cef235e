//! What the estimator asks of the pacer to find out whether a path carries more than is sent.
//!
//! Words only: when a probe is worth its bytes is the estimator's business, how it is sent the pacer's.

use std::num::NonZeroU8;

/// Names a probe while it is under way; reused after 255 others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProbeId(pub(crate) NonZeroU8);

impl ProbeId {
    pub(crate) const FIRST: Self = Self(NonZeroU8::MIN);

    pub(crate) fn next(self) -> Self {
        Self(self.0.checked_add(1).unwrap_or(NonZeroU8::MIN))
    }

    pub fn get(self) -> u8 {
        self.0.get()
    }
}

/// A cluster: so many packets and bytes at such a rate, of media if there is any and of padding otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    pub id: ProbeId,
    pub bitrate_bps: u64,
    pub bytes: u32,
    pub packets: u32,
}
