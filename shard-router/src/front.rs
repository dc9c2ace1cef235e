//! Connections of clients and their requests, on one thread: where each goes, and its way there and back.

use std::convert::Infallible;
use std::error::Error as _;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{HttpConnector, HttpInfo};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use turnpike_guard::address::Proxies;
use turnpike_passage::{End, Unread, Untouched, drop_hop_by_hop, keep_upgrade, tunnel};

use crate::admission::Admission;
use crate::answer::{self, Said};
use crate::forwarded;
use crate::lines::{Lines, Open};
use crate::lookup::{self, Lookup};
use crate::metrics::Meters;
use crate::roster::Roster;
use crate::route::{Route, route};
use crate::way::Way;

/// Nodes are near. One whose machine is gone answers nothing at all, and the next one is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// How many nodes are tried for one request.
const TRIES_MAX: usize = 3;
/// Longer than any poll waits; a node that is gone is noticed sooner, by the cluster.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(2);
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const HEADER_BYTES_MAX: usize = 32 * 1024;
/// Connections to one node that are kept for the next request, and for how long: nodes give theirs up later.
const IDLE_PER_NODE_MAX: usize = 64;
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// When nobody is there: about as long as a node takes to be back.
const NOBODY_RETRY_AFTER_MS: u64 = 1_000;
/// After a failed accept (no file descriptor left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the threads have in common.
pub(crate) struct Shared {
    pub(crate) roster: Arc<Roster>,
    pub(crate) lines: Arc<Lines>,
    pub(crate) admission: Admission,
    pub(crate) lookup: Lookup,
    pub(crate) proxies: Proxies,
    pub(crate) meters: Meters,
    pub(crate) connections_max: usize,
}

/// One thread's.
pub(crate) struct Front {
    shared: Arc<Shared>,
    client: Client<HttpConnector, Unread>,
    stopped: watch::Receiver<bool>,
}

/// A node to go to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    /// This one or none: the session is there.
    Session(SocketAddr),
    /// This one if it is there, and else by the strategy.
    Rather(SocketAddr, String),
    /// By the strategy, for this key.
    Any(String),
}

impl Front {
    pub(crate) fn new(shared: Arc<Shared>, stopped: watch::Receiver<bool>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_NODE_MAX)
            .build(connector);
        Self { shared, client, stopped }
    }

    pub(crate) async fn accept(self: Rc<Self>, listener: TcpListener) {
        let mut stopped = self.stopped.clone();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stopped.wait_for(|stopped| *stopped) => return,
            };
            match accepted {
                // Closed at once: whoever is told nothing tries another router.
                Ok(_) if self.shared.lines.count() >= self.shared.connections_max => {
                    self.shared.meters.not_taken.inc();
                }
                Ok((stream, peer)) => {
                    tokio::task::spawn_local(Rc::clone(&self).serve(stream, peer));
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "connection not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve(self: Rc<Self>, stream: TcpStream, peer: SocketAddr) {
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let line = self.shared.lines.open();
        let service = service_fn(|request| {
            let (front, line) = (Rc::clone(&self), Arc::clone(&line));
            async move { Ok::<_, Infallible>(front.answer(request, peer, &line).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(HEADER_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        tokio::pin!(connection);
        let mut stopped = self.stopped.clone();
        // How a client leaves is of no interest.
        tokio::select! {
            _ = &mut connection => return,
            () = line.is_cut() => return,
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
        // What is under way is finished; an idle connection ends at once.
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            _ = connection => {}
            () = line.is_cut() => {}
        }
    }

    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr, line: &Arc<Open>) -> Response<Said> {
        let begun = Instant::now();
        let client = forwarded::client(&self.shared.proxies, peer, request.headers());
        let route = route(request.method(), request.uri().path(), request.uri().query());
        let slug = route.slug();
        let response = match self.target(route, client, request.uri().query()).await {
            Ok(target) => self.pass(request, target, client, line).await,
            Err(said) => *said,
        };
        self.shared.meters.answered(slug, response.status(), begun.elapsed());
        response
    }

    /// Where it goes; or an answer, if it goes nowhere.
    async fn target(
        &self,
        route: Route<'_>,
        client: IpAddr,
        query: Option<&str>,
    ) -> Result<Target, Box<Response<Said>>> {
        let Shared { roster, admission, lookup, meters, .. } = &*self.shared;
        let any = || Target::Any(client.to_string());
        match route {
            Route::Session { node } => {
                let node = roster.find(node).ok_or_else(|| Box::new(answer::session_unknown()))?;
                Ok(Target::Session(node))
            }
            Route::Begin { key } => match admission.admit(client) {
                Ok(()) => Ok(key.map_or_else(any, |key| Target::Any(key.to_owned()))),
                Err(later) => {
                    meters.refused(later.reason);
                    Err(Box::new(answer::later(later.status, later.retry_after_ms)))
                }
            },
            Route::Stream { stream, .. } => {
                let key = stream.to_owned();
                let relay = lookup.relay_of(stream).await;
                Ok(relay.map_or_else(|| Target::Any(key.clone()), |relay| Target::Rather(relay, key.clone())))
            }
            // Where it is gone, any other says that there is no such session.
            Route::Media { relay } => {
                let found = roster.find_relay(relay);
                Ok(found.map_or_else(any, |found| Target::Rather(found, client.to_string())))
            }
            Route::Lookup => Err(Box::new(lookup::answer(lookup, query).await)),
            Route::Anywhere => Ok(any()),
        }
    }

    /// To a node and back. One that is not there is nobody's fault, and another is tried where that makes sense.
    async fn pass(
        &self,
        mut request: Request<Incoming>,
        target: Target,
        client: IpAddr,
        line: &Arc<Open>,
    ) -> Response<Said> {
        let upgrade = hyper::upgrade::on(&mut request);
        let (mut head, body) = request.into_parts();
        let asks_for_more = keep_upgrade(&mut head.headers);
        forwarded::tell(&mut head.headers, client);
        head.version = Version::HTTP_11;
        head.extensions.clear();
        let path = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
        let body = Untouched::new(body);
        let (roster, meters) = (&self.shared.roster, &self.shared.meters);
        let (mut tried, mut refused) = (Vec::new(), None);
        while let Some((node, body)) = self.next(&target, &tried).zip(body.give()) {
            tried.push(node);
            let way = Way::through(line, node, &roster.load);
            let Some(uri) = uri(node, &path) else { break };
            head.uri = uri;
            let asked = self.client.request(Request::from_parts(head.clone(), body));
            let mut response = match tokio::time::timeout(ANSWER_TIMEOUT, asked).await {
                Ok(Ok(response)) => response,
                Ok(Err(error)) if error.is_connect() => {
                    meters.connect_failures.inc();
                    continue;
                }
                Ok(Err(error)) => {
                    tracing::debug!(%node, error = &error as &dyn std::error::Error, cause = ?error.source(), "request not passed on");
                    meters.broken.inc();
                    break;
                }
                Err(_) => {
                    meters.broken.inc();
                    break;
                }
            };
            meters.retries.inc_by(tried.len() as u64 - 1);
            response.extensions_mut().remove::<HttpInfo>();
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                if !asks_for_more {
                    break;
                }
                let node = hyper::upgrade::on(&mut response);
                tokio::task::spawn_local(join(upgrade, node, way));
                return response.map(|_| Said::Own(None));
            }
            drop_hop_by_hop(response.headers_mut());
            let is_refused = response.status() == StatusCode::SERVICE_UNAVAILABLE;
            let response = response.map(|body| Said::Passed(body, way));
            // It is full or leaves, and the cluster has not said so yet.
            if is_refused && !matches!(target, Target::Session(_)) {
                refused = Some(response);
                continue;
            }
            return response;
        }
        if let Some(refused) = refused {
            return refused;
        }
        match target {
            Target::Session(_) => answer::session_unknown(),
            Target::Rather(..) | Target::Any(_) => answer::nobody(NOBODY_RETRY_AFTER_MS),
        }
    }

    fn next(&self, target: &Target, tried: &[SocketAddr]) -> Option<SocketAddr> {
        match target {
            Target::Session(node) => tried.is_empty().then_some(*node),
            Target::Rather(node, _) if !tried.contains(node) => Some(*node),
            Target::Rather(_, key) | Target::Any(key) => {
                (tried.len() < TRIES_MAX).then(|| self.shared.roster.choose(key, tried)).flatten()
            }
        }
    }
}

/// None: the address has no place in a URI, as one with a scope.
fn uri(node: SocketAddr, path: &str) -> Option<Uri> {
    Uri::builder().scheme("http").authority(node.to_string()).path_and_query(path).build().ok()
}

/// Once both sides have agreed on what comes now.
async fn join(client: hyper::upgrade::OnUpgrade, node: hyper::upgrade::OnUpgrade, way: Way) {
    let (Ok(client), Ok(node)) = tokio::join!(client, node) else { return };
    let (Some(client), Some(node)) = (End::of(client), End::of(node)) else { return };
    tokio::select! {
        () = tunnel(client, node) => {}
        () = way.line().is_cut() => {}
    }
}
