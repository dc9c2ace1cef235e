//! Who may enter: a token is checked, or an earlier session taken up again.

use std::sync::Arc;

use serde::Deserialize;
use turnpike_engine::{Admission, Close, ConnectRequest, Kind, Overloaded, Refusal, SocketRef, TicketClaims};
use turnpike_guard::{Identity, Right, TokenError};
use turnpike_wire::event::server::Resync;
use turnpike_wire::{Code, Disconnect, Failure, RoomId};

use crate::app::{App, NAMESPACE};
use crate::clock::unix_ms;
use crate::ending::dismiss;
use crate::offset::{self, Vector};
use crate::outgoing::{self, Greeting};
use crate::replay::{Membership, Replay, replay};
use crate::session::{Session, Whereabouts};

type Admitted = Result<Admission<Arc<Session>>, Refusal>;

pub(crate) fn admit(app: &App, request: &ConnectRequest) -> Admitted {
    if &*request.namespace != NAMESPACE {
        // The words of the reference server: clients compare them.
        return Err(refusal(request.kind, &Failure::new(Code::BadRequest, "Invalid namespace")));
    }
    let identified = identify(app, request);
    match resume(app, request, identified.as_ref().ok()) {
        Resumed::Yes(admission) => Ok(admission),
        Resumed::Overloaded => Err(overloaded(request.kind)),
        Resumed::No { lost } => {
            let identity = identified.map_err(|error| {
                app.meters.token_refused(error.as_ref().map_or("missing", TokenError::slug));
                refusal(request.kind, &error.map_or_else(|| Code::Unauthorized.into(), Failure::from))
            })?;
            enter(app, request, identity, &lost)
        }
    }
}

/// The token of the CONNECT or, if there is none, of the request's headers. `None` as an error: there was no token.
fn identify(app: &App, request: &ConnectRequest) -> Result<Identity, Option<TokenError>> {
    #[derive(Deserialize)]
    struct Auth<'a> {
        #[serde(borrow, default)]
        token: Option<std::borrow::Cow<'a, str>>,
    }

    let auth = request.auth.as_deref().and_then(|auth| serde_json::from_str::<Auth<'_>>(auth).ok());
    let header = || request.handshake.header("authorization").and_then(bearer);
    let token = auth.as_ref().and_then(|auth| auth.token.as_deref()).or_else(header).ok_or(None)?;
    app.tokens.check(token, unix_ms() / 1000).map_err(Some)
}

/// RFC 6750 2.1; the scheme's name is read without case (RFC 9110 11.1).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// A new session.
fn enter(app: &App, request: &ConnectRequest, identity: Identity, lost: &[(RoomId, u64)]) -> Admitted {
    let socket = request.socket;
    let room = RoomId::personal(&identity.user);
    let ticket = ticket(app, request.kind, &identity);
    let mut lane = app.broker.lane_of(&room);
    let vector = app.broker.vector();
    let offset = offset::write(app.broker.boot(), &vector);
    let joined = app.handle.join(&socket, NAMESPACE, &room).and_then(|()| {
        let greeting = Greeting { app, user: &identity.user, socket: &socket, recovered: false };
        app.handle.emit(&socket, app.outgoing.session(&greeting, offset.as_str()))?;
        let epoch = app.broker.epoch();
        lost.iter().try_for_each(|(room, seq)| {
            let resync = Resync { room, epoch, seq: *seq };
            app.handle.emit(&socket, app.outgoing.resync(&resync, offset.as_str()))
        })
    });
    joined.map_err(|Overloaded| overloaded(request.kind))?;
    let room = lane.enter(&room);
    let membership = Membership { room, joined: lane.head() };
    drop(lane);
    let session = Session::new(identity, request.kind, socket, vec![membership]);
    app.sessions.insert(socket.id(), Arc::clone(&session));
    Ok(Admission { socket: session, recovered: false, ticket })
}

/// What a ticket needs beyond the session that this node remembers: whose it is.
fn ticket(app: &App, kind: Kind, identity: &Identity) -> Option<TicketClaims> {
    // The engine's ticket ends with the token. How long after a disconnect it is good for is the session's matter.
    let recoverable = app.recovery_window_ms > 0 && kind == Kind::SocketIo;
    recoverable
        .then(|| TicketClaims { payload: identity.user.as_bytes().to_vec(), expires: identity.expires_at })
}

enum Resumed {
    Yes(Admission<Arc<Session>>),
    /// These rooms are why, if the session was still there.
    No {
        lost: Vec<(RoomId, u64)>,
    },
    Overloaded,
}

impl Resumed {
    const NO: Self = Self::No { lost: Vec::new() };
}

/// Takes up the session of the client's ticket, if there is one and nothing of it is lost.
fn resume(app: &App, request: &ConnectRequest, identified: Option<&Identity>) -> Resumed {
    let (Some(resume), Some(socket)) = (&request.resume, request.recovered_socket()) else {
        return Resumed::NO;
    };
    if request.kind != Kind::SocketIo {
        return Resumed::NO;
    }
    let Some(earlier) = app.sessions.get(resume.socket_id) else { return Resumed::NO };
    // A good token says who comes now, and may grant less or last longer than the one before. Without one the ticket is
    // enough until the earlier token ends.
    let identity = identified.unwrap_or(&earlier.identity);
    let same_user = identity.user == earlier.identity.user && resume.payload == identity.user.as_bytes();
    if !same_user || identity.expires_at <= unix_ms() / 1000 {
        return Resumed::NO;
    }
    // From here on nobody else can take it: there is one winner.
    let mut state = earlier.state();
    let before = state.at;
    if before == Whereabouts::Gone {
        return Resumed::NO;
    }
    let permitted = state.rooms.iter().all(|membership| identity.can(Right::Join, &membership.room));
    if !permitted {
        return Resumed::NO;
    }
    let from = match resume.offset.as_deref().map(offset::read) {
        // The client was cut before it got its first event, so it has nothing.
        None => Some(Vector::default()),
        Some(Some((boot, vector))) if boot == app.broker.boot() => Some(vector),
        Some(_) => None,
    };
    let lanes = app.broker.lanes(state.rooms.iter().map(Membership::lane));
    // An offset beyond what there is was not ours.
    let from = from.filter(|from| lanes.iter().all(|lane| from.at(lane.index) <= lane.head()));
    let replay = match from {
        Some(from) => replay(&lanes, &state.rooms, from),
        None => return Resumed::NO,
    };
    if !replay.lost().is_empty() {
        drop(lanes);
        state.give_up(&app.broker);
        drop(state);
        app.sessions.remove(resume.socket_id, &earlier);
        replace(app, before);
        return Resumed::No { lost: replay.lost().to_vec() };
    }
    let from = from.expect("replayed from it");
    let sent = send_resumed(app, &socket, identity, &state.rooms, from, &replay);
    drop(lanes);
    if sent.is_err() {
        // The session stays as it was, for the next attempt.
        return Resumed::Overloaded;
    }
    let rooms = std::mem::take(&mut state.rooms);
    state.at = Whereabouts::Gone;
    drop(state);
    replace(app, before);
    let session = Session::new(identity.clone(), request.kind, socket, rooms);
    app.sessions.insert(socket.id(), Arc::clone(&session));
    let ticket = ticket(app, request.kind, identity);
    Resumed::Yes(Admission { socket: session, recovered: true, ticket })
}

/// The client has come back before its earlier connection was known to be dead.
fn replace(app: &App, before: Whereabouts) {
    if let Whereabouts::Connected(old) = before {
        dismiss(app, &old, Disconnect::Replaced);
    }
}

/// In this order: the greeting with what the client has already, the rooms, and what it missed. The lanes are held, so
/// everything that is published later comes behind.
fn send_resumed(
    app: &App,
    socket: &SocketRef,
    identity: &Identity,
    rooms: &[Membership],
    from: Vector,
    replay: &Replay,
) -> Result<(), Overloaded> {
    let greeting = Greeting { app, user: &identity.user, socket, recovered: true };
    let offset = offset::write(app.broker.boot(), &from);
    app.handle.emit(socket, app.outgoing.session(&greeting, offset.as_str()))?;
    for membership in rooms {
        app.handle.join(socket, NAMESPACE, &membership.room)?;
    }
    app.handle.refill(socket, outgoing::missed(app, replay))
}

/// The stock client is told by `connect_error` and its `data`. The raw one gets the same form as for any other request,
/// and a close code.
fn refusal(kind: Kind, failure: &Failure) -> Refusal {
    let message = failure.message.to_string();
    match kind {
        Kind::SocketIo => Refusal { message, data: Some(failure.connect_error_data()), close: None },
        Kind::Raw => {
            let data = serde_json::to_string(failure).expect("numbers and texts can always be written");
            let why = if failure.code == Code::TokenExpired { Some(Disconnect::TokenExpired) } else { None };
            // The answer has said it; the code is for those who see only that.
            let close = why.map(|why| Close::new(why.code(), why.slug(), why.comes_back()));
            Refusal { message, data: Some(data), close }
        }
    }
}

/// Half of what this client was to be sent may wait in a full inbox already. Its connection goes with it, so that none of
/// it can reach a second attempt.
fn overloaded(kind: Kind) -> Refusal {
    let why = Disconnect::Overloaded;
    let close = Some(Close::new(why.code(), why.slug(), why.comes_back()));
    Refusal { close, ..refusal(kind, &Code::Unavailable.into()) }
}
