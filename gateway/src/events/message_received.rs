//! `message:received`: everything up to this message has been received.

use turnpike_engine::packet::Args;
use turnpike_wire::Failure;
use turnpike_wire::event::Empty;
use turnpike_wire::event::client::MessageMark;

use super::{Caller, Outcome, Reply, data};
use crate::membership::unavailable;
use crate::receipts::Progress;

pub(super) fn parse(args: &Args) -> Result<MessageMark, Failure> {
    data(args)
}

/// In the user's own room it is also how far this device has come: when it returns it is given what is behind.
pub(super) fn apply(caller: &Caller, mark: &MessageMark) -> Outcome {
    let Caller { app, session, .. } = caller;
    caller.is_in(&mark.room)?;
    let progress = Progress { received: mark.seq, read: 0 };
    app.receipts.mark(&mark.room, &session.user, progress).map_err(unavailable)?;
    if mark.room.personal_user() == Some(session.user.as_str())
        && let Some(device) = &session.device
    {
        app.receipts.advance(&session.user, device, mark.seq).map_err(unavailable)?;
    }
    Ok(Reply::new(Empty {}))
}
