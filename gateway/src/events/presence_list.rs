//! `presence:list`: who is in a room, a page at a time.

use turnpike_engine::packet::Args;
use turnpike_guard::limit::Limit;
use turnpike_guard::{Right, Role};
use turnpike_wire::event::ClientEvent;
use turnpike_wire::event::client::{Count, PresenceList, PresencePage};
use turnpike_wire::limits::PRESENCE_MEMBERS_MAX;
use turnpike_wire::{Code, Failure};

use super::{Caller, Outcome, Reply, data};
use crate::membership::unavailable;
use crate::presence::Who;

pub(super) fn parse(args: &Args) -> Result<PresenceList, Failure> {
    data(args)
}

/// Whoever is in the room is shown what its events have said so far; a backend need not be in it.
pub(super) async fn apply(caller: &Caller, list: &PresenceList) -> Outcome {
    let Caller { app, session, socket } = caller;
    caller.allows(Limit::History)?;
    let identity = session.identity();
    if !identity.can(Right::Presence, &list.room) {
        return Err(caller.denied(ClientEvent::PresenceList, &list.room, Code::Forbidden.into()));
    }
    let after = list.cursor.as_ref();
    let members_max = list.limit.map_or(PRESENCE_MEMBERS_MAX, Count::get);
    let shown = match caller.is_in(&list.room) {
        Ok(()) => {
            let who = Who { socket: *socket, user: session.user.clone() };
            app.presences.page(&list.room, &who, after, members_max).await
        }
        Err(_) if identity.role != Role::User => {
            app.presences.look_up(&list.room, after, members_max).await.map_err(unavailable)?
        }
        Err(failure) => return Err(failure),
    };
    let last = shown.members.last().map(|member| &member.shown.user);
    Ok(Reply::new(PresencePage {
        count: shown.count as u64,
        members: &shown.members,
        cursor: last.filter(|_| shown.more),
    }))
}
