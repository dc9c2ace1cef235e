//! A pair of addresses from which a valid check came.

use std::time::{Duration, Instant};

use crate::stun::TransactionId;
use crate::transport::Path;

/// First repetition of a check that got no answer; each further one after twice the time.
const CHECK_REPEAT: Duration = Duration::from_millis(250);
/// Sendings of one check before the pair counts as failed, until the peer checks it again.
const CHECK_SENDS_MAX: u32 = 5;

/// One path, as one generation of credentials knows it.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) path: Path,
    /// Of the agent's life, from 1 on.
    pub(super) serial: u32,
    /// Number of the credentials it was made with.
    pub(super) generation: u32,
    pub(super) priority: u32,
    /// The last valid request from there.
    pub(super) heard: Instant,
    /// The last answer to a check of ours.
    pub(super) confirmed: Option<Instant>,
    /// The last request with USE-CANDIDATE.
    pub(super) nominated: Option<Instant>,
    /// A request without USE-CANDIDATE came after one with it: the peer has moved on.
    pub(super) deposed: bool,
    /// Genuine media came from there after the nomination.
    pub(super) media: bool,
    pub(super) check: Option<Check>,
}

/// A check that waits for its answer.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) transaction: TransactionId,
    pub(super) nominates: bool,
    pub(super) sends: u32,
    pub(super) sent: Instant,
    /// When it is sent again, or given up.
    pub(super) due: Instant,
}

impl Check {
    /// The sending that is due; `None` when it is time to give up.
    pub(super) fn send(&mut self, now: Instant) -> Option<TransactionId> {
        if self.sends >= CHECK_SENDS_MAX {
            return None;
        }
        self.due = now + CHECK_REPEAT * (1 << self.sends);
        self.sends += 1;
        self.sent = now;
        Some(self.transaction)
    }
}
