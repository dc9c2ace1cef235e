//! What the inbox asks for.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use tokio::sync::mpsc;

use super::connection::State;
use super::{Conn, Shard, timers};
use crate::ack::{AckError, Answer, Waiter};
use crate::application::Application;
use crate::command::{Close, Command};
use crate::ids::{Key, SocketId, SocketRef};
use crate::packet::{Args, Dialect, Encoded, EventBuilder};
use crate::rooms::{NamespaceIndex, RoomIndex, Rooms};

/// A broadcast to a room so large that it is done in slices, or one that asks for answers.
pub(super) struct Job {
    room: RoomIndex,
    event: Arc<Encoded>,
    except: SmallVec<[Key; 1]>,
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
                return self.broadcast(&room, event, except);
            }
            Command::Emit { to, event } => {
                let _ = self.with_socket(&to, |conn, state, index| self.deliver(conn, state, index, &event))
                    || self.hold(&to, |held, _| self.hold_event(held, &event));
            }
            Command::EmitWithAck { to, event, timeout, waiter } => {
                self.emit_with_ack(&to, *event, timeout, waiter);
            }
            Command::BroadcastWithAck { namespace, room, event, timeout, answers } => {
                let id = self.draw_ack_id();
                let ask = Some(Ask { id, timeout, answers });
                if let Some((room, members)) = self.members(&namespace, &room) {
                    return Err(Job {
                        room,
                        event: event.ack(id).build(),
                        except: SmallVec::new(),
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
                let mut name = |index: &RoomIndex| {
                    names.push(self.rooms.borrow().get(*index).name.to_string());
                };
                let _ = self.with_socket(&socket, |_, state, index| {
                    state.sockets[index].rooms.iter().for_each(&mut name);
                }) || self.hold(&socket, |held, _| held.rooms.iter().for_each(&mut name));
                // Whoever asked may have gone.
                let _ = reply.send(names);
            }
            Command::Note { socket, kind, number, more } => self.note(&socket, kind, number, more),
            Command::Look { socket, reply } => {
                self.with_socket(&socket, |_, state, index| {
                    // Whoever asked may have gone.
                    let _ = reply.send(self.look_at(state, index));
                });
            }
            Command::Refill { socket, events } => {
                let _ = self.with_socket(&socket, |conn, state, index| {
                    state.recorder().refilled(events.len(), self.lately_ms.get());
                    state.sockets[index].behind = false;
                    state.sockets[index].refilling = false;
                    for event in &events {
                        self.deliver(conn, state, index, event);
                    }
                }) || self.hold(&socket, |held, _| {
                    held.behind = false;
                    for event in &events {
                        self.hold_event(held, event);
                    }
                });
                return Ok(events.len());
            }
            Command::Close { socket, close } => self.close(&socket, &close),
            Command::Poll { shown, request, reply } => self.poll_from_elsewhere(shown, request, reply),
            Command::Attach { secret, stream, unread, deflate, visit } => {
                match tokio::net::TcpStream::from_std(stream) {
                    Ok(stream) => self.attach(secret, stream, unread, deflate, visit),
                    Err(error) => {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "websocket lost between shards"
                        );
                    }
                }
            }
            Command::Drain { departure, done } => self.drain(departure, done),
            Command::Stop => {}
        }
        Ok(1)
    }

    /// False: there is no such socket, or not yet.
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
        false
    }

    fn members(&self, namespace: &str, room: &str) -> Option<(RoomIndex, Vec<Key>)> {
        let rooms = self.rooms.borrow();
        let room = rooms.find(rooms.namespace(namespace)?, room)?;
        Some((room, rooms.get(room).members.clone()))
    }

    fn broadcast(&self, name: &str, event: Arc<Encoded>, except: SmallVec<[Key; 1]>) -> Result<usize, Job> {
        let rooms = self.rooms.borrow();
        let found = rooms.namespace(event.namespace()).and_then(|namespace| rooms.find(namespace, name));
        let Some(index) = found else { return Ok(1) };
        self.counters.broadcasts.add(1);
        self.note_published(&event);
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
            if !except.contains(key)
                && let Some(conn) = self.conn(*key)
            {
                let mut state = conn.state.borrow_mut();
                if let Some(at) = state.socket_in(room.namespace) {
                    self.deliver(&conn, &mut state, at, &event);
                } else if let Some(held) = state.held_in(index) {
                    self.hold_event(held, &event);
                }
            }
        }
        Ok(room.members.len())
    }

    /// Serves the next slice of a large room; `None` when it was the last. Who left meanwhile is left out.
    pub(super) fn go_on(&self, mut job: Job) -> Option<Job> {
        let end = (job.next + SLICE_MEMBERS).min(job.members.len());
        for key in &job.members[job.next..end] {
            if !job.except.contains(key)
                && let Some(conn) = self.conn(*key)
            {
                let mut state = conn.state.borrow_mut();
                let member = state.sockets.iter().position(|socket| socket.rooms.contains(&job.room));
                match (member, &job.ask) {
                    (None, ask) => self.hold_job(&mut state, &job, ask.as_ref()),
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

    /// For a member that is being decided on, if it is one.
    fn hold_job(&self, state: &mut State<A>, job: &Job, ask: Option<&Ask>) {
        let Some(socket) = state.entering().map(|entering| entering.id()) else { return };
        let Some(held) = state.held_in(job.room) else { return };
        match ask {
            None => self.hold_event(held, &job.event),
            Some(Ask { id, timeout, answers }) => {
                let waiter = Waiter::Many(answers.clone());
                self.hold_ask(held, socket, *id, *timeout, waiter, &job.event);
            }
        }
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
        let mut take = || waiter.take().expect("called at most once");
        let _ = self.with_socket(to, |conn, state, index| {
            self.await_answer(conn, state, index, id, timeout, take(), &event);
        }) || self.hold(to, |held, _| self.hold_ask(held, to.id, id, timeout, take(), &event));
        if let Some(waiter) = waiter {
            waiter.answer(to.id, Err(AckError::Gone));
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one caller each for one and for many")]
    pub(super) fn await_answer(
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
        let found = self.with_socket(&answer.to, |conn, state, index| {
            self.push_answer(conn, state, index, answer);
            self.mark_dirty(conn, state);
        });
        if !found {
            self.counters.commands_stale.add(1);
        }
    }

    fn join(&self, socket: &SocketRef, namespace: &str, room: &Arc<str>) {
        let mut joined = false;
        let _ = self.with_socket(socket, |conn, state, index| {
            let socket = &mut state.sockets[index];
            let own = self.rooms.borrow().namespace_name(socket.namespace).clone();
            joined = *own == *namespace && self.enter_room(conn.key, &mut socket.rooms, namespace, room);
        }) || self.hold(socket, |held, own| {
            joined = **own == *namespace && self.enter_room(socket.key, &mut held.rooms, namespace, room);
        });
        if !joined {
            // Announced when it was sent; it came to nothing.
            self.handle.0.whereabouts.leave(namespace, room, usize::from(self.index));
        }
    }

    /// False: it was in it already.
    fn enter_room(
        &self,
        key: Key,
        entered: &mut SmallVec<[RoomIndex; 4]>,
        namespace: &str,
        room: &Arc<str>,
    ) -> bool {
        let mut rooms = self.rooms.borrow_mut();
        let found = rooms.namespace(namespace).and_then(|namespace| rooms.find(namespace, room));
        if found.is_some_and(|room| entered.contains(&room)) {
            return false;
        }
        entered.push(rooms.enter(namespace, room, key));
        self.count_rooms(&rooms);
        true
    }

    fn leave(&self, socket: &SocketRef, room: &str) {
        let leave = |namespace: Option<NamespaceIndex>, entered: &mut SmallVec<[RoomIndex; 4]>| {
            let found = namespace.and_then(|namespace| self.rooms.borrow().find(namespace, room));
            if let Some(at) = found.and_then(|room| entered.iter().position(|other| *other == room)) {
                self.exit_room(socket.key, entered.swap_remove(at));
            }
        };
        let _ = self.with_socket(socket, |_, state, index| {
            let socket = &mut state.sockets[index];
            leave(Some(socket.namespace), &mut socket.rooms);
        }) || self.hold(socket, |held, own| {
            let namespace = self.rooms.borrow().namespace(own);
            leave(namespace, &mut held.rooms);
        });
    }

    pub(super) fn exit_room(&self, key: Key, room: RoomIndex) {
        let mut rooms = self.rooms.borrow_mut();
        if let Some((namespace, room)) = rooms.exit(room, key) {
            self.count_rooms(&rooms);
            self.handle.0.whereabouts.leave(&namespace, &room, usize::from(self.index));
        }
    }

    pub(super) fn count_rooms(&self, rooms: &Rooms) {
        let counters = &self.counters;
        for (gauge, count) in
            [(&counters.rooms_now, rooms.count()), (&counters.namespaces_now, rooms.namespace_count())]
        {
            gauge.add((count as u64).wrapping_sub(gauge.get()));
        }
    }

    fn close(&self, socket: &SocketRef, close: &Close) {
        let (mut gone, mut last) = (SmallVec::new(), None);
        let _ = self.with_socket(socket, |conn, state, index| {
            last = Some(self.look(state));
            gone = self.close_socket(conn, state, index, close);
        }) || self.hold(socket, |held, _| held.close(close.clone()));
        for (gone, last) in gone.into_iter().zip(std::iter::repeat_with(|| last.clone()).flatten()) {
            self.forget_socket(socket.key, gone, &close.as_reason(), last);
        }
    }
}
