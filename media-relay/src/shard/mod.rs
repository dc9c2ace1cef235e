//! A shard: one thread with one UDP socket and one core by value. It waits, reads what has come, lets the core work, and
//! sends; whoever wants something of it puts a word into its inbox.
//!
//! It knows datagrams, the time and who waits for an answer. What any of it means is the core's.

mod counters;
mod notices;
mod outlet;
mod pipes;
mod tcp;
mod turn;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};
use std::{io, thread};

use mio::Waker;
use mio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use turnpike_udp::{Limits, Socket};
use turnpike_wire::media::MediaSession;
use turnpike_wire::{Code, Failure, RoomId};

pub(crate) use counters::Counters;

use crate::carry::{Blocked, Delivered, FeedNews, PipeId};
use crate::sfu::{Came, Command, Effect, Outlet};
use crate::{Ask, Notice, Told};

/// Words that wait for a shard. A full inbox refuses: whoever asks is told to come again.
const INBOX_MAX: usize = 1_024;
/// What is said to somebody who is refused so. A shard that works takes a whole inbox in less.
const COME_AGAIN_MS: u64 = 200;
/// Notices that wait for whoever hears them. When this is full, states of streams are merged and the others wait in the
/// shard, see [`notices`].
const NOTICES_MAX: usize = 1_024;
/// A shard gives a sign of life twice a second, and between two there is one round, which takes milliseconds.
const SILENT_MAX: Duration = Duration::from_secs(3);

/// What a shard drives.
pub(crate) trait Core: Send + 'static {
    /// Takes a datagram, which may be changed in place.
    fn datagram(&mut self, now: Instant, came: Came, bytes: &mut [u8]);

    fn command(&mut self, now: Instant, command: Command);

    /// Takes what has come through a pipe.
    fn deliver(&mut self, now: Instant, pipe: PipeId, word: Delivered);

    /// Sends what follows from what came in, and what is due.
    fn advance(&mut self, now: Instant, out: &mut impl Outlet);

    /// The shard ends: others are not to wait for it.
    fn close(&mut self);

    /// What is to be told, until there is nothing more.
    fn next_effect(&mut self) -> Option<Effect>;

    /// Whether datagrams from there belong to somebody.
    fn is_bound(&self, address: SocketAddr) -> bool;

    /// When [`Self::advance`] is to be called if nothing comes in before.
    fn due(&self) -> Option<Instant>;

    /// The core has panicked: while it took something from there, or while it worked at something of its own choice.
    /// Whoever it was about is not to be trusted any more.
    fn abandon(&mut self, from: Option<Suspect>);
}

/// From where the last thing came that the core took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suspect {
    Address(SocketAddr),
    Pipe(PipeId),
}

/// How a shard works. All of it has a default that is right for a node of its own.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Config {
    /// For the names of threads and logs.
    pub(crate) index: usize,
    pub(crate) batch: Limits,
}

/// Where peers come in, bound.
pub(crate) struct Sockets {
    pub(crate) udp: Socket,
    /// For those who cannot send datagrams.
    pub(crate) tcp: Option<TcpListener>,
}

impl From<Socket> for Sockets {
    fn from(udp: Socket) -> Self {
        Self { udp, tcp: None }
    }
}

/// A shard that runs. It ends with [`Self::stop`], or when this is dropped.
pub(crate) struct Shard {
    handle: Handle,
    thread: Option<thread::JoinHandle<()>>,
}

/// Notices of all sessions of a shard. Hear them steadily.
pub(crate) type Notices = mpsc::Receiver<(MediaSession, Notice)>;

/// What becomes of the feeds of all shards.
pub(crate) type News = mpsc::Sender<(RoomId, FeedNews)>;

/// By which a shard is asked for something, from any thread.
#[derive(Clone)]
pub(crate) struct Handle {
    inbox: SyncSender<Word>,
    pipes: pipes::Entrance,
    waker: Arc<Waker>,
    shared: Arc<Shared>,
}

enum Word {
    Ask { ask: Box<Ask>, answer: oneshot::Sender<Result<Told, Failure>> },
    Stop,
}

/// What is seen of a shard from outside.
struct Shared {
    local: SocketAddr,
    counters: Counters,
    started: Instant,
    ails: AtomicBool,
}

impl Shard {
    /// Gives the sockets and the core to a thread of their own.
    pub(crate) fn start(
        config: Config,
        sockets: Sockets,
        core: impl Core,
        news: News,
    ) -> io::Result<(Self, Notices)> {
        let (inbox, words) = sync_channel(INBOX_MAX);
        let (pipes, piped) = pipes::new();
        let (told, notices) = mpsc::channel(NOTICES_MAX);
        let shared = Arc::new(Shared {
            local: sockets.udp.local_addr(),
            counters: Counters::default(),
            started: Instant::now(),
            ails: AtomicBool::new(false),
        });
        let inboxes = turn::Inboxes { words, piped };
        let outboxes = turn::Outboxes { told, news };
        let (turn, waker) = turn::Turn::new(config, sockets, core, inboxes, outboxes, shared.clone())?;
        let name = format!("media-{}", config.index);
        let thread = thread::Builder::new().name(name).spawn(move || turn.run())?;
        let handle = Handle { inbox, pipes, waker: Arc::new(waker), shared };
        Ok((Self { handle, thread: Some(thread) }, notices))
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Lets the shard finish its round, and waits for that.
    pub(crate) fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // A full inbox is emptied within a round; there is nothing to be gained from a way around it.
        if self.handle.inbox.send(Word::Stop).is_ok() {
            self.handle.wake();
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a shard's thread had panicked");
        }
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        self.end();
    }
}

impl Handle {
    /// Asks, and waits for the answer.
    pub(crate) async fn ask(&self, ask: Ask) -> Result<Told, Failure> {
        let (answer, told) = oneshot::channel();
        self.put(Word::Ask { ask: Box::new(ask), answer })?;
        // Without an answer the shard has ended, or the core panicked at this very question.
        told.await.unwrap_or_else(|_| Err(Code::Unavailable.into()))
    }

    fn put(&self, word: Word) -> Result<(), Failure> {
        let counters = &self.shared.counters;
        // Before it is there, so that the depth is never below zero.
        counters.inbox_depth.add(1);
        if let Err(error) = self.inbox.try_send(word) {
            counters.inbox_depth.sub(1);
            return Err(match error {
                TrySendError::Full(_) => {
                    counters.inbox_refused.add(1);
                    Failure::from(Code::Unavailable).retry_after_ms(COME_AGAIN_MS)
                }
                TrySendError::Disconnected(_) => Code::Unavailable.into(),
            });
        }
        self.wake();
        Ok(())
    }

    /// Gives what has come through a pipe to whatever is at its end. A packet that does not fit any more is dropped and
    /// counted; when another word does not, whoever delivers has to give the pipe up.
    pub(crate) fn deliver(&self, pipe: PipeId, word: Delivered) -> Result<(), Blocked> {
        if self.pipes.put(pipe, word, &self.shared.counters)? {
            self.wake();
        }
        Ok(())
    }

    fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            // The shard looks into its inbox at its next sign of life anyway.
            tracing::warn!(error = &error as &dyn std::error::Error, "a shard could not be woken");
        }
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.shared.local
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Whether the shard works as it should: it gives signs of life, and has not panicked repeatedly of late.
    pub(crate) fn is_well(&self) -> bool {
        let seen = Duration::from_millis(self.shared.counters.alive_at_ms.get());
        let silent = self.shared.started.elapsed().saturating_sub(seen);
        silent < SILENT_MAX && !self.shared.ails.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
