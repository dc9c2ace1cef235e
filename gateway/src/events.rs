//! What clients send. Each event has a file of its own with the same two steps: parse, then apply.

mod auth_refresh;
mod media;
mod media_answer;
mod media_candidate;
mod media_layer;
mod media_mute;
mod media_publish;
mod media_record;
mod media_restart;
mod media_resume;
mod media_stop;
mod media_subscribe;
mod message_history;
mod message_read;
mod message_received;
mod message_send;
mod ping;
mod presence_list;
mod presence_update;
mod room_join;
mod room_leave;
mod typing_start;
mod typing_stop;

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::Deserialize;
use serde_json::value::RawValue;
use turnpike_audit::Object;
use turnpike_cluster::Message;
use turnpike_engine::packet::{Args, ArgsError};
use turnpike_engine::{AckReply, Event, SocketRef, Step};
use turnpike_guard::limit::Limit;
use turnpike_wire::event::ClientEvent;
use turnpike_wire::{Answer, Code, Failure, RoomId};

use crate::app::App;
use crate::audited::{self, By};
use crate::gates::Subject;
use crate::inspect::{self, Note};
use crate::limits::Tripped;
use crate::membership::gone;
use crate::placeholder;
use crate::session::Session;
use crate::step::step;

/// Who sent the event, and over which of their connections.
#[derive(Clone)]
struct Caller {
    app: Arc<App>,
    session: Arc<Session>,
    socket: SocketRef,
}

impl Caller {
    fn subject(&self) -> Subject<'_> {
        let (user, connection) = (&self.session.user, self.socket.id());
        Subject { user, connection, returning: None, device: None, room: None, message: None }
    }

    /// Who acts, for the audit log.
    fn by(&self) -> By<'_> {
        By::user(&self.session.user).over(self.socket.id()).at(self.session.address)
    }

    /// Writes down what was not allowed. It gives the failure back.
    fn denied(&self, tried: ClientEvent, room: &RoomId, failure: Failure) -> Failure {
        self.noted(tried, Object::Room, room, failure)
    }

    /// The same of a room or stream, if that is why it failed.
    fn noted(&self, tried: ClientEvent, object: Object, id: &RoomId, failure: Failure) -> Failure {
        if matches!(failure.code, Code::Forbidden | Code::Banned) {
            let object = Some((object, id.as_str()));
            audited::denied(&self.app.audit, self.by(), tried.name(), object, failure.code.slug());
            let denied = Note::Denied { tag: inspect::tag(id), event: Some(tried), code: failure.code };
            inspect::note(&self.app.handle, &self.socket, denied);
        }
        if failure.code == Code::Forbidden {
            match tried {
                ClientEvent::MessageHistory => self.app.policing.history_refused(&self.session, id),
                _ => self.app.policing.room_refused(&self.session, id),
            }
        }
        failure
    }

    /// What they are told whom a limit holds back.
    fn tripped(&self, tripped: Tripped) -> Failure {
        self.app.tripped(tripped, self.by(), Some(&self.session.user))
    }

    fn allows(&self, limit: Limit) -> Result<(), Failure> {
        self.app.limiter.user(&self.session, limit).map_err(|tripped| self.tripped(tripped))
    }

    fn is_in(&self, room: &RoomId) -> Result<(), Failure> {
        let state = self.session.state();
        if !state.is_connected_as(&self.socket) {
            return Err(gone());
        }
        state.membership(room).map(|_| ()).ok_or_else(|| Code::NotInRoom.into())
    }
}

/// Most answers fit.
const SMALL_ANSWER_BYTES: usize = 192;

/// What an event is answered with.
struct Reply {
    args_json: String,
    attachments: Vec<Bytes>,
}

type Outcome = Result<Reply, Failure>;

impl Reply {
    fn new<T: Serialize>(answer: T) -> Self {
        Self::of(&Answer::Done(answer))
    }

    fn attach(mut self, attachments: Vec<Bytes>) -> Self {
        self.attachments = attachments;
        self
    }

    fn failure(failure: Failure) -> Self {
        Self::of::<()>(&Answer::Failed(failure))
    }

    fn of<T: Serialize>(answer: &Answer<T>) -> Self {
        let mut json = Vec::with_capacity(SMALL_ANSWER_BYTES);
        json.push(b'[');
        answer.write(&mut json).expect("answers are structures of texts, numbers and raw JSON");
        json.push(b']');
        let args_json = String::from_utf8(json).expect("JSON is UTF-8");
        Self { args_json, attachments: Vec::new() }
    }
}

pub(crate) fn handle(app: &Arc<App>, session: &Arc<Session>, event: Event) -> Step<()> {
    let caller = Caller { app: Arc::clone(app), session: Arc::clone(session), socket: event.socket };
    let Event { args, ack, .. } = event;
    if let Err(tripped) = app.limiter.event(session, args.byte_len()) {
        return refuse(&caller, tripped, &args, ack);
    }
    let known = ClientEvent::parse(args.name().unwrap_or_default());
    if let Some(known) = known
        && let Err(failure) = app.policing.may_do(session.address, &session.user, known)
    {
        if failure.code == Code::RateLimited {
            inspect::note(&app.handle, &caller.socket, Note::Muted { event: known });
        }
        answer(&caller, known, ack, Err(failure));
        return Step::Now(());
    }
    match known {
        Some(known @ ClientEvent::Ping) => {
            answer(&caller, known, ack, ping::parse(&args).map(ping::apply));
            Step::Now(())
        }
        Some(known @ ClientEvent::MessageSend) => message_send::handle(caller, known, args, ack),
        Some(known @ ClientEvent::RoomJoin) => later(caller, known, ack, |caller| async move {
            room_join::apply(&caller, &room_join::parse(&args)?).await
        }),
        Some(known @ ClientEvent::RoomLeave) => later(caller, known, ack, |caller| async move {
            room_leave::apply(&caller, &room_leave::parse(&args)?).await
        }),
        Some(known @ ClientEvent::MessageHistory) => later(caller, known, ack, |caller| async move {
            message_history::apply(&caller, &message_history::parse(&args)?).await
        }),
        Some(known @ ClientEvent::AuthRefresh) => later(caller, known, ack, |caller| async move {
            auth_refresh::apply(&caller, &auth_refresh::parse(&args)?).await
        }),
        Some(known @ ClientEvent::PresenceUpdate) => later(caller, known, ack, |caller| async move {
            presence_update::apply(&caller, presence_update::parse(&args)?).await
        }),
        Some(known @ ClientEvent::PresenceList) => later(caller, known, ack, |caller| async move {
            presence_list::apply(&caller, &presence_list::parse(&args)?).await
        }),
        Some(known @ ClientEvent::MessageReceived) => at_once(&caller, known, ack, |caller| {
            message_received::apply(caller, &message_received::parse(&args)?)
        }),
        Some(known @ ClientEvent::MessageRead) => {
            at_once(&caller, known, ack, |caller| message_read::apply(caller, &message_read::parse(&args)?))
        }
        Some(known @ ClientEvent::TypingStart) => {
            at_once(&caller, known, ack, |caller| typing_start::apply(caller, &typing_start::parse(&args)?))
        }
        Some(known @ ClientEvent::TypingStop) => {
            at_once(&caller, known, ack, |caller| typing_stop::apply(caller, &typing_stop::parse(&args)?))
        }
        Some(
            known @ (ClientEvent::MediaPublish
            | ClientEvent::MediaSubscribe
            | ClientEvent::MediaRestart
            | ClientEvent::MediaResume
            | ClientEvent::MediaAnswer
            | ClientEvent::MediaCandidate
            | ClientEvent::MediaLayer
            | ClientEvent::MediaMute
            | ClientEvent::MediaRecord
            | ClientEvent::MediaStop),
        ) => media::handle(caller, known, args, ack),
        None => {
            let name = args.name().unwrap_or_default();
            respond(&caller, None, name, ack, Err(Code::UnknownEvent.into()));
            Step::Now(())
        }
    }
}

/// Nothing has been read of it but its name.
#[cold]
fn refuse(caller: &Caller, tripped: Tripped, args: &Args, ack: Option<AckReply>) -> Step<()> {
    let name = args.name().unwrap_or_default();
    respond(caller, ClientEvent::parse(name), name, ack, Err(caller.tripped(tripped)));
    Step::Now(())
}

/// Handles an event that waits for nothing.
fn at_once(
    caller: &Caller,
    known: ClientEvent,
    ack: Option<AckReply>,
    work: impl FnOnce(&Caller) -> Outcome,
) -> Step<()> {
    answer(caller, known, ack, work(caller));
    Step::Now(())
}

/// Handles an event that may have to wait; the connection's next events wait with it.
fn later<F: Future<Output = Outcome> + 'static>(
    caller: Caller,
    known: ClientEvent,
    ack: Option<AckReply>,
    work: impl FnOnce(Caller) -> F,
) -> Step<()> {
    let work = work(caller.clone());
    step(async move { answer(&caller, known, ack, work.await) })
}

fn answer(caller: &Caller, event: ClientEvent, ack: Option<AckReply>, outcome: Outcome) {
    respond(caller, Some(event), event.name(), ack, outcome);
}

fn respond(caller: &Caller, known: Option<ClientEvent>, name: &str, ack: Option<AckReply>, outcome: Outcome) {
    let Caller { app, socket, .. } = caller;
    let code = outcome.as_ref().err().map(|failure| failure.code);
    app.meters.event(known, code);
    if code == Some(Code::BadSdp) {
        app.policing.description_refused(&caller.session);
    }
    match (outcome, ack) {
        (Ok(reply), Some(ack)) => ack.send_raw(reply.args_json, reply.attachments),
        (Ok(_), None) => {}
        (Err(failure), Some(ack)) => {
            let why = inspect::refusal(known, failure.code);
            ack.refuse_raw(Reply::failure(failure).args_json, why);
        }
        (Err(failure), None) => {
            // When the inbox is full the client has worse to learn than this, and will.
            let _ = app.handle.emit(socket, app.outgoing.error(name, &failure));
            inspect::note(&app.handle, socket, Note::Refused { event: known, code: failure.code });
        }
    }
}

/// The one argument of an event.
fn data<'a, T: Deserialize<'a>>(args: &'a Args) -> Result<T, Failure> {
    if args.len() > 1 {
        return Err(Failure::new(Code::BadRequest, "the event takes one argument, an object"));
    }
    args.get(0).map_err(|error| match error {
        ArgsError::Missing { .. } => Failure::new(Code::BadRequest, "the event takes an argument, an object"),
        // What serde says of the client's own data.
        ArgsError::Mismatch { source, .. } => Failure::new(Code::BadRequest, source.to_string()),
    })
}

/// The messages as JSON, and their attachments in one list that the placeholders count through.
fn in_one_answer(messages: &[Arc<Message>]) -> (Vec<Box<RawValue>>, Vec<Bytes>) {
    let mut attachments = Vec::new();
    let mut texts = Vec::with_capacity(messages.len());
    for message in messages {
        let text = placeholder::renumber(&message.data, &message.attachments, attachments.len());
        texts.push(RawValue::from_string(text).expect("it was written as JSON"));
        attachments.extend(message.attachments.iter().cloned());
    }
    (texts, attachments)
}
