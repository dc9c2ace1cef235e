//! `room:join`: after the answer no message of the room is missed, and with `since` none from before either.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;
use turnpike_engine::packet::Args;
use turnpike_guard::Right;
use turnpike_wire::event::client::{Count, RoomJoin, RoomJoined};
use turnpike_wire::{Code, Failure};

use super::{Caller, Reply, data, gone, overloaded};
use crate::app::NAMESPACE;
use crate::broker::{Lane, Stored};
use crate::placeholder;
use crate::replay::Membership;

pub(super) fn parse(args: &Args) -> Result<RoomJoin, Failure> {
    data(args)
}

pub(super) fn apply(caller: &Caller<'_>, join: &RoomJoin) -> Result<Reply, Failure> {
    let Caller { app, session, socket } = caller;
    let identity = &session.identity;
    if !identity.can(Right::Join, &join.room) {
        return Err(Code::Forbidden.into());
    }
    let reads = identity.can(Right::History, &join.room);
    if !reads && join.history.is_some_and(|count| count.get() > 0) {
        return Err(Failure::new(Code::Forbidden, "the token does not grant the history of this room"));
    }
    let mut state = session.state();
    if !state.is_connected_as(socket) {
        return Err(gone());
    }
    let is_member = state.membership(&join.room).is_some();
    if !is_member && state.rooms.len() >= app.limits.rooms_per_connection_max {
        return Err(Failure::new(Code::LimitReached, "this connection is in as many rooms as it may be"));
    }
    // Nothing is published in the lane while it is held: what is read here and what comes live fit together.
    let mut lane = app.broker.lane_of(&join.room);
    if !is_member {
        app.handle.join(socket, NAMESPACE, &join.room).map_err(|_| overloaded())?;
        let room = lane.enter(&join.room);
        state.rooms.push(Membership { room, joined: lane.head() });
    }
    let seq = lane.seq(&join.room);
    let past = if reads {
        read(&lane, join, app.broker.epoch(), app.limits.answer_bytes_max)
    } else {
        Past::default()
    };
    drop(lane);
    drop(state);

    let (messages, attachments) = past.in_one_answer();
    let messages: Vec<&RawValue> = messages.iter().map(|message| &**message).collect();
    let joined = RoomJoined {
        room: &join.room,
        epoch: app.broker.epoch(),
        seq,
        recovered: past.is_everything,
        messages: &messages,
    };
    Ok(Reply::new(joined).attach(attachments))
}

#[derive(Default)]
struct Past {
    messages: Vec<Arc<Stored>>,
    /// All since the client's position.
    is_everything: bool,
}

/// Everything since the client's position if that is to be had and fits into one answer; else the latest it asked for.
fn read(lane: &Lane, join: &RoomJoin, epoch: u64, bytes_max: usize) -> Past {
    let since = join.since.filter(|since| since.epoch == epoch);
    if let Some(messages) = since.and_then(|since| lane.after_seq(&join.room, since.seq).ok())
        && messages.iter().map(|message| message.bytes()).sum::<usize>() <= bytes_max
    {
        return Past { messages, is_everything: true };
    }
    let mut messages = lane.latest(&join.room, join.history.map_or(0, Count::get));
    let mut bytes = 0;
    let fitting = messages.iter().rev().take_while(|message| {
        bytes += message.bytes();
        bytes <= bytes_max
    });
    let excess = messages.len() - fitting.count();
    messages.drain(..excess);
    Past { messages, is_everything: false }
}

impl Past {
    /// The messages as JSON, and their attachments in one list that the placeholders count through.
    fn in_one_answer(&self) -> (Vec<Box<RawValue>>, Vec<Bytes>) {
        let mut attachments = Vec::new();
        let mut texts = Vec::with_capacity(self.messages.len());
        for message in &self.messages {
            let text = placeholder::renumber(&message.data, &message.attachments, attachments.len());
            texts.push(RawValue::from_string(text).expect("it was written as JSON"));
            attachments.extend(message.attachments.iter().cloned());
        }
        (texts, attachments)
    }
}
