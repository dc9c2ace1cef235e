//! One Redis Cluster for all tests of a run that do it no harm. Each keeps to keys with a prefix of its own.
//!
//! Who kills, freezes or moves anything starts a [`RedisCluster`] instead.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};

use crate::redis::{Connection, Layout, RedisCluster, Reply, slot_of};

/// Names the nodes of a cluster that is there already: `host:port,host:port`. `cargo xtask test` sets it. Not a name of the
/// product's, which refuses settings that it does not know.
pub const TEST_REDIS: &str = "XTASK_REDIS";

#[derive(Debug)]
pub struct Shared {
    seeds: Vec<(String, u16)>,
    /// Lives as long as the process; the guardian ends it.
    _own: Option<RedisCluster>,
}

/// That of the environment, or else one that this process starts on first use and that ends with it.
///
/// # Panics
///
/// If there is neither: the tests that ask for it cannot go on.
pub fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| Shared::find().unwrap_or_else(|error| panic!("no shared Redis Cluster: {error:#}")))
}

/// Not used by any other test, in this process or another. Letters and digits, so that it fits into any key.
pub fn unique_prefix() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    // A process id may come back during the life of a cluster; not in the same millisecond.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    format!("t{:x}x{now:x}x{number:x}", std::process::id())
}

impl Shared {
    fn find() -> anyhow::Result<Self> {
        let named = std::env::var(TEST_REDIS).ok().filter(|nodes| !nodes.is_empty());
        if let Some(nodes) = named {
            let seeds = nodes.split(',').map(|node| {
                let (host, port) =
                    node.trim().rsplit_once(':').with_context(|| format!("{node} has no port"))?;
                Ok((host.to_owned(), port.parse().with_context(|| format!("{node} has no port"))?))
            });
            return Ok(Self { seeds: seeds.collect::<anyhow::Result<_>>()?, _own: None });
        }
        let own = RedisCluster::start()?;
        Ok(Self { seeds: own.seeds(), _own: Some(own) })
    }

    pub fn seeds(&self) -> Vec<(String, u16)> {
        self.seeds.clone()
    }

    /// As environment variables have it.
    pub fn seeds_text(&self) -> String {
        let seeds: Vec<String> = self.seeds.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        seeds.join(",")
    }

    /// Asks the master of a key, to look at what was written or to write what must be found.
    pub fn command(&self, key: &str, command: &[&str]) -> anyhow::Result<Reply> {
        let slot = slot_of(key.as_bytes());
        for (host, port) in &self.seeds {
            let Ok(mut seed) = Connection::open((host, *port)) else { continue };
            let layout = Layout::ask(&mut seed)?;
            let owner = layout.members.iter().find(|member| member.serves() && member.owns(slot));
            let owner = owner.with_context(|| format!("nobody serves slot {slot}"))?;
            return Connection::open((host, owner.port))?.command(command);
        }
        bail!("no node of the shared cluster answers")
    }
}
