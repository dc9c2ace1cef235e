//! What the Redis implementation is told: where the cluster is, how durable an answer is, how much is kept, for how long
//! anything may take.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::HistoryLimits;

#[derive(Clone)]
pub struct RedisConfig {
    /// Where to ask for the cluster's layout. Any of its processes will do, several survive one that is away.
    pub nodes: Vec<(String, u16)>,
    pub username: Option<String>,
    pub password: Option<String>,
    /// What messages between nodes are sealed with: the first, and any of them is accepted. Without one nothing is sealed,
    /// and everything believed.
    pub seal_secrets: Vec<[u8; 32]>,
    /// Begins every key, so that several installations (and tests) share a cluster.
    pub prefix: String,
    pub durability: Durability,
    /// So many replicas must have a message before it is answered as replicated, even if the layout names fewer: a
    /// master that has lost its replicas acknowledges nothing alone.
    pub replicas_min: usize,
    /// How long a publication is tried, through failovers, before its sender is told to try again.
    pub publish_deadline: Duration,
    /// How long anything else is tried.
    pub call_deadline: Duration,
    /// A connection that takes longer than this to be made or to answer is given up. Above what a loaded Redis takes for
    /// a batch, below what a user waits for.
    pub reply_deadline: Duration,
    /// What is kept of a room. All rooms together are bounded by the memory that Redis is given: `bytes_max` and
    /// `dedupe_ids_max` bind nothing here.
    pub history: HistoryLimits,
    /// A room in which nothing was published for so long is forgotten: its count goes on elsewhere. Far longer than
    /// messages are kept, because members of an open room that was forgotten must reload it.
    pub idle_room_max: Duration,
    /// The node's name, as in session ids.
    pub node: String,
    /// Where other nodes reach this one.
    pub address: Option<SocketAddr>,
    pub version: String,
    pub lease_ms: u64,
    /// How long a session outlives its node.
    pub recovery_window: Duration,
    /// Told what people who look after the system's safety want to know. Called from where it happens, so it must not wait.
    pub report: Option<Reporter>,
}

pub type Reporter = Arc<dyn Fn(Report) + Send + Sync>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// A message between nodes that no node of this cluster has made, or that it made for another place. Each is told:
    /// whoever writes them down merges them.
    Forged { kind: &'static str },
    /// The clock of this machine against that of Redis, when it goes off by more than
    /// [`CLOCK_OFFSET_MAX`](super::CLOCK_OFFSET_MAX) and when it is right again.
    Clock { offset_ms: i64, is_right: bool },
}

/// What an answer to a publication means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The master has it. A failover may take it back.
    Stored,
    /// Every replica of that master has it too.
    Replicated,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            nodes: vec![("127.0.0.1".to_owned(), 7000)],
            username: None,
            password: None,
            seal_secrets: Vec::new(),
            prefix: "tp".to_owned(),
            durability: Durability::Replicated,
            replicas_min: 1,
            publish_deadline: Duration::from_secs(5),
            call_deadline: Duration::from_secs(5),
            reply_deadline: Duration::from_secs(1),
            history: HistoryLimits::default(),
            idle_room_max: Duration::from_hours(720),
            node: "node".to_owned(),
            address: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            lease_ms: 3_000,
            recovery_window: Duration::from_mins(2),
            report: None,
        }
    }
}
