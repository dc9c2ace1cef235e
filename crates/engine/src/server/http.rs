//! HTTP in front of the sessions: handshakes, polls, posts, upgrades. hyper reads the requests; once a websocket is
//! agreed on, the bare socket is taken back, and hyper's task and buffers are gone.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER,
    SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tower_service::Service as _;

use super::cors::{self, Access};
use super::query::Query;
use crate::application::{Application, Handshake, Kind};
use crate::command::{Command, PollRequest};
use crate::frame::handshake;
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

pub(super) async fn accept<A: Application>(shard: Rc<Shard<A>>, listener: TcpListener, router: Router) {
    loop {
        match listener.accept().await {
            Ok(_) if shard.is_out_of_sockets() => shard.counters.connections_refused_full.add(1),
            Ok((stream, peer)) => {
                tokio::task::spawn_local(serve(Open::count(&shard), stream, peer, router.clone()));
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "connection not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A socket that speaks HTTP.
struct Open<A: Application>(Rc<Shard<A>>);

impl<A: Application> Open<A> {
    fn count(shard: &Rc<Shard<A>>) -> Self {
        shard.http_sockets.set(shard.http_sockets.get() + 1);
        Self(Rc::clone(shard))
    }
}

impl<A: Application> Drop for Open<A> {
    fn drop(&mut self) {
        self.0.http_sockets.set(self.0.http_sockets.get() - 1);
    }
}

async fn serve<A: Application>(open: Open<A>, stream: TcpStream, peer: SocketAddr, router: Router) {
    let shard = Rc::clone(&open.0);
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(shard.config.http_header_timeout)
        .max_buf_size(shard.config.http_header_bytes_max.max(8 * 1024));
    let service = service_fn(move |request| {
        let (shard, router) = (Rc::clone(&shard), router.clone());
        async move { Ok::<_, Infallible>(answer(shard, router, peer, request).await) }
    });
    // Whatever ends a connection badly is the client's business, and hyper has told it.
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service).with_upgrades().await {
        tracing::trace!(error = &error as &dyn std::error::Error, "http connection ended");
    }
}

async fn answer<A: Application>(
    shard: Rc<Shard<A>>,
    mut router: Router,
    peer: SocketAddr,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let path = request.uri().path();
    let raw = path == RAW_PATH;
    if !raw && !SOCKET_IO_PATHS.contains(&path) {
        request.extensions_mut().insert(PeerAddress(peer));
        let Ok(response) = router.call(request.map(Body::new)).await;
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
        websocket(&shard, peer, &mut request, &Target::Raw)
    } else {
        engine_io(&shard, peer, request).await
    };
    access.allow(response.headers_mut());
    response
}

async fn engine_io<A: Application>(
    shard: &Rc<Shard<A>>,
    peer: SocketAddr,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let query_text = request.uri().query().unwrap_or_default().to_owned();
    let query = Query::parse(&query_text);
    if query.version != Some("4") {
        return respond(HttpFault::UnsupportedVersion.answer());
    }
    let session = match query.sid {
        None => None,
        Some(sid) => match SessionAddress::parse(sid).filter(|address| is_ours(shard, address)) {
            Some(address) => Some((usize::from(address.shard), address.secret)),
            None => return respond(HttpFault::SessionUnknown.answer()),
        },
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
            let handshake = Arc::new(kept(&request, peer));
            match shard.open_polling(handshake) {
                Ok(open) => respond(PollAnswer::packets(open.into_bytes(), None)),
                Err(fault) => {
                    shard.counters.connections_refused_full.add(1);
                    respond(fault.answer())
                }
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

fn is_ours<A: Application>(shard: &Shard<A>, address: &SessionAddress<'_>) -> bool {
    address.node == shard.config.node && usize::from(address.shard) < shard.config.shards
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

async fn body<A: Application>(shard: &Rc<Shard<A>>, request: Request<Incoming>) -> Result<Bytes, HttpFault> {
    // The stock client fills a body by its own count, which for base64 comes out a few percent short.
    let max = shard.config.payload_bytes_max + shard.config.payload_bytes_max / 8;
    let announced =
        request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|bytes: u64| bytes > max as u64) {
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

/// What an agreed websocket is for.
enum Target {
    Raw,
    NewSession,
    /// The shard that has the session, and the session's secret.
    Session(usize, SessionSecret),
}

fn websocket<A: Application>(
    shard: &Rc<Shard<A>>,
    peer: SocketAddr,
    request: &mut Request<Incoming>,
    target: &Target,
) -> Response<Body> {
    let headers = request.headers();
    let wants_websocket = request.method() == Method::GET
        && lists(headers, &UPGRADE, "websocket")
        && lists(headers, &CONNECTION, "upgrade");
    if !wants_websocket {
        return if matches!(target, Target::Raw) {
            upgrade_required()
        } else {
            respond(HttpFault::BadRequest.answer())
        };
    }
    let version = text(headers, &SEC_WEBSOCKET_VERSION).unwrap_or_default();
    if handshake::version(version).is_err() {
        return upgrade_required();
    }
    let Some(Ok(accept)) = text(headers, &SEC_WEBSOCKET_KEY).map(handshake::accept) else {
        return respond(HttpFault::BadRequest.answer());
    };
    if matches!(target, Target::NewSession | Target::Raw) && shard.is_full() {
        shard.counters.connections_refused_full.add(1);
        return respond(HttpFault::Full.answer());
    }
    let offers = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter().filter_map(|value| value.to_str().ok());
    let deflate = shard
        .config
        .compression_threshold
        .and_then(|_| offers.into_iter().find_map(handshake::negotiate_deflate));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answers = response.headers_mut();
    answers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    answers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    answers.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_str(&accept).expect("base64 is a header value"));
    if let Some(agreed) = deflate {
        answers.insert(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(agreed));
    }
    let kept = Arc::new(kept(request, peer));
    let upgrade = hyper::upgrade::on(request);
    tokio::task::spawn_local(take_over(
        Rc::clone(shard),
        upgrade,
        kept,
        deflate.is_some(),
        match target {
            Target::Raw => Target::Raw,
            Target::NewSession => Target::NewSession,
            Target::Session(owner, secret) => Target::Session(*owner, *secret),
        },
    ));
    response
}

/// Once the 101 is out, the socket is ours.
async fn take_over<A: Application>(
    shard: Rc<Shard<A>>,
    upgrade: OnUpgrade,
    handshake: Arc<Handshake>,
    deflate: bool,
    target: Target,
) {
    let Ok(upgraded) = upgrade.await else { return };
    let parts = upgraded.downcast::<TokioIo<TcpStream>>().expect("that is what was served");
    let (stream, unread) = (parts.io.into_inner(), parts.read_buf);
    match target {
        Target::Raw => shard.open_websocket(stream, &unread, deflate, Kind::Raw, handshake),
        Target::NewSession => shard.open_websocket(stream, &unread, deflate, Kind::SocketIo, handshake),
        Target::Session(owner, secret) if owner == usize::from(shard.index) => {
            shard.attach(secret, stream, unread, deflate);
        }
        Target::Session(owner, secret) => {
            shard.counters.handed_over.add(1);
            let Ok(stream) = stream.into_std() else { return };
            shard.handle.send(owner, Command::Attach { secret, stream, unread, deflate });
        }
    }
}

/// Copies: a header value or a URI that is kept would keep hyper's whole read buffer.
fn kept(request: &Request<Incoming>, peer: SocketAddr) -> Handshake {
    let headers = KEPT_HEADERS
        .iter()
        .filter_map(|name| {
            let value = request.headers().get(*name)?.to_str().ok()?;
            Some((*name, value.to_owned()))
        })
        .collect();
    Handshake { peer, query: request.uri().query().unwrap_or_default().to_owned(), headers }
}

fn respond(answer: PollAnswer) -> Response<Body> {
    let PollAnswer { status, body, gzip, json } = answer;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).expect("our own statuses are valid");
    let headers = response.headers_mut();
    let kind = if json { "application/json" } else { "text/plain; charset=UTF-8" };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}

fn upgrade_required() -> Response<Body> {
    let mut response = respond(HttpFault::BadRequest.answer());
    *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    response
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Whether a comma-separated header holds a token, in any case.
fn lists(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    lists(headers, &ACCEPT_ENCODING, "gzip")
}
