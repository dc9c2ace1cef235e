//! Harm done to a cluster while nodes are at work: nothing that was answered is lost, nothing comes twice or out of order,
//! and what cannot be had is said.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use turnpike_cluster::redis::{Durability, RedisConfig};
use turnpike_cluster::{Continuity, LANES, Lane, PublishError, Range, Read, lane_of};
use turnpike_lab::{RedisCluster, RedisNode};
use turnpike_wire::{Position, RoomId};

use super::node::{Node, PATIENCE, room, rooms_where};

fn config(cluster: &RedisCluster) -> RedisConfig {
    RedisConfig { nodes: cluster.seeds(), ..RedisConfig::default() }
}

fn meta(lane: Lane) -> String {
    format!("{{tp:l{}}}:meta", lane.index())
}

/// Rooms that lie on the same master.
fn rooms_on(cluster: &RedisCluster, master: RedisNode, count: usize) -> Vec<RoomId> {
    let owners: Vec<RedisNode> =
        (0..LANES).map(|lane| cluster.master_of_key(&meta(Lane::new(lane).unwrap())).unwrap()).collect();
    rooms_where(count, |lane| owners[lane.index()] == master)
}

async fn all_of(node: &Node, room: &RoomId) -> turnpike_cluster::Page {
    node.read(Read { room: room.clone(), range: Range::AfterSeq(0), messages_max: 4_000, bytes_max: 1 << 30 })
        .await
}

/// What each publisher was answered is in the log at its place, once, in its order; and the follower was given the same.
async fn check(follower: &Node, published: &[(RoomId, Vec<(String, u64)>)]) {
    for (room, receipts) in published {
        follower.cluster.broker.level(room).wait().await.expect("it can be level");
        let page = all_of(follower, room).await;
        let log: Vec<(u64, serde_json::Value)> = page
            .messages
            .iter()
            .map(|message| (message.seq, serde_json::from_str::<serde_json::Value>(&message.data).unwrap()))
            .collect();
        for (id, seq) in receipts {
            let found: Vec<u64> =
                log.iter().filter(|(_, data)| data["id"] == **id).map(|(seq, _)| *seq).collect();
            assert_eq!(found, [*seq], "{id} of {room}");
        }
        assert!(receipts.is_sorted_by(|one, next| one.1 < next.1), "{room}: a publisher's order");
        assert_eq!(page.standing.seq, log.len() as u64, "{room} has holes");
        if !follower.record.broken().iter().any(|(broken, _)| broken == room) {
            assert_eq!(follower.record.messages(room), page.messages, "{room}");
        }
    }
    follower.record.check();
}

/// Publishes in these rooms until told to stop, each publication again until it is kept. Gives what was answered.
async fn publish_until(
    node: &Node,
    rooms: &[RoomId],
    over: &AtomicBool,
    pause: Duration,
) -> Vec<(RoomId, Vec<(String, u64)>)> {
    join_all(rooms.iter().map(async |room| {
        let mut answered = Vec::new();
        let mut number = 0;
        while !over.load(Ordering::SeqCst) {
            let id = format!("m{number}");
            let receipt = node.publish_surely(room, &id, &id).await;
            answered.push((id, receipt.seq));
            number += 1;
            tokio::time::sleep(pause).await;
        }
        (room.clone(), answered)
    }))
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_is_killed() {
    let cluster = RedisCluster::start().unwrap();
    let (near, far) = (Node::start(config(&cluster)).await, Node::start(config(&cluster)).await);
    let victim = cluster.master_of_key(&meta(Lane::new(0).unwrap())).unwrap();
    let rooms = rooms_on(&cluster, victim, 6);
    let bystander = cluster.masters().unwrap().into_iter().find(|master| *master != victim).unwrap();
    let other = rooms_on(&cluster, bystander, 1).remove(0);
    for room in rooms.iter().chain([&other]) {
        far.open(room).await;
    }
    let epoch_before = far.record.epochs(lane_of(&rooms[0]))[0];
    let over = AtomicBool::new(false);
    let load = publish_until(&near, &rooms, &over, Duration::from_millis(3));
    let harm = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let began = Instant::now();
        tokio::task::block_in_place(|| cluster.kill(victim));
        // The new master has no replica, so nothing is answered before the old one is back.
        tokio::task::block_in_place(|| cluster.wait_served(PATIENCE)).unwrap();
        println!("a new master after {:?}", began.elapsed());
        tokio::task::block_in_place(|| cluster.restart(victim)).unwrap();
        let before = near.counted("turnpike_cluster_publish_batches_total");
        let receipt = near.publish_surely(&rooms[0], "first-after", "x").await;
        println!("answered again after {:?}, seq {}, {before} groups before", began.elapsed(), receipt.seq);
        tokio::time::sleep(Duration::from_millis(700)).await;
        over.store(true, Ordering::SeqCst);
    };
    let (published, ()) = tokio::join!(load, harm);
    check(&far, &published).await;
    let epochs = far.record.epochs(lane_of(&rooms[0]));
    assert!(epochs.len() >= 2 && epochs.last().unwrap().epoch > epoch_before.epoch, "{epochs:?}");
    assert_eq!(far.record.epochs(lane_of(&other)).len(), 1, "another master's lane");
    far.until_well().await;
    near.until_well().await;
    assert!(near.publish(&other, None, "elsewhere").await.is_ok());
}

/// What the old master gave out and lost is told: `Truncated` to readers, and `broken` to the node that was given it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_that_is_lost_is_told() {
    let cluster = RedisCluster::start().unwrap();
    let stored = RedisConfig { durability: Durability::Stored, ..config(&cluster) };
    let (near, far) = (Node::start(stored.clone()).await, Node::start(stored).await);
    let master = cluster.master_of_key(&meta(Lane::new(0).unwrap())).unwrap();
    let rooms = rooms_on(&cluster, master, 2);
    let (room, still) = (&rooms[0], &rooms[1]);
    far.open(room).await;
    far.open(still).await;
    for number in 0..5 {
        near.publish(room, None, &format!("kept {number}")).await.unwrap();
        near.publish(still, None, "kept").await.unwrap();
    }
    far.record.until("what is kept", |record| record.total() == 10).await;
    // The replica hears nothing of what comes now; nor is anything on its way to it.
    let replica = cluster.replicas_of(master).unwrap()[0];
    cluster.freeze(replica).unwrap();
    cluster.command(master, &["CLIENT", "KILL", "TYPE", "replica"]).unwrap().sound().unwrap();
    let mut last = None;
    for number in 0..5 {
        last = Some(near.publish(room, None, &format!("lost {number}")).await.unwrap());
    }
    let last = last.unwrap();
    far.record.until("what will be lost", |record| record.seqs(room).len() == 10).await;
    tokio::task::block_in_place(|| {
        cluster.kill(master);
        cluster.thaw(replica).unwrap();
        cluster.wait_served(PATIENCE).unwrap();
    });
    far.record
        .until("the room to be broken", |record| record.broken().iter().any(|(broken, _)| broken == room))
        .await;
    let standing = far.record.broken()[0].1;
    assert_eq!(standing.seq, 5);
    // One whose room lost nothing goes on as if nothing had been.
    assert!(far.record.broken().iter().all(|(broken, _)| broken == room));
    let receipt = near.publish_surely(room, "new", "new").await;
    assert_eq!(receipt.seq, 6);
    near.publish_surely(still, "new", "new").await;
    far.record
        .until("the next", |record| record.seqs(room).last() == Some(&6) && record.seqs(still).len() == 6)
        .await;
    far.record.check();
    let read = |range| Read { room: room.clone(), range, messages_max: 100, bytes_max: 1 << 20 };
    let page = far.read(read(Range::After(Position { epoch: last.epoch, seq: last.seq }))).await;
    assert_eq!(page.continuity, Continuity::Truncated);
    assert_eq!(page.messages.iter().map(|message| message.seq).collect::<Vec<_>>(), [6]);
    let page = far.read(read(Range::After(Position { epoch: last.epoch, seq: 5 }))).await;
    assert_eq!(page.continuity, Continuity::Whole);
    let page = far.read(read(Range::After(Position { epoch: last.epoch, seq: 3 }))).await;
    assert_eq!((page.continuity, page.messages.len()), (Continuity::Whole, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_replica_a_master_answers_nothing() {
    let cluster = RedisCluster::start().unwrap();
    let config = RedisConfig { publish_deadline: Duration::from_millis(1_500), ..config(&cluster) };
    let (near, far) = (Node::start(config.clone()).await, Node::start(config).await);
    let master = cluster.master_of_key(&meta(Lane::new(0).unwrap())).unwrap();
    let room = rooms_on(&cluster, master, 1).remove(0);
    far.open(&room).await;
    near.publish(&room, Some("before"), "x").await.unwrap();
    let replica = cluster.replicas_of(master).unwrap()[0];
    cluster.freeze(replica).unwrap();
    let began = Instant::now();
    let answer = near.publish(&room, Some("during"), "x").await;
    assert!(matches!(answer, Err(PublishError::Unavailable(_))), "{answer:?}");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    cluster.thaw(replica).unwrap();
    // The same once more, and it stands once.
    let receipt = near.publish_surely(&room, "during", "x").await;
    assert_eq!(receipt.seq, 2);
    far.record.until("both", |record| record.seqs(&room) == [1, 2]).await;
    far.record.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_of_the_bus_are_cut() {
    let cluster = RedisCluster::start().unwrap();
    let (near, far) = (Node::start(config(&cluster)).await, Node::start(config(&cluster)).await);
    let rooms: Vec<RoomId> = (0..12).map(|number| room(&format!("chat:{number}"))).collect();
    for room in &rooms {
        far.open(room).await;
    }
    let over = AtomicBool::new(false);
    let load = publish_until(&near, &rooms, &over, Duration::from_millis(5));
    let harm = async {
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(400)).await;
            for node in cluster.masters().unwrap() {
                cluster.command(node, &["CLIENT", "KILL", "TYPE", "pubsub"]).unwrap().sound().unwrap();
            }
        }
        tokio::time::sleep(Duration::from_millis(400)).await;
        over.store(true, Ordering::SeqCst);
    };
    let (published, ()) = tokio::join!(load, harm);
    assert!(far.counted("turnpike_cluster_gaps_total") > 0.0, "nothing was cut");
    check(&far, &published).await;
    assert!(far.record.broken().is_empty());
    far.until_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_function_library_is_gone() {
    let cluster = RedisCluster::start().unwrap();
    let node = Node::start(config(&cluster)).await;
    let rooms: Vec<RoomId> = (0..8).map(|number| room(&format!("chat:{number}"))).collect();
    for room in &rooms {
        node.publish(room, None, "before").await.unwrap();
    }
    for master in cluster.masters().unwrap() {
        cluster.command(master, &["FUNCTION", "FLUSH"]).unwrap().sound().unwrap();
    }
    let published = rooms.iter().map(|room| node.publish(room, None, "after"));
    for receipt in join_all(published.collect::<Vec<_>>()).await {
        assert_eq!(receipt.unwrap().seq, 2);
    }
    for master in cluster.masters().unwrap() {
        cluster.command(master, &["FUNCTION", "FLUSH"]).unwrap().sound().unwrap();
    }
    for room in &rooms {
        assert_eq!(all_of(&node, room).await.messages.len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_function_library_is_kept() {
    let cluster = RedisCluster::start().unwrap();
    let newer = "#!lua name=turnpike\nredis.register_function('turnpike_version', function() return { 1000000, 'new' } end)";
    for master in cluster.masters().unwrap() {
        cluster.command(master, &["FUNCTION", "LOAD", newer]).unwrap().sound().unwrap();
    }
    let config = RedisConfig { call_deadline: Duration::from_millis(500), ..config(&cluster) };
    let made = turnpike_cluster::redis::connect(config, &prometheus::Registry::new()).await;
    assert!(made.is_err(), "it has none of the functions");
    for master in cluster.masters().unwrap() {
        let listed = cluster.command(master, &["FUNCTION", "LIST"]).unwrap().sound().unwrap();
        assert!(!format!("{listed:?}").contains("turnpike_publish"), "it was replaced");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_moves_under_load() {
    let cluster = RedisCluster::start().unwrap();
    let (near, far) = (Node::start(config(&cluster)).await, Node::start(config(&cluster)).await);
    let lane = Lane::new(3).unwrap();
    let rooms = rooms_where(4, |of| of == lane);
    let elsewhere = rooms_where(4, |of| of != lane);
    for room in rooms.iter().chain(&elsewhere) {
        far.open(room).await;
    }
    let all: Vec<RoomId> = rooms.iter().chain(&elsewhere).cloned().collect();
    let over = AtomicBool::new(false);
    let load = publish_until(&near, &all, &over, Duration::from_millis(4));
    let harm = async {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(600)).await;
            let slot = turnpike_lab::redis::slot_of(meta(lane).as_bytes());
            tokio::task::block_in_place(|| {
                let from = cluster.master_of_slot(slot).unwrap();
                let to = cluster.masters().unwrap().into_iter().find(|master| *master != from).unwrap();
                cluster.migrate_slot(slot, to).unwrap();
            });
        }
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        over.store(true, Ordering::SeqCst);
    };
    let (published, ()) = tokio::join!(load, harm);
    check(&far, &published).await;
    far.until_well().await;
    println!("{} published", published.iter().map(|(_, receipts)| receipts.len()).sum::<usize>());
}

/// Frozen, it answers nothing and ends no connection; thawed, it takes itself for the master for a moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_stands_still() {
    let cluster = RedisCluster::start().unwrap();
    let (near, far) = (Node::start(config(&cluster)).await, Node::start(config(&cluster)).await);
    let victim = cluster.master_of_key(&meta(Lane::new(0).unwrap())).unwrap();
    let bystander = cluster.masters().unwrap().into_iter().find(|master| *master != victim).unwrap();
    let rooms = rooms_on(&cluster, victim, 4);
    let elsewhere = rooms_on(&cluster, bystander, 2);
    let all: Vec<RoomId> = rooms.iter().chain(&elsewhere).cloned().collect();
    for room in &all {
        far.open(room).await;
    }
    let over = AtomicBool::new(false);
    let load = publish_until(&near, &all, &over, Duration::from_millis(4));
    let harm = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        cluster.freeze(victim).unwrap();
        let mut faults = far.cluster.condition.clone();
        let red = faults.wait_for(|condition| !condition.faults.is_empty());
        tokio::time::timeout(Duration::from_secs(6), red).await.expect("the node says so").unwrap();
        tokio::task::block_in_place(|| cluster.wait_served(PATIENCE)).unwrap();
        // Other masters are not held up.
        let began = Instant::now();
        near.publish(&elsewhere[0], Some("meanwhile"), "x").await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        cluster.thaw(victim).unwrap();
        near.publish_surely(&rooms[0], "after", "x").await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        over.store(true, Ordering::SeqCst);
    };
    let (published, ()) = tokio::join!(load, harm);
    check(&far, &published).await;
    far.until_well().await;
}

/// Some keys of the lane are at one master and some at the other, for as long as whoever moves them takes. Neither runs a
/// function over keys that it has in part, so nothing is published by halves; it is tried until the slot is whole again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_stands_half_moved() {
    let cluster = RedisCluster::start().unwrap();
    let (near, far) = (Node::start(config(&cluster)).await, Node::start(config(&cluster)).await);
    let lane = Lane::new(5).unwrap();
    let rooms = rooms_where(5, |of| of == lane);
    let elsewhere = rooms_where(2, |of| of != lane);
    let (known, fresh) = rooms.split_at(4);
    for room in rooms.iter().chain(&elsewhere) {
        far.open(room).await;
    }
    for room in known {
        near.publish_surely(room, "before", "before").await;
    }
    let slot = turnpike_lab::redis::slot_of(meta(lane).as_bytes());
    let from = cluster.master_of_slot(slot).unwrap();
    let to = cluster.masters().unwrap().into_iter().find(|master| *master != from).unwrap();
    for moved in [1, 3, 100] {
        let mut migration = cluster.begin_migration(slot, to).unwrap();
        migration.move_keys(moved).unwrap();
        let id = format!("meanwhile-{moved}");
        let over = AtomicBool::new(false);
        let published = join_all(rooms.iter().map(async |room| {
            let receipt = near.publish_surely(room, &id, &id).await;
            assert!(over.load(Ordering::SeqCst), "{room}: answered while no master has all of it");
            (room.clone(), vec![(id.clone(), receipt.seq)])
        }));
        let finish = async {
            let retries = || near.counted("turnpike_cluster_publish_retries_total");
            let before = retries();
            let began = Instant::now();
            // Other lanes are not held up, and this one is tried all the while.
            for number in 0..10 {
                near.publish_surely(&elsewhere[0], &format!("{id}-{number}"), "x").await;
            }
            while retries() < before + 20.0 {
                assert!(began.elapsed() < PATIENCE, "it is not tried");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            over.store(true, Ordering::SeqCst);
            tokio::task::block_in_place(|| {
                while migration.move_keys(100).unwrap() > 0 {}
                migration.finish().unwrap();
            });
        };
        let (published, ()) = tokio::join!(published, finish);
        check(&far, &published).await;
        let back = cluster.master_of_slot(slot).unwrap();
        assert_eq!(back, to);
        tokio::task::block_in_place(|| cluster.migrate_slot(slot, from)).unwrap();
    }
    assert!(far.record.broken().is_empty(), "nothing is lost by moving");
    assert_eq!(far.record.seqs(&fresh[0]), [1, 2, 3]);
    far.until_well().await;
}
