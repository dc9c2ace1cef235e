//! Coming into rooms and out of them, whoever asks for it: the client, or a backend on its behalf.

use std::sync::Arc;
use std::time::Duration;

use turnpike_cluster::{RoomRecord, Unavailable, lane_of};
use turnpike_engine::{SocketId, SocketRef};
use turnpike_wire::{Code, Failure, RoomId};

use crate::app::{App, NAMESPACE};
use crate::inspect::{self, Note};
use crate::mirror::Mirror;
use crate::past::{After, Wanted};
use crate::presence::Who;
use crate::replay::{Found, Member};
use crate::session::Session;

/// A room that is open, and stays so for as long as this is held.
pub(crate) struct Held {
    mirror: Arc<Mirror>,
    room: Option<RoomId>,
}

impl Held {
    pub(crate) fn room(&self) -> &RoomId {
        self.room.as_ref().expect("it goes only with the whole")
    }

    /// From here on the caller sees to it that the room is left.
    pub(crate) fn keep(mut self) -> RoomId {
        self.room.take().expect("it goes only with the whole")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(room) = self.room.take() {
            self.mirror.leave(&room);
        }
    }
}

/// Has the room open here: from now on its messages come.
pub(crate) async fn open(app: &App, room: &RoomId) -> Result<Held, Unavailable> {
    /// The room is being closed; that takes microseconds, or a turn of the thread that does it.
    const PAUSE: Duration = Duration::from_millis(1);
    let (room, opening) = loop {
        let entered = app.mirror.lane_of(room).enter(room);
        match entered {
            Some(entered) => break entered,
            None => tokio::time::sleep(PAUSE).await,
        }
    };
    let held = Held { mirror: Arc::clone(&app.mirror), room: Some(room) };
    if opening {
        app.cluster.broker.open(held.room()).wait().await?;
    }
    Ok(held)
}

/// Brings the session into the room, if it is not there already. When this is done, no message of the room is missed,
/// also not after a crash of this node. Gives what is wanted of the past, up to the moment of joining.
pub(crate) async fn join(
    app: &Arc<App>,
    session: &Arc<Session>,
    socket: &SocketRef,
    room: &RoomId,
    presence: bool,
    wanted: &[After],
) -> Result<Vec<Found>, Failure> {
    debug_assert!(!wanted.is_empty(), "looking is what holds the lane");
    let wanted: Vec<Wanted> =
        wanted.iter().map(|after| Wanted { room: room.clone(), after: *after }).collect();
    let is_there = {
        let state = session.state();
        if !state.is_connected_as(socket) {
            return Err(gone());
        }
        state.membership(room).is_some_and(|index| state.rooms[index].presence == presence)
    };
    if is_there {
        return app.find(&wanted).await.map(|(_, found)| found).map_err(unavailable);
    }
    let held = open(app, room).await.map_err(unavailable)?;
    let recording = session.recording.lock().await;
    let written = {
        let lane = app.mirror.lane_of(room);
        let standing = lane.room(room).and_then(|room| room.standing());
        let standing = standing.ok_or_else(|| unavailable(Unavailable { retry_after_ms: 250 }))?;
        app.mirror.reached().place_of(lane.lane, standing)
    };
    // Written down first, from a little earlier than it will be true: between the joining and the answer nothing may be
    // waited for, or messages would come before the answer that tells where they begin.
    let member = RoomRecord { room: room.clone(), joined: written, presence };
    put_record(app, session, socket.id(), Some(member)).await?;
    let joined = match app.find(&wanted).await {
        Err(error) => Err(unavailable(error)),
        // The lanes are held to the end of this, so that what was found and the joining hold together.
        Ok((_lanes, found)) => {
            let mut state = session.state();
            if !state.is_connected_as(socket) {
                Err(gone())
            } else if let Some(index) = state.membership(room) {
                state.rooms[index].presence = presence;
                Ok((found, true))
            } else if state.rooms.len() >= app.limits.rooms_per_connection_max {
                let message = "this connection is in as many rooms as it may be";
                Err(Failure::new(Code::LimitReached, message))
            } else if app.handle.join(socket, NAMESPACE, room).is_err() {
                Err(overloaded())
            } else {
                let standing = found.first().map(|found| found.standing).unwrap_or_default();
                let joined = app.mirror.reached().place_of(lane_of(room), &standing);
                let note = Note::Joined { tag: inspect::tag(room), pos: joined.pos as u32 };
                inspect::note(&app.handle, socket, note);
                if state.rooms.len() == state.rooms.capacity() {
                    // Most are in their own and one more; a vector left alone would make room for four.
                    let more = state.rooms.len().max(1);
                    state.rooms.reserve_exact(more);
                }
                state.rooms.push(Member { room: held.keep(), joined, presence });
                Ok((found, joined == written))
            }
        }
    };
    drop(recording);
    if !matches!(joined, Ok((_, true))) {
        // What was written down is not what has become of it.
        let (again, session, socket) = (Arc::clone(app), Arc::clone(session), *socket);
        app.spawn(async move { drop(keep_record(&again, &session, &socket).await) });
    }
    let (found, _) = joined?;
    show(app, session, socket, room, presence);
    occupy(app, session, socket, room);
    Ok(found)
}

/// From here on others see the session in the room, or no more.
fn show(app: &App, session: &Session, socket: &SocketRef, room: &RoomId, presence: bool) {
    let who = Who { socket: *socket, user: session.user.clone() };
    if presence {
        let showing = session.state().showing.clone();
        app.presences.enter(room, &who, &showing);
    }
    // It may have gone meanwhile, and then nobody will say so again.
    let stays = session.state().is_connected_as(socket);
    // In their own room they are as long as they are connected.
    let hides = !presence && room.personal_user().is_none();
    if hides || !stays {
        app.presences.exit(room, &who, !stays);
    }
}

fn occupy(app: &App, session: &Session, socket: &SocketRef, room: &RoomId) {
    let Some(occupancy) = &app.occupancy else { return };
    occupancy.enter(room, *socket);
    // It may have gone meanwhile, and then nobody will say so again.
    if !session.state().is_connected_as(socket) {
        occupancy.exit(room, *socket);
    }
}

/// Takes the session out of the room, if it is there. True if it was.
pub(crate) async fn leave(
    app: &Arc<App>,
    session: &Arc<Session>,
    socket: &SocketRef,
    room: &RoomId,
) -> Result<bool, Failure> {
    {
        let mut state = session.state();
        if !state.is_connected_as(socket) {
            return Err(gone());
        }
        let Some(index) = state.membership(room) else { return Ok(false) };
        app.handle.leave(socket, room).map_err(|_| overloaded())?;
        state.rooms.swap_remove(index);
    }
    let left = app.mirror.reached().at(lane_of(room)).pos;
    inspect::note(&app.handle, socket, Note::Left { tag: inspect::tag(room), pos: left as u32 });
    app.mirror.leave(room);
    app.typing.stop(room, &session.user, *socket);
    if let Some(occupancy) = &app.occupancy {
        occupancy.exit(room, *socket);
    }
    show(app, session, socket, room, false);
    // Out of the room here in any case; what could not be written down is tried again by whoever asks again.
    keep_record(app, session, socket).await?;
    Ok(true)
}

/// Writes down what another node would need to take the session up.
pub(crate) async fn keep_record(app: &App, session: &Session, socket: &SocketRef) -> Result<(), Failure> {
    let _recording = session.recording.lock().await;
    put_record(app, session, socket.id(), None).await
}

/// The same for whoever holds `recording`, with a room that the session is about to be in.
async fn put_record(
    app: &App,
    session: &Session,
    id: SocketId,
    member: Option<RoomRecord>,
) -> Result<(), Failure> {
    if !app.cluster.sessions.outlive_the_process() || !app.is_recoverable(session.kind) {
        return Ok(());
    }
    let id = id.to_string().into();
    let mut record = session.record().ok_or_else(gone)?;
    if let Some(member) = member {
        record.rooms.retain(|other| other.room != member.room);
        record.rooms.push(member);
    }
    let put = app.cluster.sessions.put(&id, &record);
    match put.wait().await {
        Ok(true) => Ok(()),
        Ok(false) => Err(gone()),
        Err(error) => Err(unavailable(error)),
    }
}

/// The connection was taken over by another, or is about to close.
pub(crate) fn gone() -> Failure {
    Failure::new(Code::Unavailable, "this connection no longer has the session")
}

/// The engine has no room for another command. A moment later it has.
pub(crate) fn overloaded() -> Failure {
    unavailable(Unavailable { retry_after_ms: 250 })
}

pub(crate) fn unavailable(error: Unavailable) -> Failure {
    Failure::from(Code::Unavailable).retry_after_ms(error.retry_after_ms)
}
