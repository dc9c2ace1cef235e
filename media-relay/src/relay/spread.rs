//! One stream at several shards: a stream's own shard has it, and gives it to others through pipes within the process when
//! it has clearly more to do than they have.
//!
//! It knows shards and pipes, neither sessions nor media.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Mutex, mpsc};
use turnpike_wire::{Failure, RoomId};

use crate::Ask;
use crate::carry::{Blocked, Delivered, Down, FeedNews, Pipe, PipeId, Sink, Up};
use crate::shard::Handle;

/// A shard that has so many sessions more than another gives it the next viewer. A pipe costs about as much as a viewer.
const SESSIONS_APART: usize = 64;

/// How many sessions each shard has.
pub(super) struct Loads(Arc<[AtomicUsize]>);

/// A session at a shard, for as long as this is kept.
pub(super) struct Seat {
    loads: Arc<[AtomicUsize]>,
    shard: usize,
}

impl Loads {
    pub(super) fn new(shards: usize) -> Self {
        Self((0..shards).map(|_| AtomicUsize::new(0)).collect())
    }

    pub(super) fn sit(&self, shard: usize) -> Seat {
        self.0[shard].fetch_add(1, Ordering::Relaxed);
        Seat { loads: Arc::clone(&self.0), shard }
    }

    /// Where a viewer of a stream comes to, whose own shard this is.
    pub(super) fn place(&self, own: usize) -> usize {
        let load = |shard: usize| self.0[shard].load(Ordering::Relaxed);
        let least = (0..self.0.len()).min_by_key(|shard| load(*shard)).unwrap_or(own);
        if load(own) >= load(least) + SESSIONS_APART { least } else { own }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.loads[self.shard].fetch_sub(1, Ordering::Relaxed);
    }
}

/// Which streams are at which other shards. As many as streams times shards.
#[derive(Default)]
pub(super) struct Spread(Mutex<Ways>);

#[derive(Default)]
struct Ways {
    pipes: HashMap<(RoomId, usize), PipeId>,
    ends: HashMap<PipeId, (RoomId, usize)>,
}

/// A pipe from one shard to another: its upper end, its lower end, and what it is about.
pub(super) struct Way<'w> {
    pub(super) stream: &'w RoomId,
    pub(super) upper: &'w Handle,
    pub(super) lower: &'w Handle,
    /// Of the lower end.
    pub(super) shard: usize,
    pub(super) news: &'w mpsc::Sender<(RoomId, FeedNews)>,
}

impl Spread {
    /// Sees to it that the stream is at that shard as well.
    pub(super) async fn reach(
        &self,
        way: &Way<'_>,
        next_pipe: impl FnOnce() -> PipeId,
    ) -> Result<(), Failure> {
        let mut ways = self.0.lock().await;
        let key = (way.stream.clone(), way.shard);
        if ways.pipes.contains_key(&key) {
            return Ok(());
        }
        let pipe = next_pipe();
        let up = Arc::new(Upwards { upper: way.upper.clone(), pipe });
        let feed = Ask::Feed { stream: way.stream.clone(), pipe: Pipe::new(pipe, up) };
        way.lower.ask(feed).await?;
        let down = Arc::new(Downwards {
            lower: way.lower.clone(),
            pipe,
            stream: way.stream.clone(),
            news: way.news.clone(),
        });
        let branch = Ask::Branch { stream: way.stream.clone(), pipe: Pipe::new(pipe, down) };
        if let Err(failure) = way.upper.ask(branch).await {
            // What cannot be forgotten now is found to be unwatched, and forgotten then.
            let _ = way.lower.ask(Ask::Unpipe { pipe }).await;
            return Err(failure);
        }
        ways.pipes.insert(key.clone(), pipe);
        ways.ends.insert(pipe, key);
        Ok(())
    }

    /// The lower end of a pipe, if it is one of these.
    pub(super) async fn lower_end(&self, pipe: PipeId) -> Option<(RoomId, usize)> {
        self.0.lock().await.ends.get(&pipe).cloned()
    }

    /// Closes a pipe, unless it is needed after all.
    pub(super) async fn close(
        &self,
        pipe: PipeId,
        upper: &Handle,
        lower: &Handle,
        is_needed: impl Fn() -> bool,
    ) -> bool {
        let mut ways = self.0.lock().await;
        if is_needed() {
            return false;
        }
        if let Some(key) = ways.ends.remove(&pipe) {
            ways.pipes.remove(&key);
        }
        // A shard that does not answer is at its end.
        let _ = upper.ask(Ask::Unpipe { pipe }).await;
        let _ = lower.ask(Ask::Unpipe { pipe }).await;
        true
    }
}

struct Downwards {
    lower: Handle,
    pipe: PipeId,
    stream: RoomId,
    news: mpsc::Sender<(RoomId, FeedNews)>,
}

impl Sink<Down> for Downwards {
    fn put(&self, word: Down) -> Result<(), Blocked> {
        let taken = self.lower.deliver(self.pipe, Delivered::Down(word));
        if taken == Err(Blocked::Full) {
            // The lower end hears nothing of it. When this does not fit either, its tracks fall silent, and viewers come
            // again; shards have been stuck for long by then.
            let _ = self.news.try_send((self.stream.clone(), FeedNews::Blocked(self.pipe)));
        }
        taken
    }
}

struct Upwards {
    upper: Handle,
    pipe: PipeId,
}

impl Sink<Up> for Upwards {
    fn put(&self, word: Up) -> Result<(), Blocked> {
        self.upper.deliver(self.pipe, Delivered::Up(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_viewer_goes_elsewhere_only_where_it_is_clearly_better() {
        let loads = Loads::new(3);
        let mut seats: Vec<Seat> = (0..SESSIONS_APART - 1).map(|_| loads.sit(1)).collect();
        assert_eq!(loads.place(1), 1);
        seats.push(loads.sit(1));
        assert_eq!((loads.place(1), loads.place(0), loads.place(2)), (0, 0, 2));
        let others: Vec<Seat> = [0, 2].map(|shard| loads.sit(shard)).into();
        assert_eq!(loads.place(1), 1);
        drop(others);
        drop(seats.pop());
        assert_eq!(loads.place(1), 1);
        assert_eq!(Loads::new(1).place(0), 0);
    }
}
