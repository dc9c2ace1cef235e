//! `typing:stop`: whoever sees the user typing on this connection sees it no more.

use turnpike_engine::packet::Args;
use turnpike_wire::Failure;
use turnpike_wire::event::Empty;
use turnpike_wire::event::client::Typing;

use super::{Caller, Outcome, Reply, data};

pub(super) fn parse(args: &Args) -> Result<Typing, Failure> {
    data(args)
}

pub(super) fn apply(caller: &Caller, typing: &Typing) -> Outcome {
    let Caller { app, session, socket } = caller;
    caller.is_in(&typing.room)?;
    app.typing.stop(&typing.room, &session.user, *socket);
    Ok(Reply::new(Empty {}))
}
