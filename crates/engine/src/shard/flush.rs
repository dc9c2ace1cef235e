//! Queueing events by their class, and writing queues to sockets.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use super::connection::{Ending, State};
use super::{Conn, Shard, timers};
use crate::application::{Application, DisconnectReason};
use crate::packet::{Class, Encoded, Wire};

/// A write scratch that has grown beyond this is given back.
const SCRATCH_BYTES_KEPT_MAX: usize = 128 * 1024;

impl<A: Application> Shard<A> {
    /// Queues an event to the socket at `index` of the connection, as its class demands.
    pub(super) fn deliver(
        &self,
        conn: &Rc<Conn<A>>,
        state: &mut State<A>,
        index: usize,
        event: &Arc<Encoded>,
    ) {
        if state.is_ending() {
            return;
        }
        match event.class() {
            Class::Reliable => {
                if state.sockets[index].behind {
                    self.counters.deliveries_deferred.add(1);
                    return;
                }
                if self.is_over_soft_limit(conn, state, event.queue_bytes()) {
                    state.sockets[index].behind = true;
                    state.behind = true;
                    let bytes = state.outbox.bytes();
                    state.recorder().behind(bytes, self.lately_ms.get());
                    self.counters.deliveries_deferred.add(1);
                    return;
                }
                if let Some(offset) = event.offset_shared() {
                    state.sockets[index].offset = Some(Arc::clone(offset));
                }
            }
            Class::State { .. } => {
                let waits = state.blocked || state.form.wire == Wire::Polling;
                let over = !waits && self.is_over_soft_limit(conn, state, event.queue_bytes());
                if (waits || over) && state.outbox.replace_state(event) {
                    self.counters.state_replaced.add(1);
                    self.account(state);
                    return;
                }
                // Nobody refills a state, so past the soft limit there is room for the newest of each. The hard one
                // bounds how many there are.
                if state.outbox.bytes() + event.queue_bytes() > self.config.queue_hard_bytes {
                    self.counters.volatile_dropped.add(1);
                    return;
                }
            }
            Class::Volatile => {
                if state.blocked || self.is_over_soft_limit(conn, state, event.queue_bytes()) {
                    self.counters.volatile_dropped.add(1);
                    state.recorder().dropped(self.lately_ms.get());
                    return;
                }
            }
        }
        if let Some((before, after)) = event.deflated(state.form.dialect, state.form.wire) {
            self.counters.deflated_bytes_before.add(before as u64);
            self.counters.deflated_bytes_after.add(after as u64);
        }
        if let Some(mark) = event.mark() {
            state.recorder().delivered(mark, self.lately_ms.get());
        }
        state.outbox.push_shared(Arc::clone(event));
        self.counters.deliveries.add(1);
        self.mark_dirty(conn, state);
    }

    /// One event is always taken, however large: limits on its size are the application's.
    fn is_over_soft_limit(&self, conn: &Rc<Conn<A>>, state: &mut State<A>, more: usize) -> bool {
        let over = |state: &State<A>| {
            !state.outbox.is_empty() && state.outbox.bytes() + more > self.config.queue_soft_bytes
        };
        if over(state) && !state.blocked {
            // A burst within one turn says nothing about the reader: let it read first.
            self.flush(conn, state);
        }
        over(state)
    }

    /// For packets that no class protects: answers, pongs.
    pub(super) fn check_hard_limit(&self, conn: &Rc<Conn<A>>, state: &mut State<A>) {
        if state.outbox.bytes() > self.config.queue_hard_bytes {
            self.flush(conn, state);
            if state.outbox.bytes() > self.config.queue_hard_bytes {
                self.doom(conn, state, DisconnectReason::SlowReader);
            }
        }
    }

    pub(super) fn mark_dirty(&self, conn: &Rc<Conn<A>>, state: &mut State<A>) {
        self.account(state);
        if !state.dirty && !state.blocked {
            state.dirty = true;
            self.work.dirty.borrow_mut().push_back(conn.key);
            self.wake_pump();
        }
    }

    fn account(&self, state: &mut State<A>) {
        let bytes = state.outbox.bytes();
        let gauge = &self.counters.queue_bytes_now;
        gauge.add(bytes as u64);
        gauge.sub(state.accounted_bytes as u64);
        state.accounted_bytes = bytes;
    }

    /// Writes what the client takes. Whatever stays waits for the socket to become writable.
    pub(super) fn flush(&self, conn: &Rc<Conn<A>>, state: &mut State<A>) {
        if state.ended {
            return;
        }
        if state.form.wire == Wire::Polling {
            self.answer_parked(conn, state);
        } else if !state.blocked {
            self.write(conn, state);
        }
        self.account(state);
        if state.outbox.is_empty() {
            if state.behind && !state.is_ending() {
                state.behind = false;
                self.work.level.borrow_mut().push_back(conn.key);
                self.wake_pump();
            }
            if let Ending::AfterFlush(reason) = &state.ending {
                let reason = (**reason).clone();
                self.doom(conn, state, reason);
            }
        }
    }

    fn write(&self, conn: &Rc<Conn<A>>, state: &mut State<A>) {
        let stream = conn.stream.borrow();
        let Some(stream) = stream.as_ref() else { return };
        let mut scratch = self.write_scratch.borrow_mut();
        let mut failed = false;
        while !state.outbox.is_empty() {
            let bytes = state.outbox.next_bytes(state.form, &mut scratch);
            match stream.try_write(bytes) {
                Ok(written) => {
                    self.count_sent(state, written);
                    state.outbox.advance(state.form, written);
                    if state.write_timer_armed {
                        state.stalled_since_ms = self.now_ms();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    state.blocked = true;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    failed = true;
                    break;
                }
            }
        }
        if scratch.capacity() > SCRATCH_BYTES_KEPT_MAX {
            *scratch = Vec::new();
        }
        drop(scratch);
        if failed {
            self.hang_up(conn, state);
        } else if state.blocked {
            conn.wake();
            if !state.write_timer_armed {
                state.write_timer_armed = true;
                let now = self.now_ms();
                state.stalled_since_ms = now;
                let bytes = state.outbox.bytes();
                state.recorder().blocked(bytes, now);
                self.arm(conn.key, timers::Kind::Write, now + self.config.write_deadline.as_millis() as u64);
            }
        }
    }
}
