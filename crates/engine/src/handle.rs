//! The application's way to its sockets, from any thread. Everything sent to one shard keeps its order.

use std::cell::Cell;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::ack::{AckError, Answers, Waiter, note_command};
use crate::command::{Close, Command, Departure};
use crate::counters::{Counters, ShardCounters, Times};
use crate::ids::SocketRef;
use crate::inbox::Inbox;
use crate::look::Look;
use crate::packet::{Args, Encoded, EventBuilder};
use crate::whereabouts::{Shards, Whereabouts};

/// A shard's inbox is full. Nothing was sent; the caller tells its client to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine is overloaded")]
pub struct Overloaded;

thread_local! {
    static SHARD_OF_THREAD: Cell<Option<u16>> = const { Cell::new(None) };
}

/// Called once by a shard's thread.
pub(crate) fn mark_shard_thread(index: u16) {
    SHARD_OF_THREAD.set(Some(index));
}

pub(crate) fn is_shard_of_this_thread(shard: usize) -> bool {
    SHARD_OF_THREAD.get().is_some_and(|own| usize::from(own) == shard)
}

pub(crate) struct ShardHandle {
    pub(crate) inbox: Inbox,
    pub(crate) counters: Arc<ShardCounters>,
}

pub(crate) struct Shared {
    pub(crate) shards: Vec<ShardHandle>,
    pub(crate) whereabouts: Whereabouts,
}

/// Cheap to clone; usable from any thread.
#[derive(Clone)]
pub struct Handle(pub(crate) Arc<Shared>);

impl Handle {
    /// Queues an event to one socket.
    pub fn emit(&self, to: &SocketRef, event: Arc<Encoded>) -> Result<(), Overloaded> {
        self.try_send(to.shard(), Command::Emit { to: *to, event })
    }

    /// Emits an event that asks for an answer, and waits for it at most `timeout`.
    pub fn emit_with_ack(
        &self,
        to: &SocketRef,
        event: EventBuilder,
        timeout: Duration,
    ) -> impl Future<Output = Result<Args, AckError>> + Send + 'static {
        let (sender, receiver) = oneshot::channel();
        let (event, waiter) = (Box::new(event), Waiter::One(sender));
        let sent = self.try_send(to.shard(), Command::EmitWithAck { to: *to, event, timeout, waiter });
        async move {
            sent.map_err(|Overloaded| AckError::Overloaded)?;
            receiver.await.unwrap_or(Err(AckError::Gone))
        }
    }

    /// Queues an event to all members of a room: to every shard concerned, or, if one is overloaded, to none.
    pub fn broadcast(
        &self,
        room: &str,
        event: Arc<Encoded>,
        except: Option<&SocketRef>,
    ) -> Result<(), Overloaded> {
        self.broadcast_except(room, event, except.map_or(&[], std::slice::from_ref))
    }

    /// The same, with a few left out. Each member is looked for among them.
    pub fn broadcast_except(
        &self,
        room: &str,
        event: Arc<Encoded>,
        except: &[SocketRef],
    ) -> Result<(), Overloaded> {
        let except = |shard: usize| {
            except.iter().filter(|socket| socket.shard() == shard).map(|socket| socket.key).collect()
        };
        let shards = self.0.whereabouts.shards_of(event.namespace(), room);
        // The usual case, and the one that must be cheap: one shard.
        if let Some(only) = shards.only() {
            let command = Command::Broadcast { room: room.into(), event, except: except(only) };
            return self.try_send(only, command);
        }
        let permits = self.reserve(shards)?;
        let room: Arc<str> = room.into();
        for (shard, permit) in shards.iter().zip(permits) {
            let (room, event) = (Arc::clone(&room), Arc::clone(&event));
            permit.send(Command::Broadcast { room, event, except: except(shard) });
        }
        Ok(())
    }

    /// Asks all members of a room, and waits at most `timeout` for their answers. As for a broadcast: all shards or none.
    pub fn broadcast_with_ack(
        &self,
        namespace: &str,
        room: &str,
        event: &EventBuilder,
        timeout: Duration,
    ) -> impl Future<Output = Result<Answers, Overloaded>> + Send + 'static {
        // The shards hold the senders; when the last member has answered or run out of time, the channel ends.
        let (answers, mut received) = mpsc::unbounded_channel();
        let (namespace, room): (Arc<str>, Arc<str>) = (namespace.into(), room.into());
        let sent = self.reserve(self.0.whereabouts.shards_of(&namespace, &room)).map(|permits| {
            for permit in permits {
                let (namespace, room) = (Arc::clone(&namespace), Arc::clone(&room));
                let event = Box::new(event.clone());
                let answers = answers.clone();
                permit.send(Command::BroadcastWithAck { namespace, room, event, timeout, answers });
            }
        });
        drop(answers);
        async move {
            sent?;
            let mut all = Vec::new();
            while let Some(answer) = received.recv().await {
                all.push(answer);
            }
            Ok(all)
        }
    }

    /// A place in the inbox of each of these shards, or in none.
    fn reserve(&self, shards: Shards) -> Result<Vec<mpsc::Permit<'_, Command>>, Overloaded> {
        let mut permits = Vec::with_capacity(shards.len());
        for shard in shards.iter() {
            note_command(shard);
            permits.push(self.0.shards[shard].inbox.try_reserve()?);
        }
        Ok(permits)
    }

    pub fn join(&self, socket: &SocketRef, namespace: &str, room: &str) -> Result<(), Overloaded> {
        let permit = self.0.shards[socket.shard()].inbox.try_reserve()?;
        note_command(socket.shard());
        // Known from here on: a broadcast that is sent after this join reaches the shard after it.
        self.0.whereabouts.enter(namespace, room, socket.shard());
        permit.send(Command::Join { socket: *socket, namespace: namespace.into(), room: room.into() });
        Ok(())
    }

    /// Whether somebody may be in the room on any shard. A single shard keeps no account of it outside of itself, so there
    /// the answer is always yes.
    pub fn may_have_members(&self, namespace: &str, room: &str) -> bool {
        self.0.whereabouts.shards_of(namespace, room).len() > 0
    }

    pub fn leave(&self, socket: &SocketRef, room: &str) -> Result<(), Overloaded> {
        self.try_send(socket.shard(), Command::Leave { socket: *socket, room: room.into() })
    }

    pub fn rooms(&self, socket: &SocketRef) -> impl Future<Output = Vec<String>> + Send + 'static {
        let (reply, received) = oneshot::channel();
        self.send(socket.shard(), Command::Rooms { socket: *socket, reply });
        async move { received.await.unwrap_or_default() }
    }

    /// Writes something into the flight recorder of the socket's connection: a kind below [`crate::flight::NOTES`], and one
    /// or two numbers. It waits for nothing; where a shard has too much to do it is left out.
    pub fn note(&self, socket: &SocketRef, kind: u8, number: u32, more: Option<u32>) {
        // The order in which the client sees things does not depend on it, so answers need not wait behind it.
        let _ = self.0.shards[socket.shard()].inbox.try_send(Command::Note {
            socket: *socket,
            kind,
            number,
            more,
        });
    }

    /// How the socket's connection is. None: there is no such socket.
    pub fn look(&self, socket: &SocketRef) -> impl Future<Output = Option<Look>> + Send + 'static {
        let (reply, received) = oneshot::channel();
        let sent = self.try_send(socket.shard(), Command::Look { socket: *socket, reply });
        async move {
            sent.ok()?;
            received.await.ok()
        }
    }

    /// Gives a socket, all at once or not at all, what it missed while it was behind. From here on what is sent to it
    /// is queued again.
    pub fn refill(&self, socket: &SocketRef, events: Vec<Arc<Encoded>>) -> Result<(), Overloaded> {
        self.try_send(socket.shard(), Command::Refill { socket: *socket, events })
    }

    pub fn close(&self, socket: &SocketRef, close: Close) {
        self.send(socket.shard(), Command::Close { socket: *socket, close });
    }

    /// Takes no new connections and closes those there are, evenly over the window. Gives their number.
    pub async fn drain(&self, window: Duration, close: &Close) -> usize {
        self.depart(Departure::new(window, close.clone())).await
    }

    /// Takes no new connections and closes those there are, as it was planned. Gives their number.
    pub async fn depart(&self, departure: Departure) -> usize {
        let departure = Arc::new(departure);
        let mut closed = 0;
        let mut waiting = Vec::new();
        for shard in &self.0.shards {
            let (done, received) = oneshot::channel();
            shard.inbox.send(Command::Drain { departure: Arc::clone(&departure), done });
            waiting.push(received);
        }
        for received in waiting {
            closed += received.await.unwrap_or(0);
        }
        closed
    }

    pub fn counters(&self) -> Counters {
        let mut sum = Counters::default();
        for shard in &self.0.shards {
            sum.add(&shard.counters);
        }
        sum
    }

    pub fn times(&self) -> Times {
        let mut sum = Times::default();
        for shard in &self.0.shards {
            sum.add(&shard.counters);
        }
        sum
    }

    /// Shards whose thread has ended: their clients are gone, and the kernel gives them no new ones.
    pub fn shards_stopped(&self) -> usize {
        self.0.shards.iter().filter(|shard| shard.inbox.is_closed()).count()
    }

    pub fn shards(&self) -> usize {
        self.0.shards.len()
    }

    pub(crate) fn try_send(&self, shard: usize, command: Command) -> Result<(), Overloaded> {
        note_command(shard);
        self.0.shards[shard].inbox.try_send(command)
    }

    /// For what must not be refused: answers, closes, questions.
    pub(crate) fn send(&self, shard: usize, command: Command) {
        note_command(shard);
        self.0.shards[shard].inbox.send(command);
    }
}
