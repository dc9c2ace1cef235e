//! Connections of clients and their requests, on one thread: where each goes. Its way there and back is another's matter.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use turnpike_guard::address::Proxies;
use turnpike_passage::Unread;

use crate::admission::Admission;
use crate::answer::{self, Said};
use crate::forwarded;
use crate::lines::{Lines, Open};
use crate::lookup::{self, Lookup};
use crate::metrics::Meters;
use crate::passing::{Errand, Patience, Target};
use crate::roster::Roster;
use crate::route::{Route, route};

/// Nodes are near. One whose machine is gone answers nothing at all, and the next one is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const HEADER_BYTES_MAX: usize = 32 * 1024;
/// Of an answer, likewise what is read ahead of a client that is slow to take it.
const ANSWER_BUFFER_BYTES: usize = 64 * 1024;
/// In the kernel, for each connection to a node: else what it writes to a client that does not read would pile up there,
/// unseen by the node's own deadline.
const NODE_BUFFER_BYTES: usize = 64 * 1024;
/// Connections to one node that are kept for the next request, and for how long: nodes give theirs up later.
const IDLE_PER_NODE_MAX: usize = 64;
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
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
    pub(crate) shared: Arc<Shared>,
    pub(crate) client: Client<HttpConnector, Unread>,
    stopped: watch::Receiver<bool>,
}

impl Front {
    pub(crate) fn new(shared: Arc<Shared>, stopped: watch::Receiver<bool>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_recv_buffer_size(Some(NODE_BUFFER_BYTES));
        connector.set_send_buffer_size(Some(NODE_BUFFER_BYTES));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_NODE_MAX)
            .http1_max_buf_size(ANSWER_BUFFER_BYTES)
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
        let patience = match (&route, request.method()) {
            (Route::Begin { .. }, &Method::GET) => Patience::Handshake,
            (Route::Anywhere, &Method::GET | &Method::HEAD) => Patience::WhileUp,
            _ => Patience::Once,
        };
        let under_way = match route {
            Route::Begin { .. } => self.shared.admission.admit(client).map(Some),
            _ => Ok(None),
        };
        let response = match under_way {
            Ok(_under_way) => match self.target(route, client, request.uri().query()).await {
                Ok(target) => self.pass(request, Errand { target, patience, client }, line).await,
                Err(said) => *said,
            },
            Err(later) => {
                self.shared.meters.refused(later.reason);
                answer::later(later.status, later.retry_after_ms)
            }
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
        let Shared { roster, admission, lookup, .. } = &*self.shared;
        if matches!(route, Route::Lookup | Route::Stream { .. })
            && let Err(later) = admission.ask(client)
        {
            return Err(Box::new(answer::later(later.status, later.retry_after_ms)));
        }
        let any = || Target::Any(client.to_string());
        match route {
            Route::Session { node } => {
                let node = roster.find(node).ok_or_else(|| Box::new(answer::session_unknown()))?;
                Ok(Target::Session(node))
            }
            Route::Begin { key } => Ok(key.map_or_else(any, |key| Target::Any(key.to_owned()))),
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
}
