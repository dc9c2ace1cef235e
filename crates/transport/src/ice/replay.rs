//! Which transactions were seen lately, and on which pair. A captured request that comes again from another address
//! would otherwise open a path to that address.

use crate::stun::TransactionId;

/// Transactions that are remembered. A browser sends a few a second a pair at first, and one in two seconds later.
const REMEMBERED_MAX: usize = 32;

#[derive(Debug)]
pub(super) struct Seen {
    /// The first 64 bits of each transaction and the pair's serial number.
    ring: [(u64, u32); REMEMBERED_MAX],
    next: usize,
}

impl Seen {
    pub(super) fn new() -> Self {
        Self { ring: [(0, 0); REMEMBERED_MAX], next: 0 }
    }

    /// The pair on which the transaction was seen.
    pub(super) fn find(&self, transaction: &TransactionId) -> Option<u32> {
        let id = Self::id(transaction);
        self.ring.iter().find(|(known, serial)| *known == id && *serial != 0).map(|(_, serial)| *serial)
    }

    /// `serial` is not zero.
    pub(super) fn note(&mut self, transaction: &TransactionId, serial: u32) {
        self.ring[self.next] = (Self::id(transaction), serial);
        self.next = (self.next + 1) % REMEMBERED_MAX;
    }

    fn id(transaction: &TransactionId) -> u64 {
        transaction[..8].iter().fold(0, |id, byte| id << 8 | u64::from(*byte))
    }
}
