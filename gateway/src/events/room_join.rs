//! `room:join`: after the answer no message of the room is missed, and with `since` none from before either.

use std::sync::Arc;

use serde_json::value::RawValue;
use turnpike_cluster::Message;
use turnpike_engine::packet::Args;
use turnpike_guard::Right;
use turnpike_guard::limit::Limit;
use turnpike_wire::event::ClientEvent;
use turnpike_wire::event::client::{Count, RoomJoin, RoomJoined};
use turnpike_wire::limits::PRESENCE_MEMBERS_MAX;
use turnpike_wire::{Code, Failure};

use super::{Caller, Outcome, Reply, data, in_one_answer};
use crate::gates::{Gate, Subject};
use crate::membership;
use crate::past::After;
use crate::presence::{Shown, Who};

pub(super) fn parse(args: &Args) -> Result<RoomJoin, Failure> {
    data(args)
}

pub(super) async fn apply(caller: &Caller, join: &RoomJoin) -> Outcome {
    let Caller { app, session, socket } = caller;
    caller.allows(Limit::Joins)?;
    let identity = session.identity();
    if !identity.can(Right::Join, &join.room) {
        return Err(caller.denied(ClientEvent::RoomJoin, &join.room, Code::Forbidden.into()));
    }
    // Whatever is granted: everybody is in their own, and nobody needs to be in another's to send there.
    if join.room.personal_user().is_some_and(|user| user != session.user.as_str()) {
        let failure = Failure::new(Code::Forbidden, "nobody joins the personal room of somebody else");
        return Err(caller.denied(ClientEvent::RoomJoin, &join.room, failure));
    }
    let reads = identity.can(Right::History, &join.room);
    if !reads && join.history.is_some_and(|count| count.get() > 0) {
        let failure = Failure::new(Code::Forbidden, "the token does not grant the history of this room");
        return Err(caller.denied(ClientEvent::RoomJoin, &join.room, failure));
    }
    if join.presence && !identity.can(Right::Presence, &join.room) {
        let failure = Failure::new(Code::Forbidden, "the token does not grant the presence of this room");
        return Err(caller.denied(ClientEvent::RoomJoin, &join.room, failure));
    }
    let is_there = session.state().membership(&join.room).is_some();
    if let Some(keeper) = app.gate(Gate::Join).filter(|_| !is_there) {
        let asked = keeper.ask(Gate::Join, &Subject { room: Some(&join.room), ..caller.subject() }).await;
        asked.map_err(|failure| caller.denied(ClientEvent::RoomJoin, &join.room, failure))?;
    }
    let latest = After::Latest(join.history.filter(|_| reads).map_or(0, Count::get));
    let since = join.since.filter(|_| reads).map(After::Message);
    // Both at once: what is found holds together with the joining.
    let wanted: smallvec::SmallVec<[After; 2]> = std::iter::once(latest).chain(since).collect();
    let mut found = membership::join(app, session, socket, &join.room, join.presence, &wanted).await?;
    let shown = if join.presence {
        let who = Who { socket: *socket, user: session.user.clone() };
        app.presences.watch(&join.room, &who, PRESENCE_MEMBERS_MAX).await
    } else {
        None
    };
    let shown = shown.as_ref();
    if let Some(missed) = (found.len() > 1).then(|| found.remove(1)) {
        let bytes: usize = missed.messages.iter().map(|message| message.bytes()).sum();
        if !missed.broken && bytes <= app.limits.answer_bytes_max {
            return Ok(answer(join, &missed.messages, missed.standing, true, shown));
        }
    }
    let mut found = found.remove(0);
    let mut bytes = 0;
    let fitting = found.messages.iter().rev().take_while(|message| {
        bytes += message.bytes();
        bytes <= app.limits.answer_bytes_max
    });
    let excess = found.messages.len() - fitting.count();
    found.messages.drain(..excess);
    Ok(answer(join, &found.messages, found.standing, false, shown))
}

fn answer(
    join: &RoomJoin,
    messages: &[Arc<Message>],
    standing: turnpike_cluster::Standing,
    recovered: bool,
    shown: Option<&Shown>,
) -> Reply {
    let (messages, attachments) = in_one_answer(messages);
    let messages: Vec<&RawValue> = messages.iter().map(|message| &**message).collect();
    let (epoch, seq) = (standing.epoch, standing.seq);
    let (members, count) = (shown.map(|shown| &*shown.members), shown.map(|shown| shown.count as u64));
    Reply::new(RoomJoined { room: &join.room, epoch, seq, recovered, messages: &messages, members, count })
        .attach(attachments)
}
