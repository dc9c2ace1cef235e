//! One connection: its state, and the small future that reads from it and drives the application for it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use smallvec::SmallVec;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::TcpStream;

use super::namespaces::{Pending, Waiting};
use super::polls::PollSide;
use super::{Begun, Shard};
use crate::ack::Waiter;
use crate::application::{Application, DisconnectReason, Handshake, Kind, Traffic};
use crate::arrival::{Arrival, Visit};
use crate::flight::Recorder;
use crate::frame::{self, Incoming, Opcode, ReadError, Reader, Role};
use crate::ids::{Key, SessionSecret, SocketId};
use crate::outbox::{Form, Outbox};
use crate::packet::{Decoder, Dialect, EnginePacket, Parser, Wire, parse_engine};
use crate::rooms::{NamespaceIndex, RoomIndex};
use crate::session::{Act, Session, Via};

/// Reads of one connection before others get their turn: fewer if one fills the whole buffer, for that is work enough.
const READS_PER_TURN: usize = 8;

pub(crate) struct Conn<A: Application> {
    pub(crate) key: Key,
    pub(super) stream: RefCell<Option<TcpStream>>,
    pub(super) state: RefCell<State<A>>,
    waker: Cell<Option<Waker>>,
}

pub(crate) struct State<A: Application> {
    pub(super) session: Session,
    pub(super) reader: Reader,
    pub(super) decoder: Decoder,
    pub(super) outbox: Outbox,
    pub(super) form: Form,
    pub(super) kind: Kind,
    /// The kernel took no more; the connection's future waits until it does.
    pub(super) blocked: bool,
    /// On the pump's list.
    pub(super) dirty: bool,
    pub(super) write_timer_armed: bool,
    /// One at a time, however many messages and packets come in parts.
    pub(super) message_timer_armed: bool,
    pub(super) attachments_timer_armed: bool,
    /// When the message that has not ended yet began; zero if there is none.
    pub(super) message_since_ms: u64,
    /// When the packet began whose attachments are still to come, and its serial number.
    pub(super) attachments_since_ms: u64,
    pub(super) attachments_of: u32,
    /// A socket was behind; when the outbox is empty the application is asked to refill it.
    pub(super) behind: bool,
    pub(super) ended: bool,
    /// When the outbox last moved, while it is blocked.
    pub(super) stalled_since_ms: u64,
    /// Part of `queue_bytes_now`.
    pub(super) accounted_bytes: usize,
    pub(super) ending: Ending,
    /// The node leaves, and it is this one's turn: nothing more is read.
    pub(super) is_leaving: bool,
    /// Of events whose client waits for an answer. The application may forget some.
    pub(super) answers_owed: u32,
    pub(super) sockets: SmallVec<[Socket<A>; 1]>,
    pub(super) pending: Option<Box<Pending<A>>>,
    /// What the client asked for while the application was busy with something it had asked before.
    pub(super) waiting: Waiting,
    pub(super) poll: Option<Box<PollSide>>,
    pub(super) secret: Option<Box<SessionSecret>>,
    pub(super) peer: SocketAddr,
    pub(super) traffic: Traffic,
    pub(super) recorder: Option<Box<Recorder>>,
    /// By when all asides so far would have come, had they come at their rate.
    pub(super) asides_due_us: u64,
    /// The connection that it is on, if it is on one.
    pub(super) visit: Option<Arc<Visit>>,
    pub(super) arrival: Option<Arrival>,
    /// Until the first namespace was entered.
    pub(super) handshake: Option<Arc<Handshake>>,
}

pub(super) enum Ending {
    No,
    /// The client is gone; what it had asked for is still done, and nothing is queued for it any more.
    AfterWork(Box<DisconnectReason>),
    /// What is queued is still written, if the client takes it in time, and nothing behind it.
    AfterFlush(Box<DisconnectReason>),
}

/// A connection in a namespace.
pub(crate) struct Socket<A: Application> {
    pub(super) id: SocketId,
    pub(super) namespace: NamespaceIndex,
    /// Reliable events are not queued: the application refills what was missed.
    pub(super) behind: bool,
    /// The application was asked to, and has not answered yet.
    pub(super) refilling: bool,
    pub(super) rooms: SmallVec<[RoomIndex; 4]>,
    #[expect(clippy::box_collection, reason = "nearly always absent, and then eight bytes instead of 48")]
    pub(super) waiters: Option<Box<HashMap<u64, Waiter>>>,
    /// Of the last reliable event that was queued.
    pub(super) offset: Option<Arc<str>>,
    pub(super) app: A::Socket,
}

impl<A: Application> Conn<A> {
    pub(super) fn new(
        key: Key,
        stream: Option<TcpStream>,
        session: Session,
        form: Form,
        kind: Kind,
        begun: Begun,
    ) -> Self {
        let Begun { handshake, visit, arrival, place } = begun;
        // It is counted itself from here on.
        drop(place);
        let state = State {
            session,
            reader: Reader::new(Role::Server, form.wire == Wire::WebsocketDeflate),
            decoder: Decoder::new(),
            outbox: Outbox::default(),
            form,
            kind,
            blocked: false,
            dirty: false,
            write_timer_armed: false,
            message_timer_armed: false,
            attachments_timer_armed: false,
            message_since_ms: 0,
            attachments_since_ms: 0,
            attachments_of: 0,
            behind: false,
            ended: false,
            stalled_since_ms: 0,
            accounted_bytes: 0,
            ending: Ending::No,
            is_leaving: false,
            answers_owed: 0,
            sockets: SmallVec::new(),
            pending: None,
            waiting: Waiting::default(),
            poll: None,
            secret: None,
            peer: handshake.peer,
            traffic: Traffic::default(),
            recorder: None,
            asides_due_us: 0,
            visit,
            arrival,
            handshake: Some(handshake),
        };
        Self { key, stream: RefCell::new(stream), state: RefCell::new(state), waker: Cell::default() }
    }

    /// Makes the connection's future run.
    pub(super) fn wake(&self) {
        // Nothing comes back here from within a waker: it puts the task on its queue.
        let waker = self.waker.take();
        if let Some(waker) = &waker {
            waker.wake_by_ref();
        }
        self.waker.set(waker);
    }

    fn remember_waker(&self, context: &Context<'_>) {
        let known = self.waker.take().filter(|known| known.will_wake(context.waker()));
        self.waker.set(Some(known.unwrap_or_else(|| context.waker().clone())));
    }
}

impl<A: Application> State<A> {
    pub(super) fn socket_in(&self, namespace: NamespaceIndex) -> Option<usize> {
        self.sockets.iter().position(|socket| socket.namespace == namespace)
    }

    pub(super) fn socket(&self, id: SocketId) -> Option<usize> {
        self.sockets.iter().position(|socket| socket.id == id)
    }

    pub(super) fn is_ending(&self) -> bool {
        !matches!(self.ending, Ending::No)
    }

    pub(super) fn is_busy(&self) -> bool {
        self.pending.is_some() || !self.waiting.is_empty()
    }

    pub(super) fn is_owed_answers(&self) -> bool {
        !self.ended && !self.is_ending() && (self.is_busy() || self.answers_owed > 0)
    }
}

/// Runs a registered connection until it ends.
pub(super) fn start<A: Application>(shard: &Rc<Shard<A>>, conn: &Rc<Conn<A>>) {
    tokio::task::spawn_local(Connection { shard: Rc::clone(shard), conn: Rc::clone(conn) });
}

struct Connection<A: Application> {
    shard: Rc<Shard<A>>,
    conn: Rc<Conn<A>>,
}

impl<A: Application> Future for Connection<A> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { shard, conn } = &*self;
        conn.remember_waker(context);
        let end = match shard.guarded(|| shard.turn(conn, context)) {
            Some(Poll::Pending) => return Poll::Pending,
            Some(Poll::Ready(end)) => end,
            None => Some(DisconnectReason::internal()),
        };
        if let Some(reason) = end {
            shard.end(conn, &reason);
        }
        Poll::Ready(())
    }
}

impl<A: Application> Shard<A> {
    /// One turn of a connection's future. Ready: it has ended, or must, for the reason given.
    fn turn(
        self: &Rc<Self>,
        conn: &Rc<Conn<A>>,
        context: &mut Context<'_>,
    ) -> Poll<Option<DisconnectReason>> {
        let mut state = conn.state.borrow_mut();
        if state.ended {
            return Poll::Ready(None);
        }
        self.work.admitted.set(false);
        if state.is_busy() {
            self.drive_application(conn, &mut state, context);
        }
        let mut reads = 0;
        loop {
            if state.blocked {
                let stream = conn.stream.borrow();
                let writable =
                    stream.as_ref().is_some_and(|stream| stream.poll_write_ready(context).is_ready());
                drop(stream);
                if writable {
                    state.blocked = false;
                    self.flush(conn, &mut state);
                    // It may be blocked again, and must then ask again to be woken.
                    if state.blocked {
                        continue;
                    }
                }
            }
            let has_enough = state.is_leaving || state.waiting.len() >= self.config.events_waiting_max;
            if !matches!(state.ending, Ending::No) || has_enough {
                break;
            }
            let mut buffer = self.read_buffer.borrow_mut();
            let mut buffer = ReadBuf::new(&mut buffer);
            let read = match conn.stream.borrow_mut().as_mut() {
                Some(stream) => Pin::new(stream).poll_read(context, &mut buffer),
                None => break,
            };
            match read {
                Poll::Pending => break,
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                    state.ending = Ending::AfterWork(Box::new(DisconnectReason::TransportClosed));
                }
                Poll::Ready(Ok(())) => {
                    let flooded = buffer.remaining() == 0;
                    self.read_bytes(conn, &mut state, buffer.filled_mut());
                    if state.is_busy() {
                        // What the application left for later must know our waker.
                        self.drive_application(conn, &mut state, context);
                    }
                    reads += 1;
                    if reads == READS_PER_TURN || flooded {
                        context.waker().wake_by_ref();
                        break;
                    }
                }
                Poll::Ready(Err(_)) => {
                    state.ending = Ending::AfterWork(Box::new(DisconnectReason::TransportError));
                }
            }
        }
        // What the application sends along with an admission is in the inbox: the pump writes it together with the answer.
        let is_left_to_the_pump = state.dirty && !state.is_ending() && self.work.admitted.get();
        if !state.outbox.is_empty() && !is_left_to_the_pump {
            self.flush(conn, &mut state);
            if state.blocked {
                // Comes back to ask for writability; flush has woken us.
            }
        }
        match &state.ending {
            Ending::AfterWork(reason) if !state.is_busy() => Poll::Ready(Some((**reason).clone())),
            _ if state.ended => Poll::Ready(None),
            _ => Poll::Pending,
        }
    }

    /// Takes bytes that came from a websocket.
    pub(super) fn read_bytes(self: &Rc<Self>, conn: &Rc<Conn<A>>, state: &mut State<A>, bytes: &mut [u8]) {
        self.count_received(state, bytes.len());
        let max = self.config.payload_bytes_max;
        let limits = frame::Limits { frame_bytes_max: max, message_bytes_max: max };
        let mut reader = std::mem::replace(&mut state.reader, Reader::new(Role::Server, false));
        let result = reader.read(bytes, &limits, |incoming| {
            // Whatever is unfinished behind this is another message.
            state.message_since_ms = 0;
            self.incoming(conn, state, &incoming)
        });
        state.reader = reader;
        self.watch_unfinished(conn, state);
        match result {
            Ok(()) => {}
            Err(ReadError::Sink(reason)) => self.close_for(conn, state, reason, 1008),
            Err(ReadError::Protocol(error)) => {
                let code = error.close_code();
                self.close_for(conn, state, DisconnectReason::ProtocolError(error.to_string()), code);
            }
        }
    }

    pub(super) fn count_received(&self, state: &mut State<A>, bytes: usize) {
        self.counters.bytes_in.add(bytes as u64);
        state.traffic.received_bytes += bytes as u64;
    }

    pub(super) fn count_sent(&self, state: &mut State<A>, bytes: usize) {
        self.counters.bytes_out.add(bytes as u64);
        state.traffic.sent_bytes += bytes as u64;
    }

    /// Memory for a message that has begun is the client's to use, but not for ever.
    fn watch_unfinished(&self, conn: &Rc<Conn<A>>, state: &mut State<A>) {
        if !state.reader.has_partial() {
            state.message_since_ms = 0;
        } else if state.message_since_ms == 0 {
            state.message_since_ms = self.now_ms().max(1);
            self.arm_message(conn.key, state);
        }
    }

    pub(super) fn incoming(
        self: &Rc<Self>,
        conn: &Rc<Conn<A>>,
        state: &mut State<A>,
        incoming: &Incoming<'_>,
    ) -> Result<(), DisconnectReason> {
        if !matches!(state.ending, Ending::No) {
            return Ok(());
        }
        match (incoming, state.kind) {
            (Incoming::Text(text), Kind::SocketIo) => {
                let packet = parse_engine(text).map_err(protocol_error)?;
                self.engine_packet(conn, state, Via::Websocket, &packet)
            }
            (Incoming::Binary(bytes), Kind::SocketIo) => {
                let packet = EnginePacket::Binary((*bytes).into());
                self.engine_packet(conn, state, Via::Websocket, &packet)
            }
            (Incoming::Text(text), Kind::Raw) => self.raw_text(conn, state, text),
            (Incoming::Binary(_), Kind::Raw) => {
                Err(DisconnectReason::ProtocolError("binary frames are not part of this protocol".to_owned()))
            }
            (Incoming::Ping(payload), _) => {
                self.aside(state)?;
                state.outbox.push_own(state.form.wire, |out| {
                    frame::write_frame(out, Opcode::Pong, payload, false);
                });
                self.check_hard_limit(conn, state);
                Ok(())
            }
            (Incoming::Pong(_), kind) => {
                if kind == Kind::Raw {
                    self.note_pong(state);
                    state.session.pong();
                }
                self.aside(state)
            }
            (Incoming::Close(said), _) => {
                // RFC 6455 5.5.1: answer with the same code, then the server closes.
                let answer = frame::close_frame(said.map_or(1000, |(code, _)| code), "");
                state.outbox.push_own(state.form.wire, |out| out.extend_from_slice(&answer));
                self.flush(conn, state);
                state.ending = Ending::AfterWork(Box::new(DisconnectReason::TransportClosed));
                Ok(())
            }
        }
    }

    /// Something that asks for nothing, and is never refused as an event would be: too much of it ends the connection.
    pub(super) fn aside(&self, state: &mut State<A>) -> Result<(), DisconnectReason> {
        let config = &self.config;
        let (now_us, apart_us) = (self.now_ms() * 1_000, 1_000_000 / config.asides_per_second.max(1) as u64);
        let due_us = state.asides_due_us.max(now_us) + apart_us;
        if due_us - now_us > apart_us * config.asides_burst.max(1) as u64 {
            return Err(DisconnectReason::ProtocolError("too much that asks for nothing".to_owned()));
        }
        state.asides_due_us = due_us;
        Ok(())
    }

    /// An Engine.IO packet of an established session.
    pub(super) fn engine_packet(
        self: &Rc<Self>,
        conn: &Rc<Conn<A>>,
        state: &mut State<A>,
        via: Via,
        packet: &EnginePacket<'_>,
    ) -> Result<(), DisconnectReason> {
        if matches!(packet, EnginePacket::Pong) {
            self.note_pong(state);
        }
        let decoded = match state.session.packet(via, packet) {
            Act::Nothing => return self.aside(state),
            Act::Text(text) => state.decoder.text(text, &self.config.packet),
            Act::Binary(bytes) => state.decoder.binary(bytes, &self.config.packet),
            Act::End => {
                state.ending = Ending::AfterWork(Box::new(DisconnectReason::TransportClosed));
                return Ok(());
            }
            Act::Fault(what) => return Err(DisconnectReason::ProtocolError(what.to_owned())),
            Act::AnswerProbe | Act::Switch => unreachable!("probes are read by the upgrade"),
        };
        if let Some(inbound) = decoded.map_err(protocol_error)? {
            if state.decoder.parser() == Some(Parser::Msgpack) {
                state.form.dialect = Dialect::Msgpack;
            }
            return self.inbound(conn, state, inbound);
        }
        if let Some(serial) = state.decoder.pending() {
            self.arm_attachments(conn.key, state, serial);
        }
        Ok(())
    }
}

pub(super) fn protocol_error(error: impl std::error::Error) -> DisconnectReason {
    DisconnectReason::ProtocolError(error.to_string())
}

#[cfg(test)]
mod tests;
