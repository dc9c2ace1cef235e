//! What Redis is asked when there is little to do, and signals on their way.

use std::time::Duration;

use turnpike_cluster::redis::RedisConfig;
use turnpike_cluster::{Signal, TypingChange};
use turnpike_lab::{shared, unique_prefix};
use turnpike_wire::UserId;

use super::node::{Node, room};

fn config() -> RedisConfig {
    RedisConfig { nodes: shared().seeds(), prefix: unique_prefix(), ..RedisConfig::default() }
}

/// A storm of returning clients opens tens of thousands of rooms: each is subscribed, and they are compared together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_rooms_open_with_few_commands() {
    let node = Node::start(config()).await;
    let rooms: Vec<_> = (0..2_000).map(|number| room(&format!("user:{number}"))).collect();
    let before = node.counted_with("turnpike_cluster_redis_commands_total", |kind| kind == "turnpike_audit");
    let opening = rooms.iter().map(|room| node.cluster.broker.open(room).wait());
    for opened in futures_util::future::join_all(opening.collect::<Vec<_>>()).await {
        opened.expect("it opens");
    }
    let asked =
        node.counted_with("turnpike_cluster_redis_commands_total", |kind| kind == "turnpike_audit") - before;
    assert!(asked <= 600.0, "{asked} comparisons for 2,000 rooms");
    node.record.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_reach_other_nodes_and_the_own_one_once() {
    let config = config();
    let (near, far) = (Node::start(config.clone()).await, Node::start(config).await);
    let room = room("chat:a");
    near.open(&room).await;
    far.open(&room).await;
    let typing = Signal::Typing(vec![TypingChange { user: UserId::parse("alice").unwrap(), typing: true }]);
    for _ in 0..20 {
        near.cluster.broker.signal(&room, typing.clone());
    }
    far.record.until("the signals", |record| record.signals() == 20).await;
    // What comes behind them on the same way shows that no more of them come.
    near.publish(&room, None, "x").await.unwrap();
    near.record.until("the message", |record| record.total() == 1).await;
    assert_eq!(near.record.signals(), 20);
    tokio::time::timeout(Duration::from_secs(10), near.until_well()).await.expect("it is well");
}
