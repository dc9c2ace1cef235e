//! Sessions over HTTP: polls and posts.

use std::rc::Rc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::connection::State;
use super::{Conn, Shard};
use crate::application::{Application, DisconnectReason};
use crate::command::PollRequest;
use crate::ids::{Key, Shown};
use crate::packet::{PollingPackets, Wire, polling_packets};
use crate::polling::{HttpFault, PollAnswer};
use crate::session::{Get, Transport, Via};

/// What a polling session keeps beside its state.
#[derive(Default)]
pub(super) struct PollSide {
    parked: Option<oneshot::Sender<PollAnswer>>,
    gzip: bool,
    /// A post is being taken.
    posting: bool,
    /// It waits until the application has caught up.
    post_waits: Option<oneshot::Sender<()>>,
}

/// Packets of a post that are taken before others get their turn.
const PACKETS_PER_SLICE: usize = 64;

/// How far a post has been taken.
enum Taken {
    Slice,
    Until(oneshot::Receiver<()>),
    Done(PollAnswer),
}

/// A post that is being taken. Dropped before it was, because its client hung up, it ends the session: nobody could
/// tell what of it was done.
struct Posting<A: Application> {
    shard: Rc<Shard<A>>,
    conn: Rc<Conn<A>>,
    answered: bool,
}

impl<A: Application> Posting<A> {
    /// Two at once have no order, and end the session.
    fn begin(shard: &Rc<Shard<A>>, conn: &Rc<Conn<A>>) -> Option<Self> {
        let mut state = conn.state.borrow_mut();
        if state.session.transport() == Transport::Websocket {
            return None;
        }
        let side = state.poll.get_or_insert_default();
        if side.posting {
            shard.doom(conn, &mut state, DisconnectReason::ProtocolError("two posts at once".to_owned()));
            return None;
        }
        side.posting = true;
        Some(Self { shard: Rc::clone(shard), conn: Rc::clone(conn), answered: false })
    }
}

impl<A: Application> Drop for Posting<A> {
    fn drop(&mut self) {
        let mut state = self.conn.state.borrow_mut();
        if let Some(side) = &mut state.poll {
            side.posting = false;
            side.post_waits = None;
        }
        if !self.answered {
            self.shard.hang_up(&self.conn, &mut state);
        }
    }
}

/// A parked poll. Dropped before it was answered, it tells the session that its client hung up.
pub(crate) struct PollGuard<A: Application> {
    shard: Rc<Shard<A>>,
    key: Key,
    answered: bool,
}

impl<A: Application> Drop for PollGuard<A> {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let Some(conn) = self.shard.conn(self.key) else { return };
        let mut state = conn.state.borrow_mut();
        if state.session.is_parked() {
            state.session.unpark();
            self.shard.hang_up(&conn, &mut state);
        }
    }
}

enum Gotten {
    Now(PollAnswer),
    Parked(oneshot::Receiver<PollAnswer>, Key),
}

impl<A: Application> Shard<A> {
    /// Answers a poll, as soon as there is something to answer.
    pub(crate) async fn get(self: &Rc<Self>, shown: Shown, gzip: bool) -> PollAnswer {
        self.counters.polls.add(1);
        let (received, key) = match self.try_get(shown, gzip) {
            Gotten::Now(answer) => return answer,
            Gotten::Parked(received, key) => (received, key),
        };
        let mut guard = PollGuard { shard: Rc::clone(self), key, answered: false };
        let answer = received.await;
        guard.answered = true;
        answer.unwrap_or_else(|_| HttpFault::SessionUnknown.answer())
    }

    fn try_get(&self, shown: Shown, gzip: bool) -> Gotten {
        let Some(conn) = self.session_of(shown) else {
            return Gotten::Now(HttpFault::SessionUnknown.answer());
        };
        let mut state = conn.state.borrow_mut();
        let has_output = !state.outbox.is_empty();
        match state.session.get(has_output) {
            Get::Answer => {
                let dialect = state.form.dialect;
                let body = state.outbox.take_polling(dialect, self.config.payload_bytes_max);
                self.count_sent(&mut state, body.len());
                self.flush(&conn, &mut state);
                Gotten::Now(self.packets(body, gzip))
            }
            Get::AnswerNoop => Gotten::Now(self.packets(b"6".to_vec(), false)),
            Get::Park => {
                let (sender, received) = oneshot::channel();
                let side = state.poll.get_or_insert_default();
                side.parked = Some(sender);
                side.gzip = gzip;
                Gotten::Parked(received, conn.key)
            }
            Get::WrongTransport => Gotten::Now(HttpFault::BadRequest.answer()),
            Get::Conflict => {
                let reason = DisconnectReason::ProtocolError("two polls at once".to_owned());
                self.doom(&conn, &mut state, reason);
                Gotten::Now(HttpFault::BadRequest.answer())
            }
        }
    }

    fn packets(&self, body: Vec<u8>, gzip: bool) -> PollAnswer {
        PollAnswer::packets(body, self.config.compression_threshold.filter(|_| gzip))
    }

    /// Lets the parked poll go with what there is.
    pub(super) fn answer_parked(&self, conn: &Rc<Conn<A>>, state: &mut State<A>) {
        if state.outbox.is_empty() {
            return;
        }
        let Some(side) = &mut state.poll else { return };
        let Some(parked) = side.parked.take() else { return };
        let gzip = side.gzip;
        state.session.unpark();
        let body = state.outbox.take_polling(state.form.dialect, self.config.payload_bytes_max);
        self.count_sent(state, body.len());
        if parked.send(self.packets(body, gzip)).is_err() {
            self.hang_up(conn, state);
        }
    }

    /// Whether a websocket may try to take the session over.
    /// Browsers send no bearer with a websocket; what is sent is looked at.
    pub(crate) fn may_upgrade(&self, shown: Shown) -> PollAnswer {
        let conn = if shown.bearer.is_some() { self.session_of(shown) } else { self.session(shown.secret) };
        let Some(conn) = conn else { return HttpFault::SessionUnknown.answer() };
        let upgraded = conn.state.borrow().session.transport() == Transport::Websocket;
        if upgraded { HttpFault::BadRequest.answer() } else { PollAnswer::ok() }
    }

    /// A websocket takes over from here: a poll that is parked has nothing more to wait for.
    pub(super) fn end_polling(&self, state: &mut State<A>) {
        if let Some(side) = &mut state.poll
            && let Some(parked) = side.parked.take()
        {
            state.session.unpark();
            // Its client may have hung up.
            let _ = parked.send(self.packets(b"6".to_vec(), false));
        }
    }

    pub(super) fn release_parked(&self, conn: &Rc<Conn<A>>, state: &mut State<A>) {
        if state.session.is_parked() && state.outbox.is_empty() {
            state.outbox.push_own(Wire::Polling, |out| out.push(b'6'));
        }
        self.answer_parked(conn, state);
    }

    /// The session ends: whoever polls is told, and posts fail.
    pub(super) fn answer_last_poll(&self, state: &mut State<A>) {
        let Some(mut side) = state.poll.take() else { return };
        if let Some(parked) = side.parked.take() {
            state.session.unpark();
            let mut body = state.outbox.take_polling(state.form.dialect, self.config.payload_bytes_max);
            if body.is_empty() {
                body = b"1".to_vec();
            }
            self.count_sent(state, body.len());
            // A client that hung up needs no answer.
            let _ = parked.send(self.packets(body, side.gzip));
        }
    }

    /// Takes the packets of a post, in slices, and no faster than the application does: what waits, waits in the body.
    pub(crate) async fn post(self: &Rc<Self>, shown: Shown, body: Bytes) -> PollAnswer {
        self.counters.posts.add(1);
        let Some(conn) = self.session_of(shown) else {
            self.counters.bytes_in.add(body.len() as u64);
            return HttpFault::SessionUnknown.answer();
        };
        self.count_received(&mut conn.state.borrow_mut(), body.len());
        let Some(mut posting) = Posting::begin(self, &conn) else { return HttpFault::BadRequest.answer() };
        let answer = self.take_post(&conn, &body).await;
        posting.answered = true;
        answer
    }

    async fn take_post(self: &Rc<Self>, conn: &Rc<Conn<A>>, body: &[u8]) -> PollAnswer {
        let Ok(text) = std::str::from_utf8(body) else {
            let reason = DisconnectReason::ProtocolError("body is not UTF-8".to_owned());
            self.doom(conn, &mut conn.state.borrow_mut(), reason);
            return HttpFault::BadRequest.answer();
        };
        let mut packets = polling_packets(text, &self.config.packet);
        loop {
            match self.guarded(|| self.take_packets(conn, &mut packets)) {
                Some(Taken::Slice) => tokio::task::yield_now().await,
                // An error means that the session ended; the next look finds that.
                Some(Taken::Until(may_go_on)) => drop(may_go_on.await),
                Some(Taken::Done(answer)) => return answer,
                None => {
                    self.end(conn, &DisconnectReason::internal());
                    return HttpFault::BadRequest.answer();
                }
            }
        }
    }

    pub(super) fn let_post_go_on(state: &mut State<A>) {
        if let Some(side) = &mut state.poll
            && let Some(post) = side.post_waits.take()
        {
            // Its client may have hung up.
            let _ = post.send(());
        }
    }

    fn take_packets(self: &Rc<Self>, conn: &Rc<Conn<A>>, packets: &mut PollingPackets<'_>) -> Taken {
        let mut state = conn.state.borrow_mut();
        if state.ended {
            return Taken::Done(HttpFault::SessionUnknown.answer());
        }
        let mut slice = 0;
        let taken = loop {
            if state.waiting.len() >= self.config.events_waiting_max && !state.is_ending() {
                let (sender, may_go_on) = oneshot::channel();
                state.poll.get_or_insert_default().post_waits = Some(sender);
                break Taken::Until(may_go_on);
            }
            if slice == PACKETS_PER_SLICE {
                break Taken::Slice;
            }
            slice += 1;
            let Some(packet) = packets.next().filter(|_| !state.is_ending()) else {
                break Taken::Done(PollAnswer::ok());
            };
            let result = packet
                .map_err(super::connection::protocol_error)
                .and_then(|packet| self.engine_packet(conn, &mut state, Via::Polling, &packet));
            if let Err(reason) = result {
                self.doom(conn, &mut state, reason);
                return Taken::Done(HttpFault::BadRequest.answer());
            }
        };
        if state.is_ending() || state.is_busy() {
            conn.wake();
        }
        self.flush(conn, &mut state);
        taken
    }

    /// A request that another shard's listener took.
    pub(super) fn poll_from_elsewhere(
        self: &Rc<Self>,
        shown: Shown,
        request: PollRequest,
        mut reply: oneshot::Sender<PollAnswer>,
    ) {
        let shard = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let answer = async {
                match request {
                    PollRequest::Get { gzip } => shard.get(shown, gzip).await,
                    PollRequest::Post { body } => shard.post(shown, body).await,
                    PollRequest::Upgrade => shard.may_upgrade(shown),
                }
            };
            // When the requester hangs up, the poll's guard must know.
            tokio::select! {
                answer = answer => drop(reply.send(answer)),
                () = reply.closed() => {}
            }
        });
    }
}
