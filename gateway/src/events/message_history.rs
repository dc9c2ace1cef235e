//! `message:history`: a page of a room's past.

use serde_json::value::RawValue;
use turnpike_engine::packet::Args;
use turnpike_guard::Right;
use turnpike_guard::limit::Limit;
use turnpike_wire::event::ClientEvent;
use turnpike_wire::event::client::{Count, History, MessageHistory};
use turnpike_wire::{Code, Failure};

use super::{Caller, Outcome, Reply, data, in_one_answer};
use crate::page;

pub(super) fn parse(args: &Args) -> Result<MessageHistory, Failure> {
    data(args)
}

pub(super) async fn apply(caller: &Caller, history: &MessageHistory) -> Outcome {
    let Caller { app, session, .. } = caller;
    caller.allows(Limit::History)?;
    let range = page::range(history.after, history.before)?;
    if !session.identity().can(Right::History, &history.room) {
        return Err(caller.denied(ClientEvent::MessageHistory, &history.room, Code::Forbidden.into()));
    }
    app.policing.page_read(session);
    let page = page::read(app, history.room.clone(), range, history.limit.map(Count::get)).await?;
    let (messages, attachments) = in_one_answer(&page.messages);
    let messages: Vec<&RawValue> = messages.iter().map(|message| &**message).collect();
    let answer = History { epoch: page.standing.epoch, messages: &messages, more: page.more };
    Ok(Reply::new(answer).attach(attachments))
}
