//! Requests for sessions that another node owns: they are passed on to it, so that polling works behind a balancer that
//! knows nothing of sessions. One hop only.
//!
//! A node that cannot be reached has lost its sessions, as far as the client is concerned: it is answered as for any
//! unknown session, and starts over.

use std::error::Error;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::{LengthLimitError, Limited};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{HttpConnector, HttpInfo};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use turnpike_passage::{drop_hop_by_hop, keep_upgrade};

use super::caller::Caller;
use super::http::{announced_bytes, body_bytes_max, respond};
use super::mark::{self, Marks};
use super::open::Open;
use super::query::Query;
use super::tunnel;
use crate::application::Application;
use crate::config::EngineConfig;
use crate::polling::HttpFault;
use crate::shard::Shard;

/// Of a node in the same network.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Connections to one node that are kept for the next request. More are opened when they are needed, as far as there may
/// be sockets, and closed after their request.
const IDLE_PER_NODE_MAX: usize = 32;
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// Else what an owner writes to a client that does not read would pile up here, unseen by its write deadline.
const RECEIVE_BUFFER_BYTES: usize = 64 * 1024;
/// For the owner to find that a client is gone, before this node gives up its answer.
const SPARE: Duration = Duration::from_secs(10);

/// A shard's way to other nodes.
pub(super) struct Forwarder {
    client: Client<HttpConnector, Limited<Incoming>>,
    marks: Marks,
    /// Longer than any poll waits.
    timeout: Duration,
    body_bytes_max: usize,
}

/// A request that is to be forwarded.
pub(super) struct Errand<'a> {
    pub(super) owner: SocketAddr,
    pub(super) sid: &'a str,
    /// Whose it is.
    pub(super) caller: &'a Caller,
    pub(super) websocket: bool,
}

impl Forwarder {
    /// On the thread of its shard.
    pub(super) fn new(config: &EngineConfig) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_keepalive(Some(config.ping_interval));
        connector.set_send_buffer_size(config.send_buffer_bytes.map(|bytes| bytes / 2));
        connector.set_recv_buffer_size(Some(RECEIVE_BUFFER_BYTES));
        #[cfg(target_os = "linux")]
        connector.set_tcp_user_timeout(Some(config.ping_interval + config.ping_timeout));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            // The owner gives up idle connections as well. It must not be first: a request that meets the end of its
            // connection is lost.
            .pool_idle_timeout(IDLE_TIMEOUT.min(config.http_header_timeout / 2))
            .pool_max_idle_per_host(IDLE_PER_NODE_MAX)
            .build(connector);
        Self {
            client,
            marks: Marks::new(&config.ticket_secrets),
            timeout: config.ping_interval + config.ping_timeout + config.http_body_timeout + SPARE,
            body_bytes_max: body_bytes_max(config),
        }
    }

    /// Whose a request is that another node passed on, if it says so under the seal that nodes share.
    pub(super) fn sealed_client(&self, request: &Request<Incoming>) -> Option<SocketAddr> {
        if !mark::is_marked(request.headers()) {
            return None;
        }
        let sid = Query::parse(request.uri().query()?).sid?;
        self.marks.peer(request.headers(), sid)
    }

    /// What cannot be answered in any other way is answered here.
    pub(super) async fn pass_on<A: Application>(
        &self,
        shard: &Rc<Shard<A>>,
        errand: &Errand<'_>,
        transport: Option<&str>,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let method = request.method();
        let fit = match transport {
            Some("polling") => method == Method::GET || method == Method::POST,
            Some("websocket") => method == Method::GET,
            _ => return respond(HttpFault::TransportUnknown.answer()),
        };
        if !fit {
            return respond(HttpFault::BadMethod.answer());
        }
        if announced_bytes(&request) > self.body_bytes_max as u64 {
            return respond(HttpFault::TooLarge.answer());
        }
        self.forward(shard, errand, request).await
    }

    /// Passes the request on and gives the owner's answer. Dropped before that, it hangs up on the owner, which then
    /// knows that the client did.
    async fn forward<A: Application>(
        &self,
        shard: &Rc<Shard<A>>,
        errand: &Errand<'_>,
        mut request: Request<Incoming>,
    ) -> Response<Body> {
        if shard.is_out_of_sockets() {
            shard.counters.connections_refused_full.add(1);
            return respond(HttpFault::Full.answer());
        }
        let open = Open::count(&shard.counters);
        shard.counters.forwarded.add(1);
        let client = errand.websocket.then(|| hyper::upgrade::on(&mut request));
        let Some(request) = self.passed_on(errand, request) else {
            shard.counters.forwards_failed.add(1);
            return respond(HttpFault::SessionUnknown.answer());
        };
        let answered = tokio::time::timeout(self.timeout, self.client.request(request));
        let mut response = match answered.await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) if is_too_large(&error) => return respond(HttpFault::TooLarge.answer()),
            Ok(Err(error)) => {
                tracing::debug!(error = &error as &dyn Error, owner = %errand.owner, "request not forwarded");
                shard.counters.forwards_failed.add(1);
                return respond(HttpFault::SessionUnknown.answer());
            }
            Err(_) => {
                shard.counters.forwards_failed.add(1);
                return respond(HttpFault::SessionUnknown.answer());
            }
        };
        response.extensions_mut().remove::<HttpInfo>();
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            drop_hop_by_hop(response.headers_mut());
            return response.map(|body| Body::new(Passed { body, _open: open }));
        }
        let Some(client) = client else {
            // Nobody asked for it.
            shard.counters.forwards_failed.add(1);
            return respond(HttpFault::SessionUnknown.answer());
        };
        let owner = hyper::upgrade::on(&mut response);
        let visit = Arc::clone(&errand.caller.visit);
        tokio::task::spawn_local(tunnel::begin(Rc::clone(shard), client, owner, visit));
        response.map(|_| Body::empty())
    }

    /// None: the address has no place in a URI, as one with a scope.
    fn passed_on(
        &self,
        errand: &Errand<'_>,
        request: Request<Incoming>,
    ) -> Option<Request<Limited<Incoming>>> {
        let (mut parts, body) = request.into_parts();
        parts.version = Version::HTTP_11;
        parts.extensions.clear();
        let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        parts.uri = Uri::builder()
            .scheme("http")
            .authority(errand.owner.to_string())
            .path_and_query(target)
            .build()
            .ok()?;
        if errand.websocket {
            keep_upgrade(&mut parts.headers);
        } else {
            drop_hop_by_hop(&mut parts.headers);
        }
        self.marks.put(&mut parts.headers, errand.caller.peer, errand.sid);
        Some(Request::from_parts(parts, Limited::new(body, self.body_bytes_max)))
    }
}

fn is_too_large(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The owner's answer on its way to the client.
struct Passed {
    body: Incoming,
    _open: Open,
}

impl hyper::body::Body for Passed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
