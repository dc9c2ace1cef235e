//! The ends of a pipe that are given to the core: what it puts in waits here for the link's thread.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc};

use super::counters::{Counters, Dropped};
use crate::carry::{Blocked, Carried, Down, Sink, Up};

/// Words of a pipe that wait to be written. They are few, a handful a second; when so many wait the other side does not
/// read, and the pipe is given up.
pub(super) const WORDS_MAX: usize = 64;

/// A packet for another relay.
pub(super) struct Outgoing {
    /// Of the pipe.
    pub(super) number: u64,
    pub(super) packet: Carried,
    pub(super) since: Instant,
}

/// Down to another relay.
pub(super) struct DownSink {
    pub(super) number: u64,
    /// Of all pipes of the link. When it is full packets are dropped and counted, as on a network.
    pub(super) packets: mpsc::Sender<Outgoing>,
    pub(super) words: mpsc::Sender<Down>,
    /// A word did not fit.
    pub(super) blocked: Arc<Notify>,
    pub(super) counters: Arc<Counters>,
}

/// Up to another relay.
pub(super) struct UpSink {
    pub(super) words: mpsc::Sender<Up>,
    /// The same.
    pub(super) blocked: Arc<Notify>,
}

impl Sink<Down> for DownSink {
    fn put(&self, word: Down) -> Result<(), Blocked> {
        let Down::Packet(packet) = word else { return put(&self.words, &self.blocked, word) };
        if self.words.is_closed() {
            return Err(Blocked::Closed);
        }
        let outgoing = Outgoing { number: self.number, packet, since: Instant::now() };
        self.packets.try_send(outgoing).map_err(|error| match error {
            TrySendError::Full(_) => {
                self.counters.drop_one(Dropped::Queue);
                Blocked::Full
            }
            TrySendError::Closed(_) => Blocked::Closed,
        })
    }
}

impl Sink<Up> for UpSink {
    fn put(&self, word: Up) -> Result<(), Blocked> {
        put(&self.words, &self.blocked, word)
    }
}

fn put<W>(words: &mpsc::Sender<W>, blocked: &Notify, word: W) -> Result<(), Blocked> {
    words.try_send(word).map_err(|error| match error {
        TrySendError::Full(_) => {
            blocked.notify_one();
            Blocked::Full
        }
        TrySendError::Closed(_) => Blocked::Closed,
    })
}
