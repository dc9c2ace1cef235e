//! The plane on a Redis Cluster.

mod access;
mod address;
mod bases;
mod breaker;
mod broker;
mod bulletin;
mod bus;
mod census;
pub mod check;
mod client;
mod clock;
mod commit;
mod condition;
mod config;
mod directory;
mod fault;
#[cfg(test)]
mod fleet;
mod follow;
mod frame;
mod keys;
mod lanes;
mod lease;
mod library;
mod link;
mod log;
mod marks;
mod membership;
mod metrics;
mod observer;
mod occupancy;
mod own_rows;
mod post;
mod presence;
mod presence_check;
mod quota;
mod record;
mod reply;
mod rows;
mod seal;
mod sessions;
#[cfg(test)]
mod simulation;
mod slot;
mod standing;
mod stores;
mod surveyor;
mod sweep;
mod topology;
mod versions;

use std::sync::{Arc, OnceLock};

use aws_lc_rs::rand;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tracing::error;

use self::access::Access;
pub use self::breaker::{Breaker as CircuitBreaker, Refused};
use self::broker::RedisBroker;
use self::bus::Bus;
use self::client::Client;
use self::commit::Committer;
use self::condition::Conditions;
use self::directory::RedisDirectory;
use self::keys::Keys;
use self::lanes::Lanes;
use self::metrics::Metrics;
use self::post::RedisPost;
use self::seal::Seal;
use self::stores::Stores;
use self::surveyor::Surveyor;
use self::versions::Versions;
use crate::letterboxes::Letterboxes;
use crate::{Cluster, Condition, Directory, Incarnation, Unavailable};

pub use config::{Durability, RedisConfig, Report, Reporter};
pub use observer::{Observed, observe};

/// Beyond it what is decided by the wall clock (when tokens and bans end) is decided wrongly.
pub const CLOCK_OFFSET_MAX: std::time::Duration = std::time::Duration::from_secs(5);

/// Why there is no plane. What is wrong with the cluster, and what to do, says [`check::check`].
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("none of the Redis nodes {nodes} answers")]
    Unreachable { nodes: String },
    #[error("the Redis Cluster does not answer as it should")]
    Unavailable(#[from] Unavailable),
    #[error("a metric could not be registered")]
    Metrics(#[from] prometheus::Error),
}

/// Makes this node part of the plane. Its tasks and connections live in the runtime in which this is called, for as long as
/// anything of the plane is held.
pub async fn connect(config: RedisConfig, registry: &prometheus::Registry) -> Result<Cluster, ConnectError> {
    let (access, condition) = reach(config, registry).await?;
    let (client, keys) = (Arc::clone(&access.client), access.keys.clone());
    let stores = Stores::start(Arc::clone(&access)).await?;
    let committer = Committer::start(Arc::clone(&client), &keys);
    let post = Arc::new(RedisPost::new(Arc::clone(&access)));
    let lanes = Lanes::new(Arc::clone(&access), Bus::new(client, keys, access.own));
    Ok(Cluster {
        broker: Arc::new(RedisBroker::new(access, lanes, committer)),
        sessions: stores.sessions,
        membership: stores.membership,
        presence: stores.presence,
        marks: stores.marks,
        directory: stores.directory,
        quota: stores.quota,
        occupancy: stores.occupancy,
        post,
        bulletin: stores.bulletin,
        condition,
    })
}

/// Names and their owners alone, for whoever only reads them: no other node learns of it.
pub async fn directory(config: RedisConfig) -> Result<Arc<dyn Directory>, ConnectError> {
    let (access, _) = reach(config, &prometheus::Registry::new()).await?;
    Ok(Arc::new(RedisDirectory::new(access)))
}

async fn reach(
    config: RedisConfig,
    registry: &prometheus::Registry,
) -> Result<(Arc<Access>, watch::Receiver<Condition>), ConnectError> {
    let config = Arc::new(config);
    let metrics = Arc::new(Metrics::new(registry)?);
    let Some(surveyor) = Surveyor::start(Arc::clone(&config)).await else {
        let nodes: Vec<String> = config.nodes.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        return Err(ConnectError::Unreachable { nodes: nodes.join(", ") });
    };
    let conditions = Arc::new(Conditions::default());
    let condition = conditions.watch();
    let client = Arc::new(Client::new(Arc::clone(&config), surveyor, conditions, metrics));
    client.spread_library();
    let keys = Keys::new(&config.prefix);
    let own = draw_incarnation();
    let access = Arc::new(Access {
        client: Arc::clone(&client),
        keys,
        own,
        seal: Seal::new(&client.config.seal_secrets, own),
        runtime: Handle::current(),
        deliver: OnceLock::new(),
        lanes: OnceLock::new(),
        doubts: watch::Sender::new(0),
        versions: Versions::default(),
        letterboxes: Letterboxes::default(),
        posted: Notify::new(),
    });
    Ok((access, condition))
}

fn draw_incarnation() -> Incarnation {
    let mut bytes = [0; 8];
    if rand::fill(&mut bytes).is_err() {
        error!("no random numbers; the clock stands in for them");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        bytes = (now.as_nanos() as u64 ^ u64::from(std::process::id()) << 48).to_be_bytes();
    }
    // Short enough to stay exact in the JSON of others. Zero is nobody.
    Incarnation((u64::from_be_bytes(bytes) >> 11).max(1))
}
