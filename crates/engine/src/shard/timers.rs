//! What the shard's wheel turns: heartbeats, and deadlines of all kinds.

use std::rc::Rc;
use std::time::Duration;

use super::connection::{Ending, State};
use super::{Conn, Shard, TICK_MS};
use crate::ack::AckError;
use crate::application::{Application, DisconnectReason};
use crate::arrival::Noticed;
use crate::ids::Key;
use crate::outbox;
use crate::packet::Wire;
use crate::session::Beat;

#[derive(Clone, Copy)]
pub(super) struct Timer {
    key: Key,
    kind: Kind,
}

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Beat,
    /// A namespace must have been entered.
    Connect,
    /// The outbox must have moved.
    Write,
    /// A closing connection is closed whether or not its client took the last bytes.
    LastWrite,
    /// A packet's attachments must have come.
    Attachments,
    Ack(u64),
    /// A websocket message must have ended.
    Message,
}

/// Timers that fire before others get their turn: pings, mostly, at about two microseconds each.
const TIMERS_PER_TURN: usize = 128;
/// An unmasked text frame: `2`.
const PING_FRAME: &[u8] = b"\x81\x012";

impl<A: Application> Shard<A> {
    pub(super) fn arm(&self, key: Key, kind: Kind, deadline_ms: u64) {
        self.wheel.borrow_mut().insert(deadline_ms, Timer { key, kind });
    }

    /// Heartbeats need not be exact, and those that fall due together cost half as much: one look at the sockets finds
    /// many pongs. So they are due at multiples of this.
    fn beat_grain_ms(&self) -> u64 {
        let shorter = self.config.ping_interval.min(self.config.ping_timeout);
        (shorter.as_millis() as u64 / 40).clamp(TICK_MS, 500)
    }

    pub(super) fn arm_beat(&self, key: Key, deadline_ms: u64) {
        self.arm(key, Kind::Beat, deadline_ms.next_multiple_of(self.beat_grain_ms()));
    }

    /// One timer at a time, so that a client cannot fill the wheel: if there is one for an earlier packet, it is armed again
    /// for this one.
    pub(super) fn arm_attachments(&self, key: Key, state: &mut State<A>, serial: u32) {
        if state.attachments_since_ms == 0 || state.attachments_of != serial {
            state.attachments_since_ms = self.now_ms().max(1);
            state.attachments_of = serial;
        }
        if !state.attachments_timer_armed {
            state.attachments_timer_armed = true;
            self.arm(key, Kind::Attachments, self.attachments_deadline_ms(state));
        }
    }

    fn attachments_deadline_ms(&self, state: &State<A>) -> u64 {
        state.attachments_since_ms + self.config.attachments_timeout.as_millis() as u64
    }

    /// As for attachments.
    pub(super) fn arm_message(&self, key: Key, state: &mut State<A>) {
        if !state.message_timer_armed {
            state.message_timer_armed = true;
            self.arm(key, Kind::Message, self.message_deadline_ms(state));
        }
    }

    fn message_deadline_ms(&self, state: &State<A>) -> u64 {
        state.message_since_ms + self.config.message_timeout.as_millis() as u64
    }

    /// Turns the wheel for as long as the shard runs.
    pub(crate) async fn turn_wheel(self: Rc<Self>) {
        let mut ticks = tokio::time::interval(Duration::from_millis(TICK_MS));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut due = Vec::new();
        loop {
            ticks.tick().await;
            let now = self.now_ms();
            self.wheel.borrow_mut().expire(now, |timer| due.push(timer));
            for (count, timer) in due.drain(..).enumerate() {
                if count % TIMERS_PER_TURN == TIMERS_PER_TURN - 1 {
                    // Others first.
                    tokio::task::yield_now().await;
                }
                if let Some(conn) = self.conn(timer.key) {
                    self.guarded(|| self.fire(&conn, timer.kind, now));
                }
            }
            let timers = self.wheel.borrow().len() as u64;
            self.counters.timers_now.add(timers.wrapping_sub(self.counters.timers_now.get()));
            if due.capacity() > 4_096 {
                due = Vec::new();
            }
        }
    }

    fn fire(&self, conn: &Rc<Conn<A>>, kind: Kind, now: u64) {
        let mut state = conn.state.borrow_mut();
        let end = match kind {
            Kind::Beat => {
                // The multiple at which it was due: being late now must not make the next one late.
                let due = now - now % self.beat_grain_ms();
                let (beat, next) = state.session.beat(due, self.heartbeat());
                if beat == Beat::Dead {
                    drop(state);
                    return self.end(conn, &DisconnectReason::PingTimeout);
                }
                self.arm_beat(conn.key, next);
                if beat == Beat::Ping && matches!(state.ending, Ending::No) {
                    let form = state.form;
                    let idle = state.outbox.is_empty() && form.wire != Wire::Polling;
                    let written = if idle && state.kind == crate::application::Kind::SocketIo {
                        conn.stream.borrow().as_ref().and_then(|stream| stream.try_write(PING_FRAME).ok())
                    } else {
                        None
                    };
                    match written {
                        Some(count) if count == PING_FRAME.len() => {
                            self.count_sent(&mut state, PING_FRAME.len());
                        }
                        // Half a frame, and the rest of it can never be put in its place.
                        Some(_) => self.doom(conn, &mut state, DisconnectReason::TransportError),
                        None => {
                            outbox::push_ping(&mut state.outbox, form);
                            self.flush(conn, &mut state);
                        }
                    }
                }
                None
            }
            Kind::Connect if state.sockets.is_empty() && state.is_busy() => {
                // Being decided on. If it is refused, the time is up all the same.
                self.arm(conn.key, Kind::Connect, now + TICK_MS);
                None
            }
            Kind::Connect => (state.sockets.is_empty())
                .then(|| DisconnectReason::ProtocolError("no namespace was entered in time".to_owned())),
            Kind::Write => {
                state.write_timer_armed = false;
                let deadline = state.stalled_since_ms + self.config.write_deadline.as_millis() as u64;
                if state.blocked && now < deadline {
                    state.write_timer_armed = true;
                    self.arm(conn.key, Kind::Write, deadline);
                }
                (state.blocked && now >= deadline).then_some(DisconnectReason::SlowReader)
            }
            Kind::LastWrite => match &state.ending {
                Ending::AfterFlush(reason) => Some((**reason).clone()),
                _ => None,
            },
            Kind::Attachments => {
                state.attachments_timer_armed = false;
                let waits = state.decoder.pending() == Some(state.attachments_of);
                let late = waits && now >= self.attachments_deadline_ms(&state);
                if waits && !late {
                    let serial = state.attachments_of;
                    self.arm_attachments(conn.key, &mut state, serial);
                }
                late.then(|| DisconnectReason::ProtocolError("attachments did not arrive in time".to_owned()))
            }
            Kind::Message => {
                state.message_timer_armed = false;
                let waits = state.message_since_ms != 0;
                let late = waits && now >= self.message_deadline_ms(&state);
                if waits && !late {
                    self.arm_message(conn.key, &mut state);
                }
                late.then(|| DisconnectReason::ProtocolError("message did not arrive in time".to_owned()))
            }
            Kind::Ack(id) => {
                for socket in &mut state.sockets {
                    let Some(waiters) = &mut socket.waiters else { continue };
                    if let Some(waiter) = waiters.remove(&id) {
                        self.counters.acks_timed_out.add(1);
                        waiter.answer(socket.id, Err(AckError::Timeout));
                    }
                    if waiters.is_empty() {
                        socket.waiters = None;
                    }
                }
                None
            }
        };
        let client = state.peer.ip();
        drop(state);
        if let Some(reason) = end {
            match kind {
                Kind::Connect => self.notice(client, Noticed::Idle),
                Kind::Write => self.notice(client, Noticed::SlowReader),
                Kind::Attachments | Kind::Message => self.notice(client, Noticed::SlowSender),
                Kind::Beat | Kind::LastWrite | Kind::Ack(_) => {}
            }
            self.end(conn, &reason);
        }
    }
}
