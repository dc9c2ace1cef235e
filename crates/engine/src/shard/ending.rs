//! How connections end: at once, after what is queued was written, or after what was asked was done.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::connection::{Ending, State};
use super::namespaces::Waiting;
use super::{Conn, Shard, Socket, timers};
use crate::ack::AckError;
use crate::application::{Application, DisconnectReason, Kind};
use crate::arrival::{Noticed, Visit};
use crate::command::Close;
use crate::frame;
use crate::ids::Key;
use crate::look::Look;
use crate::packet::{Reply, Wire, encode_reply};
use crate::rooms::Rooms;
use crate::session::Transport;

/// RFC 6455 7.4.1.
const MESSAGE_TOO_BIG: u16 = 1009;
/// How long a socket that we closed waits for its client to close as well, so that the last bytes arrive.
const LINGER: Duration = Duration::from_secs(2);

impl<A: Application> Shard<A> {
    /// Ends the connection as soon as nobody works on it.
    pub(super) fn doom(&self, conn: &Conn<A>, state: &mut State<A>, reason: DisconnectReason) {
        if !state.ended {
            self.notice_fault(state, &reason, 0);
            state.ending = Ending::AfterFlush(Box::new(reason.clone()));
            self.work.doomed.borrow_mut().push((conn.key, reason));
            self.wake_pump();
        }
    }

    /// The client is gone. What it had asked for is still done, if anything.
    pub(super) fn hang_up(&self, conn: &Conn<A>, state: &mut State<A>) {
        match state.ending {
            Ending::No if state.is_busy() => {
                self.discard(state);
                state.ending = Ending::AfterWork(Box::new(DisconnectReason::TransportError));
                conn.wake();
            }
            Ending::AfterWork(_) => {}
            _ => self.doom(conn, state, DisconnectReason::TransportError),
        }
    }

    /// Closes with a close frame (or the polling equivalent), once what is queued has been written.
    pub(super) fn close_for(
        &self,
        conn: &Rc<Conn<A>>,
        state: &mut State<A>,
        reason: DisconnectReason,
        code: u16,
    ) {
        match &mut state.ending {
            Ending::No if !state.ended => {}
            // It has been told, or can be told nothing any more.
            Ending::AfterWork(known) => return **known = reason,
            _ => return,
        }
        self.notice_fault(state, &reason, code);
        let text = match &reason {
            DisconnectReason::Server { reason, .. } | DisconnectReason::ProtocolError(reason) => {
                reason.clone()
            }
            other => other.slug().to_owned(),
        };
        match state.form.wire {
            Wire::Polling => state.outbox.push_last_packet(),
            wire => {
                let close = frame::close_frame(code, &text);
                state.outbox.push_own(wire, |out| out.extend_from_slice(&close));
            }
        }
        state.ending = Ending::AfterFlush(Box::new(reason));
        let deadline = self.now_ms() + self.config.write_deadline.as_millis() as u64;
        self.arm(conn.key, timers::Kind::LastWrite, deadline);
        self.flush(conn, state);
    }

    /// Tells of what a connection ends for, when that is decided: until its last words are written may take a while.
    fn notice_fault(&self, state: &State<A>, reason: &DisconnectReason, code: u16) {
        if state.is_ending() || *reason == DisconnectReason::internal() {
            return;
        }
        match reason {
            DisconnectReason::ProtocolError(_) if code == MESSAGE_TOO_BIG => {
                self.notice(state.peer.ip(), Noticed::TooLarge);
            }
            DisconnectReason::ProtocolError(_) => self.notice(state.peer.ip(), Noticed::Malformed),
            DisconnectReason::SlowReader => self.notice(state.peer.ip(), Noticed::SlowReader),
            _ => {}
        }
    }

    /// Closes a socket, or all of the connection, at the application's wish. Gives those that are in no connection any more.
    pub(super) fn close_socket(
        &self,
        conn: &Rc<Conn<A>>,
        state: &mut State<A>,
        index: usize,
        close: &Close,
    ) -> SmallVec<[Socket<A>; 1]> {
        if state.kind == Kind::Raw || close.reconnect {
            self.close_transport(conn, state, close);
            return SmallVec::new();
        }
        Self::say_farewell(state, &self.rooms.borrow(), close);
        // The stock client takes the end of its namespace as final, and the end of the transport as an accident.
        let mut gone = SmallVec::new();
        if close.everything {
            while !state.sockets.is_empty() {
                gone.push(self.dismiss(conn, state, 0));
            }
        } else {
            gone.push(self.dismiss(conn, state, index));
        }
        if state.sockets.is_empty() {
            self.close_for(conn, state, close.as_reason(), close.code);
        } else {
            self.mark_dirty(conn, state);
        }
        gone
    }

    /// Takes a socket out of its connection, and tells the client.
    fn dismiss(&self, conn: &Rc<Conn<A>>, state: &mut State<A>, index: usize) -> Socket<A> {
        let socket = state.sockets.remove(index);
        let namespace = self.rooms.borrow().namespace_name(socket.namespace).clone();
        self.push_reply(conn, state, &Reply::Disconnect { namespace: &namespace });
        socket
    }

    /// Closes the connection at the application's wish.
    pub(super) fn close_transport(&self, conn: &Rc<Conn<A>>, state: &mut State<A>, close: &Close) {
        Self::say_farewell(state, &self.rooms.borrow(), close);
        self.close_for(conn, state, close.as_reason(), close.code);
    }

    /// Past all limits: it is one event, and the last.
    fn say_farewell(state: &mut State<A>, rooms: &Rooms, close: &Close) {
        let Some(event) = close.farewell.as_ref().filter(|_| !state.is_ending()) else { return };
        let namespace = rooms.namespace(event.namespace());
        // A stock client keeps what comes before it was let in, and reads it when it is.
        let may_read = namespace.is_some_and(|namespace| state.socket_in(namespace).is_some());
        if may_read || state.kind == Kind::Raw {
            state.outbox.push_shared(Arc::clone(event));
        }
    }

    pub(super) fn push_reply(&self, conn: &Rc<Conn<A>>, state: &mut State<A>, reply: &Reply<'_>) {
        if state.is_ending() {
            return;
        }
        let form = state.form;
        let threshold = self.config.compression_threshold.unwrap_or(usize::MAX);
        state.outbox.push_own(form.wire, |out| encode_reply(reply, form.dialect, form.wire, threshold, out));
        self.check_hard_limit(conn, state);
    }

    /// Takes the connection out of everything and tells the application. Nobody may be working on it.
    pub(super) fn end(&self, conn: &Rc<Conn<A>>, reason: &DisconnectReason) {
        let mut state = conn.state.borrow_mut();
        if state.ended {
            return;
        }
        state.ended = true;
        self.counters.queue_bytes_now.sub(state.accounted_bytes as u64);
        self.conns.borrow_mut().remove(conn.key.slot as usize);
        // Nobody writes into it any more.
        let recorder = state.recorder.take();
        let last = Look { recorder, ..self.look(&state) };
        if let Some(secret) = state.secret.take() {
            self.sessions.borrow_mut().remove(&*secret);
        }
        self.answer_last_poll(&mut state);
        let traffic = state.traffic;
        let sockets = std::mem::take(&mut state.sockets);
        let was_websocket = state.session.transport() == Transport::Websocket;
        let flushed = state.outbox.is_empty();
        state.outbox.clear();
        let pending = state.pending.take();
        let (visit, arrival) = (state.visit.take(), state.arrival.take());
        state.waiting = Waiting::default();
        drop(state);
        if let Some(pending) = pending {
            self.abandon(conn.key, *pending, reason, traffic);
        }
        if let Some(stream) = conn.stream.borrow_mut().take()
            && flushed
            && !matches!(reason, DisconnectReason::TransportClosed | DisconnectReason::TransportError)
        {
            tokio::task::spawn_local(linger(stream, visit));
        }
        self.counters.connections_now.sub(1);
        if was_websocket {
            self.counters.websockets_now.sub(1);
        }
        self.count_end(reason);
        // Of the usual one socket nothing is copied.
        let looks = std::iter::repeat_n(last, sockets.len());
        for (socket, last) in sockets.into_iter().zip(looks) {
            self.forget_socket(conn.key, socket, reason, last);
        }
        drop(arrival);
        conn.wake();
    }

    /// A socket that is in no connection any more.
    pub(super) fn forget_socket(
        &self,
        key: Key,
        mut socket: Socket<A>,
        reason: &DisconnectReason,
        mut last: Look,
    ) {
        self.counters.sockets_now.sub(1);
        for room in std::mem::take(&mut socket.rooms) {
            self.exit_room(key, room);
        }
        let mut rooms = self.rooms.borrow_mut();
        rooms.exit_namespace(socket.namespace);
        self.count_rooms(&rooms);
        drop(rooms);
        for (_, waiter) in socket.waiters.take().into_iter().flat_map(|waiters| *waiters) {
            waiter.answer(socket.id, Err(AckError::Gone));
        }
        let id = self.socket_ref(key, &socket);
        last.queued = socket.offset.take();
        last.behind |= socket.behind;
        self.guarded(|| self.app.parted(&socket.app, &id, reason, &last));
        self.guarded(|| self.app.disconnect(&socket.app, &id, reason, last.traffic));
    }

    fn count_end(&self, reason: &DisconnectReason) {
        let counters = &self.counters;
        let count = match reason {
            DisconnectReason::ClientLeft => &counters.closed_client_left,
            DisconnectReason::TransportClosed => &counters.closed_transport_closed,
            DisconnectReason::TransportError => &counters.closed_transport_error,
            DisconnectReason::PingTimeout => &counters.closed_ping_timeout,
            DisconnectReason::ProtocolError(_) => &counters.closed_protocol_error,
            DisconnectReason::SlowReader => &counters.closed_slow_reader,
            DisconnectReason::Server { .. } => &counters.closed_server,
            DisconnectReason::Shutdown => &counters.closed_shutdown,
        };
        count.add(1);
    }
}

/// A socket closed with unread input resets the connection, and the reset may overtake our last words. So: no more
/// from us, and a moment for the client to hang up.
async fn linger(mut stream: TcpStream, _visit: Option<Arc<Visit>>) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let read_rest = async {
        let mut rest = [0; 1_024];
        loop {
            if stream.readable().await.is_err() {
                return;
            }
            match stream.try_read(&mut rest) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
            // A client that floods must not keep the shard from its other work.
            tokio::task::yield_now().await;
        }
    };
    // Out of time: the socket is dropped either way.
    let _ = tokio::time::timeout(LINGER, read_rest).await;
}
