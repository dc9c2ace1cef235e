//! What clients send. Each event has a file of its own with the same two steps: parse, then apply.

mod message_send;
mod ping;
mod room_join;
mod room_leave;

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::Deserialize;
use turnpike_engine::packet::{Args, ArgsError};
use turnpike_engine::{Event, SocketRef};
use turnpike_wire::event::ClientEvent;
use turnpike_wire::{Answer, Code, Failure};

use crate::app::App;
use crate::session::Session;

/// Who sent the event, and over which of their connections.
struct Caller<'a> {
    app: &'a App,
    session: &'a Arc<Session>,
    socket: SocketRef,
}

/// Most answers fit.
const SMALL_ANSWER_BYTES: usize = 192;

/// What an event is answered with.
struct Reply {
    args_json: String,
    attachments: Vec<Bytes>,
}

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

pub(crate) fn handle(app: &App, session: &Arc<Session>, event: Event) {
    let caller = Caller { app, session, socket: event.socket };
    let known = ClientEvent::parse(event.name());
    let result = match known {
        Some(ClientEvent::RoomJoin) => {
            room_join::parse(&event.args).and_then(|join| room_join::apply(&caller, &join))
        }
        Some(ClientEvent::RoomLeave) => {
            room_leave::parse(&event.args).and_then(|leave| room_leave::apply(&caller, &leave))
        }
        Some(ClientEvent::MessageSend) => message_send::parse(&event.args, &app.limits)
            .and_then(|send| message_send::apply(&caller, &send, event.args.attachments())),
        Some(ClientEvent::Ping) => ping::parse(&event.args).map(ping::apply),
        None => Err(Code::UnknownEvent.into()),
    };
    app.meters.event(known, result.as_ref().err().map(|failure| failure.code));
    match (result, event.ack) {
        (Ok(reply), Some(ack)) => ack.send_raw(reply.args_json, reply.attachments),
        (Ok(_), None) => {}
        (Err(failure), Some(ack)) => ack.send_raw(Reply::failure(failure).args_json, Vec::new()),
        (Err(failure), None) => {
            let name = event.args.name().unwrap_or_default();
            // When the inbox is full the client has worse to learn than this, and will.
            let _ = app.handle.emit(&event.socket, app.outgoing.error(name, &failure));
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

/// The connection was taken over by another, or is about to close.
fn gone() -> Failure {
    Failure::new(Code::Unavailable, "this connection no longer has the session")
}

/// The engine has no room for another command. A moment later it has.
fn overloaded() -> Failure {
    const RETRY_AFTER_MS: u64 = 250;
    Failure::from(Code::Unavailable).retry_after_ms(RETRY_AFTER_MS)
}
