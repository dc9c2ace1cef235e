//! A session's record that a failover takes back is put again: who joined a room just before the master died, and whose node
//! dies as well, is in that room on the other node.

use std::time::{Duration, Instant};

use turnpike_history::{Level, What};
use turnpike_lab::{End, Node, RedisCluster, RedisNode, RedisOptions};
use turnpike_tests::recording::{Client, Plan, Recording};

use crate::roaming::Pair;

const PATIENCE: Duration = Duration::from_secs(30);

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The bucket with a record that names this room, and the master that has it.
fn record_with(redis: &RedisCluster, prefix: &str, room: &str) -> Option<(RedisNode, String)> {
    let pattern = format!("{{{prefix}:s*");
    let masters = redis.masters().ok()?;
    masters.into_iter().find_map(|master| {
        let keys = redis.command(master, &["KEYS", &pattern]).ok()?;
        let names = keys.items().iter().map(turnpike_lab::Reply::text);
        let has = |key: &String| {
            let values = redis.command(master, &["HVALS", key]).ok();
            values.is_some_and(|values| values.items().iter().any(|value| value.text().contains(room)))
        };
        names.into_iter().find(has).map(|key| (master, key))
    })
}

/// The same, as soon as there is one.
async fn written_with(redis: &RedisCluster, prefix: &str, room: &str) -> (RedisNode, String) {
    let mut found = None;
    until("it to be written down", || {
        found = record_with(redis, prefix, room);
        found.is_some()
    })
    .await;
    found.expect("it was waited for")
}

fn client(pair: &Pair, user: &str, nodes: &[&Node], recording: &Recording) -> Client {
    let nodes = nodes.iter().map(|node| node.gateway).collect();
    let (name, token) = (user.to_owned(), pair.token(user));
    let plan = Plan { name: name.clone(), user: name, token, nodes, level: Level::Replicated };
    Client::start(plan, recording.clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_failover_took_back_is_put_again() {
    let options = RedisOptions { cuttable: true, ..RedisOptions::default() };
    let redis = RedisCluster::start_with(options).unwrap();
    let mut pair = Pair::on(&redis.seeds_text(), &[]);
    let recording = Recording::default();
    let alice = client(&pair, "alice", &[&pair.nodes[0], &pair.nodes[1]], &recording);
    let has = |what: &dyn Fn(&What) -> bool| recording.events().iter().any(|event| what(&event.what));
    alice.join("early:a").await;
    until("the first room", || alice.places().contains_key("early:a")).await;
    let prefix = pair.prefix.clone();
    let (master, bucket) = written_with(&redis, &prefix, "early:a").await;

    for replica in redis.replicas_of(master).unwrap() {
        redis.network().cut(End::Redis(master), End::Redis(replica));
    }
    alice.join("late:b").await;
    until("the second room", || alice.places().contains_key("late:b")).await;
    let written = written_with(&redis, &prefix, "late:b").await;
    assert_eq!(written, (master, bucket), "it stands where nobody else has it");
    redis.kill(master);
    redis.wait_served(PATIENCE).unwrap();
    // Not before: what is on its way would still get there.
    redis.network().mend();
    until("the record to be put again", || record_with(&redis, &prefix, "late:b").is_some()).await;
    // Messages are acknowledged when all have them again.
    redis.restart(master).unwrap();
    redis.wait_healthy(PATIENCE).unwrap();

    pair.nodes[0].kill();
    until("alice to be back", || has(&|what| matches!(what, What::Session { recovered: true }))).await;
    let bob = client(&pair, "bob", &[&pair.nodes[1]], &recording);
    bob.join("late:b").await;
    bob.send("late:b", "hello").await;
    until("the message in the second room", || {
        let events = recording.events();
        let mut given = events.iter().filter(|event| event.who == "alice");
        given.any(|event| matches!(&event.what, What::Message { room, .. } if room == "late:b"))
    })
    .await;
    assert!(!has(&|what| matches!(what, What::Resync { .. })), "nothing was lost");
}
