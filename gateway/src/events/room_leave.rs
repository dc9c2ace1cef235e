//! `room:leave`: from here on the room's messages do not come any more, nor after a recovery.

use turnpike_engine::packet::Args;
use turnpike_wire::event::Empty;
use turnpike_wire::event::client::RoomLeave;
use turnpike_wire::{Code, Failure, RoomId};

use super::{Caller, Outcome, Reply, data};
use crate::membership;

pub(super) fn parse(args: &Args) -> Result<RoomLeave, Failure> {
    data(args)
}

/// Leaving a room that one is not in is done already.
pub(super) async fn apply(caller: &Caller, leave: &RoomLeave) -> Outcome {
    let Caller { app, session, socket } = caller;
    if leave.room == RoomId::personal(&session.user) {
        return Err(Failure::new(Code::Forbidden, "a personal room cannot be left"));
    }
    membership::leave(app, session, socket, &leave.room).await?;
    Ok(Reply::new(Empty {}))
}
