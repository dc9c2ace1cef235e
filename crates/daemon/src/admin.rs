//! The admin listener: probes and metrics, apart from where users come in, on loopback unless configured otherwise.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::health::Health;
use crate::metrics;

crate::section! {
    /// The admin listener: `/live`, `/ready`, `/health` and `/metrics`.
    pub struct Admin in "admin" {
        /// Address to listen on. Whoever reaches it reads the metrics, so anything but loopback belongs behind a firewall.
        host: IpAddr = "127.0.0.1", "ADMIN_HOST";
        /// TCP port; 0 lets the system choose.
        port: u16 = "3011", "ADMIN_PORT", "0" to "65535";
    }
}

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

impl Bound {
    pub async fn serve(self, health: Health, registry: Registry) {
        let router = router(&health, registry);
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let place = Arc::clone(&places).acquire_owned().await.expect("nobody closes this semaphore");
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "admin listener cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let service = TowerToHyperService::new(router.clone());
            tokio::spawn(async move {
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

impl Admin {
    pub async fn bind(&self) -> io::Result<Bound> {
        let listener = TcpListener::bind((self.host, self.port)).await?;
        let address = listener.local_addr()?;
        Ok(Bound { listener, address })
    }
}

fn router(health: &Health, registry: Registry) -> Router {
    let metrics = get(async move || match metrics::render(&registry) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "metrics cannot be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    });
    health.routes().route("/metrics", metrics)
}
