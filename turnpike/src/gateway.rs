//! The gateway as a part of this process.

use std::net::SocketAddr;
use std::time::Duration;

use prometheus::Registry;
use tokio::net::TcpListener;
use turnpike_daemon::config::Secret;
use turnpike_daemon::drain::Drain;
use turnpike_daemon::health::Health;
use turnpike_daemon::tasks::Tasks;

use crate::config::Config;

pub(crate) struct Bound {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
}

pub(crate) async fn bind(
    config: &Config,
    _secret: &Secret,
    _connections_max: usize,
    _registry: &Registry,
) -> std::io::Result<Bound> {
    let listener = TcpListener::bind((config.gateway.host, config.gateway.port)).await?;
    let address = listener.local_addr()?;
    Ok(Bound { listener, address })
}

pub(crate) struct Serving;

impl Bound {
    pub(crate) fn serve(self, health: &Health, tasks: &Tasks) -> Serving {
        let listening = health.check("gateway");
        let router = health.public_routes();
        tasks.spawn("gateway", |mut stop| async move {
            listening.pass();
            let serve = IntoFuture::into_future(axum::serve(self.listener, router));
            tokio::select! { _ = serve => {}, () = stop.requested() => {} }
        });
        Serving
    }
}

impl Serving {
    pub(crate) async fn drain(&self, drain: &mut Drain, window: Duration) {
        drain.phase("close connections", window, || 0, async {}).await;
    }
}
