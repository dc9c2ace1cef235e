//! The system in one process: bind everything, say where, serve, and leave in order when asked to.

use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use prometheus::Registry;
use tokio::sync::watch;
use turnpike_cluster::Cluster;
use turnpike_daemon::admin as listener;
use turnpike_daemon::config::{Effective, Setting as _};
use turnpike_daemon::descriptors::{self, Descriptors};
use turnpike_daemon::drain::Drain;
use turnpike_daemon::health::{Check, Health};
use turnpike_daemon::listeners::Listeners;
use turnpike_daemon::signals::{Hangup, Signals};
use turnpike_daemon::tasks::{Stop, Tasks};
use turnpike_daemon::{metrics, probe};
use turnpike_gateway::{Gateway, GatewayConfig};
use turnpike_guard::Grant;
use turnpike_guard::address::Countries;
use turnpike_media_relay::{Homes, Relay};
use turnpike_wire::UserId;

use crate::addresses::{self, CountryFile};
use crate::admin::{self, Desk, Parts};
use crate::config::Config;
use crate::dashboard::Dashboard;
use crate::keys::Keys;
use crate::media::Entrance;
use crate::reload::{InEffect, NodeParts, Process, Reloader};
use crate::role::Role;
use crate::secrets::Secrets;
use crate::telemetry::Telemetry;
use crate::{
    abuse, announce, auditing, bus, cluster, development, doctor, gateway, links, media, redis, token,
};

pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Set by whoever builds a release.
pub(crate) const COMMIT: &str = match option_env!("TURNPIKE_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};
/// Listeners, logs, epoll, the admin connections, and what libraries open for a moment.
pub(crate) const DESCRIPTORS_RESERVED: u64 = 128;
/// What clients get beyond the window to read the last words.
pub(crate) const FAREWELL_MAX: Duration = Duration::from_secs(5);
const STOP_MAX: Duration = Duration::from_secs(5);
const DEVELOPMENT_USER: &str = "alice";
const DEVELOPMENT_OPERATOR: &str = "operator";
const DEVELOPMENT_TOKEN_TTL: Duration = Duration::from_hours(24);

/// Where the listeners are.
#[derive(Clone, Copy)]
struct Addresses {
    gateway: SocketAddr,
    admin: SocketAddr,
}

pub(crate) fn run(role: Role, config: &Config, effective: Vec<Effective>) -> anyhow::Result<()> {
    let started = SystemTime::now();
    let mut handed = Listeners::of_process(&["gateway", "admin"])?;
    let is_handed = !handed.is_empty();
    let (log, dial) = config.log.install()?;
    let descriptors = descriptors::raise();
    let secrets = Secrets::of(config)?;
    // The shards have threads of their own; this is for the admin listener and background tasks.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    // Behind everything else: what it says comes last.
    let mut written = None;
    let outcome: anyhow::Result<Ended> = runtime.block_on(async {
        let (mut signals, hangup) = (Signals::listen()?, Hangup::listen()?);
        if !doctor::starts_over() {
            tokio::select! {
                fit = doctor::before_start(config) => fit?,
                _ = signals.next() => return Ok(Ended::Asked),
            }
        }
        let health = Health::new(VERSION);
        let registry = Registry::new();
        metrics::Process::register(&registry, VERSION, COMMIT, started, log.clone())?;
        let connections_max = connections_max(config, descriptors);
        let auditing = &*written.insert(auditing::open(config, &registry)?);
        let audit = auditing.audit();

        // Everything is bound before anything is served: an address in use must be found now.
        let address = config.admin.address();
        let admin = match handed.take("admin", address)? {
            Some(bound) => listener::adopt(bound),
            None => listener::bind(address).await,
        };
        let admin = admin.with_context(|| {
            format!("the admin listener cannot listen on {address} (set ADMIN_HOST and ADMIN_PORT)")
        })?;
        let mut of_cluster = None;
        if doctor::starts_over() {
            // Supervisors are to let it wait, and operators to read why. Clients are refused meanwhile, and so is whoever
            // collects metrics: a node that serves nobody is missed.
            let check = of_cluster.insert(health.vital_check("cluster"));
            tokio::select! {
                fit = doctor::before_it_goes_on(config, check) => fit?,
                _ = signals.next() => return Ok(Ended::Asked),
                () = admin.serve(admin::pages_waiting(config.admin.require_token, &health)) => {}
            }
        }
        let mut telemetry = Telemetry::new(config, &registry)?;
        let keys = Keys::new(config, &secrets, &registry, &audit)?;
        let tokens = gateway::verifier(config, keys.ring());
        let tokens_of_admins = tokens.clone();
        let countries = Countries::default();
        let country_file = CountryFile::open(config, &countries, &registry)?;
        let watch = abuse::watch(config, &countries);
        let wanted = gateway::config(
            config,
            &secrets,
            keys.ring(),
            connections_max,
            audit.clone(),
            watch.clone(),
            telemetry.tracer.clone(),
        );
        // What was called back is known to all who look at tokens.
        let wanted = GatewayConfig { tokens: tokens.clone(), ..wanted };
        let address = wanted.address;
        let gateway = Gateway::bind_to(handed.take("gateway", address)?, wanted, &registry)
            .with_context(|| format!("the gateway cannot listen on {address} (set HOST and PORT)"))?;
        let relay = media::config(config).map(|media| Relay::start(&media, &registry)).transpose();
        let relay = relay.context(
            "the media relay cannot start (set MEDIA_HOST and MEDIA_PORT, or TURNPIKE_MEDIA=false)",
        )?;
        let addresses = Addresses { gateway: gateway.local_addr(), admin: admin.address };

        let tasks = Tasks::new(health.clone());
        auditing.started(config, &effective, VERSION).await?;
        auditing.keep(&tasks, &health);
        telemetry.keep(&tasks);
        let exchange = keys.keep(&tasks, &health);
        if let Some(file) = country_file {
            file.keep(&tasks);
        }
        let cluster = match redis::config(config, addresses.gateway) {
            Some(redis) => {
                let redis = bus::guarded(redis, config, &secrets, &audit, &health);
                tokio::select! {
                    joined = cluster::on_redis(redis, &registry) => joined?,
                    _ = signals.next() => return Ok(Ended::Asked),
                }
            }
            None => cluster::embedded(config, announce::reachable(addresses.gateway), &registry)?,
        };
        auditing.anchor(config, &cluster, &tasks);
        let mut routes = health.public_routes();
        let (mut homes, mut linked) = (None, None);
        if let Some(relay) = &relay {
            linked = links::start(config, &secrets, &cluster, relay, &registry, &audit)?;
            let (linked, audit) = (linked.as_ref(), audit.clone());
            let alone = role == Role::Relay;
            let entrance = Entrance { tokens, watch: watch.clone(), audit, alone };
            let opened = media::open(config, relay, linked, &cluster, entrance, &tasks, &registry)?;
            routes = routes.merge(opened.routes);
            homes = Some(opened.homes);
        }
        let gateway = gateway.serve(cluster.clone(), routes).await?;
        if let Some(homes) = &homes {
            gateway.operator().see_relay(Arc::new(media::Eyes(Arc::clone(homes))));
        }
        let check = of_cluster.unwrap_or_else(|| health.vital_check("cluster"));
        let watched = cluster.condition.clone();
        tasks.spawn("cluster watch", |stop| cluster::watch_condition(watched, check, stop));
        let lease = health.check("lease");
        let check = health.check("gateway");
        let probed = announce::reachable(addresses.gateway);
        let introduction = addresses::own_introduction(config, probed.ip());
        tasks.spawn("gateway probe", move |stop| probe::watch(probed, introduction, "/live", check, stop));
        let stopped = gateway.shards_stopped();
        let check = health.check("shards");
        tasks.spawn("shard watch", |stop| watch_shards(stopped, check, stop));
        if let Some(relay) = relay.clone() {
            let check = health.check("media");
            tasks.spawn("media watch", |stop| watch_relay(relay, check, stop));
        }
        let in_effect = InEffect::new(effective);
        let node = NodeParts {
            keys: exchange,
            watch: watch.clone(),
            countries,
            gateway: gateway.operator(),
            audit: audit.clone(),
        };
        let reloader = Reloader::new(
            log.clone(),
            dial.clone(),
            in_effect.clone(),
            Process::Node(Box::new(node)),
            &registry,
        )?;
        tasks.spawn("reload", |stop| reloader.keep(hangup, stop));
        let (drain_wanted, mut wanted) = watch::channel(false);
        let dashboard = Dashboard::new(cluster.clone(), health.clone(), &registry)?;
        let kept = dashboard.clone();
        tasks.spawn("dashboard", |stop| kept.keep(stop));
        let parts = Parts {
            node: config.node_id(),
            tokens: tokens_of_admins,
            watch: watch.clone(),
            audit: audit.clone(),
            audit_directory: config.audit.directory(&config.node.data_dir),
            audit_key_file: config.audit.keys(&config.node.data_dir),
            housekeeper: auditing.housekeeper(),
            cluster: cluster.clone(),
            gateway: gateway.operator(),
            health: health.clone(),
            dial,
            drain: drain_wanted,
            effective: in_effect,
            dashboard,
        };
        let desk = Desk::new(parts, &registry)?;
        let told = desk.clone();
        tasks.spawn("orders", |stop| admin::keep(told, stop));
        let pages = admin::pages(&desk, config.admin.require_token, &health, registry);
        tasks.spawn("admin listener", |mut stop| async move {
            tokio::select! { () = admin.serve(pages) => {}, () = stop.requested() => {} }
        });
        started_up(config, descriptors, addresses);
        announce(config, &secrets, addresses, descriptors, connections_max)?;

        let ended = tokio::select! {
            ending = signals.next() => {
                tracing::info!(signal = ending.name, "asked to end");
                Ended::Asked
            }
            _ = wanted.wait_for(|wanted| *wanted) => {
                tracing::info!("asked to end by an operator");
                Ended::Asked
            }
            () = cluster::lease_lost(&cluster, &lease) => {
                tracing::error!(
                    "other nodes take this one for dead: its connections are sent to them, and it starts over"
                );
                Ended::LeaseLost(addresses)
            }
        };
        signals.exit_on_next(log.clone());
        auditing.draining(ended.slug());
        let mut drain = Drain::begin(&health);
        match ended {
            Ended::Asked => {
                send_away(&mut drain, gateway, homes.as_deref(), &cluster, config.drain.window).await;
            }
            Ended::LeaseLost(_) => abandon(&mut drain, &gateway).await,
        }
        // What is stuck must not keep the process: nobody waits for it any more but its supervisor.
        if let Some(linked) = linked {
            // Who has a stream from here finds it elsewhere the sooner.
            drain.phase("close the links", STOP_MAX, || 0, linked.links.leave()).await;
        }
        if let Some(relay) = relay {
            // Waits for threads, which must not hold up this one.
            let stopped = tokio::task::spawn_blocking(move || relay.stop());
            drain.phase("stop the relay", STOP_MAX, || 0, async { drop(stopped.await) }).await;
        }
        let leave = async {
            if cluster.membership.leave().wait().await.is_err() {
                tracing::warn!("the other nodes could not be told: they find out when the lease ends");
            }
        };
        drain.phase("leave the cluster", STOP_MAX, || 0, leave).await;
        drain.phase("send the spans", STOP_MAX, || 0, telemetry.settle()).await;
        drain.end();
        tasks.stop();
        Ok(ended)
    });
    // Not by dropping it: that waits for threads, and one that is stuck must not keep the process.
    runtime.shutdown_background();
    if let Some(written) = written {
        written.close(outcome.as_ref().map_or("failed", Ended::slug));
    }
    log.flush();
    match outcome? {
        Ended::Asked => Ok(()),
        // Whoever handed over the sockets does so again at the next start, and can do what this process cannot.
        Ended::LeaseLost(_) if is_handed => {
            anyhow::bail!("other nodes took this one for dead: its supervisor has to start it again")
        }
        // The same program with the same arguments and environment, as another start of the node.
        Ended::LeaseLost(addresses) => {
            Err(anyhow::Error::new(again(addresses).exec()).context("the process could not start over"))
        }
    }
}

/// Why the process stopped serving.
enum Ended {
    Asked,
    LeaseLost(Addresses),
}

impl Ended {
    fn slug(&self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::LeaseLost(_) => "lease_lost",
        }
    }
}

/// At the same ports, also where the system had chosen them: clients and other nodes come back to what they know.
fn again(Addresses { gateway, admin }: Addresses) -> std::process::Command {
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_else(|| "turnpike".into());
    // Also where the file was replaced or removed since: its path would then lead to another program, or nowhere.
    let own = Path::new("/proc/self/exe");
    let mut command = std::process::Command::new(if own.exists() { own.as_os_str() } else { &program });
    command.arg0(&program).args(arguments).env(doctor::STARTS_OVER, "1");
    command.env("PORT", gateway.port().to_string()).env("ADMIN_PORT", admin.port().to_string());
    command
}

/// A shard that ended takes its clients with it, and the kernel gives its share to the others: nothing else shows it.
async fn watch_shards(stopped: impl Fn() -> usize, check: Check, mut stop: Stop) {
    const INTERVAL: Duration = Duration::from_secs(1);
    loop {
        match stopped() {
            0 => check.pass(),
            count => check.fail(format!("{count} shards have stopped; restart the process")),
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = stop.requested() => return,
        }
    }
}

async fn watch_relay(relay: Relay, check: Check, mut stop: Stop) {
    const INTERVAL: Duration = Duration::from_secs(1);
    loop {
        if relay.is_well() {
            check.pass();
        } else {
            check.fail(
                "a shard of the media relay does not work as it should; see the log, and restart the process",
            );
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = stop.requested() => return,
        }
    }
}

/// In this order: nobody new, everybody told and closed over the window, then what is left is dropped.
async fn send_away(
    drain: &mut Drain,
    gateway: Gateway,
    homes: Option<&Homes<Relay>>,
    cluster: &Cluster,
    window: Duration,
) {
    let connections = || gateway.counters().connections_now;
    let sessions = || homes.map_or(0, |homes| homes.sessions() as u64);
    let close = async {
        let closed = gateway.drain(window).await;
        tracing::info!(closed, "connections are closed");
    };
    // Those who watch go on here until they have begun elsewhere.
    let move_on = async {
        if let Some(homes) = homes {
            homes.drain(window).await;
        }
    };
    let announce = async {
        if cluster.membership.announce(true).wait().await.is_err() {
            tracing::warn!("the other nodes could not be told: they send newcomers here");
        }
    };
    let work = async {
        tokio::join!(announce, close, move_on);
    };
    drain.phase("close connections", window + FAREWELL_MAX, || connections() + sessions(), work).await;
    // Waits for threads, which must not hold up this one.
    let stop = tokio::task::spawn_blocking(|| gateway.shutdown());
    drain.phase("stop the shards", STOP_MAX, || 0, async { drop(stop.await) }).await;
}

/// The other nodes have taken over already: everybody is told and closed at once.
async fn abandon(drain: &mut Drain, gateway: &Gateway) {
    let close = async {
        let closed = gateway.abandon().await;
        tracing::info!(closed, "connections are closed");
    };
    let left = || gateway.counters().connections_now;
    drain.phase("close connections", FAREWELL_MAX, left, close).await;
}

/// What the process has room for, or less if it was told so.
fn connections_max(config: &Config, descriptors: Descriptors) -> usize {
    let room = usize::try_from(descriptors.limit.saturating_sub(DESCRIPTORS_RESERVED)).unwrap_or(usize::MAX);
    match config.gateway.connections_max.map(|wanted| wanted as usize) {
        Some(wanted) if wanted > room => {
            let limit = descriptors.limit;
            tracing::warn!(
                wanted,
                room,
                file_descriptors = limit,
                "MAX_CONNECTIONS does not fit into the file descriptors"
            );
            room
        }
        Some(wanted) => wanted,
        None => room,
    }
}

fn started_up(config: &Config, descriptors: Descriptors, Addresses { gateway, admin }: Addresses) {
    tracing::info!(
        version = VERSION,
        commit = COMMIT,
        node = config.node_id(),
        environment = config.node.environment.show(),
        %gateway,
        %admin,
        file_descriptors = descriptors.limit,
        file_descriptors_before = descriptors.before,
        "turnpike is up"
    );
    if !admin.ip().is_loopback() {
        let open =
            if config.admin.require_token { "nothing but /live and /ready" } else { "metrics and health" };
        tracing::warn!(%admin, open, "the admin listener is reachable from other machines");
    }
}

fn announce(
    config: &Config,
    secrets: &Secrets,
    Addresses { gateway, admin }: Addresses,
    descriptors: Descriptors,
    connections_max: usize,
) -> anyhow::Result<()> {
    let mut out = String::new();
    if let Some(secret) = secrets.token.as_ref().filter(|_| !config.is_production()) {
        let mut request = token::Request::new(UserId::parse(DEVELOPMENT_USER)?);
        request.rooms = Some(vec!["*=join,send,history,presence,typing".parse::<Grant>()?]);
        request.ttl = DEVELOPMENT_TOKEN_TTL;
        let mut operator = token::Request::new(UserId::parse(DEVELOPMENT_OPERATOR)?);
        (operator.role, operator.ttl) = (turnpike_guard::Role::Admin, DEVELOPMENT_TOKEN_TTL);
        let path = development::secret_path(&config.node.data_dir);
        let block = announce::Block {
            gateway,
            admin,
            program: &std::env::args().next().unwrap_or_else(|| "turnpike".into()),
            user: DEVELOPMENT_USER,
            token: &token::mint(&request, config, secret)?,
            token_validity: "valid for 24 hours",
            operator_token: &token::mint(&operator, config, secret)?,
            secret_path: config.auth.jwt_secret.is_none().then_some(path.as_path()),
            descriptors: descriptors.limit,
            connections_max,
        };
        out.push_str(&block.render());
        out.push('\n');
    }
    out.push_str(&announce::line(gateway, admin));
    out.push('\n');
    // Whoever closed stdout does not want to know.
    let mut stdout = std::io::stdout();
    let _ = stdout.write_all(out.as_bytes()).and_then(|()| stdout.flush());
    Ok(())
}
