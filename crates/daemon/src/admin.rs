//! The admin listener: probes and metrics, apart from where users come in, on loopback unless configured otherwise.
//!
//! What else is answered there is a router that the process hands in, and so is who may ask.

mod names;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Router, middleware};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

pub use self::names::is_literal;
use crate::health::Health;
use crate::metrics;

/// Probes and scrapers are few; a connection more waits in the kernel's backlog.
const CONNECTIONS_MAX: usize = 64;
const HEADER_WAIT_MAX: Duration = Duration::from_secs(5);
/// After a failed accept (no file descriptor left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener that does not answer yet.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    pub address: SocketAddr,
}

/// Who asks: in the extensions of each request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

pub async fn bind(address: SocketAddr) -> io::Result<Bound> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    Ok(Bound { listener, address })
}

/// One that somebody else has bound.
pub fn adopt(listener: std::net::TcpListener) -> io::Result<Bound> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let address = listener.local_addr()?;
    Ok(Bound { listener, address })
}

impl Bound {
    /// Until it is dropped, with all connections. The listener is still there then, and can be given to another router.
    pub async fn serve(&self, router: Router) {
        let router = if self.address.ip().is_loopback() {
            router.layer(middleware::from_fn(names::only_this_machine))
        } else {
            router
        };
        let router = router.layer(middleware::map_response(guard_browsers));
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        loop {
            // Those that have ended. No more than have places are kept.
            while connections.try_join_next().is_some() {}
            let place = Arc::clone(&places).acquire_owned().await.expect("nobody closes this semaphore");
            let (stream, peer) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "admin listener cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let service = TowerToHyperService::new(router.clone().layer(Extension(Peer(peer))));
            connections.spawn(async move {
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADER_WAIT_MAX)
                    .serve_connection(TokioIo::new(stream), service);
                // How a probe leaves is of no interest.
                let _ = connection.await;
                drop(place);
            });
        }
    }
}

/// `/live`, `/ready` and `/health` with every detail, and `/metrics`.
pub fn open(health: &Health, registry: Registry) -> Router {
    health.routes().merge(metrics_route(registry))
}

/// The same in two halves. The first is for everybody and tells the outcome alone; the second, with all that is to be read
/// (`/health` and `/metrics`), is for those whom the process lets in.
pub fn apart(health: &Health, registry: Registry) -> (Router, Router) {
    (health.outcome_routes(), health.detail_route().merge(metrics_route(registry)))
}

fn metrics_route(registry: Registry) -> Router {
    let metrics = get(async move || match metrics::render(&registry) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "metrics cannot be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    });
    Router::new().route("/metrics", metrics)
}

/// A browser takes an answer for what we say it is, and never inside of another page.
async fn guard_browsers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    response
}
