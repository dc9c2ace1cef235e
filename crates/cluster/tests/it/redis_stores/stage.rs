//! Nodes of the plane on a cluster, in one process.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use prometheus::Registry;
use turnpike_cluster::redis::{self, RedisConfig};
use turnpike_cluster::{
    Change, Cluster, Control, Deliver, Full, Incarnation, Lane, LanePosition, Message, Row, RowKey, Signal,
    Soon, Standing, Status,
};
use turnpike_lab::RedisCluster;
use turnpike_wire::{RoomId, UserId};

/// Past it, it is broken.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) struct Node {
    pub(crate) plane: Cluster,
    pub(crate) heard: Arc<Heard>,
    pub(crate) prefix: String,
    registry: Registry,
}

/// What a node was told.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) signals: Mutex<Vec<(RoomId, Signal)>>,
    pub(crate) controls: Mutex<Vec<Control>>,
}

impl Deliver for Heard {
    fn lane(&self, _: Lane, _: LanePosition) -> Soon<()> {
        Soon::Now(())
    }
    fn opened(&self, _: &RoomId, _: &Standing) {}
    fn message(&self, _: &Arc<Message>) -> Result<(), Full> {
        Ok(())
    }
    fn verified(&self, _: &RoomId, _: LanePosition) {}
    fn broken(&self, _: &RoomId, _: &Standing) {}
    fn signal(&self, room: &RoomId, signal: &Signal) {
        self.signals.lock().unwrap().push((room.clone(), signal.clone()));
    }
    fn control(&self, control: Control) {
        self.controls.lock().unwrap().push(control);
    }
}

impl Node {
    pub(crate) fn own(&self) -> Incarnation {
        self.plane.membership.own()
    }

    /// Commands that this node has sent so far, by kind.
    pub(crate) fn commands(&self, kind: &str) -> u64 {
        self.count("turnpike_cluster_redis_commands_total", Some(kind))
    }

    /// What the bus has brought.
    pub(crate) fn bus_bytes(&self) -> u64 {
        self.count("turnpike_cluster_bus_bytes_total", None)
    }

    /// What came without a seal of this cluster.
    pub(crate) fn forged(&self) -> u64 {
        self.count("turnpike_bus_forged_total", None)
    }

    fn count(&self, name: &str, label: Option<&str>) -> u64 {
        let families = self.registry.gather();
        let metrics = families.iter().filter(|family| family.name() == name);
        let metrics = metrics.flat_map(prometheus::proto::MetricFamily::get_metric);
        let wanted = |metric: &&prometheus::proto::Metric| {
            label.is_none_or(|label| metric.get_label().iter().any(|one| one.value() == label))
        };
        metrics.filter(wanted).map(|metric| metric.get_counter().get_value() as u64).sum()
    }
}

pub(crate) fn config(seeds: Vec<(String, u16)>, prefix: &str) -> RedisConfig {
    RedisConfig { nodes: seeds, prefix: prefix.to_owned(), ..RedisConfig::default() }
}

pub(crate) async fn node(config: RedisConfig) -> Node {
    let (registry, prefix) = (Registry::new(), config.prefix.clone());
    let plane = redis::connect(config, &registry).await.expect("the cluster is there");
    let heard = Arc::new(Heard::default());
    plane.broker.start(Arc::clone(&heard) as Arc<dyn Deliver>).wait().await.expect("the cluster is there");
    Node { plane, heard, prefix, registry }
}

/// So many nodes on the cluster that other tests use as well.
pub(crate) async fn nodes(count: usize) -> Vec<Node> {
    let prefix = turnpike_lab::unique_prefix();
    let mut nodes = Vec::new();
    for _ in 0..count {
        nodes.push(node(config(turnpike_lab::shared().seeds(), &prefix)).await);
    }
    nodes
}

/// On a cluster that may be harmed.
pub(crate) async fn nodes_on(cluster: &RedisCluster, count: usize) -> (String, Vec<Node>) {
    let prefix = turnpike_lab::unique_prefix();
    let mut nodes = Vec::new();
    for _ in 0..count {
        nodes.push(node(config(cluster.seeds(), &prefix)).await);
    }
    (prefix, nodes)
}

pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + LIMIT;
    loop {
        if let Some(value) = ask().await {
            return value;
        }
        assert!(Instant::now() < until, "{what}: not within {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn room(name: &str) -> RoomId {
    RoomId::parse(name).unwrap()
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

pub(crate) fn key(name: &str) -> RowKey {
    RowKey { user: user(name), device: "d".into() }
}

pub(crate) fn here(name: &str) -> Change {
    Change { key: key(name), row: Some(Row { status: Status::Online, activity: None }) }
}

pub(crate) fn gone(name: &str) -> Change {
    Change { key: key(name), row: None }
}

/// Who is in the room by what that node reads.
pub(crate) async fn who(node: &Node, room: &RoomId) -> Vec<String> {
    let roster = node.plane.presence.read(room).wait().await.unwrap();
    let mut users: Vec<String> = roster.rows.iter().map(|(_, key, _)| key.user.to_string()).collect();
    users.sort_unstable();
    users
}
