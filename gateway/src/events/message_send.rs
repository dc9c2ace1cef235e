//! `message:send`: the answer means that the message has its place in the room, as durably as the cluster was told to
//! keep it, and that everybody there will get it.

use std::sync::Arc;

use bytes::Bytes;
use turnpike_cluster::{Publication, PublishError, Receipt, Soon};
use turnpike_engine::packet::Args;
use turnpike_engine::{AckReply, Step};
use turnpike_guard::{Right, Role};
use turnpike_wire::event::ClientEvent;
use turnpike_wire::event::client::{MessageSend, MessageSent};
use turnpike_wire::{Code, Failure, RoomId, UserId};

use super::{Caller, Outcome, Reply, answer, data};
use crate::app::App;
use crate::config::Limits;
use crate::gates::{Gate, Message, Subject};
use crate::limits::Allowed;
use crate::membership::gone;
use crate::step::step;
use crate::{placeholder, publication};

/// Publications of one connection that are under way at once. They keep their order; what comes behind them waits, and
/// nothing more is read from a client that sends faster than the cluster keeps.
const UNANSWERED_MAX: u32 = 256;

pub(super) fn handle(caller: Caller, event: ClientEvent, args: Args, ack: Option<AckReply>) -> Step<()> {
    let parsed = parse(&args, &caller.app.limits).and_then(|send| permit(&caller, &send).map(|()| send));
    let allowed = match &parsed {
        Ok(send) => caller.app.limiter.message(&caller.session, &send.room),
        Err(_) => Soon::Now(Ok(())),
    };
    match allowed {
        Soon::Now(Ok(())) if parsed.is_err() || caller.app.gate(Gate::Send).is_none() => {
            send(caller, event, parsed, &args, ack)
        }
        Soon::Now(Err(tripped)) => {
            answer(&caller, event, ack, Err(caller.tripped(tripped)));
            Step::Now(())
        }
        allowed => {
            drop(parsed);
            step(waits(caller, event, args, ack, allowed))
        }
    }
}

/// For the cluster's leave or at the gate. Everything else that this connection sends waits meanwhile, which keeps its
/// order.
async fn waits(
    caller: Caller,
    event: ClientEvent,
    args: Args,
    ack: Option<AckReply>,
    allowed: Soon<Allowed>,
) {
    let passed = match allowed.wait().await {
        Ok(()) => ask(&caller, &args).await,
        Err(tripped) => Err(caller.tripped(tripped)),
    };
    if let Err(failure) = passed {
        return answer(&caller, event, ack, Err(failure));
    }
    // From the beginning: the caller may have left, or be allowed less by now.
    let parsed = parse(&args, &caller.app.limits).and_then(|send| permit(&caller, &send).map(|()| send));
    if let Step::Later(rest) = send(caller, event, parsed, &args, ack) {
        rest.await;
    }
}

/// Nobody is asked about what would be refused in any case.
async fn ask(caller: &Caller, args: &Args) -> Result<(), Failure> {
    let app = &caller.app;
    let send = parse(args, &app.limits)?;
    permit(caller, &send)?;
    let Some(keeper) = app.gate(Gate::Send) else { return Ok(()) };
    let MessageSend { id, volatile, body, .. } = &send;
    let message = Message { id: id.as_ref(), volatile: *volatile, body, attachments: args.attachments() };
    let subject = Subject { room: Some(&send.room), message: Some(message), ..caller.subject() };
    let asked = keeper.ask(Gate::Send, &subject).await;
    asked.map_err(|failure| caller.denied(ClientEvent::MessageSend, &send.room, failure))
}

fn send(
    caller: Caller,
    event: ClientEvent,
    parsed: Result<MessageSend<'_>, Failure>,
    args: &Args,
    ack: Option<AckReply>,
) -> Step<()> {
    let published = parsed.map(|send| {
        if send.volatile {
            Soon::Now(Ok(volatile(&caller, &send, args.attachments())))
        } else {
            publish(&caller, &send, args.attachments())
        }
    });
    match published {
        Err(failure) => {
            answer(&caller, event, ack, Err(failure));
            Step::Now(())
        }
        Ok(Soon::Now(outcome)) => {
            answer(&caller, event, ack, outcome);
            Step::Now(())
        }
        Ok(Soon::Later(outcome)) => {
            let under_way = caller.session.begin_unanswered();
            let work = async move {
                let outcome = outcome.await;
                caller.session.end_unanswered();
                answer(&caller, event, ack, outcome);
            };
            if under_way > UNANSWERED_MAX {
                return Step::later(work);
            }
            // The order is fixed by now; the client's next event need not wait for the answer.
            tokio::task::spawn_local(work);
            Step::Now(())
        }
    }
}

fn parse<'a>(args: &'a Args, limits: &Limits) -> Result<MessageSend<'a>, Failure> {
    let send: MessageSend<'a> = data(args)?;
    let attachments = args.attachments();
    let bytes = send.body.get().len() + attachments.iter().map(Bytes::len).sum::<usize>();
    if bytes > limits.body_bytes_max {
        let message = format!("a body has at most {} bytes", limits.body_bytes_max);
        return Err(Failure::new(Code::TooLarge, message));
    }
    // Binary values anywhere else in the event would leave the message with attachments that nothing refers to.
    if !attachments.is_empty() && placeholder::count(send.body.get()) != attachments.len() {
        return Err(Failure::new(Code::BadRequest, "binary values belong into the body"));
    }
    Ok(send)
}

fn permit(caller: &Caller, send: &MessageSend<'_>) -> Result<(), Failure> {
    let Caller { session, socket, .. } = caller;
    let state = session.state();
    if !state.identity.can(Right::Send, &send.room) {
        return Err(caller.denied(ClientEvent::MessageSend, &send.room, Code::Forbidden.into()));
    }
    if !state.is_connected_as(socket) {
        return Err(gone());
    }
    // Nobody can join another's personal room; whoever is granted to send there does so from outside, like a backend.
    let from_outside = state.identity.role != Role::User || send.room.personal_user().is_some();
    if !from_outside && state.membership(&send.room).is_none() {
        return Err(Code::NotInRoom.into());
    }
    Ok(())
}

fn publish(caller: &Caller, send: &MessageSend<'_>, attachments: &[Bytes]) -> Soon<Outcome> {
    let app = &caller.app;
    let publication = Publication {
        room: send.room.clone(),
        from: caller.session.user.clone(),
        id: send.id.clone(),
        age_ms: send.age_ms.unwrap_or_default(),
        body: send.body.get().into(),
        attachments: attachments.to_vec(),
    };
    match app.cluster.broker.publish(publication) {
        Soon::Now(published) => Soon::Now(outcome(app, &send.room, &caller.session.user, published)),
        Soon::Later(published) => {
            let (app, room, from) = (Arc::clone(app), send.room.clone(), caller.session.user.clone());
            Soon::later(async move { outcome(&app, &room, &from, published.await) })
        }
    }
}

fn outcome(
    app: &Arc<App>,
    room: &RoomId,
    from: &UserId,
    published: Result<Receipt, PublishError>,
) -> Outcome {
    publication::settle(app, room, from, published).map(|receipt| reply(&receipt))
}

fn volatile(caller: &Caller, send: &MessageSend<'_>, attachments: &[Bytes]) -> Reply {
    let (app, from) = (&caller.app, &caller.session.user);
    reply(&publication::volatile(app, &send.room, from, send.id.as_ref(), send.body, attachments))
}

fn reply(receipt: &Receipt) -> Reply {
    let Receipt { id, epoch, seq, ts, duplicate } = receipt;
    Reply::new(MessageSent { id, epoch: *epoch, seq: *seq, ts: *ts, duplicate: *duplicate })
}
