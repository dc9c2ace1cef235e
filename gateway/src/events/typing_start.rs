//! `typing:start`: the others in the room see it for six seconds, or until the next message.

use turnpike_engine::packet::Args;
use turnpike_guard::Right;
use turnpike_wire::event::ClientEvent;
use turnpike_wire::event::Empty;
use turnpike_wire::event::client::Typing;
use turnpike_wire::{Code, Failure};

use super::{Caller, Outcome, Reply, data};

pub(super) fn parse(args: &Args) -> Result<Typing, Failure> {
    data(args)
}

/// Done, whether it was one too many or not: nobody has to know.
pub(super) fn apply(caller: &Caller, typing: &Typing) -> Outcome {
    let Caller { app, session, socket } = caller;
    if !session.identity().can(Right::Typing, &typing.room) {
        return Err(caller.denied(ClientEvent::TypingStart, &typing.room, Code::Forbidden.into()));
    }
    caller.is_in(&typing.room)?;
    // Who is not to be seen is not seen typing.
    if session.state().showing.look.is_visible() {
        app.typing.start(&typing.room, &session.user, *socket);
    }
    Ok(Reply::new(Empty {}))
}
