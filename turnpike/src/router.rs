//! `turnpike router`: the sticky entry in one process, in front of those that run the system. It is no node of the cluster and
//! needs none of the system's secrets.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::SystemTime;

use anyhow::Context as _;
use prometheus::Registry;
use turnpike_cluster::redis::observe;
use turnpike_daemon::config::{Effective, Setting as _};
use turnpike_daemon::drain::Drain;
use turnpike_daemon::health::Health;
use turnpike_daemon::listeners::Listeners;
use turnpike_daemon::signals::{Hangup, Signals};
use turnpike_daemon::tasks::Tasks;
use turnpike_daemon::{admin, descriptors, metrics, probe};
use turnpike_guard::limit::Rate;
use turnpike_shard_router::{Handshakes, Router, RouterConfig, Rules, Strategy};

use crate::config::{self, Config};
use crate::reload::{InEffect, Process, Reloader};
use crate::run::{COMMIT, DESCRIPTORS_RESERVED, FAREWELL_MAX, VERSION};
use crate::{addresses, announce, cluster, redis};

pub(crate) fn run(config: &Config, effective: Vec<Effective>) -> anyhow::Result<()> {
    let started = SystemTime::now();
    let mut handed = Listeners::of_process(&["router", "admin"])?;
    let (log, dial) = config.log.install()?;
    let descriptors = descriptors::raise();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(async {
        let (mut signals, hangup) = (Signals::listen()?, Hangup::listen()?);
        let (health, registry) = (Health::new(VERSION), Registry::new());
        metrics::Process::register(&registry, VERSION, COMMIT, started, log.clone())?;

        // Everything is bound before anything is served: an address in use must be found now.
        let wanted = wanted(config, descriptors.limit);
        let address = wanted.address;
        let router = match handed.take("router", address)? {
            Some(bound) => Router::adopt(bound, wanted),
            None => Router::bind(wanted),
        };
        let router = router.with_context(|| {
            format!("the router cannot listen on {address} (set TURNPIKE_ROUTER_HOST and TURNPIKE_ROUTER_PORT)")
        })?;
        let admin = match handed.take("admin", config.admin.address())? {
            Some(bound) => admin::adopt(bound),
            None => admin::bind(config.admin.address()).await,
        };
        let admin = admin.with_context(|| {
            format!("the admin listener cannot listen on {} (set ADMIN_HOST and ADMIN_PORT)", config.admin.address())
        })?;
        let (entry, admin_address) = (router.local_addr(), admin.address);
        let plane = redis::config(config, entry)
            .context("a router needs to know which nodes there are: set REDIS_NODES, as for the nodes")?;
        let seen = observe(plane, &registry).await.context("the Redis Cluster cannot be asked which nodes there are")?;

        let tasks = Tasks::new(health.clone());
        let (check, condition) = (health.check("cluster"), seen.condition.clone());
        tasks.spawn("cluster watch", |stop| cluster::watch_condition(condition, check, stop));
        let router = router.serve(seen.nodes, seen.directory, &registry)?;
        let check = health.check("router");
        let probed = announce::reachable(entry);
        tasks.spawn("router probe", |stop| probe::watch(probed, b"", "/live", check, stop));
        let reloader = Reloader::new(log.clone(), dial, InEffect::new(effective), Process::Router(router.clone()), &registry)?;
        tasks.spawn("reload", |stop| reloader.keep(hangup, stop));
        let pages = admin::open(&health, registry);
        tasks.spawn("admin listener", |mut stop| async move {
            tokio::select! { () = admin.serve(pages) => {}, () = stop.requested() => {} }
        });
        tracing::info!(version = VERSION, commit = COMMIT, router = %entry, admin = %admin_address, "the router is up");
        crate::print(&announce::router_line(entry, admin_address))?;

        let ending = signals.next().await;
        tracing::info!(signal = ending.name, "asked to end");
        signals.exit_on_next(log.clone());
        let mut drain = Drain::begin(&health);
        let window = config.drain.window;
        let left = || router.connections() as u64;
        drain.phase("close connections", window + FAREWELL_MAX, left, router.drain(window)).await;
        drain.end();
        tasks.stop();
        Ok(())
    });
    // Not by dropping it: that waits for threads, and one that is stuck must not keep the process.
    runtime.shutdown_background();
    log.flush();
    outcome
}

fn wanted(config: &Config, descriptors: u64) -> RouterConfig {
    let connections_max = usize::try_from(connections_max(descriptors.saturating_sub(DESCRIPTORS_RESERVED)))
        .unwrap_or(usize::MAX);
    let given = &config.router;
    RouterConfig {
        address: SocketAddr::new(given.host, given.port),
        threads: given.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
        rules: rules(config),
        proxies: addresses::front(config).proxies,
        connections_max,
    }
}

/// Each connection of a client has one to a node, and one in ten may ask a second node for the same handshake at a time:
/// without room for that, probes of nodes would find no descriptor either, and all nodes be taken for down.
const fn connections_max(descriptors: u64) -> u64 {
    descriptors / 21 * 10
}

/// What may become another while it serves.
pub(crate) fn rules(config: &Config) -> Rules {
    let given = &config.router;
    let count = |per_second: u32| NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN);
    let per_address = count(given.handshakes_per_address);
    let weights: HashMap<String, usize> =
        given.weights.0.iter().map(|weight| (weight.node.show(), weight.weight)).collect();
    Rules {
        strategy: match given.strategy {
            config::Strategy::LeastConnections => Strategy::LeastConnections,
            config::Strategy::Rendezvous => Strategy::Rendezvous,
            config::Strategy::RoundRobin => Strategy::RoundRobin,
            config::Strategy::Weighted => Strategy::Weighted,
            config::Strategy::IpHash => Strategy::IpHash,
        },
        weights,
        handshakes: Handshakes {
            in_sum: count(given.handshakes_per_second),
            per_address: Rate::per_second(per_address, per_address),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_leaves_descriptors_for_second_attempts() {
        for descriptors in [0, 500, 19_872, 1_000_000] {
            let connections = connections_max(descriptors);
            assert!(connections * 2 + connections / 10 <= descriptors);
        }
        assert!(connections_max(19_872) >= 9_000);
    }
}
