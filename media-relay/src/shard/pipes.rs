//! The inbox for what comes through pipes: as much as media, so it has a queue of its own, and whoever delivers wakes the
//! shard only if it has not been woken since it last looked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use super::counters::Counters;
use crate::carry::{Blocked, Delivered, Down, PipeId};

/// Packets that wait: two seconds of 40 Mbit/s. When so many do, packets are dropped and counted, as on a network.
const PACKETS_MAX: usize = 7_168;
/// Other words may wait as well. When these are full, whoever delivers has to give the pipe up.
const WORDS_MAX: usize = PACKETS_MAX + 1_024;

/// Where words are put, from any thread.
#[derive(Clone)]
pub(super) struct Entrance {
    words: SyncSender<(PipeId, Delivered)>,
    shared: Arc<Shared>,
}

/// Where the shard takes them.
pub(super) struct Exit {
    words: Receiver<(PipeId, Delivered)>,
    shared: Arc<Shared>,
    /// There may be more than was taken.
    has_more: bool,
}

#[derive(Default)]
struct Shared {
    depth: AtomicUsize,
    is_woken: AtomicBool,
}

pub(super) fn new() -> (Entrance, Exit) {
    let (sender, words) = sync_channel(WORDS_MAX);
    let shared = Arc::<Shared>::default();
    (Entrance { words: sender, shared: Arc::clone(&shared) }, Exit { words, shared, has_more: false })
}

impl Entrance {
    /// True if the shard has to be woken.
    pub(super) fn put(&self, pipe: PipeId, word: Delivered, counters: &Counters) -> Result<bool, Blocked> {
        let is_packet = matches!(word, Delivered::Down(Down::Packet(_)));
        if is_packet && self.shared.depth.load(Ordering::Relaxed) >= PACKETS_MAX {
            counters.piped_dropped.add(1);
            return Ok(false);
        }
        // Before it is there, so that the depth is never below zero.
        self.shared.depth.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = self.words.try_send((pipe, word)) {
            self.shared.depth.fetch_sub(1, Ordering::Relaxed);
            return match error {
                TrySendError::Full(_) if is_packet => {
                    counters.piped_dropped.add(1);
                    Ok(false)
                }
                TrySendError::Full(_) => Err(Blocked::Full),
                TrySendError::Disconnected(_) => Err(Blocked::Closed),
            };
        }
        Ok(!self.shared.is_woken.swap(true, Ordering::AcqRel))
    }
}

impl Exit {
    /// Whether there may be something to take.
    pub(super) fn has_more(&self) -> bool {
        self.has_more || self.shared.is_woken.load(Ordering::Acquire)
    }

    /// Looks again, whether or not somebody said so.
    pub(super) fn look(&mut self) {
        self.has_more = true;
    }

    /// To be called before a run of [`Self::take`]: who puts something in from now on wakes the shard again.
    pub(super) fn begin(&mut self) {
        self.shared.is_woken.store(false, Ordering::Release);
        self.has_more = true;
    }

    pub(super) fn take(&mut self) -> Option<(PipeId, Delivered)> {
        let taken = self.words.try_recv().ok();
        match taken {
            Some(_) => {
                self.shared.depth.fetch_sub(1, Ordering::Relaxed);
            }
            None => self.has_more = false,
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::carry::{Carried, Up};

    fn packet(sequence: u16) -> Delivered {
        Delivered::Down(Down::Packet(Carried {
            track: 1,
            layer: 0,
            life: 0,
            is_again: false,
            marker: false,
            sequence,
            timestamp: 0,
            extensions: Bytes::new(),
            payload: Bytes::new(),
        }))
    }

    #[test]
    fn packets_give_way_to_words_and_words_to_nobody() {
        let ((entrance, mut exit), counters) = (new(), Counters::default());
        let put = |word| entrance.put(PipeId(7), word, &counters);
        assert_eq!(put(packet(0)), Ok(true), "the first wakes");
        for number in 1..PACKETS_MAX as u16 {
            assert_eq!(put(packet(number)), Ok(false));
        }
        for _ in 0..3 {
            assert_eq!(put(packet(9)), Ok(false));
        }
        assert_eq!(counters.piped_dropped.get(), 3);
        let word = || Delivered::Up(Up::Want(Vec::new()));
        for _ in PACKETS_MAX..WORDS_MAX {
            assert_eq!(put(word()), Ok(false));
        }
        assert_eq!(put(word()), Err(Blocked::Full));
        exit.begin();
        let mut taken = 0;
        while exit.take().is_some() {
            taken += 1;
        }
        assert_eq!((taken, exit.has_more()), (WORDS_MAX, false));
        assert_eq!(put(packet(1)), Ok(true), "and again, once it was looked");
        assert!(exit.has_more());
        drop(exit);
        assert_eq!(put(word()), Err(Blocked::Closed));
    }
}
