//! `message:send`: the answer means that the message has its place in the room and that everybody there will get it.

use bytes::Bytes;
use turnpike_engine::packet::Args;
use turnpike_guard::{Right, Role};
use turnpike_wire::event::client::{MessageSend, MessageSent};
use turnpike_wire::event::server::Message;
use turnpike_wire::{Code, Failure};

use super::{Caller, Reply, data, gone, overloaded};
use crate::broker::Publication;
use crate::clock::unix_ms;
use crate::config::Limits;
use crate::{offset, placeholder};

pub(super) fn parse<'a>(args: &'a Args, limits: &Limits) -> Result<MessageSend<'a>, Failure> {
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

pub(super) fn apply(
    caller: &Caller<'_>,
    send: &MessageSend<'_>,
    attachments: &[Bytes],
) -> Result<Reply, Failure> {
    let Caller { app, session, socket } = caller;
    let identity = &session.identity;
    if !identity.can(Right::Send, &send.room) {
        return Err(Code::Forbidden.into());
    }
    // Nobody can join another's personal room; whoever is granted to send there does so from outside, like a backend.
    let from_outside = identity.role != Role::User || send.room.personal_user().is_some();
    {
        let state = session.state();
        if !state.is_connected_as(socket) {
            return Err(gone());
        }
        if !from_outside && state.membership(&send.room).is_none() {
            return Err(Code::NotInRoom.into());
        }
    }
    if send.volatile {
        return volatile(caller, send, attachments);
    }
    let publication = Publication {
        room: &send.room,
        from: &identity.user,
        id: send.id.as_ref(),
        body: send.body,
        attachments,
    };
    let published = app.broker.publish(&publication, app.clock.now(), |stored, vector| {
        let offset = offset::write(app.broker.boot(), vector);
        app.handle.broadcast(&send.room, app.outgoing.message(stored, offset.as_str()), None)
    });
    let receipt = published.map_err(|_| overloaded())?;
    if receipt.duplicate {
        app.meters.duplicates.inc();
    } else {
        app.meters.stored.inc();
    }
    Ok(Reply::new(MessageSent {
        id: &receipt.id,
        epoch: app.broker.epoch(),
        seq: receipt.seq,
        ts: receipt.ts,
        duplicate: receipt.duplicate,
    }))
}

/// Handed on and forgotten: no position, no history, and none of it for who reads slowly.
fn volatile(caller: &Caller<'_>, send: &MessageSend<'_>, attachments: &[Bytes]) -> Result<Reply, Failure> {
    let app = caller.app;
    let (epoch, ts) = (app.broker.epoch(), unix_ms());
    let made_up;
    let id = if let Some(id) = &send.id {
        id.as_str()
    } else {
        made_up = app.broker.draw_id();
        &made_up
    };
    let from = &caller.session.identity.user;
    let message =
        Message { room: &send.room, epoch, seq: None, id, from, ts, body: send.body, volatile: true };
    let event = app.outgoing.volatile_message(&message, attachments.to_vec());
    app.handle.broadcast(&send.room, event, None).map_err(|_| overloaded())?;
    app.meters.volatile.inc();
    let seq = app.broker.lane_of(&send.room).seq(&send.room);
    Ok(Reply::new(MessageSent { id, epoch, seq, ts, duplicate: false }))
}
