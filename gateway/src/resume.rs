//! A client comes back: its session is taken, from wherever it was, and what was missed follows.

use std::sync::Arc;

use turnpike_cluster::{LANES, Lane, LanePosition, RoomRecord, Unavailable};
use turnpike_engine::{Admission, ConnectRequest, Kind, Overloaded, SocketId, SocketRef};
use turnpike_guard::{Identity, Right};

use crate::app::{App, NAMESPACE};
use crate::audited::{self, By};
use crate::clock::unix_ms;
use crate::inspect::{self, Note};
use crate::membership::open;
use crate::metrics::Recovery;
use crate::mirror::Reached;
use crate::offset;
use crate::outgoing::{self, Greeting};
use crate::past::{self, After, Wanted};
use crate::presence::Showing;
use crate::record;
use crate::replay::{Loss, Member, Replay, replay};
use crate::revoking;
use crate::session::{Arrival, Session, Whereabouts, leave_all};
use crate::sessions::Taking;
use crate::signaling::Client;

pub(crate) enum Resumed {
    Yes(Admission<Arc<Session>>),
    /// These rooms are why, if the session was still there.
    No {
        lost: Vec<Loss>,
    },
    Unavailable(Unavailable),
}

impl Resumed {
    const NO: Self = Self::No { lost: Vec::new() };
}

impl From<Unavailable> for Resumed {
    fn from(error: Unavailable) -> Self {
        Self::Unavailable(error)
    }
}

/// A session that nobody else can take. If it is not taken up after all, it waits here for the next attempt.
struct Taken<'a> {
    app: &'a App,
    id: SocketId,
    identity: Arc<Identity>,
    device: Option<Box<str>>,
    showing: Showing,
    rooms: Vec<Member>,
    /// Nothing that was taken may be missing in what is put back.
    unopened: Vec<RoomRecord>,
    done: bool,
    /// Goes after the session is where it is found again.
    _taking: Option<Taking<'a>>,
}

impl Taken<'_> {
    /// Nobody comes back to it.
    fn give_up(mut self) {
        self.done = true;
        leave_all(&self.app.mirror, std::mem::take(&mut self.rooms));
        self.app.forget_record(self.id);
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if !self.done {
            let until_ms = self.app.clock.steady_ms() + self.app.recovery_window_ms;
            let at = Whereabouts::Away { until_ms };
            let rooms = std::mem::take(&mut self.rooms);
            let session = Session::new(
                Arc::clone(&self.identity),
                Kind::SocketIo,
                self.device.take(),
                at,
                rooms,
                Arrival::default(),
            );
            {
                let mut state = session.state();
                state.showing = std::mem::take(&mut self.showing);
                state.unopened = std::mem::take(&mut self.unopened);
            }
            self.app.sessions.insert(self.id, session);
            if let Some(crowded_out) = self.app.sessions.wait_for(self.id, until_ms, &self.app.mirror) {
                self.app.forget_record(crowded_out);
            }
        }
    }
}

/// Takes up the session of the client's ticket, if there is one and nothing of it is lost.
pub(crate) async fn resume(
    app: &Arc<App>,
    request: &ConnectRequest,
    identified: Option<&Identity>,
) -> Resumed {
    let resumed = try_resume(app, request, identified).await;
    if request.resume.is_some() {
        app.meters.recovery(match &resumed {
            Resumed::Yes(_) => Recovery::Recovered,
            Resumed::No { lost } if !lost.is_empty() => Recovery::Lost { rooms: lost.len() },
            Resumed::No { .. } => Recovery::Refused,
            Resumed::Unavailable(_) => Recovery::Unavailable,
        });
    }
    resumed
}

async fn try_resume(app: &Arc<App>, request: &ConnectRequest, identified: Option<&Identity>) -> Resumed {
    let (Some(resume), Some(socket)) = (&request.resume, request.recovered_socket()) else {
        return Resumed::NO;
    };
    if request.kind != Kind::SocketIo {
        return Resumed::NO;
    }
    if identified.is_some_and(|identity| resume.payload != identity.user.as_bytes()) {
        return Resumed::NO;
    }
    let (came, heard) = match came_from(app, resume.offset.as_deref()).await {
        Ok(Some(came)) => came,
        Ok(None) => return Resumed::NO,
        Err(error) => return error.into(),
    };
    let mut taken = match take(app, resume.socket_id).await {
        Ok(Some(taken)) => taken,
        Ok(None) => return Resumed::NO,
        Err(error) => return error.into(),
    };
    if revoking::is_revoked(app, resume.socket_id, &taken.identity) {
        taken.give_up();
        return Resumed::NO;
    }
    // A good token says who comes now, and may grant less or last longer than the one before. Without one the ticket is
    // enough until the earlier token ends.
    let identity =
        identified.map_or_else(|| Arc::clone(&taken.identity), |identity| Arc::new(identity.clone()));
    let same_user = identity.user == taken.identity.user && resume.payload == identity.user.as_bytes();
    let permitted = taken.rooms.iter().all(|member| identity.can(Right::Join, &member.room));
    if !same_user || !permitted || identity.expires_at <= unix_ms() / 1000 {
        return Resumed::NO;
    }
    let wanted: Vec<Wanted> = taken
        .rooms
        .iter()
        .map(|member| {
            let after = came[member.lane().index()].or_joined(member.joined);
            Wanted { room: member.room.clone(), after: After::Lane(after) }
        })
        .collect();
    if let Err(error) = past::catch_up(&app.mirror, &*app.cluster.broker, &wanted, &heard).await {
        return error.into();
    }
    let by = By::comer(request).identified(&identity).over(socket.id());
    let login = audited::login(&app.audit, by, identity.expires_at, true);
    if let Err(failure) = tokio::try_join!(login, app.before_ice_servers(&identity, by)) {
        return Unavailable { retry_after_ms: failure.retry_after_ms.unwrap_or_default() }.into();
    }
    let (lanes, found) = match app.find(&wanted).await {
        Ok(found) => found,
        Err(error) => return error.into(),
    };
    // From here to the answer nothing is waited for: what is sent now takes effect right behind it.
    let reached = app.mirror.reached();
    let from = in_present_epochs(&came, &taken.rooms, &reached);
    let replay = replay(found, &from, &reached);
    if !replay.lost().is_empty() {
        drop(lanes);
        taken.give_up();
        return Resumed::No { lost: replay.lost().to_vec() };
    }
    let sent = send(app, &socket, &identity, &taken.rooms, &reached, &replay);
    if sent.is_err() {
        drop(lanes);
        return Unavailable { retry_after_ms: 250 }.into();
    }
    let replayed = replay.pieces().count();
    app.meters.replayed.inc_by(replayed as u64);
    inspect::note(&app.handle, &socket, Note::Recovered { replayed: replayed as u32 });
    // A place in the present epochs, also for what was joined in earlier ones. Nothing behind it was lost.
    for member in &mut taken.rooms {
        let now = reached.at(member.lane());
        if member.joined.epoch != now.epoch {
            let after = came[member.lane().index()].or_joined(member.joined);
            member.joined = LanePosition { pos: after.pos, ..now };
        }
    }
    let rooms = std::mem::take(&mut taken.rooms);
    taken.done = true;
    let at = Whereabouts::Connected(socket);
    let session =
        Session::new(Arc::clone(&identity), request.kind, taken.device.take(), at, rooms, app.came(request));
    {
        let mut state = session.state();
        state.showing = std::mem::take(&mut taken.showing);
        state.resumed = true;
    }
    app.seat(socket, &session, identity.expires_at);
    app.resume_media(Client { socket, identity: Arc::clone(&identity) });
    drop(lanes);
    app.report_opened(socket.id(), &session.user, true);
    audited::connection_opened(&app.audit, By::user(&session.user).over(socket.id()), true);
    let ticket = app.ticket(request.kind, &identity);
    Resumed::Yes(Admission { socket: session, recovered: true, ticket })
}

/// Where the client stands, as places of the present epochs. One of an earlier epoch may lie in a tail that was lost; what
/// was found says from where each room goes on.
fn in_present_epochs(
    from: &[LanePosition; LANES],
    rooms: &[Member],
    reached: &Reached,
) -> [LanePosition; LANES] {
    std::array::from_fn(|index| {
        let lane = Lane::new(index).expect("there are as many lanes as positions");
        let (from, now) = (from[index], reached.at(lane));
        if from.epoch == now.epoch {
            return from;
        }
        let after = rooms
            .iter()
            .filter(|member| member.lane() == lane)
            .map(|member| from.or_joined(member.joined).pos);
        LanePosition { pos: after.min().unwrap_or(from.pos.min(now.pos)), ..now }
    })
}

/// Where the client stands in every lane, and which epochs it has heard of.
type Came = ([LanePosition; LANES], [u64; LANES]);

/// None: its offset says nothing to us.
async fn came_from(app: &App, offset: Option<&str>) -> Result<Option<Came>, Unavailable> {
    let Some(offset) = offset else {
        // The client was cut before it got its first event, so it has nothing.
        let reached = app.mirror.reached();
        let nothing = std::array::from_fn(|index| {
            let lane = Lane::new(index).expect("there are as many lanes as positions");
            LanePosition { epoch: reached.at(lane).epoch, pos: 0 }
        });
        return Ok(Some((nothing, [0; LANES])));
    };
    let Some(offset) = offset::read(offset) else { return Ok(None) };
    let base = app.references.find(offset.base).wait().await?;
    Ok(base.and_then(|base| Some((offset.against(&base)?, offset.heard))))
}

/// From here on nobody else has it: there is one winner.
async fn take(app: &Arc<App>, id: SocketId) -> Result<Option<Taken<'_>>, Unavailable> {
    if !app.cluster.sessions.outlive_the_process() {
        let Some(session) = app.sessions.get(id) else { return Ok(None) };
        let (identity, why) = (session.identity(), session.displaced(app.clock.steady_ms()));
        let Some((at, rooms)) = session.take() else { return Ok(None) };
        app.sessions.remove(id, &session);
        let device = session.device.clone();
        let showing = session.state().showing.clone();
        // The client has come back before its earlier connection was known to be dead.
        app.unseat(at, Vec::new(), why);
        let unopened = Vec::new();
        return Ok(Some(Taken {
            app,
            id,
            identity,
            device,
            showing,
            rooms,
            unopened,
            done: false,
            _taking: None,
        }));
    }
    let taking = app.sessions.taking(id);
    let record = app.cluster.sessions.take(&id.to_string().into()).wait().await?;
    let here = app.sessions.get(id).and_then(|session| {
        app.sessions.remove(id, &session);
        let why = session.displaced(app.clock.steady_ms());
        session.take().map(|(at, rooms)| (at, rooms, why))
    });
    let Some(record) = record else {
        if let Some((at, rooms, why)) = here {
            app.unseat(at, rooms, why);
        }
        return Ok(None);
    };
    let Some((identity, device, showing)) = record::read(&record.record.identity) else {
        tracing::warn!(connection = %id, "the record of a session could not be read");
        return Ok(None);
    };
    let (identity, rooms, unopened) = (Arc::new(identity), Vec::new(), record.record.rooms);
    let mut taken =
        Taken { app, id, identity, device, showing, rooms, unopened, done: false, _taking: Some(taking) };
    // All are asked for before the first is waited for. Those that are open already stay so until they are held again.
    let opened = taken.unopened.iter().map(|record| open(app, &record.room));
    let opened = futures_util::future::join_all(opened).await;
    if let Some((at, rooms, why)) = here {
        app.unseat(at, rooms, why);
    }
    let mut failed = None;
    for (record, held) in std::mem::take(&mut taken.unopened).into_iter().zip(opened) {
        match held {
            Ok(held) => {
                let (joined, presence) = (record.joined, record.presence);
                taken.rooms.push(Member { room: held.keep(), joined, presence });
            }
            Err(error) => {
                taken.unopened.push(record);
                failed = Some(error);
            }
        }
    }
    failed.map_or(Ok(Some(taken)), Err)
}

/// In this order: the greeting with what the client has already, the rooms, and what it missed. The lanes are held, so
/// everything that is published later comes behind.
fn send(
    app: &App,
    socket: &SocketRef,
    identity: &Identity,
    rooms: &[Member],
    reached: &Reached,
    replay: &Replay,
) -> Result<(), Overloaded> {
    let greeting = Greeting { app, identity, socket, recovered: true };
    let offset = offset::write(&reached.reference, replay.from());
    app.handle.emit(socket, app.outgoing.session(&greeting, offset.as_str()))?;
    for member in rooms {
        app.handle.join(socket, NAMESPACE, &member.room)?;
    }
    app.handle.refill(socket, outgoing::missed(app.outgoing, replay, &reached.reference))
}
