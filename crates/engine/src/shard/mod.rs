//! A shard: one thread that owns its connections, rooms and timers by value. Nothing in here is locked, and nothing
//! is reached from other threads but the inbox and the counters.
//!
//! Borrowing discipline: a connection's state is borrowed by whoever works on that connection, for one step. While it
//! is, nobody ends connections: those that must end are put on the list of the doomed, and the pump ends them.

mod commands;
mod connection;
mod ending;
mod entering;
mod flush;
mod held;
mod leaving;
mod namespaces;
mod place;
mod polls;
mod probe;
mod pump;
mod recording;
mod timers;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use slab::Slab;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::ack::Answer;
use crate::admission::{Comer, Door};
use crate::application::{Application, DisconnectReason, Handshake, Kind};
use crate::arrival::{Arrival, Noticed, Visit};
use crate::config::EngineConfig;
use crate::counters::ShardCounters;
use crate::handle::Handle;
use crate::ids::{Bearer, Key, SessionAddress, SessionSecret, Shown, SocketRef};
use crate::outbox::{self, Form};
use crate::packet::{Dialect, Wire, open_packet};
use crate::polling::HttpFault;
use crate::rooms::Rooms;
use crate::session::{Heartbeat, Session, Transport};
use crate::ticket::TicketKeys;
use crate::wheel::Wheel;

use connection::{Conn, Socket};
pub(crate) use place::Place;

/// Bytes read from a socket at once, into the one buffer that all connections of the shard share.
const READ_BUFFER_BYTES: usize = 64 * 1024;
/// Sockets beyond the connections that may be open: a full engine still has the words to say so.
const SOCKETS_SPARE: usize = 64;
/// How exact deadlines are.
const TICK_MS: u64 = 50;

/// What a session begins with.
pub(crate) struct Begun {
    pub(crate) handshake: Arc<Handshake>,
    /// None: over polling, where connections come and go.
    pub(crate) visit: Option<Arc<Visit>>,
    pub(crate) arrival: Option<Arrival>,
    /// What it was promised before it was answered.
    pub(crate) place: Place,
}

pub(crate) struct Shard<A: Application> {
    pub(crate) index: u16,
    pub(crate) config: Arc<EngineConfig>,
    pub(crate) app: Arc<A>,
    pub(crate) handle: Handle,
    pub(crate) counters: Arc<ShardCounters>,
    tickets: Option<TicketKeys>,
    conns: RefCell<Slab<Rc<Conn<A>>>>,
    /// For those who were told that they may begin and have not begun yet.
    places: Rc<Cell<usize>>,
    next_generation: Cell<u32>,
    /// Sessions that began with polling: only those are ever looked up by their secret.
    sessions: RefCell<HashMap<SessionSecret, (Key, Option<Bearer>)>>,
    rooms: RefCell<Rooms>,
    wheel: RefCell<Wheel<timers::Timer>>,
    read_buffer: RefCell<Box<[u8]>>,
    write_scratch: RefCell<Vec<u8>>,
    answers: RefCell<Vec<Answer>>,
    next_ack: Cell<u64>,
    started: Instant,
    /// What the clock said when it was last read, which is once a turn at least.
    lately_ms: Cell<u64>,
    draining: Cell<bool>,
    /// Requests that the application's router works on.
    pub(crate) requests_now: Cell<u32>,
    /// Set when draining begins: when it did, and how long it takes.
    leaving: watch::Sender<Option<(tokio::time::Instant, Duration)>>,
    chances: Cell<u32>,
    /// For new sessions, and for sockets that enter.
    sessions_door: RefCell<Door>,
    sockets_door: RefCell<Door>,
    work: Work,
}

/// What waits for the pump. Each list is bounded by the number of connections.
#[derive(Default)]
struct Work {
    /// Connections with output that nobody has tried to write yet.
    dirty: RefCell<VecDeque<Key>>,
    /// Connections that were behind and have written everything.
    level: RefCell<VecDeque<Key>>,
    doomed: RefCell<Vec<(Key, DisconnectReason)>>,
    /// When the events were published that are being written, as they say themselves.
    published: RefCell<Vec<u64>>,
    waker: RefCell<Option<Waker>>,
    pumping: Cell<bool>,
    /// Somebody was admitted in this turn of their connection.
    admitted: Cell<bool>,
}

impl<A: Application> Shard<A> {
    pub(crate) fn new(index: u16, config: Arc<EngineConfig>, app: Arc<A>, handle: Handle) -> Rc<Self> {
        let counters = Arc::clone(&handle.0.shards[usize::from(index)].counters);
        let tickets = (!config.ticket_secrets.is_empty()).then(|| TicketKeys::new(&config.ticket_secrets));
        let door = || Door::new(config.handshakes_per_second, config.handshakes_burst, 0);
        Rc::new(Self {
            index,
            chances: Cell::new(0),
            sessions_door: RefCell::new(door()),
            sockets_door: RefCell::new(door()),
            config,
            app,
            handle,
            counters,
            tickets,
            conns: RefCell::default(),
            places: Rc::default(),
            next_generation: Cell::new(0),
            sessions: RefCell::default(),
            rooms: RefCell::default(),
            wheel: RefCell::new(Wheel::new(0, TICK_MS)),
            read_buffer: RefCell::new(vec![0; READ_BUFFER_BYTES].into_boxed_slice()),
            write_scratch: RefCell::default(),
            answers: RefCell::default(),
            next_ack: Cell::new(1),
            started: Instant::now(),
            lately_ms: Cell::new(0),
            draining: Cell::new(false),
            requests_now: Cell::new(0),
            leaving: watch::Sender::new(None),
            work: Work::default(),
        })
    }

    /// Milliseconds on the shard's own clock, which nothing but time moves.
    fn now_ms(&self) -> u64 {
        let now = self.started.elapsed().as_millis() as u64;
        self.lately_ms.set(now);
        now
    }

    fn conn(&self, key: Key) -> Option<Rc<Conn<A>>> {
        let conns = self.conns.borrow();
        conns.get(key.slot as usize).filter(|conn| conn.key.generation == key.generation).map(Rc::clone)
    }

    fn session(&self, secret: SessionSecret) -> Option<Rc<Conn<A>>> {
        let (key, _) = self.sessions.borrow().get(&secret).copied()?;
        self.conn(key)
    }

    /// The session of a request, if it is not somebody else's: one that began with a bearer is that bearer's.
    fn session_of(&self, shown: Shown) -> Option<Rc<Conn<A>>> {
        let (key, bearer) = self.sessions.borrow().get(&shown.secret).copied()?;
        self.conn(key).filter(|_| bearer.is_none() || bearer == shown.bearer)
    }

    /// Runs what calls the application. None: it panicked, which costs the connection concerned and nobody else: not
    /// the tasks of the shard, nor what is left to do for others.
    pub(crate) fn guarded<T>(&self, call: impl FnOnce() -> T) -> Option<T> {
        let result = catch_unwind(AssertUnwindSafe(call));
        if result.is_err() {
            self.counters.panics.add(1);
            tracing::error!("a call to the application panicked");
        }
        result.ok()
    }

    fn socket_ref(&self, key: Key, socket: &Socket<A>) -> SocketRef {
        SocketRef { shard: self.index, key, id: socket.id }
    }

    fn heartbeat(&self) -> Heartbeat {
        Heartbeat { interval: self.config.ping_interval, timeout: self.config.ping_timeout }
    }

    /// Whether a new session may begin, as far as can be told before anything is known of it. Who may has a place: a
    /// websocket that was agreed on is not closed because others were quicker.
    pub(crate) fn may_begin(&self) -> Result<Place, HttpFault> {
        if self.is_full() {
            self.counters.connections_refused_full.add(1);
            return Err(HttpFault::Full);
        }
        let (now, chance) = (self.now_ms(), self.chance());
        // Who comes back shows its ticket later. The door of the sockets makes a difference between them, this one none.
        let asked = self.sessions_door.borrow_mut().ask(Comer::Returning, now, chance);
        asked.map(|()| Place::take(&self.places)).map_err(|wait| {
            self.counters.handshakes_put_off.add(1);
            HttpFault::PutOff(wait)
        })
    }

    /// A number in which any count of consecutive ones is spread evenly.
    fn chance(&self) -> u32 {
        let chance = self.chances.get();
        self.chances.set(chance.wrapping_add(0x9E37_79B9));
        chance
    }

    fn is_full(&self) -> bool {
        self.draining.get()
            || self.counters.connections_now.get() + self.places.get() as u64
                >= (self.config.connections_max / self.config.shards) as u64
    }

    /// Whether one more socket is too many, whatever it is for: a file descriptor is a file descriptor.
    pub(crate) fn is_out_of_sockets(&self) -> bool {
        let sockets = (self.counters.http_sockets_now.get() + self.counters.websockets_now.get()) as usize;
        sockets >= (self.config.connections_max + SOCKETS_SPARE) / self.config.shards
    }

    /// Where the node lives, if the application knows it.
    pub(crate) fn address_of(&self, node: &str) -> Option<SocketAddr> {
        self.guarded(|| self.app.address_of(node)).flatten()
    }

    /// Tells the application how somebody behaves.
    pub(crate) fn notice(&self, client: IpAddr, what: Noticed) {
        self.guarded(|| self.app.noticed(client, what));
    }

    /// Done when it is this caller's turn to go because the node does; turns are spread over the time of draining.
    pub(crate) async fn time_to_leave(&self) {
        let mut leaving = self.leaving.subscribe();
        let share = f64::from(self.chance()) / f64::from(u32::MAX);
        // The shard outlives whoever asks.
        let begun = leaving.wait_for(Option::is_some).await.ok().and_then(|begun| *begun);
        if let Some((begun, window)) = begun {
            tokio::time::sleep_until(begun + window.mul_f64(share)).await;
        }
    }

    /// A new session over polling. Gives the body of the answer.
    pub(crate) fn open_polling(self: &Rc<Self>, begun: Begun) -> Result<String, HttpFault> {
        let secret = SessionSecret::random();
        let form = Form { dialect: Dialect::Default, wire: Wire::Polling };
        let bearer = begun.handshake.header("authorization").map(Bearer::of);
        let conn = self.register(None, form, Kind::SocketIo, begun)?;
        self.sessions.borrow_mut().insert(secret, (conn.key, bearer));
        conn.state.borrow_mut().secret = Some(Box::new(secret));
        connection::start(self, &conn);
        Ok(self.open_text(secret, true))
    }

    /// A new session that begins on a websocket. What is `unwritten` of HTTP goes first; `unread` came behind the request.
    pub(crate) fn open_websocket(
        self: &Rc<Self>,
        stream: TcpStream,
        unwritten: &[u8],
        unread: &[u8],
        deflate: bool,
        kind: Kind,
        begun: Begun,
    ) {
        let wire = if deflate { Wire::WebsocketDeflate } else { Wire::Websocket };
        let dialect = if kind == Kind::Raw { Dialect::Raw } else { Dialect::Default };
        let authorized = kind == Kind::Raw && begun.handshake.header("authorization").is_some();
        let Ok(conn) = self.register(Some(stream), Form { dialect, wire }, kind, begun) else { return };
        let begun = self.guarded(|| {
            let mut state = conn.state.borrow_mut();
            state.outbox.push_own(wire, |out| out.extend_from_slice(unwritten));
            if kind == Kind::SocketIo {
                let open = self.open_text(SessionSecret::random(), false);
                outbox::push_text(&mut state.outbox, wire, &open);
            } else if authorized {
                self.connect_raw(&conn, &mut state);
            }
            self.read_bytes(&conn, &mut state, &mut unread.to_vec());
            self.flush(&conn, &mut state);
        });
        if begun.is_some() {
            connection::start(self, &conn);
        } else {
            self.end(&conn, &DisconnectReason::internal());
        }
    }

    fn open_text(&self, secret: SessionSecret, upgrades: bool) -> String {
        let sid = SessionAddress { node: &self.config.node, shard: self.index, secret }.to_string();
        open_packet(
            &sid,
            upgrades,
            self.config.ping_interval.as_millis() as u64,
            self.config.ping_timeout.as_millis() as u64,
            self.config.payload_bytes_max,
        )
    }

    fn register(
        self: &Rc<Self>,
        stream: Option<TcpStream>,
        form: Form,
        kind: Kind,
        begun: Begun,
    ) -> Result<Rc<Conn<A>>, HttpFault> {
        // It has its place, and the node may have begun to leave since.
        if self.draining.get() {
            self.counters.connections_refused_full.add(1);
            return Err(HttpFault::Full);
        }
        let now = self.now_ms();
        let transport = if stream.is_some() { Transport::Websocket } else { Transport::Polling };
        let generation = self.next_generation.get();
        self.next_generation.set(generation.wrapping_add(1));
        let mut conns = self.conns.borrow_mut();
        let entry = conns.vacant_entry();
        let key = Key { slot: entry.key() as u32, generation };
        // A crowd that comes at once would ping at once, every interval; the golden ratio spreads any number of
        // consecutive generations evenly.
        let interval = self.config.ping_interval.as_millis() as u64;
        let spread = (u64::from(generation.wrapping_mul(0x9E37_79B9)) * (interval / 2)) >> 32;
        let first_ping = now + interval - spread;
        let session = Session::new(transport, first_ping);
        let conn = Rc::new(Conn::new(key, stream, session, form, kind, begun));
        entry.insert(Rc::clone(&conn));
        drop(conns);
        let connect_by = now + self.config.connect_timeout.as_millis() as u64;
        self.arm_beat(key, first_ping);
        self.arm(key, timers::Kind::Connect, connect_by);
        self.counters.connections_now.add(1);
        self.counters.connections_opened.add(1);
        if transport == Transport::Websocket {
            self.counters.websockets_now.add(1);
        }
        Ok(conn)
    }

    fn peer_handshake(peer: SocketAddr) -> Arc<Handshake> {
        Arc::new(Handshake { peer, query: String::new(), headers: Vec::new() })
    }
}
