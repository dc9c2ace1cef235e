//! The plane for somebody who is no node: who is there, and who owns which name. It holds no lease and leaves nothing behind.

use std::sync::Arc;
use std::time::Duration;

use fred::types::Value;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::access::{Access, bytes_of};
use super::census::{Census, News};
use super::directory::RedisDirectory;
use super::membership::nodes_keys;
use super::standing::incarnations;
use super::{ConnectError, RedisConfig, reach, reply};
use crate::{Condition, Directory, Incarnation, Node, Unavailable};

/// How often it looks. A node that comes is seen within that, one that dies within its lease and that.
const INTERVAL: Duration = Duration::from_millis(250);

#[derive(Clone)]
pub struct Observed {
    /// All nodes that live. While the plane cannot be asked it stays as it was.
    pub nodes: watch::Receiver<Arc<[Node]>>,
    /// To be read; a claim would be nobody's.
    pub directory: Arc<dyn Directory>,
    pub condition: watch::Receiver<Condition>,
}

/// Begins to look. It goes on in the runtime in which this is called, for as long as anybody listens.
pub async fn observe(config: RedisConfig, registry: &prometheus::Registry) -> Result<Observed, ConnectError> {
    let (access, condition) = reach(config, registry).await?;
    let mut observer = Observer { access: Arc::clone(&access), census: Census::default() };
    let (nodes, seen) = watch::channel(observer.look().await?);
    access.runtime.spawn(observer.run(nodes));
    Ok(Observed { nodes: seen, directory: Arc::new(RedisDirectory::new(access)), condition })
}

struct Observer {
    access: Arc<Access>,
    census: Census,
}

impl Observer {
    async fn run(mut self, nodes: watch::Sender<Arc<[Node]>>) {
        let mut due = interval(INTERVAL);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = nodes.closed() => return,
                _ = due.tick() => {}
            }
            // What cannot be asked has been said by whoever was asked, and nobody is taken for dead because of it.
            let Ok(seen) = self.look().await else { continue };
            nodes.send_if_modified(|known| {
                let changed = *known != seen;
                *known = seen;
                changed
            });
        }
    }

    async fn look(&mut self) -> Result<Arc<[Node]>, Unavailable> {
        let args = vec![bytes_of(self.census.place())];
        let keys = nodes_keys(&self.access.keys);
        let seen = self.access.call("turnpike_nodes_look", &keys, args, Seen::parse).await?;
        self.census.hear(seen.news);
        Ok(self.census.living(&seen.lapsed).into())
    }
}

struct Seen {
    news: News,
    lapsed: Vec<Incarnation>,
}

impl Seen {
    fn parse(answer: &Value) -> Option<Self> {
        let [place, is_whole, changes, lapsed] = reply::array(answer)? else { return None };
        Some(Self { news: News::parse(place, is_whole, changes)?, lapsed: incarnations(lapsed)? })
    }
}
