//! The plane for somebody who is no node: who is there, and who owns which name. It holds no lease and leaves nothing behind.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fred::types::Value;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::access::{Access, bytes_of, incarnation};
use super::directory::RedisDirectory;
use super::membership::nodes_keys;
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
    let mut observer =
        Observer { access: Arc::clone(&access), generation: String::new(), known: HashMap::new() };
    let (nodes, seen) = watch::channel(observer.look().await?);
    access.runtime.spawn(observer.run(nodes));
    Ok(Observed { nodes: seen, directory: Arc::new(RedisDirectory::new(access)), condition })
}

struct Observer {
    access: Arc<Access>,
    /// Changes with what nodes say of themselves.
    generation: String,
    known: HashMap<Incarnation, Node>,
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
        let args = vec![bytes_of(&self.generation)];
        let keys = nodes_keys(&self.access.keys);
        let seen = self.access.call("turnpike_nodes_look", &keys, args, Seen::parse).await?;
        if seen.generation != self.generation {
            self.known = seen.nodes.into_iter().map(|node| (node.incarnation, node)).collect();
            self.generation = seen.generation;
        }
        let mut nodes: Vec<Node> =
            seen.living.iter().filter_map(|living| self.known.get(living).cloned()).collect();
        nodes.sort_by_key(|node| node.incarnation);
        Ok(nodes.into())
    }
}

struct Seen {
    generation: String,
    living: Vec<Incarnation>,
    /// What they say, unless it is known.
    nodes: Vec<Node>,
}

impl Seen {
    fn parse(answer: &Value) -> Option<Self> {
        let [generation, living, nodes] = reply::array(answer)? else { return None };
        let said = reply::array(nodes)?.chunks(2);
        Some(Self {
            generation: reply::text(generation)?.to_owned(),
            living: reply::array(living)?
                .iter()
                .map(|one| incarnation(reply::text(one)?))
                .collect::<Option<_>>()?,
            // Of another release, perhaps: it is there, but not seen by this one.
            nodes: said.filter_map(|pair| serde_json::from_str(reply::text(pair.get(1)?)?).ok()).collect(),
        })
    }
}
