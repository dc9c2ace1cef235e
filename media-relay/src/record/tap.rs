//! What a shard gives of a stream to whoever records it. It never waits: what does not fit is dropped, and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Instant;

use turnpike_rtp::ClockMapping;

use super::frames::Piece;

/// Packets that wait for the recorder: two seconds of 20 Mbit/s. When it is full, packets are dropped and counted, as when
/// a disk is too slow.
const WAITING_MAX: usize = 4_096;

/// One packet of a stream.
#[derive(Debug)]
pub(crate) struct Fed {
    pub(crate) track: usize,
    /// Which of the track's sources it is from. Another one counts anew.
    pub(crate) source: u32,
    /// The peer whose clock the reports tell.
    pub(crate) publisher: usize,
    /// How many tracks the stream has now.
    pub(crate) tracks: usize,
    pub(crate) clock_hz: u32,
    pub(crate) clock: Option<ClockMapping>,
    pub(crate) seq: u64,
    pub(crate) arrived: Instant,
    pub(crate) piece: Piece,
}

/// The shard's end.
#[derive(Debug, Clone)]
pub struct Tap {
    fed: SyncSender<Fed>,
    shared: Arc<Shared>,
}

/// The recorder's end.
pub(crate) struct Intake {
    pub(crate) fed: Receiver<Fed>,
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Tracks that wait for a keyframe, by the lowest bits of their keys. One too many is no harm.
    wishes: AtomicU64,
    dropped: Arc<AtomicU64>,
    /// Nobody takes it any more.
    is_over: AtomicBool,
}

pub(crate) fn tap(dropped: Arc<AtomicU64>) -> (Tap, Intake) {
    let (sender, fed) = sync_channel(WAITING_MAX);
    let shared = Arc::new(Shared { dropped, ..Shared::default() });
    (Tap { fed: sender, shared: Arc::clone(&shared) }, Intake { fed, shared })
}

impl Tap {
    pub(crate) fn feed(&self, fed: Fed) {
        match self.fed.try_send(fed) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            }
            Err(TrySendError::Disconnected(_)) => self.shared.is_over.store(true, Ordering::Relaxed),
        }
    }

    /// Whether the recorder has ended, as when its disk is full.
    pub(crate) fn is_over(&self) -> bool {
        self.shared.is_over.load(Ordering::Relaxed)
    }

    /// Whether that track waits for a keyframe. Told once.
    pub(crate) fn takes_wish(&self, track: usize) -> bool {
        let bit = bit(track);
        // A plain look first: it is nearly always zero.
        self.shared.wishes.load(Ordering::Relaxed) & bit != 0
            && self.shared.wishes.fetch_and(!bit, Ordering::Relaxed) & bit != 0
    }
}

impl Shared {
    pub(super) fn wish(&self, track: usize) {
        self.wishes.fetch_or(bit(track), Ordering::Relaxed);
    }

    pub(super) fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

fn bit(track: usize) -> u64 {
    1 << (track % 64)
}

#[cfg(test)]
mod tests {
    use turnpike_rtp::Codec;

    use super::*;

    #[test]
    fn a_recorder_that_is_slow_costs_packets_and_no_time() {
        let dropped = Arc::new(AtomicU64::new(0));
        let (tap, intake) = tap(Arc::clone(&dropped));
        let fed = |seq| Fed {
            track: 1,
            source: 1,
            publisher: 1,
            tracks: 1,
            clock_hz: 48_000,
            clock: None,
            seq,
            arrived: Instant::now(),
            piece: Piece { codec: Codec::Opus, timestamp: 0, marker: false, payload: vec![1, 2, 3] },
        };
        for seq in 0..WAITING_MAX as u64 + 10 {
            tap.feed(fed(seq));
        }
        assert_eq!(dropped.load(Ordering::Relaxed), 10);
        assert!(!tap.is_over());
        intake.shared.wish(65);
        assert!(!tap.takes_wish(64));
        assert!(tap.takes_wish(65));
        assert!(!tap.takes_wish(65), "once");
        drop(intake);
        tap.feed(fed(0));
        assert!(tap.is_over());
    }
}
