//! Second attempts of handshakes that a node is late with, although it answers others: no more than one for every ten handshakes.
//! Nodes that are slow because they have too much to do would be given more of it, and be slower still. Pure.

use std::sync::atomic::{AtomicU32, Ordering};

const HANDSHAKES_FOR_ONE: u32 = 10;
/// So many may be saved up.
const SAVED_MAX: u32 = 16;

pub(crate) struct Spare {
    /// Handshakes for which no second attempt was made yet.
    handshakes: AtomicU32,
}

impl Default for Spare {
    fn default() -> Self {
        Self { handshakes: AtomicU32::new(SAVED_MAX * HANDSHAKES_FOR_ONE) }
    }
}

impl Spare {
    /// A handshake begins.
    pub(crate) fn earn(&self) {
        let more = |handshakes: u32| (handshakes < SAVED_MAX * HANDSHAKES_FOR_ONE).then_some(handshakes + 1);
        // Full is full.
        let _ = self.handshakes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// Whether there may be a second attempt.
    pub(crate) fn take(&self) -> bool {
        let less = |handshakes: u32| handshakes.checked_sub(HANDSHAKES_FOR_ONE);
        self.handshakes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_for_ten_handshakes() {
        let spare = Spare::default();
        let saved = (0..1_000).filter(|_| spare.take()).count();
        assert_eq!(saved, SAVED_MAX as usize);
        let taken = (0..1_000)
            .filter(|_| {
                spare.earn();
                spare.take()
            })
            .count();
        assert_eq!(taken, 100);
        (0..1_000).for_each(|_| spare.earn());
        assert_eq!((0..1_000).filter(|_| spare.take()).count(), SAVED_MAX as usize);
    }
}
