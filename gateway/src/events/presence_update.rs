//! `presence:update`: how this connection is shown, in all rooms that it is shown in, and when it comes back.

use turnpike_engine::packet::Args;
use turnpike_guard::limit::Limit;
use turnpike_wire::event::Empty;
use turnpike_wire::event::client::PresenceUpdate;
use turnpike_wire::{Code, Failure};

use super::{Caller, Outcome, Reply, data};
use crate::membership::{gone, keep_record};
use crate::presence::{Look, Who};

pub(super) fn parse(args: &Args) -> Result<PresenceUpdate, Failure> {
    // Attachments are not passed on, so a placeholder would mean nothing.
    if !args.attachments().is_empty() {
        return Err(Failure::new(Code::BadRequest, "an activity is JSON"));
    }
    data(args)
}

pub(super) async fn apply(caller: &Caller, update: PresenceUpdate) -> Outcome {
    let Caller { app, session, socket } = caller;
    caller.allows(Limit::Presence)?;
    let showing = {
        let mut state = session.state();
        if !state.is_connected_as(socket) {
            return Err(gone());
        }
        state.showing.look = Look { status: update.status, activity: update.activity };
        if let Some(device) = update.device {
            state.showing.device = Some(device.as_str().into());
        }
        state.showing.clone()
    };
    app.presences.update(&Who { socket: *socket, user: session.user.clone() }, &showing);
    // Done here in any case; what could not be written down is tried again by whoever asks again.
    keep_record(app, session, socket).await?;
    Ok(Reply::new(Empty {}))
}
