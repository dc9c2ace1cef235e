//! Leases: what they survive, and what they do not.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use turnpike_cluster::Lease;
use turnpike_lab::{Process, RedisCluster};

use super::stage::{LIMIT, Node, config, here, node, nodes, nodes_on, room, until, who};

/// How a node's lease changes while it is watched.
async fn changes(node: &Node, during: Duration) -> Vec<Lease> {
    let mut lease = node.plane.membership.lease();
    let mut seen = vec![*lease.borrow_and_update()];
    let _ = tokio::time::timeout(during, async {
        while lease.changed().await.is_ok() {
            seen.push(*lease.borrow_and_update());
        }
    })
    .await;
    seen
}

/// Never given up, and held in the end. A process that is kept from its turn for a second and a half doubts it meanwhile.
fn is_kept(seen: &[Lease]) -> bool {
    !seen.contains(&Lease::Lost) && seen.last() == Some(&Lease::Held)
}

fn living(node: &Node) -> usize {
    node.plane.membership.nodes().borrow().len()
}

async fn all_see(nodes: &[Node], count: usize) {
    for node in nodes {
        until("all nodes to be seen", async || (living(node) == count).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_lease_is_lost_when_the_master_that_keeps_them_is_killed() {
    let cluster = RedisCluster::start().unwrap();
    let (prefix, nodes) = nodes_on(&cluster, 3).await;
    all_see(&nodes, 3).await;
    let master = cluster.master_of_key(&format!("{{{prefix}:nodes}}")).unwrap();
    cluster.kill(master);
    let seen =
        futures_util::future::join_all(nodes.iter().map(|node| changes(node, Duration::from_secs(10)))).await;
    for (node, seen) in nodes.iter().zip(seen) {
        assert!(is_kept(&seen), "{seen:?}");
        assert_eq!(living(node), 3);
    }
    // Those that do die afterwards are missed all the same.
    let mut nodes = nodes;
    drop(nodes.pop());
    all_see(&nodes, 2).await;
}

/// The master that keeps them stands still, and its replica as well, for longer than a node does without its lease while others
/// have theirs.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_taken_for_dead_while_nobody_can_renew() {
    let cluster = RedisCluster::start().unwrap();
    let (prefix, mut nodes) = nodes_on(&cluster, 3).await;
    all_see(&nodes, 3).await;
    let master = cluster.master_of_key(&format!("{{{prefix}:nodes}}")).unwrap();
    let mut still = cluster.replicas_of(master).unwrap();
    still.push(master);
    for process in &still {
        cluster.freeze(*process).unwrap();
    }
    let seen =
        futures_util::future::join_all(nodes.iter().map(|node| changes(node, Duration::from_secs(10)))).await;
    for seen in seen {
        assert_eq!(seen, [Lease::Held, Lease::Doubtful]);
    }
    for process in &still {
        cluster.thaw(*process).unwrap();
    }
    for node in &nodes {
        let lease = node.plane.membership.lease();
        until("the lease to be held again", async || (*lease.borrow() == Lease::Held).then_some(())).await;
    }
    let seen =
        futures_util::future::join_all(nodes.iter().map(|node| changes(node, Duration::from_secs(3)))).await;
    assert!(seen.iter().all(|seen| is_kept(seen)), "{seen:?}");
    all_see(&nodes, 3).await;
    // Those that do die afterwards are missed all the same.
    drop(nodes.pop());
    all_see(&nodes, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_takes_no_lease_and_gives_none() {
    let prefix = turnpike_lab::unique_prefix();
    let shared = turnpike_lab::shared();
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(node(config(shared.seeds(), &prefix)).await);
    }
    all_see(&nodes, 3).await;
    let clock = format!("{{{prefix}:nodes}}:clock");
    // The function compares the clock with what it was, so what it was is set the other way.
    let set = |by_ms: i64| {
        shared.command(&clock, &["HINCRBY", &clock, "wall", &(-by_ms).to_string()]).unwrap();
    };
    let hour = 3_600_000;
    for by_ms in [hour, -hour, 24 * hour, -24 * hour] {
        set(by_ms);
        let seen =
            futures_util::future::join_all(nodes.iter().map(|node| changes(node, Duration::from_secs(2))))
                .await;
        assert!(seen.iter().all(|seen| is_kept(seen)), "{by_ms}: {seen:?}");
        assert!(nodes.iter().all(|node| living(node) == 3), "{by_ms}");
    }
    drop(nodes.pop());
    let died = Instant::now();
    for by_ms in [-hour, -hour, -hour] {
        tokio::time::sleep(Duration::from_millis(500)).await;
        set(by_ms);
    }
    all_see(&nodes, 2).await;
    // Three seconds, one more for each time that the clock was set, and as much again for a machine that is busy.
    assert!(died.elapsed() < Duration::from_secs(12), "after {:?}", died.elapsed());
}

/// The replica that takes over may be far behind.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_failover_all_leases_begin_afresh() {
    let nodes = nodes(3).await;
    all_see(&nodes, 3).await;
    let key = |what: &str| format!("{{{}:nodes}}:{what}", nodes[0].prefix);
    let script = "redis.call('HSET', KEYS[2], 'run', 'another')
        local all = redis.call('ZRANGE', KEYS[1], 0, -1)
        for _, one in ipairs(all) do redis.call('ZINCRBY', KEYS[1], -60000, one) end
        return #all";
    let (leases, clock) = (key("until"), key("clock"));
    let aged = turnpike_lab::shared().command(&leases, &["EVAL", script, "2", &leases, &clock]).unwrap();
    assert_eq!(aged.integer(), Some(3), "{aged:?}");
    for node in &nodes {
        let seen = changes(node, Duration::from_secs(2)).await;
        assert!(is_kept(&seen), "{seen:?}");
        assert_eq!(living(node), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_back_in_time_was_never_dead() {
    let nodes = nodes(2).await;
    all_see(&nodes, 2).await;
    // A lease that has lapsed, but not so long ago.
    let shared = turnpike_lab::shared();
    let prefix = &nodes[0].prefix;
    let until_key = format!("{{{prefix}:nodes}}:until");
    let own = nodes[0].own().to_string();
    let aged = shared.command(&until_key, &["ZINCRBY", &until_key, "-4000", &own]).unwrap();
    assert_ne!(aged.integer(), Some(-4_000), "it had one: {aged:?}");
    let seen = changes(&nodes[0], Duration::from_secs(3)).await;
    assert!(is_kept(&seen), "it is renewed as if nothing had been: {seen:?}");
    all_see(&nodes, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_forgot_a_node_is_told_again() {
    let nodes = nodes(2).await;
    all_see(&nodes, 2).await;
    let shared = turnpike_lab::shared();
    for what in ["until", "nodes", "graves", "clock", "changes"] {
        let key = format!("{{{}:nodes}}:{what}", nodes[0].prefix);
        shared.command(&key, &["DEL", &key]).unwrap();
    }
    // Longer than a lease lasts that nobody renews.
    let seen = changes(&nodes[0], Duration::from_secs(8)).await;
    assert!(is_kept(&seen), "{seen:?}");
    all_see(&nodes, 2).await;
}

const CHILD: &str = "TURNPIKE_TEST_CHILD_NODE";

/// Not a test by itself: a node in a process of its own, which can be stopped. It says how its lease is.
#[tokio::test(flavor = "multi_thread")]
async fn child_node() {
    let Ok(prefix) = std::env::var(CHILD) else { return };
    let node = node(config(turnpike_lab::shared().seeds(), &prefix)).await;
    for number in 0..50 {
        let room = room(&format!("chat:{number}"));
        node.plane.presence.apply(&room, vec![here("alice"), here("bob")]).wait().await.unwrap();
    }
    say(&format!("joined {}", node.own()));
    let mut lease = node.plane.membership.lease();
    while lease.changed().await.is_ok() {
        let now = *lease.borrow_and_update();
        say(&format!("{now:?}"));
        if now == Lease::Lost {
            // As if it had not noticed yet.
            let late = node.plane.presence.apply(&room("chat:0"), vec![here("mallory")]).wait().await;
            say(&format!("late {}", late.is_err()));
            return;
        }
    }
}

#[allow(clippy::print_stdout, reason = "it is read by the parent process")]
fn say(words: &str) {
    println!("\nchild: {words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stood_still_is_cleared_away_and_knows_it() {
    let prefix = turnpike_lab::unique_prefix();
    let living = node(config(turnpike_lab::shared().seeds(), &prefix)).await;
    let (word_in, words) = mpsc::channel();
    let mut child = Process::spawn(
        "child node",
        Command::new(std::env::current_exe().unwrap())
            .args(["redis_stores::leases::child_node", "--exact", "--nocapture"])
            .env(CHILD, &prefix)
            .env(turnpike_lab::TEST_REDIS, turnpike_lab::shared().seeds_text())
            .stdout(Stdio::piped()),
    )
    .unwrap();
    let stdout = child.child().stdout.take().unwrap();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(word) = line.strip_prefix("child: ") {
                let _ = word_in.send(word.to_owned());
            }
        }
    });
    let next =
        |what: &str| words.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("the child says nothing of {what}"));
    assert!(next("joining").starts_with("joined "));
    until("two nodes", async || (self::living(&living) == 2).then_some(())).await;
    assert_eq!(who(&living, &room("chat:0")).await, ["alice", "bob"]);

    child.freeze().unwrap();
    let frozen = Instant::now();
    until("it to be missed", async || (self::living(&living) == 1).then_some(())).await;
    let missed = frozen.elapsed();
    assert!(missed < Duration::from_secs(7), "missed after {missed:?}");
    for number in 0..50 {
        let room = room(&format!("chat:{number}"));
        until("its rows to go", async || who(&living, &room).await.is_empty().then_some(())).await;
    }
    let cleared = frozen.elapsed();
    assert!(cleared < Duration::from_secs(12), "cleared away after {cleared:?}");
    say(&format!("missed after {missed:?}, cleared away after {cleared:?}"));
    tokio::time::sleep(Duration::from_secs(10).saturating_sub(frozen.elapsed())).await;
    child.thaw().unwrap();
    let mut last = next("its lease");
    if last == "Doubtful" {
        last = next("its lease");
    }
    assert_eq!(last, "Lost");
    assert_eq!(next("what it wrote late"), "late true");
    assert!(who(&living, &room("chat:0")).await.is_empty(), "the dead write nothing");
}
