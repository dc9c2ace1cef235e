//! What the inbox asks for.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::connection::State;
use super::{Conn, Shard, timers};
use crate::ack::{AckError, Answer, Waiter};
use crate::application::Application;
use crate::command::{Close, Command};
use crate::ids::{Key, SocketId, SocketRef};
use crate::packet::{Args, Dialect, Encoded, EventBuilder};
use crate::rooms::RoomIndex;

/// A broadcast to a room so large that it is done in slices, or one that asks for answers.
pub(super) struct Job {
    room: RoomIndex,
    event: Arc<Encoded>,
    except: Option<Key>,
    ask: Option<Ask>,
    members: Vec<Key>,
    next: usize,
}

struct Ask {
    id: u64,
    timeout: Duration,
    answers: mpsc::UnboundedSender<(SocketId, Result<Args, AckError>)>,
}

/// Members that are served at once; more are served in slices of as many. Queueing to so many and writing to them takes
/// about half a millisecond, half of it in the kernel, and then others get their turn. With four times as many, another
/// connection waited 4 ms in the median of broadcasts to 10,000.
pub(super) const SLICE_MEMBERS: usize = 64;
/// Rooms up to this size are served whole: taking a snapshot costs more than it spares.
const WHOLE_MEMBERS_MAX: usize = 1_024;

impl<A: Application> Shard<A> {
    /// Does what a command asks. Gives the rest of a broadcast that is too large for one turn, and else what the
    /// command cost, in deliveries.
    pub(super) fn apply(self: &Rc<Self>, command: Command) -> Result<usize, Job> {
        match command {
            Command::Broadcast { room, event, except } => {
                return self.broadcast(&room, event, except.map(|socket| socket.key));
            }
            Command::Emit { to, event } => {
                self.with_socket(&to, |conn, state, index| self.deliver(conn, state, index, &event));
            }
            Command::EmitWithAck { to, event, timeout, waiter } => {
                self.emit_with_ack(&to, event, timeout, waiter);
            }
            Command::BroadcastWithAck { namespace, room, event, timeout, answers } => {
                let id = self.draw_ack_id();
                let ask = Some(Ask { id, timeout, answers });
                if let Some((room, members)) = self.members(&namespace, &room) {
                    return Err(Job {
                        room,
                        event: event.ack(id).build(),
                        except: None,
                        ask,
                        members,
                        next: 0,
                    });
                }
            }
            Command::Answer(answer) => self.answer(&answer),
            Command::Join { socket, namespace, room } => self.join(&socket, &namespace, &room),
            Command::Leave { socket, room } => self.leave(&socket, &room),
            Command::Rooms { socket, reply } => {
                let mut names = Vec::new();
                self.with_socket(&socket, |_, state, index| {
                    let rooms = self.rooms.borrow();
                    names.extend(
                        state.sockets[index].rooms.iter().map(|room| rooms.get(*room).name.to_string()),
                    );
                });
                // Whoever asked may have gone.
                let _ = reply.send(names);
            }
            Command::Refill { socket, events } => {
                let count = events.len();
                self.with_socket(&socket, |conn, state, index| {
                    state.sockets[index].behind = false;
                    state.sockets[index].refilling = false;
                    for event in &events {
                        self.deliver(conn, state, index, event);
                    }
                });
                return Ok(count);
            }
            Command::Close { socket, close } => self.close(&socket, &close),
            Command::Poll { secret, request, reply } => self.poll_from_elsewhere(secret, request, reply),
            Command::Attach { secret, stream, unread, deflate } => {
                match tokio::net::TcpStream::from_std(stream) {
                    Ok(stream) => self.attach(secret, stream, unread, deflate),
                    Err(error) => {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "websocket lost between shards"
                        );
                    }
                }
            }
            Command::Drain { window, close, done } => self.drain(window, close, done),
            Command::Stop => {}
        }
        Ok(1)
    }

    fn with_socket(&self, socket: &SocketRef, work: impl FnOnce(&Rc<Conn<A>>, &mut State<A>, usize)) -> bool {
        if let Some(conn) = self.conn(socket.key) {
            let mut state = conn.state.borrow_mut();
            if let Some(index) = state.socket(socket.id)
                && !state.ended
            {
                work(&conn, &mut state, index);
                return true;
            }
        }
        self.counters.commands_stale.add(1);
        false
    }

    fn members(&self, namespace: &str, room: &str) -> Option<(RoomIndex, Vec<Key>)> {
        let rooms = self.rooms.borrow();
        let room = rooms.find(rooms.namespace(namespace)?, room)?;
        Some((room, rooms.get(room).members.clone()))
    }

    fn broadcast(&self, name: &str, event: Arc<Encoded>, except: Option<Key>) -> Result<usize, Job> {
        let rooms = self.rooms.borrow();
        let found = rooms.namespace(event.namespace()).and_then(|namespace| rooms.find(namespace, name));
        let Some(index) = found else { return Ok(1) };
        self.counters.broadcasts.add(1);
        let room = rooms.get(index);
        if room.members.len() > WHOLE_MEMBERS_MAX {
            return Err(Job {
                room: index,
                event,
                except,
                ask: None,
                members: room.members.clone(),
                next: 0,
            });
        }
        for key in &room.members {
            if Some(*key) != except
                && let Some(conn) = self.conn(*key)
            {
                let mut state = conn.state.borrow_mut();
                if let Some(index) = state.socket_in(room.namespace) {
                    self.deliver(&conn, &mut state, index, &event);
                }
            }
        }
        Ok(room.members.len())
    }

    /// Serves the next slice of a large room; `None` when it was the last. Who left meanwhile is left out.
    pub(super) fn go_on(&self, mut job: Job) -> Option<Job> {
        let end = (job.next + SLICE_MEMBERS).min(job.members.len());
        for key in &job.members[job.next..end] {
            if Some(*key) != job.except
                && let Some(conn) = self.conn(*key)
            {
                let mut state = conn.state.borrow_mut();
                let member = state.sockets.iter().position(|socket| socket.rooms.contains(&job.room));
                match (member, &job.ask) {
                    (None, _) => {}
                    (Some(index), None) => self.deliver(&conn, &mut state, index, &job.event),
                    (Some(index), Some(Ask { id, timeout, answers })) => {
                        let waiter = Waiter::Many(answers.clone());
                        self.await_answer(&conn, &mut state, index, *id, *timeout, waiter, &job.event);
                    }
                }
            }
        }
        job.next = end;
        (end < job.members.len()).then_some(job)
    }

    fn draw_ack_id(&self) -> u64 {
        let id = self.next_ack.get();
        self.next_ack.set(id + 1);
        id
    }

    fn emit_with_ack(&self, to: &SocketRef, event: EventBuilder, timeout: Duration, waiter: Waiter) {
        let id = self.draw_ack_id();
        let event = event.ack(id).build();
        let mut waiter = Some(waiter);
        self.with_socket(to, |conn, state, index| {
            let waiter = waiter.take().expect("called at most once");
            self.await_answer(conn, state, index, id, timeout, waiter, &event);
        });
        if let Some(waiter) = waiter {
            waiter.answer(to.id, Err(AckError::Gone));
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one caller each for one and for many")]
    fn await_answer(
        &self,
        conn: &Rc<Conn<A>>,
        state: &mut State<A>,
        index: usize,
        id: u64,
        timeout: Duration,
        waiter: Waiter,
        event: &Arc<Encoded>,
    ) {
        let socket = &mut state.sockets[index];
        if state.form.dialect == Dialect::Raw {
            return waiter.answer(socket.id, Err(AckError::Unsupported));
        }
        let waiters = socket.waiters.get_or_insert_default();
        if waiters.len() >= self.config.acks_outstanding_max {
            return waiter.answer(socket.id, Err(AckError::TooMany));
        }
        waiters.insert(id, waiter);
        self.arm(conn.key, timers::Kind::Ack(id), self.now_ms() + timeout.as_millis() as u64);
        self.deliver(conn, state, index, event);
    }

    /// An answer that was not at hand when its event had been handled.
    pub(super) fn answer(&self, answer: &Answer) {
        self.with_socket(&answer.to, |conn, state, _| {
            self.push_answer(conn, state, answer);
            self.mark_dirty(conn, state);
        });
    }

    fn join(&self, socket: &SocketRef, namespace: &str, room: &Arc<str>) {
        let mut joined = false;
        self.with_socket(socket, |conn, state, index| {
            let socket = &mut state.sockets[index];
            let mut rooms = self.rooms.borrow_mut();
            if rooms.find(socket.namespace, room).is_some_and(|room| socket.rooms.contains(&room)) {
                return;
            }
            socket.rooms.push(rooms.enter(socket.namespace, room, conn.key));
            self.count_rooms(&rooms);
            joined = true;
        });
        if !joined {
            // Announced when it was sent; it came to nothing.
            self.handle.0.whereabouts.leave(namespace, room, usize::from(self.index));
        }
    }

    fn leave(&self, socket: &SocketRef, room: &str) {
        self.with_socket(socket, |conn, state, index| {
            let socket = &mut state.sockets[index];
            let rooms = self.rooms.borrow();
            let found = rooms.find(socket.namespace, room);
            drop(rooms);
            if let Some(at) = found.and_then(|room| socket.rooms.iter().position(|other| *other == room)) {
                let room = socket.rooms.swap_remove(at);
                self.exit_room(conn.key, room);
            }
        });
    }

    pub(super) fn exit_room(&self, key: Key, room: RoomIndex) {
        let mut rooms = self.rooms.borrow_mut();
        if let Some((namespace, room)) = rooms.exit(room, key) {
            self.count_rooms(&rooms);
            self.handle.0.whereabouts.leave(&namespace, &room, usize::from(self.index));
        }
    }

    fn count_rooms(&self, rooms: &crate::rooms::Rooms) {
        let gauge = &self.counters.rooms_now;
        gauge.add((rooms.count() as u64).wrapping_sub(gauge.get()));
    }

    fn close(&self, socket: &SocketRef, close: &Close) {
        let mut gone = None;
        self.with_socket(socket, |conn, state, index| {
            gone = self.close_socket(conn, state, index, close).map(|socket| (conn.key, socket));
        });
        if let Some((key, socket)) = gone {
            self.forget_socket(key, socket, &close.as_reason());
        }
    }
}
