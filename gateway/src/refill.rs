//! A client that read too slowly and has caught up with its queue: it is given what was not queued meanwhile.

use std::sync::Arc;

use turnpike_cluster::{LANES, LanePosition};
use turnpike_engine::SocketRef;
use turnpike_wire::Disconnect;

use crate::app::App;
use crate::ending::dismiss;
use crate::offset;
use crate::outgoing;
use crate::past::{After, Wanted};
use crate::replay::{Member, replay};
use crate::session::Session;

/// How often somebody may come into another room while it is looked for what they missed.
const TURNS_MAX: usize = 8;

/// `offset` is that of the last event that was queued to the socket.
pub(crate) fn refill(app: &Arc<App>, session: &Arc<Session>, socket: &SocketRef, offset: Option<&str>) {
    let offset = offset.and_then(offset::read);
    let (app, session, socket) = (Arc::clone(app), Arc::clone(session), *socket);
    let work = async move {
        if !try_refill(&app, &session, &socket, offset.as_ref()).await {
            tracing::warn!(%socket, "connection closed: it was behind and could not be given what it had missed");
            dismiss(&app, &socket, Disconnect::Overloaded);
        }
    };
    // On the shard's own thread, where this is called.
    if let turnpike_engine::Step::Later(work) = crate::step::step(work) {
        tokio::task::spawn_local(work);
    }
}

/// False: it is to come back instead, and recover.
async fn try_refill(
    app: &App,
    session: &Session,
    socket: &SocketRef,
    offset: Option<&offset::Offset>,
) -> bool {
    let from = match offset {
        Some(offset) => match app.references.find(offset.base).wait().await {
            Ok(base) => base.and_then(|base| offset.against(&base)),
            Err(_) => None,
        },
        None => Some([LanePosition::default(); LANES]),
    };
    let Some(from) = from else { return false };
    for _ in 0..TURNS_MAX {
        let wanted: Vec<Wanted> = {
            let state = session.state();
            if !state.is_connected_as(socket) {
                return true;
            }
            let after = |member: &Member| from[member.lane().index()].or_joined(member.joined);
            let wanted =
                |member: &Member| Wanted { room: member.room.clone(), after: After::Lane(after(member)) };
            state.rooms.iter().map(wanted).collect()
        };
        let Ok((lanes, found)) = app.find(&wanted).await else { return false };
        // A room that was joined meanwhile has not been looked for, and nothing of it is queued until this is done.
        let state = session.state();
        let is_all = state.rooms.iter().all(|member| wanted.iter().any(|wanted| wanted.room == member.room));
        drop(state);
        if is_all {
            let reached = app.mirror.reached();
            let replay = replay(found, &from, &reached);
            // While the lanes are held nothing is handed over, so the socket is level exactly where the replay ends.
            let sent = app.handle.refill(socket, outgoing::missed(app.outgoing, &replay, &reached.reference));
            drop(lanes);
            return sent.is_ok();
        }
    }
    false
}
