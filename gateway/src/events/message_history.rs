//! `message:history`: a page of a room's past.

use serde_json::value::RawValue;
use turnpike_cluster::{Range, Read};
use turnpike_engine::packet::Args;
use turnpike_guard::Right;
use turnpike_wire::event::client::{Count, History, MessageHistory};
use turnpike_wire::{Code, Failure};

use super::{Caller, Outcome, Reply, data, in_one_answer};
use crate::membership::unavailable;

/// What a client gets that does not say how many it wants.
const DEFAULT_MESSAGES: usize = 50;

pub(super) fn parse(args: &Args) -> Result<MessageHistory, Failure> {
    let history: MessageHistory = data(args)?;
    if history.after.is_some() && history.before.is_some() {
        return Err(Failure::new(Code::BadRequest, "`after` and `before` exclude each other"));
    }
    Ok(history)
}

pub(super) async fn apply(caller: &Caller, history: &MessageHistory) -> Outcome {
    let Caller { app, session, .. } = caller;
    if !session.identity().can(Right::History, &history.room) {
        return Err(Code::Forbidden.into());
    }
    let range = match (history.after, history.before) {
        (Some(after), _) => Range::AfterSeq(after),
        (None, Some(before)) => Range::Before(before),
        (None, None) => Range::Latest,
    };
    let messages_max = history.limit.map_or(DEFAULT_MESSAGES, Count::get).max(1);
    let bytes_max = app.limits.answer_bytes_max;
    let read = Read { room: history.room.clone(), range, messages_max, bytes_max };
    let page = app.cluster.broker.read(&read).wait().await.map_err(unavailable)?;
    let (messages, attachments) = in_one_answer(&page.messages);
    let messages: Vec<&RawValue> = messages.iter().map(|message| &**message).collect();
    let answer = History { epoch: page.standing.epoch, messages: &messages, more: page.more };
    Ok(Reply::new(answer).attach(attachments))
}
