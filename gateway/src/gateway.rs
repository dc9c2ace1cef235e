//! A gateway as its process sees it: bound, serving, draining, gone.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use prometheus::Registry;
use turnpike_engine::{Counters, Origins, Server};

use crate::app::App;
use crate::broker::Broker;
use crate::clock::{Clock, unix_ms};
use crate::config::{Development, GatewayConfig};
use crate::ending::{self, Draining};
use crate::http;
use crate::metrics::{Meters, Readings};
use crate::offset::Boot;
use crate::outgoing::Outgoing;
use crate::sessions::Sessions;

/// How often what is too old is looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Bound, but not serving yet.
pub struct Bound {
    engine: turnpike_engine::Bound,
    app: Arc<App>,
    origins: Origins,
    development: Option<Development>,
}

/// A gateway that serves.
pub struct Gateway {
    server: Server,
    app: Arc<App>,
    draining: Draining,
    sweeper: Sweeper,
}

impl Gateway {
    /// Binds the listener and registers the metrics.
    pub fn bind(config: GatewayConfig, registry: &Registry) -> io::Result<Bound> {
        let GatewayConfig { address, engine, tokens, recovery_window, limits, history, development } = config;
        let (node, origins) = (engine.node.clone(), engine.origins.clone());
        let compress_above = engine.compression_threshold.unwrap_or(usize::MAX);
        let (ping_interval, ping_timeout) = (engine.ping_interval, engine.ping_timeout);
        let engine = Server::bind(address, engine)?;
        let epoch = unix_ms();
        // Keyed at random by the standard library, which is random enough to tell one start from another.
        let boot = Boot(RandomState::new().hash_one(epoch) as u32);
        let app = Arc::new(App {
            node,
            ping_interval_ms: ping_interval.as_millis() as u64,
            ping_timeout_ms: ping_timeout.as_millis() as u64,
            recovery_window_ms: recovery_window.as_millis() as u64,
            sessions: Sessions::new(limits.sessions_away_max),
            limits,
            clock: Clock::start(),
            tokens,
            broker: Broker::new(boot, epoch, &history),
            handle: engine.handle(),
            outgoing: Outgoing { compress_above },
            meters: Meters::register(registry).map_err(io::Error::other)?,
        });
        Readings::register(registry, &app).map_err(io::Error::other)?;
        Ok(Bound { engine, app, origins, development })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Sums over all shards, for whoever watches from inside the process.
    pub fn counters(&self) -> Counters {
        self.app.handle.counters()
    }

    /// Counts the shards whose thread has ended, which before a shutdown only a fault brings about.
    pub fn shards_stopped(&self) -> impl Fn() -> usize + Send + Sync + 'static {
        let handle = self.app.handle.clone();
        move || handle.shards_stopped()
    }

    /// Takes nobody in any more, and closes everybody evenly over the window. Gives their number.
    pub async fn drain(&self, window: Duration) -> usize {
        self.draining.begin();
        ending::drain(&self.app, window).await
    }

    /// Drops whoever is still connected, and waits for the threads to end.
    pub fn shutdown(self) {
        self.server.shutdown();
        self.sweeper.stop();
    }
}

impl Bound {
    pub fn local_addr(&self) -> SocketAddr {
        self.engine.local_addr()
    }

    /// `process` holds routes that the process wants on the public port, such as its probes.
    pub fn serve(self, process: Router) -> io::Result<Gateway> {
        let Self { engine, app, origins, development } = self;
        let draining = Draining::default();
        let router = http::router(process, origins, draining.clone(), development);
        let server = engine.serve(&app, &router)?;
        let sweeper = Sweeper::start(Arc::clone(&app))?;
        Ok(Gateway { server, app, draining, sweeper })
    }
}

/// A thread of its own, so that looking for what is old never holds up a shard.
struct Sweeper {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Sweeper {
    fn start(app: Arc<App>) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new().name("gateway-sweeper".to_owned()).spawn(move || {
            while stopped.recv_timeout(SWEEP_EVERY) == Err(RecvTimeoutError::Timeout) {
                let steady_ms = app.clock.steady_ms();
                app.sessions.sweep(steady_ms, &app.broker);
                app.broker.sweep(steady_ms);
            }
        })?;
        Ok(Self { stop, thread })
    }

    fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the sweeper had panicked");
        }
    }
}
