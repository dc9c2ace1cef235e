//! HTTP in front of the sessions: handshakes, polls, posts. hyper reads the requests.

use std::cell::Cell;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE,
    RETRY_AFTER,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tower_service::Service as _;

use super::caller::Caller;
use super::cors::{self, Access};
use super::forward::{Errand, Forwarder};
use super::heard::Heard;
use super::mark;
use super::open::Open;
use super::query::Query;
use super::timely::Timely;
use super::upgrade::{Target, websocket};
use crate::application::{Application, Handshake};
use crate::arrival::Noticed;
use crate::command::{Command, PollRequest};
use crate::config::EngineConfig;
use crate::ids::{Bearer, SessionAddress, Shown};
use crate::polling::{HttpFault, PollAnswer};
use crate::shard::{Begun, Shard};

/// The headers of a handshake that the application gets to see.
pub const KEPT_HEADERS: [&str; 6] =
    ["authorization", "origin", "user-agent", "x-forwarded-for", "forwarded", "x-request-id"];

/// What an application's router finds in its requests' extensions: whose they are, as [`Application::client_of`] says.
#[derive(Clone, Copy, Debug)]
pub struct PeerAddress(pub SocketAddr);

const SOCKET_IO_PATHS: [&str; 2] = ["/socket.io/", "/socket.io"];
const RAW_PATH: &str = "/ws";
/// How long to leave the listener alone when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

pub(super) async fn accept<A: Application>(front: Rc<Front<A>>, listener: TcpListener) {
    let shard = &front.shard;
    loop {
        match listener.accept().await {
            Ok(_) if shard.is_out_of_sockets() => shard.counters.connections_refused_full.add(1),
            Ok((stream, peer)) => {
                // Before anything is read of it, and before it costs more than this.
                let Some(caller) = Caller::knocks(shard, peer) else { continue };
                let open = Open::count(&shard.counters);
                tokio::task::spawn_local(serve(Rc::clone(&front), open, stream, caller));
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "connection not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// What the requests of a shard's listener have in common.
pub(super) struct Front<A: Application> {
    pub(super) shard: Rc<Shard<A>>,
    pub(super) router: Router,
    pub(super) forwarder: Forwarder,
}

async fn serve<A: Application>(front: Rc<Front<A>>, _open: Open, mut stream: TcpStream, caller: Caller) {
    let shard = &front.shard;
    let config = &shard.config;
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let Some(caller) = caller.introduced(shard, &mut stream).await else { return };
    let peer = caller.peer;
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(config.http_header_timeout)
        .max_buf_size(config.http_header_bytes_max.max(8 * 1024));
    let service = service_fn(|request| {
        let (front, caller) = (Rc::clone(&front), caller.clone());
        async move { Ok::<_, Infallible>(answer(&front, &caller, request).await) }
    });
    let talk = caller.talk.clone();
    let stream = Heard::new(stream, talk.clone());
    // Whatever ends a connection badly is the client's business, and hyper has told it.
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service).with_upgrades().await {
        if error.is_timeout() {
            shard.counters.requests_timed_out.add(1);
            // A browser keeps connections at hand on which it asks nothing.
            if talk.is_unanswered() {
                shard.notice(peer.ip(), Noticed::SlowSender);
            }
        } else if error.is_parse() {
            // Whose it was, nobody could read: of a proxy's connection it is the proxy's.
            shard.notice(
                peer.ip(),
                if error.is_parse_too_large() { Noticed::TooLarge } else { Noticed::Malformed },
            );
        }
        tracing::trace!(error = &error as &dyn std::error::Error, "http connection ended");
    }
}

async fn answer<A: Application>(
    front: &Front<A>,
    caller: &Caller,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let shard = &front.shard;
    let path = request.uri().path();
    let (raw, socket_io) = (path == RAW_PATH, SOCKET_IO_PATHS.contains(&path));
    let sealed = if socket_io { front.forwarder.sealed_client(&request) } else { None };
    let client = sealed.unwrap_or_else(|| shard.client_of(caller.peer, request.headers()));
    if let Err(turned) = shard.may_ask(client.ip()) {
        return respond(PollAnswer::turned_away(&turned));
    }
    if !raw && !socket_io {
        request.extensions_mut().insert(PeerAddress(client));
        let _underway = Underway::begin(&shard.requests_now);
        let Ok(response) = front.router.clone().call(request.map(|body| timely(shard, client, body))).await;
        return response;
    }
    let access = cors::access(&shard.config.origins, request.headers());
    if access == Access::Refused {
        shard.counters.origins_refused.add(1);
        shard.notice(client.ip(), Noticed::OriginRefused);
        return respond(HttpFault::Forbidden.answer());
    }
    if request.method() == Method::OPTIONS {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        access.allow_requests(response.headers_mut());
        return response;
    }
    let caller = Caller { peer: client, ..caller.clone() };
    let mut response = if raw {
        websocket(shard, &caller, &mut request, &Target::Raw)
    } else {
        engine_io(front, &caller, request).await
    };
    access.allow(response.headers_mut());
    response
}

/// A request that is being worked on: a server that leaves waits for it.
struct Underway<'a>(&'a Cell<u32>);

impl<'a> Underway<'a> {
    fn begin(count: &'a Cell<u32>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// What the router reads of a body has to be there in time, whatever it makes of it.
fn timely<A: Application>(shard: &Rc<Shard<A>>, client: SocketAddr, body: Incoming) -> Body {
    if body.is_end_stream() {
        return Body::empty();
    }
    let (app, counters) = (Arc::clone(&shard.app), Arc::clone(&shard.counters));
    Body::new(Timely::new(body, shard.config.http_body_timeout, move || {
        counters.requests_timed_out.add(1);
        app.noticed(client.ip(), Noticed::SlowSender);
    }))
}

/// A session that a request names.
#[derive(Clone, Copy)]
enum Named {
    /// One of this node: its shard, and what the request shows for itself.
    Ours(usize, Shown),
    /// One of the node at this address.
    Elsewhere(SocketAddr),
}

async fn engine_io<A: Application>(
    front: &Front<A>,
    caller: &Caller,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let (shard, forwarder) = (&front.shard, &front.forwarder);
    let query_text = request.uri().query().unwrap_or_default().to_owned();
    let query = Query::parse(&query_text);
    if query.version != Some("4") {
        return respond(HttpFault::UnsupportedVersion.answer());
    }
    let sid = query.sid.unwrap_or_default();
    let session = match query.sid.map(|sid| named(shard, sid, request.headers())) {
        None => None,
        Some(Some(Named::Ours(owner, shown))) => Some((owner, shown)),
        Some(Some(Named::Elsewhere(owner))) => {
            let errand = Errand { owner, sid, caller, websocket: query.transport == Some("websocket") };
            return forwarder.pass_on(shard, &errand, query.transport, request).await;
        }
        Some(None) => {
            shard.notice(caller.peer.ip(), Noticed::SessionUnknown);
            return respond(HttpFault::SessionUnknown.answer());
        }
    };
    let asked = Asked { shard, client: caller.peer.ip() };
    match (query.transport, session, request.method()) {
        (Some("websocket"), session, &Method::GET) => {
            if let Some((owner, shown)) = session {
                let answer = asked.poll(owner, shown, PollRequest::Upgrade).await;
                if answer.status != StatusCode::OK.as_u16() {
                    return respond(answer);
                }
            }
            let target =
                session.map_or(Target::NewSession, |(shard, shown)| Target::Session(shard, shown.secret));
            websocket(shard, caller, &mut request, &target)
        }
        (Some("polling"), None, &Method::GET) => {
            let arrival = match shard.arrives(caller.peer.ip()) {
                Ok(arrival) => arrival,
                Err(turned) => return respond(PollAnswer::turned_away(&turned)),
            };
            let handshake = Arc::new(kept(&request, caller.peer));
            let begin =
                |place| shard.open_polling(Begun { handshake, visit: None, arrival: Some(arrival), place });
            match shard.may_begin().and_then(begin) {
                Ok(open) => respond(PollAnswer::packets(open.into_bytes(), None)),
                Err(fault) => respond(fault.answer()),
            }
        }
        (Some("polling"), Some((owner, shown)), &Method::GET) => {
            let gzip = accepts_gzip(request.headers());
            respond(asked.poll(owner, shown, PollRequest::Get { gzip }).await)
        }
        (Some("polling"), Some((owner, shown)), &Method::POST) => match asked.body(request).await {
            Ok(body) => respond(asked.poll(owner, shown, PollRequest::Post { body }).await),
            Err(fault) => respond(fault.answer()),
        },
        (Some("polling" | "websocket"), _, _) => respond(HttpFault::BadMethod.answer()),
        _ => respond(HttpFault::TransportUnknown.answer()),
    }
}

/// None: the session is nobody's. What was forwarded goes no further.
fn named<A: Application>(shard: &Shard<A>, sid: &str, headers: &HeaderMap) -> Option<Named> {
    let address = SessionAddress::parse(sid)?;
    let owner = usize::from(address.shard);
    if address.node == shard.config.node {
        let header = headers.get(AUTHORIZATION).and_then(|header| header.to_str().ok());
        let shown = Shown { secret: address.secret, bearer: header.map(Bearer::of) };
        return (owner < shard.config.shards).then_some(Named::Ours(owner, shown));
    }
    if mark::is_marked(headers) {
        return None;
    }
    shard.address_of(address.node).map(Named::Elsewhere)
}

/// A request of a session.
struct Asked<'a, A: Application> {
    shard: &'a Rc<Shard<A>>,
    client: IpAddr,
}

impl<A: Application> Asked<'_, A> {
    /// On this shard, or handed over to the one that has the session.
    async fn poll(&self, owner: usize, shown: Shown, request: PollRequest) -> PollAnswer {
        let answer = self.answered(owner, shown, request).await;
        if answer.session_unknown {
            self.shard.notice(self.client, Noticed::SessionUnknown);
        }
        answer
    }

    async fn answered(&self, owner: usize, shown: Shown, request: PollRequest) -> PollAnswer {
        let shard = self.shard;
        if owner != usize::from(shard.index) {
            shard.counters.handed_over.add(1);
            let (reply, received) = oneshot::channel();
            if shard.handle.try_send(owner, Command::Poll { shown, request, reply }).is_err() {
                return HttpFault::Full.answer();
            }
            return received.await.unwrap_or_else(|_| HttpFault::SessionUnknown.answer());
        }
        match request {
            PollRequest::Get { gzip } => shard.get(shown, gzip).await,
            PollRequest::Post { body } => shard.post(shown, body).await,
            PollRequest::Upgrade => shard.may_upgrade(shown),
        }
    }

    async fn body(&self, request: Request<Incoming>) -> Result<Bytes, HttpFault> {
        let config = &self.shard.config;
        let max = body_bytes_max(config);
        let too_large = || {
            self.shard.notice(self.client, Noticed::TooLarge);
            HttpFault::TooLarge
        };
        if announced_bytes(&request) > max as u64 {
            return Err(too_large());
        }
        let collected = Limited::new(request.into_body(), max).collect();
        match tokio::time::timeout(config.http_body_timeout, collected).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
            Ok(Err(_)) => Err(HttpFault::BadRequest),
            Err(_) => {
                self.shard.counters.requests_timed_out.add(1);
                self.shard.notice(self.client, Noticed::SlowSender);
                Err(HttpFault::BadRequest)
            }
        }
    }
}

/// The stock client fills a body by its own count, which for base64 comes out a few percent short.
pub(super) fn body_bytes_max(config: &EngineConfig) -> usize {
    config.payload_bytes_max + config.payload_bytes_max / 8
}

pub(super) fn announced_bytes(request: &Request<Incoming>) -> u64 {
    let length = request.headers().get(CONTENT_LENGTH);
    length.and_then(|length| length.to_str().ok()?.parse().ok()).unwrap_or(0)
}

/// Copies: a header value or a URI that is kept would keep hyper's whole read buffer.
pub(super) fn kept(request: &Request<Incoming>, peer: SocketAddr) -> Handshake {
    let headers = KEPT_HEADERS
        .iter()
        .filter_map(|name| {
            let value = request.headers().get(*name)?.to_str().ok()?;
            Some((*name, value.to_owned()))
        })
        .collect();
    Handshake { peer, query: request.uri().query().unwrap_or_default().to_owned(), headers }
}

pub(super) fn respond(answer: PollAnswer) -> Response<Body> {
    let PollAnswer { status, body, gzip, json, retry_after, .. } = answer;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).expect("our own statuses are valid");
    let headers = response.headers_mut();
    let kind = if json { "application/json" } else { "text/plain; charset=UTF-8" };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if let Some(wait) = retry_after {
        // In whole seconds (RFC 9110 10.2.3), and not before it is due.
        headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_millis().div_ceil(1_000).max(1) as u64));
    }
    response
}

/// Whether a comma-separated header holds a token, in any case.
pub(super) fn lists(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    lists(headers, &ACCEPT_ENCODING, "gzip")
}
