//! The bulletin where it matters that it is Redis: nobody hears the bus, a failover or an empty restart has lost something,
//! there is no more room.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use turnpike_cluster::{Notice, Topic};
use turnpike_lab::{RedisCluster, shared, unique_prefix};

use super::stage::{Node, config, node, nodes, nodes_on, until};

const LONG: Duration = Duration::from_mins(10);
/// What the trait says, and a machine that is busy gets as much again. It may have been kept from its turn once or twice.
const KNOWN_MAX: Duration = Duration::from_secs(2);

fn after(time: Duration) -> u64 {
    (SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + time).as_millis() as u64
}

fn ban(key: &str) -> Notice {
    Notice::new(Topic::Ban, key, "x", after(LONG))
}

async fn post(node: &Node, notice: Notice) {
    node.plane.bulletin.post(notice).wait().await.unwrap();
}

fn keys(node: &Node) -> Vec<String> {
    let mut keys: Vec<String> =
        node.plane.bulletin.holding(Topic::Ban).iter().map(|notice| notice.key.to_string()).collect();
    keys.sort_unstable();
    keys
}

async fn has(node: &Node, expected: &[&str]) -> Duration {
    let begun = Instant::now();
    until("the notices", async || (keys(node) == expected).then_some(())).await;
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_hear_the_bus_reads_it_all_the_same() {
    let cluster = Arc::new(RedisCluster::start().unwrap());
    let (_, nodes) = nodes_on(&cluster, 2).await;
    let over = Arc::new(AtomicBool::new(false));
    let masters = cluster.masters().unwrap();
    let deaf = {
        let (cluster, over) = (Arc::clone(&cluster), Arc::clone(&over));
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                for master in &masters {
                    let _ = cluster.command(*master, &["CLIENT", "KILL", "TYPE", "pubsub"]);
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        })
    };
    let mut took = Vec::new();
    for number in 0..5 {
        let key = format!("user:{number}");
        post(&nodes[0], ban(&key)).await;
        took.push(has(&nodes[1], &[&key]).await);
        post(&nodes[0], Notice::lift(Topic::Ban, &*key)).await;
        took.push(has(&nodes[1], &[]).await);
    }
    took.sort_unstable();
    println!("without the bus: {took:?}");
    assert!(took[7] <= KNOWN_MAX, "{took:?}");
    over.store(true, Ordering::Relaxed);
    deaf.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bus_makes_it_quick() {
    let nodes = nodes(2).await;
    let mut took = Vec::new();
    for number in 0..20 {
        let mut listener = nodes[1].plane.bulletin.listen(Topic::Revoked);
        while listener.at_hand().is_some() {}
        let begun = Instant::now();
        let notice = Notice::new(Topic::Revoked, number.to_string(), "x", after(LONG));
        post(&nodes[0], notice).await;
        listener.next().await.unwrap();
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    println!("from posting to being told on another node: median {:?}, longest {:?}", took[10], took[19]);
    assert!(took[10] < Duration::from_millis(250), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_has_lost_it_is_told_again() {
    let cluster = RedisCluster::start().unwrap();
    let (prefix, nodes) = nodes_on(&cluster, 2).await;
    post(&nodes[0], ban("a")).await;
    post(&nodes[0], ban("b")).await;
    post(&nodes[1], Notice::lift(Topic::Ban, "b")).await;
    has(&nodes[0], &["a"]).await;
    has(&nodes[1], &["a"]).await;
    let name = |what: &str| format!("{{{prefix}:bulletin}}:{what}");
    let master = cluster.master_of_key(&name("meta")).unwrap();
    let all = ["held:ban", "ends:ban", "news", "meta"].map(name);
    let mut delete = vec!["DEL"];
    delete.extend(all.iter().map(String::as_str));
    cluster.command(master, &delete).unwrap();
    // Who comes new knows it from those that are there, and that the other was lifted.
    until("it is there again", async || {
        let held = cluster.command(master, &["HLEN", &all[0]]).unwrap().integer();
        (held == Some(2)).then_some(())
    })
    .await;
    let late = node(config(cluster.seeds(), &prefix)).await;
    has(&late, &["a"]).await;
    // And goes on.
    post(&late, ban("c")).await;
    has(&nodes[0], &["a", "c"]).await;
    has(&nodes[1], &["a", "c"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_far_behind_reads_all_that_holds() {
    let nodes = nodes(2).await;
    let prefix = &nodes[0].prefix;
    post(&nodes[0], ban("a")).await;
    has(&nodes[1], &["a"]).await;
    // As if the stream had gone on without them for long.
    let name = |what: &str| format!("{{{prefix}:bulletin}}:{what}");
    shared().command(&name("news"), &["DEL", &name("news")]).unwrap();
    let far = after(Duration::from_hours(1)).to_string();
    shared().command(&name("meta"), &["HSET", &name("meta"), "floor", &far, "last", &far]).unwrap();
    post(&nodes[0], ban("b")).await;
    has(&nodes[1], &["a", "b"]).await;
}

/// In Redis: a bound of three, called as the nodes call it.
#[test]
fn beyond_the_bound_redis_gives_up_what_ends_soonest() {
    let prefix = unique_prefix();
    let keys = ["held:ban", "ends:ban", "news", "meta"].map(|what| format!("{{{prefix}:bulletin}}:{what}"));
    let channel = format!("{{{prefix}:bulletin}}:c");
    // Loads the library.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _node = runtime.block_on(async { node(config(shared().seeds(), &prefix)).await });
    let mut given_up = Vec::new();
    for (key, seconds) in [("a", 300), ("b", 100), ("c", 200), ("d", 400), ("e", 500)] {
        let until = after(Duration::from_secs(seconds)).to_string();
        let mut call = vec!["FCALL", "turnpike_bulletin_post", "4"];
        call.extend(keys.iter().map(String::as_str));
        call.extend([key, &until, "payload", "3", &channel]);
        let answer = shared().command(&keys[0], &call).unwrap();
        given_up.push(answer.items()[2].integer().unwrap());
    }
    assert_eq!(given_up, [0, 0, 0, 1, 1]);
    let left = shared().command(&keys[0], &["ZRANGE", &keys[1], "0", "-1"]).unwrap();
    let left: Vec<String> = left.items().iter().map(turnpike_lab::Reply::text).collect();
    assert_eq!(left, ["a", "d", "e"]);
    assert_eq!(shared().command(&keys[0], &["HLEN", &keys[0]]).unwrap().integer(), Some(3));
}
