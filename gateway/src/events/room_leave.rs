//! `room:leave`: from here on the room's messages do not come any more, nor after a recovery.

use turnpike_engine::packet::Args;
use turnpike_wire::event::Empty;
use turnpike_wire::event::client::RoomLeave;
use turnpike_wire::{Code, Failure, RoomId};

use super::{Caller, Reply, data, gone, overloaded};

pub(super) fn parse(args: &Args) -> Result<RoomLeave, Failure> {
    data(args)
}

/// Leaving a room that one is not in is done already.
pub(super) fn apply(caller: &Caller<'_>, leave: &RoomLeave) -> Result<Reply, Failure> {
    let Caller { app, session, socket } = caller;
    if leave.room == RoomId::personal(&session.identity.user) {
        return Err(Failure::new(Code::Forbidden, "a personal room cannot be left"));
    }
    let mut state = session.state();
    if !state.is_connected_as(socket) {
        return Err(gone());
    }
    if let Some(index) = state.membership(&leave.room) {
        app.handle.leave(socket, &leave.room).map_err(|_| overloaded())?;
        app.broker.lane_of(&leave.room).leave(&leave.room);
        state.rooms.swap_remove(index);
    }
    Ok(Reply::new(Empty {}))
}
