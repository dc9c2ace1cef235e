//! The coordination plane of a single process: all of it in memory, and what must survive a restart on a disk if there is
//! one.

mod bounded;
mod broker;
mod clock;
mod directory;
mod epochs;
mod log;
mod marks;
mod membership;
mod presence;
mod quota;
mod reading;
mod seen;
mod sessions;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

use self::broker::EmbeddedBroker;
use self::clock::{Clock, unix_ms};
use self::directory::EmbeddedDirectory;
use self::marks::EmbeddedMarks;
use self::membership::EmbeddedMembership;
use self::presence::EmbeddedPresence;
use self::quota::EmbeddedQuota;
use self::sessions::MemorySessions;
use crate::{Cluster, Condition, HistoryLimits, Membership as _};

#[derive(Debug, Clone)]
pub struct Config {
    /// As in session ids.
    pub node: String,
    pub address: Option<SocketAddr>,
    pub version: String,
    pub history: HistoryLimits,
    /// How long a session may be taken up after its process has ended.
    pub recovery_window_ms: u64,
    /// A directory of this process alone. None: everything ends with the process.
    pub disk: Option<PathBuf>,
}

impl Config {
    pub fn new(node: impl Into<String>) -> Self {
        Self {
            node: node.into(),
            address: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            history: HistoryLimits::default(),
            recovery_window_ms: 120_000,
            disk: None,
        }
    }
}

/// Why the plane cannot be opened. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("a thread could not be started")]
    Thread(#[source] std::io::Error),
}

/// The plane, for the process that it lives in.
pub struct Embedded {
    cluster: Cluster,
    broker: Arc<EmbeddedBroker>,
}

/// How much is kept right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Levels {
    pub rooms: usize,
    pub messages: usize,
    pub bytes: usize,
    /// Ids remembered to recognise repetitions.
    pub message_ids: usize,
}

impl Levels {
    fn and(self, other: Self) -> Self {
        Self {
            rooms: self.rooms + other.rooms,
            messages: self.messages + other.messages,
            bytes: self.bytes + other.bytes,
            message_ids: self.message_ids + other.message_ids,
        }
    }
}

/// [`Embedded::start`] for who needs no levels.
pub fn start(config: &Config) -> Result<Cluster, OpenError> {
    Embedded::start(config).map(|embedded| embedded.cluster())
}

impl Embedded {
    pub fn start(config: &Config) -> Result<Self, OpenError> {
        let clock = Clock::start(0);
        let broker = Arc::new(EmbeddedBroker::new(unix_ms(), &config.history, clock));
        let membership = EmbeddedMembership::new(&config.node, config.address, &config.version);
        let presence = Arc::new(EmbeddedPresence::new(membership.own(), clock, Arc::clone(&broker)));
        let (condition, _) = watch::channel(Condition::default());
        let cluster = Cluster {
            sessions: Arc::new(MemorySessions::new(clock)),
            presence: Arc::clone(&presence) as _,
            marks: Arc::new(EmbeddedMarks::new(clock, Arc::clone(&broker))),
            directory: Arc::new(EmbeddedDirectory::new(membership.own(), clock)),
            quota: Arc::new(EmbeddedQuota::new(clock)),
            membership: Arc::new(membership),
            broker: Arc::clone(&broker) as _,
            condition: condition.subscribe(),
        };
        let weak = (Arc::downgrade(&broker), Arc::downgrade(&presence));
        thread::Builder::new()
            .name("cluster-sweep".to_owned())
            .spawn(move || {
                let (broker, presence) = weak;
                loop {
                    thread::sleep(SWEEP_EVERY);
                    let (Some(broker), Some(presence)) = (broker.upgrade(), presence.upgrade()) else {
                        return;
                    };
                    broker.sweep(clock.steady_ms());
                    presence.sweep(clock.steady_ms());
                }
            })
            .map_err(OpenError::Thread)?;
        Ok(Self { cluster, broker })
    }

    pub fn cluster(&self) -> Cluster {
        self.cluster.clone()
    }

    pub fn levels(&self) -> Levels {
        self.broker.levels()
    }
}

const SWEEP_EVERY: Duration = Duration::from_secs(1);
