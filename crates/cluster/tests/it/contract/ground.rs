//! The implementations that the suite runs against.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use turnpike_cluster::redis::{self, RedisConfig};
use turnpike_cluster::{Cluster, HistoryLimits, embedded};
use turnpike_lab::{Directory, shared, unique_prefix};

use super::stage::Terms;

pub(crate) type Raising = Pin<Box<dyn Future<Output = Cluster> + Send>>;

pub(crate) trait Ground {
    /// How many nodes play on it at once.
    fn nodes(&self) -> usize;

    /// Makes a node, that is not started yet. Called again after a node was killed, it comes back.
    fn raise(&self, terms: &Terms) -> Raising;
}

fn history(terms: &Terms) -> HistoryLimits {
    HistoryLimits {
        room_messages_max: terms.room_messages_max,
        dedupe_ms: terms.dedupe.as_millis() as u64,
        room_bytes_max: 16 << 20,
        ..HistoryLimits::default()
    }
}

struct Embedded {
    raised: AtomicUsize,
    disk: Option<Directory>,
}

/// One process that keeps everything in memory.
pub(crate) fn memory() -> Box<dyn Ground> {
    Box::new(Embedded { raised: AtomicUsize::new(0), disk: None })
}

/// One process that keeps its rooms on disk.
pub(crate) fn disk() -> Box<dyn Ground> {
    let directory = Directory::new("contract").expect("a directory can be made");
    Box::new(Embedded { raised: AtomicUsize::new(0), disk: Some(directory) })
}

impl Ground for Embedded {
    fn nodes(&self) -> usize {
        1
    }

    fn raise(&self, terms: &Terms) -> Raising {
        let number = self.raised.fetch_add(1, Ordering::Relaxed);
        let config = embedded::Config {
            history: history(terms),
            recovery_window_ms: terms.recovery.as_millis() as u64,
            disk: self.disk.as_ref().map(|disk| disk.path().to_owned()),
            ..embedded::Config::new(format!("n{number}"))
        };
        Box::pin(async move { embedded::start(&config).expect("the plane opens") })
    }
}

struct Redis {
    nodes: usize,
    raised: AtomicUsize,
    prefix: String,
}

/// So many nodes on a real Redis Cluster, with keys of their own.
pub(crate) fn redis(nodes: usize) -> Box<dyn Ground> {
    Box::new(Redis { nodes, raised: AtomicUsize::new(0), prefix: unique_prefix() })
}

impl Ground for Redis {
    fn nodes(&self) -> usize {
        self.nodes
    }

    fn raise(&self, terms: &Terms) -> Raising {
        let number = self.raised.fetch_add(1, Ordering::Relaxed);
        let config = RedisConfig {
            nodes: shared().seeds(),
            prefix: self.prefix.clone(),
            node: format!("n{number}"),
            history: history(terms),
            recovery_window: terms.recovery,
            // Sealed or not, the contract is the same.
            seal_secrets: if self.nodes > 2 { vec![[7; 32], [8; 32]] } else { Vec::new() },
            ..RedisConfig::default()
        };
        Box::pin(async move {
            redis::connect(config, &prometheus::Registry::new()).await.expect("the plane can be reached")
        })
    }
}
