//! What a program built on the engine implements, and what it is handed.
//!
//! Calls for one connection come in order, on the thread of its shard. A call must not block: what has to wait
//! returns [`Step::Later`], and until that is done the connection's next events wait.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use crate::ack::AckReply;
use crate::arrival::{Introduces, Introduction, Noticed, TurnedAway};
use crate::command::Close;
use crate::ids::{SocketId, SocketRef};
use crate::look::Look;
use crate::packet::Args;

/// Done at once, or a future that the connection's shard runs before the connection's next event. It is run to its end if
/// the client hangs up meanwhile. If the connection is closed for any other reason, an event's future is dropped where it
/// stands, before the application is told of the end: what must not be left half done belongs in a task of its own.
/// That of a [`Application::connect`] is run to its end in any case.
pub enum Step<T> {
    Now(T),
    Later(Pin<Box<dyn Future<Output = T>>>),
}

impl<T> Step<T> {
    pub fn later(future: impl Future<Output = T> + 'static) -> Self {
        Self::Later(Box::pin(future))
    }
}

/// IANA's registry of websocket close codes has it for this.
const TRY_AGAIN_LATER: u16 = 1013;

pub trait Application: Send + Sync + 'static {
    /// What the application keeps with a socket; it lives on the shard, and is cloned for calls that wait.
    type Socket: Clone + 'static;

    /// A TCP connection was accepted, and nothing was read of it. False: it is dropped. Otherwise
    /// [`Application::hung_up`] is called once when it is closed, whatever it has become by then.
    ///
    /// Asked again for the client of a connection that was introduced, which then counts in place of the proxy.
    fn knock(&self, peer: IpAddr) -> bool {
        let _ = peer;
        true
    }

    fn hung_up(&self, peer: IpAddr) {
        let _ = peer;
    }

    /// Whether connections of this peer say first of all for whom they are made; see [`Application::introduction`].
    fn introduces(&self, peer: IpAddr) -> Introduces {
        let _ = peer;
        Introduces::Never
    }

    /// Reads the beginning of such a connection. First asked without a byte; of a peer that perhaps introduces, with one.
    fn introduction(&self, bytes: &[u8]) -> Introduction {
        let _ = bytes;
        Introduction::Refused
    }

    /// Whose a request is, where its peer speaks for others. All that follows is asked and told of this address, and a
    /// request that is passed on to another node bears it under a seal.
    fn client_of(&self, peer: SocketAddr, headers: &HeaderMap) -> SocketAddr {
        let _ = headers;
        peer
    }

    /// Whether a request of this client is read any further. Asked for every request, polls included.
    fn may_ask(&self, client: IpAddr) -> Result<(), TurnedAway> {
        let _ = client;
        Ok(())
    }

    /// A session begins: over polling, on a websocket or at the raw path. If it may, [`Application::depart`] is called once
    /// when it has ended, also when it came to nothing.
    fn arrive(&self, client: IpAddr) -> Result<(), TurnedAway> {
        let _ = client;
        Ok(())
    }

    fn depart(&self, client: IpAddr) {
        let _ = client;
    }

    /// Somebody behaves in a way that the application may want to count. The address is that of the client, or where that
    /// could not be read, of the other end of its connection.
    fn noticed(&self, client: IpAddr, what: Noticed) {
        let _ = (client, what);
    }

    /// A client asks to enter a namespace.
    ///
    /// From here on, before the request is answered and from any thread, the handle takes commands for the socket under
    /// the id that it will have: [`ConnectRequest::socket`], or [`ConnectRequest::recovered_socket`] if it is to be
    /// admitted as recovered. The client sees their effects right behind its answer, in the order in which they were
    /// sent. Rooms are entered where the `join` stands in that order: whatever is sent to a room behind it waits for
    /// the answer with the rest. What waits is bounded like a connection's queue; past that the socket is behind, and
    /// is refilled once it is admitted. If it is refused, it leaves its rooms and all that waits is dropped.
    ///
    /// For each socket that is admitted [`Application::disconnect`] is called once: at once, if the connection has ended
    /// meanwhile.
    fn connect(&self, request: ConnectRequest) -> Step<Result<Admission<Self::Socket>, Refusal>>;

    /// Too many want to enter at once, and this one is not asked about. How it is told to come again after about that
    /// long: with a [`Refusal::close`] to come back from, of which a raw client also gets the farewell.
    fn put_off(&self, request: &ConnectRequest, retry_after: Duration) -> Refusal {
        let _ = (request, retry_after);
        let close = Close::new(TRY_AGAIN_LATER, "try again later", true);
        Refusal { message: "try again later".to_owned(), data: None, close: Some(close) }
    }

    /// The answer to the CONNECT has been queued, and what was sent to the socket before. Not called if the connection ended
    /// while the application was deciding.
    fn connected(&self, socket: &Self::Socket, id: &SocketRef, recovered: bool) {
        let _ = (socket, id, recovered);
    }

    fn event(&self, socket: &Self::Socket, event: Event) -> Step<()>;

    /// How the flight recorder of a connection calls an event of a client.
    fn event_code(&self, event: &str) -> u8 {
        let _ = event;
        0
    }

    /// How the connection was in the end. Called right before [`Application::disconnect`].
    fn parted(&self, socket: &Self::Socket, id: &SocketRef, reason: &DisconnectReason, look: &Look) {
        let _ = (socket, id, reason, look);
    }

    /// The socket is no more. `traffic` is that of its connection, which may go on with others.
    fn disconnect(&self, socket: &Self::Socket, id: &SocketRef, reason: &DisconnectReason, traffic: Traffic);

    /// Where another node of the same engine takes requests. A request for a session that it owns, which it says in the
    /// session's id, is passed on there. Asked for each such request, with whatever name a client made up.
    fn address_of(&self, node: &str) -> Option<SocketAddr> {
        let _ = node;
        None
    }

    /// The socket was behind, and can take events again. `offset` is that of the last reliable event that was
    /// queued to it. The application answers by `Handle::refill`, once, now or later; until then it is not asked again.
    fn refill(&self, socket: &Self::Socket, id: &SocketRef, offset: Option<&str>);
}

/// Which protocol the client speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    SocketIo,
    /// Plain JSON over a websocket, at `/ws`.
    Raw,
}

pub struct ConnectRequest {
    /// The socket as it will be named if it is admitted as a new one; see [`ConnectRequest::recovered_socket`].
    pub socket: SocketRef,
    pub namespace: Arc<str>,
    /// What the client sent along: the text of a JSON object.
    pub auth: Option<String>,
    pub handshake: Arc<Handshake>,
    /// The client holds a genuine ticket of an earlier socket, and wants to go on from there.
    pub resume: Option<Resume>,
    pub kind: Kind,
}

/// What is kept of the HTTP request until a namespace was entered.
#[derive(Debug)]
pub struct Handshake {
    pub peer: SocketAddr,
    pub query: String,
    /// Those of [`crate::KEPT_HEADERS`] that were sent, with names in lower case.
    pub headers: Vec<(&'static str, String)>,
}

impl Handshake {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }
}

impl ConnectRequest {
    /// The socket as it will be named if it is admitted as recovered: it then has its earlier id again.
    pub fn recovered_socket(&self) -> Option<SocketRef> {
        self.resume.as_ref().map(|resume| SocketRef { id: resume.socket_id, ..self.socket })
    }
}

#[derive(Debug)]
pub struct Resume {
    pub socket_id: SocketId,
    /// What the application had sealed into the ticket.
    pub payload: Vec<u8>,
    /// The token at the end of the last reliable event that the client got.
    pub offset: Option<String>,
}

pub struct Admission<S> {
    pub socket: S,
    /// Whether this is the socket of the ticket, continued. It then keeps its id and its ticket.
    pub recovered: bool,
    /// What to seal into the ticket; none: this socket cannot be recovered.
    pub ticket: Option<TicketClaims>,
}

pub struct TicketClaims {
    pub payload: Vec<u8>,
    /// Unix seconds after which the ticket opens nothing.
    pub expires: u64,
}

#[derive(Debug)]
pub struct Refusal {
    pub message: String,
    /// The text of a JSON value that says more.
    pub data: Option<String>,
    /// Close the whole connection. If it is one to come back from, the stock client is not told that it was refused,
    /// which it would take as final.
    pub close: Option<Close>,
}

pub struct Event {
    pub socket: SocketRef,
    pub namespace: Arc<str>,
    pub args: Args,
    /// Present if the client waits for an answer.
    pub ack: Option<AckReply>,
}

impl Event {
    pub fn name(&self) -> &str {
        self.args.name().unwrap_or_default()
    }
}

/// What went over a connection since it began, in bytes of its transport: frames of a websocket, bodies of polls and posts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub received_bytes: u64,
    pub sent_bytes: u64,
}

/// Why a socket ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DisconnectReason {
    /// The client left the namespace.
    ClientLeft,
    /// The client's end of the transport was closed.
    TransportClosed,
    /// Reading or writing failed.
    TransportError,
    PingTimeout,
    /// The client sent what the protocol does not allow.
    ProtocolError(String),
    /// The client did not read fast enough.
    SlowReader,
    /// The application closed it.
    Server {
        code: u16,
        reason: String,
    },
    /// The node is going down.
    Shutdown,
}

impl DisconnectReason {
    /// The application panicked over it.
    pub(crate) fn internal() -> Self {
        Self::ProtocolError("internal".to_owned())
    }

    /// A constant name, fit for a metric's label.
    pub fn slug(&self) -> &'static str {
        match self {
            Self::ClientLeft => "client_left",
            Self::TransportClosed => "transport_closed",
            Self::TransportError => "transport_error",
            Self::PingTimeout => "ping_timeout",
            Self::ProtocolError(_) => "protocol_error",
            Self::SlowReader => "slow_reader",
            Self::Server { .. } => "server",
            Self::Shutdown => "shutdown",
        }
    }
}
