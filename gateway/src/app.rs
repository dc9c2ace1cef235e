//! The gateway as the engine's application: what clients do arrives here, in order for each of them.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::HeaderMap;
use turnpike_audit::Audit;
use turnpike_cluster::{Cluster, Command, Control, Letter, Message, Signal, Unavailable};
use turnpike_engine::{
    Admission, Application, ConnectRequest, DisconnectReason, Event, Handle, Introduces, Introduction, Kind,
    Look, Noticed, Refusal, SocketId, SocketRef, Step, Traffic, TurnedAway, packet,
};
use turnpike_guard::{IceServers, Identity, Verifier};
use turnpike_telemetry::Tracer;
use turnpike_wire::event::ClientEvent;
use turnpike_wire::{Code, Disconnect, Failure, IceServer, RoomId, UserId};

use crate::addresses::{self, Addresses};
use crate::api_keys::ApiKeys;
use crate::audited::{self, By, Carried};
use crate::clock::{Clock, unix_ms};
use crate::config::Limits;
use crate::ending::dismiss;
use crate::expiry::Expiry;
use crate::gates::{Gate, Gatekeeper};
use crate::inspect::{self, Inspection};
use crate::limits::{Limiter, Tripped};
use crate::metrics::Meters;
use crate::mirror::{LaneGuards, Mirror};
use crate::occupancy::Occupancy;
use crate::outgoing::Outgoing;
use crate::past::{self, After, Wanted};
use crate::policing::Policing;
use crate::presence::{Presences, Who};
use crate::receipts::Receipts;
use crate::references::References;
use crate::replay::Found;
use crate::session::{Session, Whereabouts, leave_all};
use crate::sessions::Sessions;
use crate::signaling::{Client, Signaling};
use crate::step::step;
use crate::typing::Typing;
use crate::webhooks::{Hooks, slug};
use crate::{connect, events, membership, refill};

/// The one namespace there is.
pub(crate) const NAMESPACE: &str = "/";

/// Everything that lives as long as the node. Shared by all shards; what is not read-only has locks of its own.
pub(crate) struct App {
    pub(crate) node: String,
    pub(crate) ping_interval_ms: u64,
    pub(crate) ping_timeout_ms: u64,
    pub(crate) connections_max: usize,
    pub(crate) recovery_window_ms: u64,
    pub(crate) limits: Limits,
    pub(crate) limiter: Arc<Limiter>,
    /// What a packet of a client may be, and so what a backend may have sent to clients.
    pub(crate) packets: packet::Limits,
    pub(crate) clock: Clock,
    pub(crate) addresses: Addresses,
    pub(crate) policing: Policing,
    pub(crate) tokens: Verifier,
    pub(crate) api_keys: ApiKeys,
    pub(crate) cluster: Cluster,
    pub(crate) mirror: Arc<Mirror>,
    pub(crate) references: Arc<References>,
    pub(crate) sessions: Sessions,
    pub(crate) presences: Arc<Presences>,
    pub(crate) typing: Typing,
    pub(crate) receipts: Arc<Receipts>,
    pub(crate) signaling: Signaling,
    pub(crate) ice_servers: IceServers,
    pub(crate) expiry: Expiry,
    /// Ids given to messages that have no position.
    pub(crate) drawn: AtomicU64,
    pub(crate) handle: Handle,
    pub(crate) outgoing: Outgoing,
    pub(crate) inspection: Inspection,
    pub(crate) meters: Meters,
    pub(crate) audit: Audit,
    pub(crate) tracer: Tracer,
    pub(crate) webhooks: Option<Hooks>,
    /// There if a backend wants to know of it.
    pub(crate) occupancy: Option<Arc<Occupancy>>,
    pub(crate) gates: Option<Gatekeeper>,
    /// Runs what no connection waits for.
    pub(crate) background: tokio::runtime::Handle,
}

impl App {
    /// Does something that no connection waits for.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.background.spawn(work);
    }

    /// From here on letters of this subject are taken, as long as the node lives.
    pub(crate) fn hear(self: &Arc<Self>, subject: &'static str, take: fn(&Arc<Self>, &Letter)) {
        let mut letters = self.cluster.post.listen(subject);
        let held = Arc::downgrade(self);
        self.spawn(async move {
            while let Some(letter) = letters.recv().await {
                let Some(app) = held.upgrade() else { return };
                take(&app, &letter);
            }
        });
    }

    /// To be awaited before credentials of TURN servers are given to somebody, if there are any for them.
    pub(crate) async fn before_ice_servers(&self, identity: &Identity, by: By<'_>) -> Result<(), Failure> {
        match self.ice_servers.credential_ends_at(unix_ms() / 1000).filter(|_| identity.uses_media()) {
            Some(ends_at) => audited::turn_issued(&self.audit, by, ends_at).await,
            None => Ok(()),
        }
    }

    /// With credentials that begin now, for whoever has a use for them.
    pub(crate) fn ice_servers_of(&self, identity: &Identity, now_ms: u64) -> Vec<IceServer<'_>> {
        if !identity.uses_media() {
            return Vec::new();
        }
        let servers = self.ice_servers.of(&identity.user, now_ms / 1000);
        let credentials = servers.iter().filter(|server| server.credential.is_some()).count();
        self.meters.turn_credentials.inc_by(credentials as u64);
        servers
    }

    /// A limit was reached by somebody: it is written down, and speaks against them. Gives what they are told.
    pub(crate) fn tripped(&self, tripped: Tripped, by: By<'_>, user: Option<&UserId>) -> Failure {
        let Tripped { limit, failure } = tripped;
        if failure.code == Code::RateLimited {
            audited::limit_tripped(&self.audit, by, limit.slug());
            // A backend that sends too much is an operator's concern: to shut it out would be an outage.
            let is_backend = user.is_none() || by.role.is_some_and(|role| role != turnpike_guard::Role::User);
            if !is_backend {
                self.policing.report(by.address, user, turnpike_guard::Signal::Flood);
            }
        }
        failure
    }

    /// Whoever is to be asked at this gate, if anybody.
    pub(crate) fn gate(&self, gate: Gate) -> Option<&Gatekeeper> {
        self.gates.as_ref().filter(|keeper| keeper.asks(gate))
    }

    /// What somebody missed, of rooms that are open; see [`past::find`].
    pub(crate) async fn find(&self, wanted: &[Wanted]) -> Result<(LaneGuards<'_>, Vec<Found>), Unavailable> {
        past::find(&self.mirror, &*self.cluster.broker, wanted).await
    }

    /// An id for a message without a position.
    pub(crate) fn draw_id(&self) -> String {
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
        format!("{}.v.{drawn:x}", self.cluster.membership.own())
    }

    /// A message has been handed to the shards.
    pub(crate) fn delivered(&self, message: &Message) {
        self.typing.spoke(&message.room, &message.from);
    }

    /// Something that is not kept has come for the members of a room.
    pub(crate) fn heard(self: &Arc<Self>, room: &RoomId, signal: &Signal) {
        match signal {
            Signal::Volatile { data, attachments } => {
                let event = self.outgoing.volatile_message(data, attachments.clone());
                // Nobody is promised it.
                let _ = self.handle.broadcast(room, event, None);
            }
            Signal::Command(command) => self.command(room, command),
            Signal::Typing(changes) => self.typing.heard(room, changes),
            Signal::Presence(delta) => self.presences.heard(room, delta),
            Signal::Marks(marks) => self.receipts.heard(room, marks),
        }
    }

    /// Something for this node alone.
    pub(crate) fn told(&self, control: Control) {
        match control {
            Control::Taken { session } => {
                let Some(id) = SocketId::parse(&session) else { return };
                let Some(session) = self.sessions.get(id) else { return };
                self.sessions.remove(id, &session);
                self.signaling.forget(id);
                let why = session.displaced(self.clock.steady_ms());
                if let Some((at, rooms)) = session.take() {
                    self.unseat(at, rooms, why);
                }
            }
        }
    }

    /// Somebody else has the session now: its connection here, if it still has one, ends.
    pub(crate) fn unseat(&self, at: Whereabouts, rooms: Vec<crate::replay::Member>, why: Disconnect) {
        leave_all(&self.mirror, rooms);
        if let Whereabouts::Connected(socket) = at {
            dismiss(self, &socket, why);
        }
    }

    /// The client is back, and the live video that it has here goes on.
    pub(crate) fn resume_media(self: &Arc<Self>, client: Client) {
        let sessions = self.signaling.back(&client);
        if !sessions.is_empty() {
            let app = Arc::clone(self);
            self.spawn(async move { app.signaling.resume(&client, sessions).await });
        }
    }

    /// What a backend wants done with all connections of a user.
    fn command(self: &Arc<Self>, room: &RoomId, command: &Command) {
        let Some(user) = room.personal_user() else { return };
        for (id, session) in self.sessions.of_user(user) {
            let Whereabouts::Connected(socket) = session.state().at else { continue };
            match command {
                Command::Disconnect { code } => {
                    let why = Disconnect::ALL.iter().find(|why| why.code() == *code);
                    dismiss(self, &socket, why.copied().unwrap_or(Disconnect::Revoked));
                }
                Command::Join { room } => {
                    let (app, room) = (Arc::clone(self), room.clone());
                    self.spawn(async move {
                        if let Err(failure) = membership::join(&app, &session, &socket, &room, false, &[After::Latest(0)]).await {
                            tracing::warn!(connection = %id, %room, reason = failure.code.slug(), "not joined for a backend");
                        }
                    });
                }
                Command::Leave { room } => {
                    let (app, room) = (Arc::clone(self), room.clone());
                    self.spawn(async move {
                        if let Err(failure) = membership::leave(&app, &session, &socket, &room).await {
                            tracing::warn!(connection = %id, %room, reason = failure.code.slug(), "not removed for a backend");
                        }
                    });
                }
            }
        }
    }

    /// The connections here that a user is in the room with.
    pub(crate) fn sockets_in(&self, user: &UserId, room: &RoomId) -> Vec<SocketRef> {
        let of_room = |session: &Session| {
            let state = session.state();
            let Whereabouts::Connected(socket) = state.at else { return None };
            state.membership(room).map(|_| socket)
        };
        self.sessions.of_user(user).into_iter().filter_map(|(_, session)| of_room(&session)).collect()
    }

    /// The connection is no more. One that is broken may come back, and nobody is told until that is out of the question.
    fn part(&self, session: &Session, socket: &SocketRef, reason: &DisconnectReason) {
        let replaced = Disconnect::Replaced.code();
        let is_replaced = matches!(reason, DisconnectReason::Server { code, .. } if *code == replaced);
        let who = Who { socket: *socket, user: session.user.clone() };
        self.presences.gone(&who, is_replaced || may_return(reason));
        self.signaling.parted(socket, may_return(reason));
        if let Some(occupancy) = &self.occupancy {
            occupancy.gone(*socket);
        }
        let rooms: Vec<RoomId> = session.state().rooms.iter().map(|member| member.room.clone()).collect();
        for room in rooms {
            self.typing.stop(&room, &session.user, *socket);
        }
    }

    /// Nobody may come back to this session.
    pub(crate) fn forget_record(&self, id: SocketId) {
        if self.cluster.sessions.outlive_the_process() {
            let removed = self.cluster.sessions.remove(&id.to_string().into());
            self.spawn(async move {
                if removed.wait().await.is_err() {
                    // Swept with the rest of this node's when it ends.
                    tracing::debug!(connection = %id, "a session's record could not be removed");
                }
            });
        }
    }
}

/// The application is shared, and what it does may outlive the call.
pub(crate) struct Node(pub(crate) Arc<App>);

impl Application for Node {
    type Socket = Arc<Session>;

    fn connect(&self, request: ConnectRequest) -> Step<Result<Admission<Arc<Session>>, Refusal>> {
        step(connect::admit_traced(Arc::clone(&self.0), request))
    }

    fn put_off(&self, request: &ConnectRequest, retry_after: Duration) -> Refusal {
        connect::put_off(&self.0, request.kind, retry_after)
    }

    fn event(&self, session: &Arc<Session>, event: Event) -> Step<()> {
        events::handle(&self.0, session, event)
    }

    fn event_code(&self, event: &str) -> u8 {
        inspect::code_of(ClientEvent::parse(event))
    }

    fn parted(&self, session: &Arc<Session>, socket: &SocketRef, reason: &DisconnectReason, look: &Look) {
        let (inspection, steady_ms) = (&self.0.inspection, self.0.clock.steady_ms());
        inspection.departures.note(session, socket.id(), reason, look, steady_ms);
    }

    fn disconnect(
        &self,
        session: &Arc<Session>,
        socket: &SocketRef,
        reason: &DisconnectReason,
        traffic: Traffic,
    ) {
        let app = &*self.0;
        let id = socket.id();
        app.part(session, socket, reason);
        app.report_closed(id, &session.user, reason);
        let carried = Carried { traffic, lasted_ms: app.clock.steady_ms().saturating_sub(session.since_ms) };
        // Where it came from stands in the record of its login.
        let by = By::user(&session.user).over(id);
        audited::connection_closed(&app.audit, by, slug(reason), carried);
        app.policing.closed(session, reason, carried.lasted_ms);
        let mut state = session.state();
        if !state.is_connected_as(socket) {
            return;
        }
        if app.recovery_window_ms > 0 && session.kind == Kind::SocketIo && may_return(reason) {
            let until_ms = app.clock.steady_ms() + app.recovery_window_ms;
            state.at = Whereabouts::Away { until_ms };
            drop(state);
            if let Some(crowded_out) = app.sessions.wait_for(id, until_ms, &app.mirror) {
                app.forget_record(crowded_out);
            }
        } else {
            drop(state);
            if let Some((_, rooms)) = session.take() {
                leave_all(&app.mirror, rooms);
            }
            app.sessions.remove(id, session);
            app.forget_record(id);
        }
    }

    fn refill(&self, session: &Arc<Session>, socket: &SocketRef, offset: Option<&str>) {
        refill::refill(&self.0, session, socket, offset);
    }

    fn knock(&self, peer: IpAddr) -> bool {
        // The other nodes' connections are those of their clients, who have passed there.
        addresses::is_node(&self.0.cluster, peer) || self.0.policing.knock(peer)
    }

    fn hung_up(&self, peer: IpAddr) {
        self.0.policing.hung_up(peer);
    }

    fn may_ask(&self, client: IpAddr) -> Result<(), TurnedAway> {
        self.0.policing.may_ask(client)
    }

    fn arrive(&self, client: IpAddr) -> Result<(), TurnedAway> {
        self.0.policing.arrive(client)
    }

    fn depart(&self, client: IpAddr) {
        self.0.policing.depart(client);
    }

    fn noticed(&self, client: IpAddr, what: Noticed) {
        self.0.policing.noticed(client, what);
    }

    fn introduces(&self, peer: IpAddr) -> Introduces {
        self.0.addresses.introduces(&self.0.cluster, peer)
    }

    fn introduction(&self, bytes: &[u8]) -> Introduction {
        addresses::introduction(bytes)
    }

    fn client_of(&self, peer: SocketAddr, headers: &HeaderMap) -> SocketAddr {
        let client = self.0.addresses.client_of(peer, headers);
        if client.forged && self.0.addresses.knows_proxies() {
            self.0.policing.report(Some(client.address.ip()), None, turnpike_guard::Signal::ForgedHeader);
        }
        client.address
    }

    /// Where the public port of that node is, if it is another one and lives.
    fn address_of(&self, node: &str) -> Option<SocketAddr> {
        let nodes = self.0.cluster.membership.nodes();
        let nodes = nodes.borrow();
        nodes.iter().find(|known| known.name == node).and_then(|known| known.address)
    }
}

/// Who left by an accident may return; who said goodbye, broke the protocol or was sent away may not.
fn may_return(reason: &DisconnectReason) -> bool {
    match reason {
        DisconnectReason::TransportClosed
        | DisconnectReason::TransportError
        | DisconnectReason::PingTimeout
        | DisconnectReason::SlowReader
        | DisconnectReason::Shutdown => true,
        DisconnectReason::Server { code, .. } => {
            Disconnect::ALL.iter().any(|known| known.code() == *code && known.comes_back())
        }
        DisconnectReason::ClientLeft | DisconnectReason::ProtocolError(_) => false,
    }
}
