//! What a client asks for: events in order, one after the other, and answers.

use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::connection::{State, protocol_error};
use super::entering::{Answered, Entering};
use super::{Conn, Shard};
use crate::ack::{self, AckReply};
use crate::application::{Application, DisconnectReason, Event, Step};
use crate::packet::{Args, Inbound, RawInbound, Reply, Str};

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

/// What waits for the application, in order. It takes memory only while something does: most clients wait for an answer
/// before they ask for more.
#[derive(Default)]
pub(super) struct Waiting(
    #[expect(clippy::box_collection, reason = "nearly always absent, and then eight bytes instead of 32")]
    Option<Box<VecDeque<Asked>>>,
);

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |asked| asked.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn push_back(&mut self, asked: Asked) {
        self.0.get_or_insert_default().push_back(asked);
    }

    fn pop_front(&mut self) -> Option<Asked> {
        let asked = self.0.as_mut()?.pop_front();
        self.0.take_if(|left| left.is_empty());
        asked
    }
}

/// What the application is doing for a connection.
pub(super) struct Pending<A: Application> {
    /// Absent while it is being polled, and for good if it panicked.
    pub(super) work: Option<Work<A>>,
    /// Present if it is a CONNECT.
    pub(super) entering: Option<Entering>,
}

pub(super) enum Work<A: Application> {
    Connect(Pin<Box<dyn Future<Output = Answered<A>>>>),
    Event(Pin<Box<dyn Future<Output = ()>>>),
}

impl<A: Application> Work<A> {
    /// What it answered, if it was a CONNECT.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Answered<A>>> {
        match self {
            Self::Connect(future) => future.as_mut().poll(context).map(Some),
            Self::Event(future) => future.as_mut().poll(context).map(|()| None),
        }
    }
}

pub(super) const RAW_NAMESPACE: &str = "/";
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
                return self.client_answered(state, &namespace, id, args);
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
            if let Some(mut work) = state.pending.as_mut().and_then(|pending| pending.work.take()) {
                let done = self.with_answers(conn, state, || work.poll(context));
                let Poll::Ready(answer) = done else {
                    if let Some(pending) = &mut state.pending {
                        pending.work = Some(work);
                    }
                    return;
                };
                let entering = state.pending.take().and_then(|pending| pending.entering);
                if let (Some(answer), Some(entering)) = (answer, entering) {
                    self.entered(conn, state, entering, answer);
                }
            }
            let Some(asked) = state.waiting.pop_front() else {
                Self::let_post_go_on(state);
                return;
            };
            if let Err(reason) = self.dispatch(conn, state, asked) {
                self.close_for(conn, state, reason, 1008);
            }
        }
    }

    /// Calls the application and queues the answers that it gives at once.
    pub(super) fn with_answers<T>(
        &self,
        conn: &Rc<Conn<A>>,
        state: &mut State<A>,
        call: impl FnOnce() -> T,
    ) -> T {
        let mut answers = self.answers.take();
        let result = ack::collect(&mut answers, call);
        self.push_answers(conn, state, answers);
        result
    }

    fn push_answers(&self, conn: &Rc<Conn<A>>, state: &mut State<A>, mut answers: Vec<ack::Answer>) {
        for answer in answers.drain(..) {
            if answer.to.key == conn.key {
                if let Some(index) = state.socket(answer.to.id) {
                    self.push_answer(conn, state, index, &answer);
                }
            } else {
                self.answer(&answer);
            }
        }
        // Kept for the next call.
        self.answers.replace(answers);
    }

    /// Queues an answer of the socket at `index`.
    pub(super) fn push_answer(
        &self,
        conn: &Rc<Conn<A>>,
        state: &mut State<A>,
        index: usize,
        answer: &ack::Answer,
    ) {
        state.answers_owed = state.answers_owed.saturating_sub(1);
        let namespace = self.rooms.borrow().namespace_name(state.sockets[index].namespace).clone();
        let reply = Reply::Ack {
            namespace: &namespace,
            id: answer.id,
            args_json: &answer.args_json,
            attachments: &answer.attachments,
        };
        let now = self.lately_ms.get();
        state.recorder().answered(now);
        if let Some(why) = answer.refused {
            state.recorder().refused(why, now);
        }
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
                let code = self.app.event_code(args.name().unwrap_or_default());
                state.recorder().asked(code, self.now_ms());
                let index = self.socket_of(state, &namespace).ok_or_else(|| not_entered(&namespace))?;
                let socket = &state.sockets[index];
                let namespace = self.rooms.borrow().namespace_name(socket.namespace).clone();
                let to = self.socket_ref(conn.key, socket);
                let handle = || self.handle.clone();
                let ack = ack.map(|id| AckReply { to, id, handle: handle() });
                state.answers_owed = state.answers_owed.saturating_add(u32::from(ack.is_some()));
                let event = Event { socket: to, namespace, args, ack };
                let mut answers = self.answers.take();
                let step = ack::collect(&mut answers, || self.app.event(&socket.app, event));
                self.push_answers(conn, state, answers);
                if let Step::Later(future) = step {
                    let pending = Pending { work: Some(Work::Event(future)), entering: None };
                    state.pending = Some(Box::new(pending));
                    conn.wake();
                }
            }
            Asked::Connect { namespace, auth, raw_id } => {
                self.connect(conn, state, namespace, auth, raw_id);
            }
            Asked::Leave { namespace } => {
                if let Some(index) = self.socket_of(state, &namespace) {
                    let last = self.look(state);
                    let socket = state.sockets.remove(index);
                    self.forget_socket(conn.key, socket, &DisconnectReason::ClientLeft, last);
                }
            }
        }
        Ok(())
    }

    pub(super) fn socket_of(&self, state: &State<A>, namespace: &str) -> Option<usize> {
        let rooms = self.rooms.borrow();
        state.sockets.iter().position(|socket| **rooms.namespace_name(socket.namespace) == *namespace)
    }

    fn client_answered(
        &self,
        state: &mut State<A>,
        namespace: &str,
        id: u64,
        args: Args,
    ) -> Result<(), DisconnectReason> {
        let socket = self.socket_of(state, namespace).map(|index| &mut state.sockets[index]);
        let waits = socket.and_then(|socket| {
            let waiters = socket.waiters.as_mut()?;
            let waiter = waiters.remove(&id)?;
            if waiters.is_empty() {
                socket.waiters = None;
            }
            Some((waiter, socket.id))
        });
        // Unknown and repeated answers are ignored: they may have met their deadline on the way.
        let Some((waiter, from)) = waits else { return self.aside(state) };
        waiter.answer(from, Ok(args));
        Ok(())
    }
}

fn not_entered(namespace: &str) -> DisconnectReason {
    let shown: String = namespace.chars().take(32).collect();
    DisconnectReason::ProtocolError(format!("event in a namespace that was not entered: {shown}"))
}
