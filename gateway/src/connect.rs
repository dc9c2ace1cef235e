//! Who may enter: a token is checked, or an earlier session taken up again.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use turnpike_cluster::{LanePosition, Unavailable, lane_of};
use turnpike_engine::{Admission, Close, ConnectRequest, Kind, Overloaded, Refusal, TicketClaims};
use turnpike_guard::{Identity, Right, TokenError};
use turnpike_wire::event::server::{Closing, Resync};
use turnpike_wire::{Code, DeviceId, Disconnect, Failure, RoomId, UserId};

use crate::app::{App, NAMESPACE};
use crate::audited::{self, By};
use crate::clock::unix_ms;
use crate::gates::{Gate, Subject};
use crate::inspect::{self, Note};
use crate::membership::{Held, keep_record, open, unavailable};
use crate::offset;
use crate::outgoing::{self, Greeting};
use crate::past::{After, Wanted};
use crate::presence::Who;
use crate::replay::{Loss, Member, replay};
use crate::resume::{Resumed, resume};
use crate::revoking;
use crate::session::{Arrival, Session, Whereabouts, leave_all};
use crate::traced;

pub(crate) type Admitted = Result<Admission<Arc<Session>>, Refusal>;

#[derive(Deserialize)]
struct Token<'a> {
    #[serde(borrow, default)]
    token: Option<std::borrow::Cow<'a, str>>,
}

/// What else a client says when it comes.
#[derive(Deserialize, Default)]
struct Device {
    /// Which of the user's devices this is: it is given what it has not received yet of the user's own room.
    #[serde(default)]
    device: Option<DeviceId>,
}

pub(crate) async fn admit_traced(app: Arc<App>, request: ConnectRequest) -> Admitted {
    let mut span = traced::handshake(&app.tracer, &request);
    let admitted = admit(app, request).await;
    match &admitted {
        Ok(admission) => span.attribute("turnpike.recovered", u64::from(admission.recovered)),
        Err(_) => span.attribute("turnpike.refused", 1),
    };
    admitted
}

async fn admit(app: Arc<App>, request: ConnectRequest) -> Admitted {
    if &*request.namespace != NAMESPACE {
        // The words of the reference server: clients compare them.
        return Err(refusal(request.kind, &Failure::new(Code::BadRequest, "Invalid namespace")));
    }
    let auth = request.auth.as_deref();
    // A token of another form is none.
    let token =
        auth.and_then(|auth| serde_json::from_str::<Token<'_>>(auth).ok()).and_then(|auth| auth.token);
    let identified = identify(&app, &request, token.as_deref());
    let device = match auth.map(serde_json::from_str::<Device>) {
        Some(Ok(auth)) => Ok(auth.device),
        Some(Err(error)) => Err(error),
        None => Ok(None),
    };
    if let Some(user) = comer(&request, identified.as_ref().ok()) {
        if let Err(failure) = app.policing.may_enter(&user) {
            let by = By { user: Some(user.as_str()), ..By::comer(&request) };
            audited::login_failed(&app.audit, by, failure.code.slug()).await;
            return Err(refusal(request.kind, &failure));
        }
        let device = device.as_ref().ok().and_then(Option::as_ref);
        if let Err(failure) = ask(&app, &request, &user, device).await {
            let by = By { user: Some(user.as_str()), ..By::comer(&request) };
            audited::login_failed(&app.audit, by, failure.code.slug()).await;
            return Err(refusal(request.kind, &failure));
        }
    }
    match resume(&app, &request, identified.as_ref().ok()).await {
        Resumed::Yes(admission) => Ok(admission),
        Resumed::Unavailable(error) => Err(come_again(request.kind, error)),
        Resumed::No { lost } => {
            let identity = match identified {
                Ok(identity) => identity,
                Err(error) => {
                    let reason = error.as_ref().map_or("missing", TokenError::slug);
                    app.meters.token_refused(reason);
                    let client = Some(request.handshake.peer.ip());
                    match &error {
                        Some(error) => app.policing.token_refused(client, None, error),
                        None => app.policing.token_missing(client),
                    }
                    audited::login_failed(&app.audit, By::comer(&request), reason).await;
                    let failure = error.map_or_else(|| Code::Unauthorized.into(), Failure::from);
                    return Err(refusal(request.kind, &failure));
                }
            };
            let device = device.map_err(|error| {
                refusal(request.kind, &Failure::new(Code::BadRequest, format!("auth: {error}")))
            })?;
            enter(&app, &request, identity, device, &lost).await
        }
    }
}

/// The token of the CONNECT or, if there is none, of the request's headers. `None` as an error: there was no token.
fn identify(
    app: &App,
    request: &ConnectRequest,
    token: Option<&str>,
) -> Result<Identity, Option<TokenError>> {
    let header = || request.handshake.header("authorization").and_then(bearer);
    let token = token.or_else(header).ok_or(None)?;
    app.tokens.check(token, unix_ms() / 1000).map_err(Some)
}

/// Whose client it is, by its token or else by its ticket. None: it will be refused in any case.
fn comer(request: &ConnectRequest, identified: Option<&Identity>) -> Option<UserId> {
    let of_ticket = || UserId::parse(std::str::from_utf8(&request.resume.as_ref()?.payload).ok()?).ok();
    identified.map(|identity| identity.user.clone()).or_else(of_ticket)
}

/// Whether the user may come, or come back. Nothing has been taken for them yet.
async fn ask(
    app: &App,
    request: &ConnectRequest,
    user: &UserId,
    device: Option<&DeviceId>,
) -> Result<(), Failure> {
    let Some(keeper) = app.gate(Gate::Connect) else { return Ok(()) };
    let ticket = request.resume.as_ref().filter(|resume| resume.payload == user.as_bytes());
    let subject = Subject {
        user,
        connection: ticket.map_or(request.socket.id(), |resume| resume.socket_id),
        returning: Some(ticket.is_some()),
        device,
        room: None,
        message: None,
    };
    keeper.ask(Gate::Connect, &subject).await
}

/// RFC 6750 2.1; the scheme's name is read without case (RFC 9110 11.1).
pub(crate) fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// A session that is being set up: what it has taken is given back if that comes to nothing.
struct Entering<'a> {
    app: &'a App,
    socket: turnpike_engine::SocketRef,
    session: Option<Arc<Session>>,
}

impl Drop for Entering<'_> {
    fn drop(&mut self) {
        if let Some((_, rooms)) = self.session.take().and_then(|session| session.take()) {
            leave_all(&self.app.mirror, rooms);
            self.app.forget_record(self.socket.id());
        }
    }
}

/// A new session.
async fn enter(
    app: &Arc<App>,
    request: &ConnectRequest,
    identity: Identity,
    device: Option<DeviceId>,
    lost: &[Loss],
) -> Admitted {
    let socket = request.socket;
    let room = RoomId::personal(&identity.user);
    let ticket = app.ticket(request.kind, &identity);
    let identity = Arc::new(identity);
    let expires_at = identity.expires_at;
    let again = |error| come_again(request.kind, error);
    let held = open(app, &room).await.map_err(again)?;
    let inbox = Inbox::of(app, &identity.user, device.as_ref(), &held).await.map_err(again)?;
    let (joined, first_seq) = (inbox.joined, inbox.first_seq);
    let member = Member { room: held.keep(), joined, presence: false };
    let device = device.map(|device| device.as_str().into());
    let by = By::comer(request).identified(&identity).over(socket.id());
    // Both in one write.
    let written = tokio::try_join!(
        audited::login(&app.audit, by, expires_at, false),
        app.before_ice_servers(&identity, by)
    );
    written.map_err(|failure| {
        again(Unavailable { retry_after_ms: failure.retry_after_ms.unwrap_or_default() })
    })?;
    let at = Whereabouts::Connected(socket);
    let session =
        Session::new(Arc::clone(&identity), request.kind, device, at, vec![member], app.came(request));
    let mut entering = Entering { app, socket, session: Some(Arc::clone(&session)) };
    keep_record(app, &session, &socket).await.map_err(|failure| {
        again(Unavailable { retry_after_ms: failure.retry_after_ms.unwrap_or_default() })
    })?;
    let (lanes, found) = if inbox.is_behind {
        let wanted = [Wanted { room: room.clone(), after: After::Lane(joined) }];
        app.find(&wanted).await.map_err(again)?
    } else {
        (app.mirror.lanes_of([&room]), Vec::new())
    };
    // From here to the answer nothing is waited for: what is sent now takes effect right behind it.
    let reached = app.mirror.reached();
    let mut from = reached.positions();
    if inbox.is_behind {
        from[lane_of(&room).index()] = joined;
    }
    let replay = replay(found, &from, &reached);
    let offset = offset::write(&reached.reference, replay.from());
    let mut lost = lost.to_vec();
    if let Some((epoch, seq)) = first_seq {
        lost.push(Loss { room: room.clone(), epoch, seq });
    }
    let sent = app.handle.join(&socket, NAMESPACE, &room).and_then(|()| {
        let greeting = Greeting { app, identity: &identity, socket: &socket, recovered: false };
        app.handle.emit(&socket, app.outgoing.session(&greeting, offset.as_str()))?;
        for loss in &lost {
            let resync = Resync { room: &loss.room, epoch: loss.epoch, seq: loss.seq };
            app.handle.emit(&socket, app.outgoing.resync(&resync, offset.as_str()))?;
        }
        let missed = outgoing::missed(app.outgoing, &replay, &reached.reference);
        if missed.is_empty() { Ok(()) } else { app.handle.refill(&socket, missed) }
    });
    drop(lanes);
    sent.map_err(|Overloaded| again(Unavailable { retry_after_ms: 250 }))?;
    entering.session = None;
    if request.resume.is_some() {
        let note = Note::NotRecovered { lost: lost.len() as u32 };
        inspect::note(&app.handle, &socket, note);
    }
    app.seat(socket, &session, expires_at);
    app.report_opened(socket.id(), &session.user, false);
    audited::connection_opened(&app.audit, By::user(&session.user).over(socket.id()), false);
    Ok(Admission { socket: session, recovered: false, ticket })
}

/// From where a new session follows the user's own room.
struct Inbox {
    joined: LanePosition,
    /// There are messages behind that.
    is_behind: bool,
    /// What comes first, if what the device has not received begins earlier than what is kept.
    first_seq: Option<(u64, u64)>,
}

impl Inbox {
    /// A device is given what it has not received yet, whoever names none is given what comes from now on.
    async fn of(
        app: &App,
        user: &UserId,
        device: Option<&DeviceId>,
        room: &Held,
    ) -> Result<Self, Unavailable> {
        let room = room.room();
        let (epoch, joined, standing) = {
            let lane = app.mirror.lane_of(room);
            let standing = lane.room(room).and_then(|room| room.standing().copied()).unwrap_or_default();
            let reached = app.mirror.reached();
            (reached.at(lane.lane).epoch, reached.place_of(lane.lane, &standing), standing)
        };
        let now = Self { joined, is_behind: false, first_seq: None };
        let Some(device) = device else { return Ok(now) };
        let Some(cursor) = app.cluster.marks.cursor(user, device).wait().await? else {
            // A device that was never here before begins with what comes from now on.
            app.cluster.marks.advance(user, device, standing.seq).wait().await?;
            return Ok(now);
        };
        if cursor >= standing.seq {
            return Ok(now);
        }
        let wanted = [Wanted { room: room.clone(), after: After::Seq(cursor) }];
        let (lanes, found) = app.find(&wanted).await?;
        drop(lanes);
        let Some(first) = found.first().and_then(|found| found.messages.first()) else {
            let first_seq = Some((standing.epoch, standing.seq));
            return Ok(Self { first_seq, ..now });
        };
        let first_seq = (first.seq > cursor + 1).then_some((first.at.epoch, first.seq - 1));
        let joined = LanePosition { epoch, pos: first.at.pos - 1 };
        Ok(Self { joined, is_behind: true, first_seq })
    }
}

impl App {
    pub(crate) fn came(&self, request: &ConnectRequest) -> Arrival {
        Arrival { address: Some(request.handshake.peer.ip()), since_ms: self.clock.steady_ms() }
    }

    pub(crate) fn is_recoverable(&self, kind: Kind) -> bool {
        self.recovery_window_ms > 0 && kind == Kind::SocketIo
    }

    /// What a ticket needs beyond the session's record: whose it is.
    pub(crate) fn ticket(&self, kind: Kind, identity: &Identity) -> Option<TicketClaims> {
        // The engine's ticket ends with the token. How long after a disconnect it is good for is the session's matter.
        self.is_recoverable(kind).then(|| TicketClaims {
            payload: identity.user.as_bytes().to_vec(),
            expires: identity.expires_at,
        })
    }

    /// The session is connected: from now on it is found.
    pub(crate) fn seat(
        self: &Arc<Self>,
        socket: turnpike_engine::SocketRef,
        session: &Arc<Session>,
        expires_at: u64,
    ) {
        self.sessions.insert(socket.id(), Arc::clone(session));
        self.appear(socket, session);
        self.expiry.note(socket.id(), expires_at, unix_ms() / 1000);
        revoking::look_again(self, socket.id(), session);
    }

    /// From here on the user is seen to be connected, and in the rooms in which they want to be seen.
    fn appear(&self, socket: turnpike_engine::SocketRef, session: &Session) {
        let who = Who { socket, user: session.user.clone() };
        let (rooms, showing) = {
            let state = session.state();
            let identity = &state.identity;
            let is_shown = |member: &Member| member.presence && identity.can(Right::Presence, &member.room);
            let rooms: Vec<_> =
                state.rooms.iter().map(|member| (member.room.clone(), is_shown(member))).collect();
            (rooms, state.showing.clone())
        };
        for (room, presence) in rooms {
            if let Some(occupancy) = &self.occupancy {
                occupancy.enter(&room, socket);
            }
            if room.personal_user().is_some() {
                self.presences.enter(&room, &who, &showing);
            } else if presence {
                self.presences.come_back(&room, &who, &showing);
            }
        }
    }
}

/// The stock client is told by `connect_error` and its `data`. The raw one gets the same form as for any other request,
/// and a close code.
fn refusal(kind: Kind, failure: &Failure) -> Refusal {
    let message = failure.message.to_string();
    match kind {
        Kind::SocketIo => Refusal { message, data: Some(failure.connect_error_data()), close: None },
        Kind::Raw => {
            let data = serde_json::to_string(failure).expect("numbers and texts can always be written");
            let why = match failure.code {
                Code::TokenExpired => Some(Disconnect::TokenExpired),
                Code::Banned => Some(Disconnect::Banned),
                _ => None,
            };
            // The answer has said it; the code is for those who see only that.
            let close = why.map(|why| Close::new(why.code(), why.slug(), why.comes_back()));
            Refusal { message, data: Some(data), close }
        }
    }
}

/// Half of what this client was to be sent may wait in an inbox already. Its connection goes with it, so that none of it
/// can reach a second attempt; and the stock client comes back by itself.
fn come_again(kind: Kind, error: Unavailable) -> Refusal {
    let why = Disconnect::Overloaded;
    let close = Some(Close::new(why.code(), why.slug(), why.comes_back()));
    Refusal { close, ..refusal(kind, &unavailable(error)) }
}

/// Too many come at once, and who comes back is let in before this one.
pub(crate) fn put_off(app: &App, kind: Kind, retry_after: Duration) -> Refusal {
    let retry_after_ms = retry_after.as_millis() as u64;
    let refusal = come_again(kind, Unavailable { retry_after_ms });
    let closing = Closing { reconnect_after_ms: Some(retry_after_ms), ..Disconnect::Overloaded.into() };
    let close = refusal.close.map(|close| close.farewell(app.outgoing.closing(&closing)));
    Refusal { close, ..refusal }
}
