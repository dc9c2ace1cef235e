//! Socket.IO on a connection: namespaces and who may enter them, events in order, answers.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use smallvec::SmallVec;

use super::connection::{State, protocol_error};
use super::{Conn, Shard, Socket};
use crate::ack::{self, AckReply};
use crate::application::{
    Admission, Application, ConnectRequest, DisconnectReason, Event, Kind, Refusal, Resume, Step,
    TicketClaims,
};
use crate::ids::{SocketId, SocketRef};
use crate::packet::{Args, Inbound, RawInbound, Reply, Str};
use crate::ticket::Ticket;

/// What a client asked the application for.
pub(super) enum Asked {
    /// `raw_id`: what a raw client wants its answer to bear.
    Connect {
        namespace: Str,
        auth: Option<Str>,
        raw_id: Option<u64>,
    },
    Event {
        namespace: Str,
        args: Args,
        ack: Option<u64>,
    },
    Leave {
        namespace: Str,
    },
}

/// What the application is doing for a connection.
pub(super) enum Pending<A: Application> {
    Connect(Pin<Box<dyn Future<Output = Answered<A>>>>, Entering),
    Event(Pin<Box<dyn Future<Output = ()>>>),
}

type Answered<A> = Result<Admission<<A as Application>::Socket>, Refusal>;

/// What the engine needs to finish a CONNECT that the application has answered.
pub(super) struct Entering {
    socket: SocketRef,
    namespace: Str,
    raw_id: Option<u64>,
    /// The ticket that was shown and is genuine, with the id it speaks of.
    resumed: Option<(SocketId, String)>,
}

/// The part of a CONNECT's payload that is the engine's: a client that wants to go on shows its ticket.
#[derive(serde::Deserialize)]
struct ResumeFields {
    pid: Option<String>,
    offset: Option<String>,
}

const RAW_NAMESPACE: &str = "/";
/// The raw protocol's first event.
const RAW_CONNECT: &str = "connect";

impl<A: Application> Shard<A> {
    pub(super) fn inbound(
        self: &Rc<Self>,
        conn: &Rc<Conn<A>>,
        state: &mut State<A>,
        inbound: Inbound,
    ) -> Result<(), DisconnectReason> {
        let asked = match inbound {
            Inbound::Ack { namespace, id, args } => {
                self.client_answered(state, &namespace, id, args);
                return Ok(());
            }
            Inbound::Connect { namespace, auth } => Asked::Connect { namespace, auth, raw_id: None },
            Inbound::Event { namespace, args, ack } => Asked::Event { namespace, args, ack },
            Inbound::Disconnect { namespace } => Asked::Leave { namespace },
        };
        self.ask(conn, state, asked)
    }

    /// A text frame of the raw protocol.
    pub(super) fn raw_text(
        self: &Rc<Self>,
        conn: &Rc<Conn<A>>,
        state: &mut State<A>,
        text: &str,
    ) -> Result<(), DisconnectReason> {
        let inbound = RawInbound::parse(text, &self.config.packet).map_err(protocol_error)?;
        let asked = if inbound.event == RAW_CONNECT {
            let auth = (inbound.data != "null").then(|| Str::copy_from_slice(inbound.data));
            Asked::Connect { namespace: RAW_NAMESPACE.into(), auth, raw_id: inbound.id }
        } else {
            Asked::Event { namespace: RAW_NAMESPACE.into(), args: inbound.to_args(), ack: inbound.id }
        };
        self.ask(conn, state, asked)
    }

    /// A raw client that brought its token in the request's headers is connected without asking.
    pub(super) fn connect_raw(self: &Rc<Self>, conn: &Rc<Conn<A>>, state: &mut State<A>) {
        let asked = Asked::Connect { namespace: RAW_NAMESPACE.into(), auth: None, raw_id: None };
        if let Err(reason) = self.ask(conn, state, asked) {
            self.close_for(conn, state, reason, 1008);
        }
    }

    fn ask(
        self: &Rc<Self>,
        conn: &Rc<Conn<A>>,
        state: &mut State<A>,
        asked: Asked,
    ) -> Result<(), DisconnectReason> {
        if state.is_busy() {
            state.waiting.push_back(asked);
            Ok(())
        } else {
            self.dispatch(conn, state, asked)
        }
    }

    /// Goes on with what the application is busy with, and then with what waits behind it.
    pub(super) fn drive_application(
        self: &Rc<Self>,
        conn: &Rc<Conn<A>>,
        state: &mut State<A>,
        context: &mut Context<'_>,
    ) {
        loop {
            if let Some(mut pending) = state.pending.take() {
                let done = self.with_answers(conn, state, || match &mut *pending {
                    Pending::Event(future) => future.as_mut().poll(context).map(|()| None),
                    Pending::Connect(future, _) => future.as_mut().poll(context).map(Some),
                });
                match (done, *pending) {
                    (Poll::Pending, pending) => {
                        state.pending = Some(Box::new(pending));
                        return;
                    }
                    (Poll::Ready(Some(answer)), Pending::Connect(_, entering)) => {
                        self.entered(conn, state, entering, answer);
                    }
                    (Poll::Ready(_), _) => {}
                }
            }
            let Some(asked) = state.waiting.pop_front() else {
                if state.waiting.capacity() > 16 {
                    state.waiting.shrink_to_fit();
                }
                Self::let_post_go_on(state);
                return;
            };
            if let Err(reason) = self.dispatch(conn, state, asked) {
                self.close_for(conn, state, reason, 1008);
            }
        }
    }

    /// Calls the application and queues the answers that it gives at once.
    fn with_answers<T>(&self, conn: &Rc<Conn<A>>, state: &mut State<A>, call: impl FnOnce() -> T) -> T {
        let mut answers = self.answers.take();
        let result = ack::collect(&mut answers, call);
        self.push_answers(conn, state, answers);
        result
    }

    fn push_answers(&self, conn: &Rc<Conn<A>>, state: &mut State<A>, mut answers: Vec<ack::Answer>) {
        for answer in answers.drain(..) {
            if answer.to.key == conn.key {
                self.push_answer(conn, state, &answer);
            } else {
                self.answer(&answer);
            }
        }
        // Kept for the next call.
        self.answers.replace(answers);
    }

    pub(super) fn push_answer(&self, conn: &Rc<Conn<A>>, state: &mut State<A>, answer: &ack::Answer) {
        let namespace = self.rooms.borrow().namespace_name(answer.namespace).clone();
        let reply = Reply::Ack {
            namespace: &namespace,
            id: answer.id,
            args_json: &answer.args_json,
            attachments: &answer.attachments,
        };
        self.push_reply(conn, state, &reply);
    }

    fn dispatch(
        self: &Rc<Self>,
        conn: &Rc<Conn<A>>,
        state: &mut State<A>,
        asked: Asked,
    ) -> Result<(), DisconnectReason> {
        match asked {
            Asked::Event { namespace, args, ack } => {
                self.counters.events_in.add(1);
                let index = self.socket_of(state, &namespace).ok_or_else(|| not_entered(&namespace))?;
                let socket = &state.sockets[index];
                let namespace = self.rooms.borrow().namespace_name(socket.namespace).clone();
                let to = self.socket_ref(conn.key, socket);
                let handle = || self.handle.clone();
                let ack = ack.map(|id| AckReply { to, namespace: socket.namespace, id, handle: handle() });
                let event = Event { socket: to, namespace, args, ack };
                let mut answers = self.answers.take();
                let step = ack::collect(&mut answers, || self.app.event(&socket.app, event));
                self.push_answers(conn, state, answers);
                if let Step::Later(future) = step {
                    state.pending = Some(Box::new(Pending::Event(future)));
                    conn.wake();
                }
            }
            Asked::Connect { namespace, auth, raw_id } => {
                self.connect(conn, state, namespace, auth, raw_id);
            }
            Asked::Leave { namespace } => {
                if let Some(index) = self.socket_of(state, &namespace) {
                    let socket = state.sockets.remove(index);
                    self.forget_socket(conn.key, socket, &DisconnectReason::ClientLeft);
                }
            }
        }
        Ok(())
    }

    fn socket_of(&self, state: &State<A>, namespace: &str) -> Option<usize> {
        let namespace = self.rooms.borrow().namespace(namespace)?;
        state.socket_in(namespace)
    }

    fn connect(
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
        let mut entering = Entering { socket, namespace, raw_id, resumed: None };
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
        match self.with_answers(conn, state, || self.app.connect(request)) {
            Step::Now(answer) => self.entered(conn, state, entering, answer),
            Step::Later(future) => {
                state.pending = Some(Box::new(Pending::Connect(future, entering)));
                conn.wake();
            }
        }
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
    fn entered(
        self: &Rc<Self>,
        conn: &Rc<Conn<A>>,
        state: &mut State<A>,
        entering: Entering,
        answer: Answered<A>,
    ) {
        let admission = match answer {
            Ok(admission) => admission,
            Err(refusal) => return self.refused(conn, state, &entering, refusal),
        };
        let Entering { mut socket, namespace, raw_id, resumed } = entering;
        let recovered = admission.recovered && resumed.is_some();
        let pid = match resumed {
            Some((id, pid)) if recovered => {
                socket.id = id;
                Some(pid)
            }
            _ => self.seal(&socket, admission.ticket),
        };
        let index = self.rooms.borrow_mut().namespace_or_new(&namespace);
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
        self.with_answers(conn, state, || self.app.connected(&admission.socket, &socket, recovered));
        self.mark_dirty(conn, state);
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

    fn refused(&self, conn: &Rc<Conn<A>>, state: &mut State<A>, entering: &Entering, refusal: Refusal) {
        self.counters.handshakes_refused.add(1);
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

    fn client_answered(&self, state: &mut State<A>, namespace: &str, id: u64, args: Args) {
        // Unknown and repeated answers are ignored: they may have met their deadline on the way.
        let Some(index) = self.socket_of(state, namespace) else { return };
        let socket = &mut state.sockets[index];
        let Some(waiters) = &mut socket.waiters else { return };
        if let Some(waiter) = waiters.remove(&id) {
            let from = socket.id;
            if waiters.is_empty() {
                socket.waiters = None;
            }
            waiter.answer(from, Ok(args));
        }
    }
}

fn not_entered(namespace: &str) -> DisconnectReason {
    let shown: String = namespace.chars().take(32).collect();
    DisconnectReason::ProtocolError(format!("event in a namespace that was not entered: {shown}"))
}

fn unix_seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
