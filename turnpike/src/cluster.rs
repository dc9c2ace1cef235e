//! The coordination plane that this process is told to use: its own, or a Redis Cluster.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use prometheus::Registry;
use tokio::sync::watch;
use turnpike_cluster::embedded::{self, Embedded};
use turnpike_cluster::redis::{self, RedisConfig};
use turnpike_cluster::{Cluster, Condition, HistoryLimits, Lease};
use turnpike_daemon::health::Check;
use turnpike_daemon::tasks::Stop;

use crate::config::Config;
use crate::kept::Kept;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Of this process alone.
pub(crate) fn embedded(config: &Config, address: SocketAddr, registry: &Registry) -> anyhow::Result<Cluster> {
    let embedded = embedded::Config {
        node: config.node_id(),
        address: Some(address),
        version: VERSION.to_owned(),
        history: history(config),
        recovery_window_ms: u64::try_from(config.recovery.window.as_millis()).unwrap_or(u64::MAX),
        disk: config.history.store.clone(),
    };
    let plane = Embedded::start(&embedded).context("the embedded broker cannot start")?;
    Kept::register(registry, &plane, embedded.disk.as_ref())?;
    Ok(plane.cluster())
}

/// Shared with the other nodes on that Redis Cluster.
pub(crate) async fn on_redis(config: RedisConfig, registry: &Registry) -> anyhow::Result<Cluster> {
    redis::connect(config, registry)
        .await
        .context("the node cannot join the Redis Cluster (try `turnpike doctor`)")
}

pub(crate) fn history(config: &Config) -> HistoryLimits {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    HistoryLimits {
        room_messages_max: config.history.room_messages_max,
        room_bytes_max: config.history.room_bytes_max.0,
        bytes_max: config.history.bytes_max.0,
        age_ms_max: millis(config.history.age_max),
        dedupe_ms: millis(config.history.dedupe_window),
        dedupe_ids_max: config.history.dedupe_ids_max,
    }
}

/// Ready as long as the plane says of itself that nothing is wrong with it.
pub(crate) async fn watch_condition(mut condition: watch::Receiver<Condition>, check: Check, mut stop: Stop) {
    loop {
        {
            let now = condition.borrow_and_update();
            if now.faults.is_empty() {
                check.pass();
            } else {
                check.fail(now.faults.join("; "));
            }
        }
        tokio::select! {
            changed = condition.changed() => if changed.is_err() { return stop.requested().await },
            () = stop.requested() => return,
        }
    }
}

/// Resolves when others have, or may have, taken this node for dead.
pub(crate) async fn lease_lost(cluster: &Cluster, check: &Check) {
    let mut lease = cluster.membership.lease();
    loop {
        match *lease.borrow_and_update() {
            Lease::Held => check.pass(),
            Lease::Doubtful => check.fail("the lease of this node could not be renewed in time"),
            Lease::Lost => return,
        }
        if lease.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
