//! HTTP in front of the sessions: handshakes, polls, posts. hyper reads the requests.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tower_service::Service as _;

use super::cors::{self, Access};
use super::forward::{Errand, Forwarder};
use super::mark;
use super::open::Open;
use super::query::Query;
use super::upgrade::{Target, websocket};
use crate::application::{Application, Handshake};
use crate::command::{Command, PollRequest};
use crate::config::EngineConfig;
use crate::ids::{SessionAddress, SessionSecret};
use crate::polling::{HttpFault, PollAnswer};
use crate::shard::Shard;

/// The headers of a handshake that the application gets to see.
pub const KEPT_HEADERS: [&str; 6] =
    ["authorization", "origin", "user-agent", "x-forwarded-for", "forwarded", "x-request-id"];

/// What an application's router finds in its requests' extensions: the other end of the connection.
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
                let open = Open::count(&shard.counters);
                tokio::task::spawn_local(serve(Rc::clone(&front), open, stream, peer));
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

async fn serve<A: Application>(front: Rc<Front<A>>, _open: Open, stream: TcpStream, peer: SocketAddr) {
    let config = &front.shard.config;
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(config.http_header_timeout)
        .max_buf_size(config.http_header_bytes_max.max(8 * 1024));
    let service = service_fn(|request| {
        let front = Rc::clone(&front);
        async move { Ok::<_, Infallible>(answer(&front, peer, request).await) }
    });
    // Whatever ends a connection badly is the client's business, and hyper has told it.
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service).with_upgrades().await {
        tracing::trace!(error = &error as &dyn std::error::Error, "http connection ended");
    }
}

async fn answer<A: Application>(
    front: &Front<A>,
    peer: SocketAddr,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let shard = &front.shard;
    let path = request.uri().path();
    let raw = path == RAW_PATH;
    if !raw && !SOCKET_IO_PATHS.contains(&path) {
        request.extensions_mut().insert(PeerAddress(peer));
        let Ok(response) = front.router.clone().call(request.map(Body::new)).await;
        return response;
    }
    let access = cors::access(&shard.config.origins, request.headers());
    if access == Access::Refused {
        return respond(HttpFault::Forbidden.answer());
    }
    if request.method() == Method::OPTIONS {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        access.allow_requests(response.headers_mut());
        return response;
    }
    let mut response = if raw {
        websocket(shard, peer, &mut request, &Target::Raw)
    } else {
        engine_io(front, peer, request).await
    };
    access.allow(response.headers_mut());
    response
}

/// A session that a request names.
#[derive(Clone, Copy)]
enum Named {
    /// One of this node: its shard, and its secret.
    Ours(usize, SessionSecret),
    /// One of the node at this address.
    Elsewhere(SocketAddr),
}

async fn engine_io<A: Application>(
    front: &Front<A>,
    peer: SocketAddr,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let (shard, forwarder) = (&front.shard, &front.forwarder);
    let query_text = request.uri().query().unwrap_or_default().to_owned();
    let query = Query::parse(&query_text);
    if query.version != Some("4") {
        return respond(HttpFault::UnsupportedVersion.answer());
    }
    let sid = query.sid.unwrap_or_default();
    let peer = forwarder.marks.peer(request.headers(), sid).unwrap_or(peer);
    let session = match query.sid.map(|sid| named(shard, sid, request.headers())) {
        None => None,
        Some(Some(Named::Ours(owner, secret))) => Some((owner, secret)),
        Some(Some(Named::Elsewhere(owner))) => {
            let errand = Errand { owner, sid, peer, websocket: query.transport == Some("websocket") };
            return forwarder.pass_on(shard, &errand, query.transport, request).await;
        }
        Some(None) => return respond(HttpFault::SessionUnknown.answer()),
    };
    match (query.transport, session, request.method()) {
        (Some("websocket"), session, &Method::GET) => {
            if let Some((owner, secret)) = session {
                let answer = poll(shard, owner, secret, PollRequest::Upgrade).await;
                if answer.status != StatusCode::OK.as_u16() {
                    return respond(answer);
                }
            }
            let target = session.map_or(Target::NewSession, |(shard, secret)| Target::Session(shard, secret));
            websocket(shard, peer, &mut request, &target)
        }
        (Some("polling"), None, &Method::GET) => {
            let opened = shard.may_begin().and_then(|()| shard.open_polling(Arc::new(kept(&request, peer))));
            match opened {
                Ok(open) => respond(PollAnswer::packets(open.into_bytes(), None)),
                Err(fault) => respond(fault.answer()),
            }
        }
        (Some("polling"), Some((owner, secret)), &Method::GET) => {
            let gzip = accepts_gzip(request.headers());
            respond(poll(shard, owner, secret, PollRequest::Get { gzip }).await)
        }
        (Some("polling"), Some((owner, secret)), &Method::POST) => match body(shard, request).await {
            Ok(body) => respond(poll(shard, owner, secret, PollRequest::Post { body }).await),
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
        return (owner < shard.config.shards).then_some(Named::Ours(owner, address.secret));
    }
    if mark::is_marked(headers) {
        return None;
    }
    shard.address_of(address.node).map(Named::Elsewhere)
}

/// On this shard, or handed over to the one that has the session.
async fn poll<A: Application>(
    shard: &Rc<Shard<A>>,
    owner: usize,
    secret: SessionSecret,
    request: PollRequest,
) -> PollAnswer {
    if owner != usize::from(shard.index) {
        shard.counters.handed_over.add(1);
        let (reply, received) = oneshot::channel();
        if shard.handle.try_send(owner, Command::Poll { secret, request, reply }).is_err() {
            return HttpFault::Full.answer();
        }
        return received.await.unwrap_or_else(|_| HttpFault::SessionUnknown.answer());
    }
    match request {
        PollRequest::Get { gzip } => shard.get(secret, gzip).await,
        PollRequest::Post { body } => shard.post(secret, body).await,
        PollRequest::Upgrade => shard.may_upgrade(secret),
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

async fn body<A: Application>(shard: &Rc<Shard<A>>, request: Request<Incoming>) -> Result<Bytes, HttpFault> {
    let max = body_bytes_max(&shard.config);
    if announced_bytes(&request) > max as u64 {
        return Err(HttpFault::TooLarge);
    }
    let collected = tokio::time::timeout(
        shard.config.http_body_timeout,
        Limited::new(request.into_body(), max).collect(),
    );
    match collected.await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(HttpFault::TooLarge),
        Ok(Err(_)) | Err(_) => Err(HttpFault::BadRequest),
    }
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
    let PollAnswer { status, body, gzip, json, retry_after } = answer;
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
