//! `auth:refresh`: a new token for a connection that goes on. It may grant less than the one before: rooms that it does
//! not grant any more are left. A client in want of new credentials for TURN servers may send the one that it has.

use std::sync::Arc;

use turnpike_engine::packet::Args;
use turnpike_guard::Right;
use turnpike_guard::limit::Limit;
use turnpike_wire::event::client::{AuthRefresh, AuthRefreshed};
use turnpike_wire::{Code, Failure, RoomId};

use super::{Caller, Outcome, Reply, data};
use crate::audited::{self, By};
use crate::clock::unix_ms;
use crate::inspect::{self, Note};
use crate::membership::{self, gone, keep_record};
use crate::past::After;
use crate::revoking;
use crate::signaling::Client;

pub(super) fn parse(args: &Args) -> Result<AuthRefresh<'_>, Failure> {
    data(args)
}

pub(super) async fn apply(caller: &Caller, refresh: &AuthRefresh<'_>) -> Outcome {
    let Caller { app, session, socket } = caller;
    caller.allows(Limit::Recorded)?;
    let now_ms = unix_ms();
    let now = now_ms / 1000;
    let by = By::user(&session.user).over(socket.id()).at(session.address);
    let identity = match app.tokens.check(&refresh.token, now) {
        Ok(identity) => identity,
        Err(error) => {
            app.meters.token_refused(error.slug());
            app.policing.token_refused(session.address, Some(&session.user), &error);
            audited::login_failed(&app.audit, by, error.slug()).await;
            return Err(error.into());
        }
    };
    if identity.user != session.user {
        audited::login_failed(&app.audit, by, "another_user").await;
        return Err(Failure::new(Code::Forbidden, "the token is another user's"));
    }
    let expires_at = identity.expires_at;
    let identity = Arc::new(identity);
    let by = by.identified(&identity);
    tokio::try_join!(audited::refreshed(&app.audit, by, expires_at), app.before_ice_servers(&identity, by))?;
    let (lost, hidden): (Vec<RoomId>, Vec<RoomId>) = {
        let mut state = session.state();
        if !state.is_connected_as(socket) {
            return Err(gone());
        }
        state.identity = Arc::clone(&identity);
        session.meter.reclassify();
        let rooms = state.rooms.iter().map(|member| &member.room);
        let lost = rooms.filter(|room| !identity.can(Right::Join, room)).cloned().collect();
        let shown = state.rooms.iter().filter(|member| member.presence).map(|member| &member.room);
        let may_not =
            |room: &&RoomId| identity.can(Right::Join, room) && !identity.can(Right::Presence, room);
        (lost, shown.filter(may_not).cloned().collect())
    };
    app.expiry.note(socket.id(), expires_at, now);
    inspect::note(&app.handle, socket, Note::Refreshed);
    revoking::look_again(app, socket.id(), session);
    app.signaling.deny(&Client { socket: *socket, identity: Arc::clone(&identity) });
    for room in lost {
        membership::leave(app, session, socket, &room).await?;
    }
    for room in hidden {
        membership::join(app, session, socket, &room, false, &[After::Latest(0)]).await?;
    }
    keep_record(app, session, socket).await?;
    let ice_servers = app.ice_servers_of(&identity, now_ms);
    Ok(Reply::new(AuthRefreshed { expires_at: expires_at * 1000, ice_servers }))
}
