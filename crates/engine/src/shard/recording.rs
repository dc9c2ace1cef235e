//! Where a shard writes into the flight recorders of its connections, and looks at them. A connection to which nothing
//! happens after it has entered has none.

use std::sync::Arc;

use super::Shard;
use super::connection::State;
use crate::application::Application;
use crate::flight::{NOTES, Recorder};
use crate::ids::SocketRef;
use crate::look::Look;
use crate::packet::Wire;
use crate::session::Transport;

/// A pong that takes longer than this part of what it may take is late.
const LATE_PART: u64 = 4;

impl<A: Application> State<A> {
    #[inline]
    pub(super) fn recorder(&mut self) -> &mut Recorder {
        self.recorder.get_or_insert_default()
    }
}

impl<A: Application> Shard<A> {
    pub(super) fn note(&self, socket: &SocketRef, kind: u8, number: u32, more: Option<u32>) {
        let Some(conn) = self.conn(socket.key) else { return };
        let mut state = conn.state.borrow_mut();
        if !state.ended && kind < NOTES {
            state.recorder().note(kind, number, more, self.now_ms());
        }
    }

    /// How the connection is, but for what is a single socket's.
    pub(super) fn look(&self, state: &State<A>) -> Look {
        let websocket = state.session.transport() == Transport::Websocket;
        Look {
            at_ms: self.now_ms(),
            websocket,
            upgraded: websocket && state.secret.is_some(),
            compressed: state.form.wire == Wire::WebsocketDeflate,
            queue_bytes: state.outbox.bytes(),
            queue_items: state.outbox.len(),
            blocked: state.blocked,
            behind: state.behind,
            pinged: state.session.pong_due_ms().is_some(),
            queued: None,
            unwritten: state.outbox.first_offset().map(Arc::clone),
            traffic: state.traffic,
            recorder: state.recorder.clone(),
        }
    }

    pub(super) fn look_at(&self, state: &State<A>, index: usize) -> Look {
        let socket = &state.sockets[index];
        let (behind, queued) = (state.behind || socket.behind, socket.offset.clone());
        Look { behind, queued, ..self.look(state) }
    }

    /// A pong has come. It is worth a line if it came late.
    pub(super) fn note_pong(&self, state: &mut State<A>) {
        let Some(due) = state.session.pong_due_ms() else { return };
        let (now, timeout) = (self.now_ms(), self.config.ping_timeout.as_millis() as u64);
        let after = (now + timeout).saturating_sub(due);
        if after > timeout / LATE_PART {
            state.recorder().pong_late(after, now);
        }
    }

    /// What waits is thrown away: nobody is there who could read it.
    pub(super) fn discard(&self, state: &mut State<A>) {
        if !state.outbox.is_empty() {
            let (bytes, now) = (state.outbox.bytes(), self.now_ms());
            state.recorder().discarded(bytes, now);
            state.outbox.clear();
        }
    }
}
