//! Entering a namespace: CONNECT, the application's decision, now or later, and the answer. What the application sends
//! to the socket before its decision has arrived is held, and comes right behind the answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::connection::State;
use super::held::{Fate, Held, Item, Limits};
use super::namespaces::{Pending, RAW_NAMESPACE, Work};
use super::{Conn, Shard, Socket};
use crate::ack::{AckError, Waiter};
use crate::admission::Comer;
use crate::application::{
    Admission, Application, ConnectRequest, DisconnectReason, Kind, Refusal, Resume, Step, TicketClaims,
    Traffic,
};
use crate::ids::{Key, SocketId, SocketRef};
use crate::packet::{Encoded, Reply, Str};
use crate::rooms::RoomIndex;
use crate::ticket::Ticket;

pub(super) type Answered<A> = Result<Admission<<A as Application>::Socket>, Refusal>;

/// What the engine needs to finish a CONNECT that the application has answered.
pub(super) struct Entering {
    socket: SocketRef,
    pub(super) namespace: Str,
    raw_id: Option<u64>,
    /// The ticket that was shown and is genuine, with the id it speaks of.
    resumed: Option<(SocketId, String)>,
    pub(super) held: Option<Box<Held>>,
    asked: Instant,
}

/// The part of a CONNECT's payload that is the engine's: a client that wants to go on shows its ticket.
#[derive(serde::Deserialize)]
struct ResumeFields {
    pid: Option<String>,
    offset: Option<String>,
}

impl Entering {
    pub(super) fn id(&self) -> SocketId {
        self.socket.id
    }

    /// Whether the socket will have this id, if it is admitted: as a new one or as the one it was.
    fn is(&self, id: SocketId) -> bool {
        self.socket.id == id || self.resumed.as_ref().is_some_and(|(earlier, _)| *earlier == id)
    }
}

impl<A: Application> State<A> {
    /// The socket that the application is deciding on.
    pub(super) fn entering(&mut self) -> Option<&mut Entering> {
        self.pending.as_mut()?.entering.as_mut()
    }

    /// What is held for it, if it has been put in the room.
    pub(super) fn held_in(&mut self, room: RoomIndex) -> Option<&mut Held> {
        self.entering()?.held.as_deref_mut().filter(|held| held.rooms.contains(&room))
    }
}

impl<A: Application> Shard<A> {
    pub(super) fn connect(
        self: &Rc<Self>,
        conn: &Rc<Conn<A>>,
        state: &mut State<A>,
        namespace: Str,
        auth: Option<Str>,
        raw_id: Option<u64>,
    ) {
        if let Some(index) = self.socket_of(state, &namespace) {
            // The client is in already; a second socket would double every event it gets.
            if let Some(raw_id) = raw_id {
                let id = state.sockets[index].id;
                self.push_raw_connected(conn, state, raw_id, id);
            }
            return;
        }
        let socket = SocketRef { shard: self.index, key: conn.key, id: SocketId::random() };
        let mut entering =
            Entering { socket, namespace, raw_id, resumed: None, held: None, asked: Instant::now() };
        if state.sockets.len() >= self.config.namespaces_per_connection_max {
            let refusal = Refusal {
                message: "too many namespaces on this connection".to_owned(),
                data: None,
                close: None,
            };
            return self.entered(conn, state, entering, Err(refusal));
        }
        let resume = self.resume(state, auth.as_deref(), &mut entering);
        let request = ConnectRequest {
            socket,
            namespace: (*entering.namespace).into(),
            auth: auth.map(|auth| auth.to_string()),
            handshake: state.handshake.clone().unwrap_or_else(|| Self::peer_handshake(state.peer)),
            resume,
            kind: state.kind,
        };
        if let Err(wait) = self.may_enter(state, &request) {
            self.counters.connects_put_off.add(1);
            let refusal = self.app.put_off(&request, wait);
            return self.entered(conn, state, entering, Err(refusal));
        }
        match self.with_answers(conn, state, || self.app.connect(request)) {
            Step::Now(answer) => self.entered(conn, state, entering, answer),
            Step::Later(future) => {
                let pending = Pending { work: Some(Work::Connect(future)), entering: Some(entering) };
                state.pending = Some(Box::new(pending));
                conn.wake();
            }
        }
    }

    /// Whether the client is to be let in now. Whoever is in one namespace already is in.
    fn may_enter(&self, state: &State<A>, request: &ConnectRequest) -> Result<(), Duration> {
        if !state.sockets.is_empty() {
            return Ok(());
        }
        let comer = if request.resume.is_some() { Comer::Returning } else { Comer::New };
        self.sockets_door.borrow_mut().ask(comer, self.now_ms(), self.chance())
    }

    /// Opens the ticket of a client that wants to go on. One that is not genuine is as good as none.
    fn resume(&self, state: &State<A>, auth: Option<&str>, entering: &mut Entering) -> Option<Resume> {
        let tickets = self.tickets.as_ref()?;
        let auth = auth.filter(|auth| auth.contains("\"pid\""))?;
        let fields: ResumeFields = serde_json::from_str(auth).ok()?;
        let pid = fields.pid?;
        let opened = tickets.open(&pid, unix_seconds()).ok();
        let resume = opened.and_then(|ticket| {
            // Sockets of one connection are told apart by their ids.
            let socket_id = SocketId::parse(&ticket.socket_id).filter(|id| state.socket(*id).is_none())?;
            Some(Resume { socket_id, payload: ticket.payload, offset: fields.offset })
        });
        match &resume {
            Some(resume) => entering.resumed = Some((resume.socket_id, pid)),
            None => self.counters.recoveries_refused.add(1),
        }
        resume
    }

    /// The application has answered a CONNECT.
    pub(super) fn entered(
        self: &Rc<Self>,
        conn: &Rc<Conn<A>>,
        state: &mut State<A>,
        entering: Entering,
        answer: Answered<A>,
    ) {
        self.counters.entering.took(entering.asked.elapsed());
        let admission = match answer {
            Ok(admission) => admission,
            Err(refusal) => return self.refused(conn, state, entering, refusal),
        };
        let Entering { mut socket, namespace, raw_id, resumed, held, .. } = entering;
        let recovered = admission.recovered && resumed.is_some();
        let pid = match resumed {
            Some((id, pid)) if recovered => {
                socket.id = id;
                Some(pid)
            }
            _ => self.seal(&socket, admission.ticket),
        };
        let index = self.rooms.borrow_mut().enter_namespace(&namespace);
        state.sockets.push(Socket {
            id: socket.id,
            namespace: index,
            behind: false,
            refilling: false,
            rooms: SmallVec::new(),
            waiters: None,
            offset: None,
            app: admission.socket.clone(),
        });
        state.handshake = None;
        self.counters.sockets_now.add(1);
        self.count_rooms(&self.rooms.borrow());
        if recovered {
            self.counters.sockets_recovered.add(1);
        } else if pid.is_some() && admission.recovered {
            self.counters.recoveries_refused.add(1);
        }
        let id = socket.id.to_string();
        match (state.kind, raw_id) {
            (Kind::SocketIo, _) => {
                let reply = Reply::Connected { namespace: &namespace, sid: &id, pid: pid.as_deref() };
                self.push_reply(conn, state, &reply);
            }
            (Kind::Raw, Some(raw_id)) => {
                self.push_raw_connected(conn, state, raw_id, socket.id);
            }
            (Kind::Raw, None) => {}
        }
        if let Some(held) = held {
            self.give_held(conn, state, &socket, *held);
        }
        self.with_answers(conn, state, || self.app.connected(&admission.socket, &socket, recovered));
        self.mark_dirty(conn, state);
        self.work.admitted.set(true);
    }

    /// What was sent to the socket while it was being decided on, as if it were sent now.
    fn give_held(&self, conn: &Rc<Conn<A>>, state: &mut State<A>, socket: &SocketRef, mut held: Held) {
        let place = |state: &State<A>| state.socket(socket.id).expect("it was just put there");
        let index = place(state);
        state.sockets[index].rooms = std::mem::take(&mut held.rooms);
        let mut close = None;
        for item in held.take_items() {
            match item {
                Item::Event(event) => self.deliver(conn, state, index, &event),
                Item::Ask { id, timeout, waiter, event } => {
                    self.await_answer(conn, state, index, id, timeout, waiter, &event);
                }
                Item::Close(last) => close = Some(last),
            }
        }
        if held.behind && !state.is_ending() {
            state.sockets[index].behind = true;
            state.behind = true;
        }
        if let Some(close) = close {
            // Its end is told once nobody works on the connection any more, as that of any other socket.
            self.handle.close(socket, close);
        }
    }

    /// Takes a command for a socket that is being decided on. False: there is none.
    pub(super) fn hold(&self, socket: &SocketRef, work: impl FnOnce(&mut Held, &Str)) -> bool {
        if let Some(conn) = self.conn(socket.key) {
            let mut state = conn.state.borrow_mut();
            if !state.ended
                && let Some(entering) = state.entering()
                && entering.is(socket.id)
            {
                work(entering.held.get_or_insert_default(), &entering.namespace);
                return true;
            }
        }
        self.counters.commands_stale.add(1);
        false
    }

    pub(super) fn hold_event(&self, held: &mut Held, event: &Arc<Encoded>) {
        match held.event(event, self.held_limits()) {
            Fate::Held => {}
            Fate::Replaced => self.counters.state_replaced.add(1),
            Fate::Deferred => self.counters.deliveries_deferred.add(1),
            Fate::Dropped => self.counters.volatile_dropped.add(1),
        }
    }

    pub(super) fn hold_ask(
        &self,
        held: &mut Held,
        socket: SocketId,
        id: u64,
        timeout: Duration,
        waiter: Waiter,
        event: &Arc<Encoded>,
    ) {
        if let Err(waiter) = held.ask(id, timeout, waiter, event, self.held_limits()) {
            waiter.answer(socket, Err(AckError::TooMany));
        }
    }

    fn held_limits(&self) -> Limits {
        Limits {
            soft_bytes: self.config.queue_soft_bytes,
            hard_bytes: self.config.queue_hard_bytes,
            asks_max: self.config.acks_outstanding_max,
        }
    }

    /// The socket is not admitted: it leaves the rooms, and nobody will answer.
    fn release_held(&self, key: Key, socket: SocketId, held: Option<Box<Held>>) {
        let Some(mut held) = held else { return };
        for room in std::mem::take(&mut held.rooms) {
            self.exit_room(key, room);
        }
        for item in held.take_items() {
            if let Item::Ask { waiter, .. } = item {
                waiter.answer(socket, Err(AckError::Gone));
            }
        }
    }

    /// The connection has ended while the application was deciding. It decides to the end, and if it admits the socket
    /// it is told at once that it is gone: what was half done can then be undone in one place.
    pub(super) fn abandon(&self, key: Key, pending: Pending<A>, reason: &DisconnectReason, traffic: Traffic) {
        let Pending { work, entering } = pending;
        let Some(Entering { mut socket, resumed, held, .. }) = entering else { return };
        self.release_held(key, socket.id, held);
        let Some(Work::Connect(future)) = work else { return };
        let (app, counters, reason) = (Arc::clone(&self.app), Arc::clone(&self.counters), reason.clone());
        tokio::task::spawn_local(async move {
            match unless_it_panics(future).await {
                Some(Ok(admission)) => {
                    if let Some((earlier, _)) = resumed.filter(|_| admission.recovered) {
                        socket.id = earlier;
                    }
                    app.disconnect(&admission.socket, &socket, &reason, traffic);
                }
                Some(Err(_)) => {}
                None => counters.panics.add(1),
            }
        });
    }

    fn seal(&self, socket: &SocketRef, claims: Option<TicketClaims>) -> Option<String> {
        let (tickets, claims) = (self.tickets.as_ref()?, claims?);
        let ticket =
            Ticket { expires: claims.expires, socket_id: socket.id.to_string(), payload: claims.payload };
        let sealed = tickets.seal(&ticket);
        if let Err(error) = &sealed {
            tracing::warn!(error = error as &dyn std::error::Error, "socket without a recovery ticket");
        }
        sealed.ok()
    }

    fn refused(&self, conn: &Rc<Conn<A>>, state: &mut State<A>, entering: Entering, refusal: Refusal) {
        self.counters.handshakes_refused.add(1);
        self.release_held(conn.key, entering.socket.id, entering.held);
        let data = refusal.data.as_deref();
        let comes_back = refusal.close.as_ref().is_some_and(|close| close.reconnect);
        match (state.kind, entering.raw_id) {
            (Kind::SocketIo, _) if comes_back => {}
            (Kind::SocketIo, _) => {
                let reply =
                    Reply::ConnectError { namespace: &entering.namespace, message: &refusal.message, data };
                self.push_reply(conn, state, &reply);
            }
            (Kind::Raw, Some(id)) => {
                let answer = format!("[{{\"ok\":false,\"error\":{}}}]", data.unwrap_or("null"));
                self.push_raw_answer(conn, state, id, &answer);
            }
            // The close frame says it.
            (Kind::Raw, None) => {}
        }
        match (refusal.close, state.kind) {
            (Some(close), _) => self.close_transport(conn, state, &close),
            (None, Kind::Raw) if state.sockets.is_empty() => {
                let reason = refusal.message;
                self.close_for(conn, state, DisconnectReason::Server { code: 1008, reason }, 1008);
            }
            (None, _) => self.mark_dirty(conn, state),
        }
    }

    fn push_raw_connected(&self, conn: &Rc<Conn<A>>, state: &mut State<A>, raw_id: u64, id: SocketId) {
        let answer = format!("[{{\"ok\":true,\"connection\":\"{id}\"}}]");
        self.push_raw_answer(conn, state, raw_id, &answer);
    }

    fn push_raw_answer(&self, conn: &Rc<Conn<A>>, state: &mut State<A>, id: u64, args_json: &str) {
        let reply = Reply::Ack { namespace: RAW_NAMESPACE, id, args_json, attachments: &[] };
        self.push_reply(conn, state, &reply);
    }
}

/// None: it panicked.
async fn unless_it_panics<T>(mut future: Pin<Box<dyn Future<Output = T>>>) -> Option<T> {
    std::future::poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(polled) => polled.map(Some),
        Err(_) => std::task::Poll::Ready(None),
    })
    .await
}

fn unix_seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
