//! Live video: brings what clients want of streams to the relays, and what relays say to the clients.
//!
//! What stands in a session description is none of its business. Which sessions there are is in `table`, which relay is
//! asked in `relays` and `asking`, how in `letters`; what relays say arrives in `hearing`.

mod asking;
mod hearing;
mod letters;
mod limits;
mod relays;
mod streams;
mod suspects;
mod table;
mod turns;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use aws_lc_rs::rand;
use tokio::sync::watch;
use turnpike_audit::Audit;
use turnpike_cluster::placement::{Relays, Side};
use turnpike_cluster::{Cluster, Directory, Incarnation, Lease, Node};
use turnpike_engine::packet::{Class, Encoded};
use turnpike_engine::{Handle, SocketId, SocketRef};
use turnpike_guard::{Identity, MediaRight};
use turnpike_wire::event::media::{
    MEDIA_CANDIDATE, MEDIA_OFFER, MEDIA_STATE, MediaCandidate, MediaOffer, MediaState, SdpType,
};
use turnpike_wire::media::relay::{Answered, Ask, Role, SessionEvent, stream_entry};
use turnpike_wire::media::{MediaSession, Sdp, StreamState};
use turnpike_wire::{Code, Failure, RoomId};

use self::letters::{Letters, Said, Silence};
use self::relays::Missing;
use self::suspects::Suspects;
use self::table::{NoPlace, Over, Table, Told};
use self::turns::Turns;
use crate::audited::{self, By};
use crate::clock::Clock;
use crate::membership::{gone, unavailable};
use crate::outgoing::Outgoing;

pub(crate) use self::hearing::listen;
pub use self::limits::MediaLimits;

/// How soon a client may ask again where no relay could be found.
const NO_RELAY_RETRY_MS: u64 = 1_000;

pub(crate) struct Signaling {
    own: Incarnation,
    directory: Arc<dyn Directory>,
    nodes: watch::Receiver<Arc<[Node]>>,
    lease: watch::Receiver<Lease>,
    letters: Letters,
    table: Mutex<Table<SocketId, SocketRef>>,
    turns: Turns,
    missing: Mutex<Missing>,
    suspects: Suspects,
    placing: Mutex<Relays>,
    kept_ms: AtomicU64,
    limits: MediaLimits,
    handle: Handle,
    outgoing: Outgoing,
    clock: Clock,
    counts: Counts,
    audit: Audit,
}

#[derive(Default)]
struct Counts {
    events: AtomicU64,
    events_lost: AtomicU64,
    words_refused: AtomicU64,
    relays_lost: AtomicU64,
}

/// Who asks.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) socket: SocketRef,
    pub(crate) identity: Arc<Identity>,
}

/// A session, and a description for its client.
pub(crate) struct Described {
    pub(crate) session: MediaSession,
    pub(crate) stream: RoomId,
    pub(crate) kind: SdpType,
    pub(crate) sdp: Sdp,
}

impl Signaling {
    pub(crate) fn new(
        cluster: &Cluster,
        handle: Handle,
        outgoing: Outgoing,
        clock: Clock,
        limits: MediaLimits,
        audit: Audit,
    ) -> Self {
        Self {
            own: cluster.membership.own(),
            directory: Arc::clone(&cluster.directory),
            nodes: cluster.membership.nodes(),
            lease: cluster.membership.lease(),
            letters: Letters::new(Arc::clone(&cluster.post), limits.deadline),
            table: Mutex::default(),
            turns: Turns::default(),
            missing: Mutex::default(),
            suspects: Suspects::default(),
            placing: Mutex::default(),
            kept_ms: AtomicU64::new(0),
            limits,
            audit,
            handle,
            outgoing,
            clock,
            counts: Counts::default(),
        }
    }

    /// The client begins to publish. It must be called before anything is waited for after the event came, and followed by
    /// [`Self::opened`] when the client has its answer.
    pub(crate) async fn publish(
        &self,
        client: &Client,
        stream: RoomId,
        sdp: Sdp,
    ) -> Result<Described, Failure> {
        permit(&client.identity, &stream, Role::Publisher)?;
        let _place = self.reserve(client)?;
        let home = self.home(&stream).await?;
        let choose = |nodes: &[Node], is_shunned: &dyn Fn(Incarnation) -> bool| {
            // Where the stream is published already, if that is to last. One who leaves gives it away.
            let at_home = home.filter(|home| relays::stays(nodes, *home) && !is_shunned(*home));
            at_home.or_else(|| self.place(&stream, Side::Publish, nodes, is_shunned))
        };
        let ask = || Ask::Publish { stream: stream.clone(), sdp: sdp.clone() };
        self.begin(client, choose, ask, SdpType::Answer).await
    }

    /// The same for a client that watches. Without a description the relay offers one.
    pub(crate) async fn subscribe(
        &self,
        client: &Client,
        stream: RoomId,
        sdp: Option<Sdp>,
    ) -> Result<Described, Failure> {
        permit(&client.identity, &stream, Role::Viewer)?;
        let _place = self.reserve(client)?;
        let home = self.home(&stream).await?.ok_or(Code::NoSuchStream)?;
        let choose = |nodes: &[Node], is_shunned: &dyn Fn(Incarnation) -> bool| {
            self.place(&stream, Side::Watch { home }, nodes, is_shunned)
        };
        let kind = if sdp.is_some() { SdpType::Answer } else { SdpType::Offer };
        let ask = || Ask::Subscribe { stream: stream.clone(), sdp: sdp.clone() };
        self.begin(client, choose, ask, kind).await
    }

    /// Which relay that is. It counts as sent there.
    fn place(
        &self,
        stream: &RoomId,
        side: Side,
        nodes: &[Node],
        is_shunned: &dyn Fn(Incarnation) -> bool,
    ) -> Option<Incarnation> {
        let now = Instant::now();
        let mut placing = self.placing.lock().unwrap_or_else(PoisonError::into_inner);
        let may = |node: &Node| !is_shunned(node.incarnation);
        let relay = placing.find(stream, side, Some(self.own), nodes, may, now)?.incarnation;
        placing.sent(relay, nodes.len(), now);
        Some(relay)
    }

    /// Something of a session that is there, also if it is another gateway's so far. As above: before anything is waited
    /// for, and followed by [`Self::opened`].
    pub(crate) async fn ask(
        &self,
        client: &Client,
        session: MediaSession,
        ask: Ask,
    ) -> Result<Answered, Failure> {
        let no_such_session = || Failure::new(Code::NoSuchStream, "there is no such session");
        let has = self.table().has(client.socket.id(), &client.identity.user, session);
        let has = has.ok_or_else(no_such_session)?;
        let _place = if has { None } else { Some(self.reserve(client)?) };
        let relay = Incarnation(session.relay);
        if !relays::is_relay(&self.nodes(), relay) || self.suspects.is_silent(relay) {
            // Of one that is here it may only be late with its lease.
            return Err(if has { no_relay() } else { no_such_session() });
        }
        let _turn = self.turns.take(session).await;
        let is_stop = matches!(ask, Ask::Stop);
        let answered = match self.request(client, session, ask).await {
            Ok(Ok(Said::OfSession(answered))) => answered,
            Ok(Ok(_)) => return Err(Code::Internal.into()),
            Ok(Err(refusal)) => return Err(refusal.into()),
            Err(Silence) if self.suspects.is_silent(relay) => {
                return Err(if has { no_relay() } else { no_such_session() });
            }
            Err(Silence) => {
                let failure = Failure::new(Code::Unavailable, "the relay does not answer");
                return Err(failure.retry_after_ms(NO_RELAY_RETRY_MS));
            }
        };
        if is_stop {
            self.table().remove(session);
        }
        Ok(answered)
    }

    /// The client knows of the session; what has come of it in the meantime follows.
    pub(crate) fn opened(&self, session: MediaSession) {
        let told = self.table().opened(session);
        for told in &told {
            self.tell(told);
        }
    }

    /// The connection is no more. One that may come back keeps its sessions for a while.
    pub(crate) fn parted(&self, socket: &SocketRef, may_return: bool) {
        let (id, mut table) = (socket.id(), self.table());
        if may_return {
            table.away(id, *socket, self.clock.steady_ms() + self.limits.grace.as_millis() as u64);
        } else {
            let gone = table.gone(id, *socket);
            drop(table);
            self.letters.gone(gone);
        }
    }

    /// Another node has the connection now. What it had here ends, unless it is asked for there.
    pub(crate) fn forget(&self, id: SocketId) {
        self.table().forget(id);
    }

    /// Nobody comes back to this connection, and what it has at relays ends at once.
    pub(crate) fn shut(&self, id: SocketId) {
        let gone = self.table().shut(id);
        self.letters.gone(gone);
    }

    /// The connection is back, under the same id, and is told of what ended meanwhile. Gives the sessions that go on.
    pub(crate) fn back(&self, client: &Client) -> Vec<MediaSession> {
        self.deny(client);
        let (sessions, told) = self.table().back(client.socket.id(), client.socket);
        for told in &told {
            self.tell(told);
        }
        sessions
    }

    /// Has the relays tell the client how it is with its sessions.
    pub(crate) async fn resume(&self, client: &Client, sessions: Vec<MediaSession>) {
        let asked = sessions.into_iter().map(|session| async move {
            let resumed = self.ask(client, session, Ask::Resume).await;
            match resumed {
                Ok(_) => self.opened(session),
                Err(failure) if failure.code.retryable() => {}
                Err(failure) => self.end(session, failure.code),
            }
        });
        futures_util::future::join_all(asked).await;
    }

    /// The client's rights are other ones. Sessions that they do not grant any more end.
    pub(crate) fn deny(&self, client: &Client) {
        let may = |stream: &RoomId, role| permit(&client.identity, stream, role).is_ok();
        let denied = self.table().deny(client.socket.id(), may);
        let (sessions, told): (Vec<_>, Vec<_>) = denied.into_iter().unzip();
        for told in told.iter().flatten() {
            self.tell(told);
        }
        self.letters.gone(sessions);
    }

    /// For calling about once a second.
    pub(crate) fn tick(&self) {
        let now_ms = self.clock.steady_ms();
        let (gone, kept) = {
            let mut table = self.table();
            (table.sweep(now_ms), table.kept())
        };
        self.letters.gone(gone);
        if *self.lease.borrow() == Lease::Held {
            let lost = {
                let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
                missing.look(&self.nodes(), kept.keys().copied(), now_ms)
            };
            for kept in lost.iter().filter_map(|relay| kept.get(relay)).flatten() {
                self.end(kept.session, Code::NoRelay);
            }
        }
        let keep_every_ms = self.limits.keep_every.as_millis() as u64;
        if now_ms >= self.kept_ms.load(Ordering::Relaxed) + keep_every_ms {
            self.kept_ms.store(now_ms, Ordering::Relaxed);
            for (relay, kept) in kept {
                self.letters.keep(Incarnation(relay), &kept);
            }
        }
    }

    /// Sessions of this node's connections.
    pub(crate) fn sessions(&self) -> usize {
        self.table().sessions()
    }

    /// Events of sessions, and those that a full inbox did not take.
    pub(crate) fn told(&self) -> (u64, u64) {
        (self.counts.events.load(Ordering::Relaxed), self.counts.events_lost.load(Ordering::Relaxed))
    }

    /// What was said again because no answer came.
    pub(crate) fn repeated(&self) -> u64 {
        self.letters.repeated()
    }

    /// What relays said that could not be understood, or was not theirs to say.
    pub(crate) fn words_refused(&self) -> u64 {
        self.counts.words_refused.load(Ordering::Relaxed)
    }

    /// Relays that did not answer when another had lost them.
    pub(crate) fn relays_lost(&self) -> u64 {
        self.counts.relays_lost.load(Ordering::Relaxed)
    }

    /// Whatever there is of it, here or at its relay.
    pub(crate) fn give_up(&self, session: MediaSession) {
        self.table().remove(session);
        self.letters.gone(vec![session]);
    }

    /// A session is over, and not because its client wanted that.
    fn end(&self, session: MediaSession, code: Code) {
        let told = self.table().end(session, StreamState::ended(Some(code)));
        if let Some(told) = told {
            self.tell(&told);
        }
    }

    /// Where the stream is published.
    async fn home(&self, stream: &RoomId) -> Result<Option<Incarnation>, Failure> {
        let found = self.directory.find(&stream_entry(stream)).wait().await.map_err(unavailable)?;
        Ok(found.map(|claimed| claimed.owner))
    }

    fn reserve(&self, client: &Client) -> Result<Place<'_>, Failure> {
        let (id, max) = (client.socket.id(), self.limits.sessions_per_connection_max);
        self.table().reserve(id, client.socket, &client.identity.user, max).map_err(|NoPlace| {
            Failure::new(Code::LimitReached, format!("a connection has at most {max} media sessions"))
        })?;
        Ok(Place { signaling: self, id })
    }

    fn tell(&self, told: &Told<SocketRef>) {
        let Told { socket, session, stream, role, event } = told;
        let session = *session;
        // Of each kind the newest counts, also for a client that reads slowly; candidates add up.
        let encoded = match event {
            SessionEvent::Offer { sdp } => {
                self.event(MEDIA_OFFER, session, &MediaOffer { session, r#type: SdpType::Offer, sdp }, 0)
            }
            SessionEvent::State { state, .. } => {
                self.event(MEDIA_STATE, session, &MediaState::new(session, stream, *role, state), 1)
            }
            SessionEvent::Candidate { candidate } => {
                let number = self.counts.events.load(Ordering::Relaxed);
                let candidate = candidate.clone();
                self.event(MEDIA_CANDIDATE, session, &MediaCandidate { session, candidate }, 2 + number)
            }
        };
        self.counts.events.fetch_add(1, Ordering::Relaxed);
        if self.handle.emit(socket, encoded).is_err() {
            self.counts.events_lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn event(
        &self,
        name: &str,
        session: MediaSession,
        data: &impl serde::Serialize,
        which: u64,
    ) -> Arc<Encoded> {
        let key = (session.key as u64).wrapping_add(which);
        self.outgoing.state(name, data, Class::State { key })
    }

    fn nodes(&self) -> Arc<[Node]> {
        Arc::clone(&self.nodes.borrow())
    }

    fn table(&self) -> Tabled<'_> {
        // Its changes are small, and none of them can fail half way.
        Tabled { table: self.table.lock().unwrap_or_else(PoisonError::into_inner), audit: &self.audit }
    }
}

/// The table, for as long as somebody changes it. What is over by then is written down.
struct Tabled<'a> {
    table: MutexGuard<'a, Table<SocketId, SocketRef>>,
    audit: &'a Audit,
}

impl std::ops::Deref for Tabled<'_> {
    type Target = Table<SocketId, SocketRef>;

    fn deref(&self) -> &Self::Target {
        &self.table
    }
}

impl std::ops::DerefMut for Tabled<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.table
    }
}

impl Drop for Tabled<'_> {
    fn drop(&mut self) {
        for Over { user, stream, role, why } in self.table.take_over() {
            match role {
                Role::Publisher => audited::publish_ended(self.audit, By::user(&user), &stream, why),
                Role::Viewer => audited::subscribe_ended(self.audit, By::user(&user), &stream, why),
            }
        }
    }
}

/// A place for a session that is asked for. Whatever comes of that, it is given back: a session that has begun has a place
/// of its own.
struct Place<'a> {
    signaling: &'a Signaling,
    id: SocketId,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.signaling.table().give_back(self.id);
    }
}

fn permit(identity: &Identity, stream: &RoomId, role: Role) -> Result<(), Failure> {
    let right = match role {
        Role::Publisher => MediaRight::Publish,
        Role::Viewer => MediaRight::Subscribe,
    };
    permit_right(identity, stream, right)
}

/// Whether the token grants it.
pub(crate) fn permit_right(identity: &Identity, stream: &RoomId, right: MediaRight) -> Result<(), Failure> {
    if identity.can_media(right, stream) { Ok(()) } else { Err(Code::Forbidden.into()) }
}

fn no_relay() -> Failure {
    Failure::from(Code::NoRelay).retry_after_ms(NO_RELAY_RETRY_MS)
}

fn draw_key() -> Result<u128, Failure> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| Failure::from(Code::Internal))?;
    Ok(u128::from_be_bytes(bytes))
}
