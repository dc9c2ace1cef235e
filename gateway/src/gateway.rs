//! A gateway as its process sees it: bound, serving, draining, gone.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use axum::Router;
use prometheus::Registry;
use turnpike_audit::Audit;
use turnpike_cluster::Cluster;
use turnpike_engine::{Counters, Origins, Server, packet};
use turnpike_guard::{IceServers, Verifier, Watch};
use turnpike_telemetry::Tracer;

use crate::addresses::{Addresses, Front};
use crate::api_keys::ApiKeys;
use crate::app::{App, Node};
use crate::background::Background;
use crate::clock::Clock;
use crate::config::{Development, GatewayConfig, Limits};
use crate::ending::{self, Draining};
use crate::expiry::Expiry;
use crate::gates::{self, GateMeters};
use crate::http;
use crate::inspect::{self, Inspection};
use crate::limits::Limiter;
use crate::metrics::{Meters, Readings};
use crate::mirror::{Mirror, Receiver, RingLimits};
use crate::occupancy::Occupancy;
use crate::operator::Operator;
use crate::outgoing::Outgoing;
use crate::policing::{self, Policing};
use crate::presence::Presences;
use crate::receipts::Receipts;
use crate::references::References;
use crate::revoking;
use crate::sessions::Sessions;
use crate::shards::Shards;
use crate::signaling::{self, MediaLimits, Signaling};
use crate::typing::Typing;
use crate::webhooks::{self, Hooks, Reporter, WebhookEvent};

/// How long the last webhooks may take before the process ends.
const WEBHOOKS_FLUSH: Duration = Duration::from_secs(2);

/// Bound, but not serving yet.
pub struct Bound {
    engine: turnpike_engine::Bound,
    config: Told,
    registry: Registry,
}

/// What a bound gateway has still to know of its configuration.
struct Told {
    node: String,
    ping_interval: Duration,
    ping_timeout: Duration,
    compress_above: usize,
    connections_max: usize,
    front: Front,
    watch: Watch,
    tokens: Verifier,
    api_keys: ApiKeys,
    recovery_window: Duration,
    limits: Limits,
    packets: packet::Limits,
    ring: RingLimits,
    media: MediaLimits,
    ice_servers: IceServers,
    webhooks: Vec<webhooks::Receiver>,
    gates: Option<gates::Keeper>,
    origins: Origins,
    audit: Audit,
    tracer: Tracer,
    development: Option<Development>,
}

/// A gateway that serves.
pub struct Gateway {
    server: Server,
    app: Arc<App>,
    draining: Draining,
    background: Background,
}

impl Gateway {
    /// Binds the listener. What the gateway measures goes to the registry once it serves.
    pub fn bind(config: GatewayConfig, registry: &Registry) -> io::Result<Bound> {
        Self::bind_to(None, config, registry)
    }

    /// The same with a listener that somebody else has bound, in place of an address.
    pub fn bind_to(
        listener: Option<TcpListener>,
        config: GatewayConfig,
        registry: &Registry,
    ) -> io::Result<Bound> {
        let GatewayConfig {
            address,
            engine,
            front,
            watch,
            tokens,
            api_keys,
            recovery_window,
            limits,
            ring,
            media,
            ice_servers,
            webhooks,
            gates,
            audit,
            tracer,
            development,
        } = config;
        let told = Told {
            node: engine.node.clone(),
            ping_interval: engine.ping_interval,
            ping_timeout: engine.ping_timeout,
            connections_max: engine.connections_max,
            compress_above: engine.compression_threshold.unwrap_or(usize::MAX),
            front,
            watch,
            tokens,
            api_keys,
            recovery_window,
            limits,
            packets: engine.packet.clone(),
            ring,
            media,
            ice_servers,
            webhooks: webhooks.into_iter().map(webhooks::Receiver::new).collect::<io::Result<_>>()?,
            gates: gates.map(gates::Keeper::new).transpose()?,
            origins: engine.origins.clone(),
            audit,
            tracer,
            development,
        };
        let engine = match listener {
            Some(listener) => Server::adopt(listener, engine)?,
            None => Server::bind(address, engine)?,
        };
        Ok(Bound { engine, config: told, registry: registry.clone() })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Sums over all shards, for whoever watches from inside the process.
    pub fn counters(&self) -> Counters {
        self.app.handle.counters()
    }

    /// What operators see and do here.
    pub fn operator(&self) -> Operator {
        Operator::new(Arc::clone(&self.app))
    }

    /// Counts the shards whose thread has ended, which before a shutdown only a fault brings about.
    pub fn shards_stopped(&self) -> impl Fn() -> usize + Send + Sync + 'static {
        let handle = self.app.handle.clone();
        move || handle.shards_stopped()
    }

    /// Takes nobody in any more, and sends everybody to the other nodes over the window. Gives their number.
    pub async fn drain(&self, window: Duration) -> usize {
        self.draining.begin();
        ending::drain(&self.app, window).await
    }

    /// Other nodes take, or may take, this one for dead: whoever is connected is sent to them at once.
    pub async fn abandon(&self) -> usize {
        self.draining.begin();
        ending::abandon(&self.app).await
    }

    /// Drops whoever is still connected, and waits for the threads to end.
    pub fn shutdown(self) {
        self.server.shutdown();
        if let Some(occupancy) = &self.app.occupancy {
            occupancy.close(&*self.app);
        }
        if let Some(hooks) = &self.app.webhooks {
            hooks.flush(WEBHOOKS_FLUSH);
        }
        self.background.stop();
    }
}

impl Bound {
    pub fn local_addr(&self) -> SocketAddr {
        self.engine.local_addr()
    }

    /// `process` holds routes that the process wants on the public port, such as its probes.
    pub async fn serve(self, cluster: Cluster, process: Router) -> io::Result<Gateway> {
        let Self { engine, config, registry } = self;
        let background = Background::start()?;
        let (clock, outgoing) = (Clock::start(), Outgoing { compress_above: config.compress_above });
        let shards = Arc::new(Shards::new(engine.handle(), outgoing, config.tracer.clone()));
        let references = Arc::new(References::new(Arc::clone(&cluster.sessions)));
        let (handle, spawner) = (|| engine.handle(), || background.handle());
        let reporter =
            Reporter { node: config.node.clone(), incarnation: cluster.membership.own().to_string() };
        let gate_meters = GateMeters::register(&registry).map_err(io::Error::other)?;
        let gates = config.gates.map(|keeper| keeper.start(reporter.clone(), gate_meters, spawner()));
        let hooks =
            Hooks::start(config.webhooks, reporter, &registry, &spawner()).map_err(io::Error::other)?;
        let of_rooms = [WebhookEvent::RoomOccupied, WebhookEvent::RoomVacated];
        let occupancy = hooks
            .as_ref()
            .filter(|hooks| of_rooms.into_iter().any(|event| hooks.wants(event)))
            .map(|_| Arc::new(Occupancy::new(&cluster, clock, spawner())));
        let Limits { classes, keys_max, .. } = &config.limits;
        let limiter = Limiter::new(classes.clone(), *keys_max, &cluster, clock, &spawner(), &registry);
        let app = Arc::new(App {
            node: config.node,
            ping_interval_ms: config.ping_interval.as_millis() as u64,
            ping_timeout_ms: config.ping_timeout.as_millis() as u64,
            connections_max: config.connections_max,
            recovery_window_ms: config.recovery_window.as_millis() as u64,
            sessions: Sessions::new(config.limits.sessions_away_max),
            limits: config.limits,
            limiter: Arc::new(limiter.map_err(io::Error::other)?),
            packets: config.packets,
            clock,
            addresses: Addresses::new(config.front),
            policing: Policing::new(config.watch, config.audit.clone()),
            tokens: config.tokens,
            api_keys: config.api_keys,
            mirror: Mirror::new(config.ring, clock, Arc::clone(&shards) as _, Arc::clone(&references)),
            references,
            presences: Presences::new(&cluster, handle(), outgoing, clock, spawner()),
            typing: Typing::new(Arc::clone(&cluster.broker), handle(), outgoing, clock),
            receipts: Receipts::new(Arc::clone(&cluster.marks), handle(), outgoing, clock, spawner()),
            signaling: Signaling::new(
                &cluster,
                handle(),
                outgoing,
                clock,
                config.media,
                config.audit.clone(),
            ),
            ice_servers: config.ice_servers,
            inspection: Inspection::new(Arc::clone(&cluster.post)),
            cluster,
            expiry: Expiry::default(),
            drawn: AtomicU64::new(0),
            handle: handle(),
            outgoing,
            meters: Meters::register(&registry).map_err(io::Error::other)?,
            audit: config.audit,
            tracer: config.tracer,
            webhooks: hooks,
            occupancy,
            gates,
            background: spawner(),
        });
        shards.listen(&app);
        signaling::listen(&app);
        inspect::listen(&app);
        revoking::begin(&app);
        Readings::register(&registry, &app).map_err(io::Error::other)?;
        policing::register(&registry, &app.policing.watch).map_err(io::Error::other)?;
        policing::begin(&app);
        let receiver = Arc::new(Receiver(Arc::clone(&app.mirror)));
        app.cluster.broker.start(receiver).wait().await.map_err(io::Error::other)?;
        let draining = Draining::default();
        let router = http::router(&app, process, config.origins, draining.clone(), config.development);
        let server = engine.serve(&Arc::new(Node(Arc::clone(&app))), &router)?;
        background.look_after(&app);
        Ok(Gateway { server, app, draining, background })
    }
}
