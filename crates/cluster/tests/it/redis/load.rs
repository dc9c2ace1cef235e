//! Bursts and figures on a cluster that is well.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use turnpike_cluster::redis::{Durability, RedisConfig};
use turnpike_lab::{shared, unique_prefix};

use super::node::{Node, room};

fn config() -> RedisConfig {
    RedisConfig { nodes: shared().seeds(), prefix: unique_prefix(), ..RedisConfig::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_twenty_thousand_arrives_whole_and_in_order() {
    let config = config();
    let (near, far) = (Node::start(config.clone()).await, Node::start(config).await);
    let rooms: Vec<_> = (0..20).map(|number| room(&format!("chat:{number}"))).collect();
    for room in &rooms {
        far.open(room).await;
    }
    let began = Instant::now();
    let mut published = 0;
    // As many at once as a node takes.
    for chunk in (0..20_000).collect::<Vec<usize>>().chunks(8_000) {
        let batch = chunk.iter().map(|number| near.publish(&rooms[number % 20], None, "burst"));
        for receipt in join_all(batch.collect::<Vec<_>>()).await {
            receipt.expect("it is kept");
            published += 1;
        }
    }
    let answered = began.elapsed();
    far.record.until("all of them", |record| record.total() == published).await;
    for room in &rooms {
        assert_eq!(far.record.seqs(room), (1..=1_000).collect::<Vec<_>>());
    }
    far.record.check();
    let sent = near.counted_with("turnpike_cluster_redis_commands_total", |kind| {
        matches!(kind, "turnpike_publish" | "WAIT")
    });
    let each = sent / published as f64;
    eprintln!(
        "{published} answered in {answered:?}, there in {:?}, {each:.3} commands each",
        began.elapsed()
    );
    assert!(each <= 1.1, "{each} commands a message");
}

/// The figure is printed; the bound only says that something is badly wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alone_a_steady_thousand_a_second() {
    for durability in [Durability::Replicated, Durability::Stored] {
        let config = RedisConfig { durability, ..config() };
        let (near, far) = (Node::start(config.clone()).await, Node::start(config).await);
        let rooms: Vec<_> = (0..50).map(|number| room(&format!("chat:{number}"))).collect();
        for room in &rooms {
            far.open(room).await;
        }
        let mut tick = tokio::time::interval(Duration::from_millis(1));
        let mut answers = Vec::new();
        for number in 0..3_000 {
            tick.tick().await;
            let published = near.publish(&rooms[number % rooms.len()], None, "steady");
            let began = Instant::now();
            answers.push(tokio::spawn(async move {
                published.await.expect("it is kept");
                began.elapsed()
            }));
        }
        let mut took: Vec<Duration> = join_all(answers).await.into_iter().map(Result::unwrap).collect();
        took.sort_unstable();
        far.record.until("all of them", |record| record.total() == 3_000).await;
        far.record.check();
        let at = |share: f64| took[(took.len() as f64 * share) as usize];
        eprintln!(
            "{durability:?}: answered p50 {:?} p99 {:?} max {:?}",
            at(0.5),
            at(0.99),
            took.last().unwrap()
        );
        assert!(at(0.5) < Duration::from_millis(100), "{:?}", at(0.5));
    }
}
