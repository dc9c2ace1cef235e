//! Presence when masters die, announcements get lost and rooms are large.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use turnpike_cluster::{Change, Mark, PresenceDelta, Signal, lane_of};
use turnpike_lab::RedisCluster;
use turnpike_wire::RoomId;

use super::stage::{Node, gone, here, nodes, nodes_on, room, until, user, who};

async fn apply(node: &Node, room: &RoomId, changes: Vec<Change>) {
    node.plane.presence.apply(room, changes).wait().await.unwrap();
}

fn deltas(node: &Node, room: &RoomId) -> Vec<PresenceDelta> {
    let signals = node.heard.signals.lock().unwrap();
    let of_room = signals.iter().filter(|(of, _)| of == room);
    of_room
        .filter_map(|(_, signal)| match signal {
            Signal::Presence(delta) => Some(delta.clone()),
            _ => None,
        })
        .collect()
}

async fn version(node: &Node, room: &RoomId) -> u64 {
    node.plane.presence.read(room).wait().await.unwrap().version
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_numbered_and_a_node_hears_only_the_number_of_its_own() {
    let nodes = nodes(2).await;
    let room = room("chat:a");
    for node in &nodes {
        node.plane.broker.open(&room).wait().await.unwrap();
    }
    let before = version(&nodes[1], &room).await;
    apply(&nodes[0], &room, vec![here("alice")]).await;
    apply(&nodes[0], &room, vec![here("alice")]).await;
    apply(&nodes[0], &room, vec![gone("alice")]).await;
    let last = before + 2;
    for node in &nodes {
        until("the last change", async || {
            deltas(node, &room).iter().any(|delta| delta.version == Some(last)).then_some(())
        })
        .await;
    }
    let versions: Vec<u64> = deltas(&nodes[1], &room).iter().filter_map(|delta| delta.version).collect();
    assert_eq!(versions, [before + 1, last], "what was the same already is not told");
    let own = deltas(&nodes[0], &room);
    assert!(own.iter().filter(|delta| delta.version.is_some()).all(|delta| delta.rows.is_empty()));
    assert_eq!(own.iter().filter(|delta| delta.version.is_none()).count(), 3);
    assert_eq!(version(&nodes[0], &room).await, last);
}

/// The failover takes back what the replica had not heard of. Each node knows its own rows, and writes them again.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_failover_lost_are_written_again() {
    let cluster = RedisCluster::start().unwrap();
    let (prefix, nodes) = nodes_on(&cluster, 2).await;
    let room = room("chat:a");
    apply(&nodes[0], &room, vec![here("alice"), here("bob")]).await;
    nodes[1].plane.broker.open(&room).wait().await.unwrap();
    let before = version(&nodes[1], &room).await;
    let master = cluster.master_of_key(&format!("{{{prefix}:l{}}}", lane_of(&room).index())).unwrap();
    let replica = cluster.replicas_of(master).unwrap()[0];
    cluster.wait_healthy(Duration::from_secs(20)).unwrap();
    cluster.freeze(replica).unwrap();
    // What has been sent to it already would reach it when it is thawed.
    cluster.command(master, &["CLIENT", "KILL", "TYPE", "REPLICA"]).unwrap();
    apply(&nodes[0], &room, vec![here("carol"), gone("bob")]).await;
    cluster.kill(master);
    cluster.thaw(replica).unwrap();
    until("the rows to be as they were written", async || {
        let Ok(roster) = nodes[1].plane.presence.read(&room).wait().await else { return None };
        let mut users: Vec<String> = roster.rows.iter().map(|(_, key, _)| key.user.to_string()).collect();
        users.sort_unstable();
        (users == ["alice", "carol"]).then_some(())
    })
    .await;
    assert!(version(&nodes[1], &room).await > before + 2, "no version is used for two things");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_the_bus_lost_is_noticed() {
    let nodes = nodes(2).await;
    let room = room("chat:a");
    for node in &nodes {
        node.plane.broker.open(&room).wait().await.unwrap();
    }
    apply(&nodes[0], &room, vec![here("alice")]).await;
    let before = version(&nodes[1], &room).await;
    // A change that nobody is told of is one whose announcement was lost.
    let key = format!("{{{}:l{}}}:pv:{room}", nodes[0].prefix, lane_of(&room).index());
    turnpike_lab::shared().command(&key, &["INCR", &key]).unwrap();
    let gap = until("a gap", async || {
        deltas(&nodes[1], &room).iter().filter_map(|delta| delta.version).find(|version| *version > before)
    })
    .await;
    assert!(gap > before + 1, "{gap} would look like the next");
}

/// 10,000 members over two nodes. Bytes and calls are those of the changes, whatever the room's size.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_room_costs_what_changes() {
    const BATCH: usize = 100;
    // More of them for whoever wants figures.
    let members = std::env::var("TURNPIKE_TEST_MEMBERS").map_or(10_000, |count| count.parse().unwrap());
    let nodes = nodes(2).await;
    let room = room("chat:large");
    for node in &nodes {
        node.plane.broker.open(&room).wait().await.unwrap();
    }
    let begun = Instant::now();
    for batch in 0..members / BATCH {
        let changes = (0..BATCH).map(|n| here(&format!("user-{}", batch * BATCH + n))).collect();
        apply(&nodes[batch % 2], &room, changes).await;
    }
    let filled = begun.elapsed();
    assert_eq!(who(&nodes[0], &room).await.len(), members);
    let read = Instant::now();
    assert_eq!(who(&nodes[1], &room).await.len(), members);
    let read = read.elapsed();
    let (calls, bytes) = (nodes[1].commands("turnpike_presence_apply"), nodes[1].bus_bytes());
    apply(&nodes[1], &room, vec![gone("user-100")]).await;
    apply(&nodes[0], &room, vec![gone("user-0")]).await;
    until("the change", async || {
        deltas(&nodes[1], &room)
            .iter()
            .any(|delta| delta.version.is_some() && delta.rows.len() == 1)
            .then_some(())
    })
    .await;
    assert_eq!(nodes[1].commands("turnpike_presence_apply"), calls + 1);
    let bytes = nodes[1].bus_bytes() - bytes;
    assert!(bytes < 2_000, "{bytes} bytes for two changes");
    say(&format!("filled in {filled:?}, read in {read:?}, {bytes} bytes for two changes"));
}

#[allow(clippy::print_stderr, reason = "figures for whoever runs it by hand")]
fn say(words: &str) {
    eprintln!("{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_dead_node_go_from_a_large_room_and_it_is_told_once() {
    let mut nodes = nodes(3).await;
    let room = room("chat:large");
    for node in &nodes {
        node.plane.broker.open(&room).wait().await.unwrap();
    }
    // More than one scan would get through, if it began anew each time.
    let members = (0..30_000).map(|number| here(&format!("user-{number}"))).collect();
    apply(&nodes[2], &room, members).await;
    apply(&nodes[0], &room, vec![here("stays")]).await;
    let before = version(&nodes[0], &room).await;
    let dead = nodes.pop().unwrap();
    let (own, died) = (dead.own(), Instant::now());
    drop(dead);
    until("its rows to go", async || (who(&nodes[0], &room).await == ["stays"]).then_some(())).await;
    // Six seconds until it is buried, and as much again for a machine that is busy.
    assert!(died.elapsed() < Duration::from_secs(12), "after {:?}", died.elapsed());
    until("word of it", async || {
        deltas(&nodes[1], &room).iter().any(|delta| delta.gone && delta.incarnation == own).then_some(())
    })
    .await;
    assert_eq!(deltas(&nodes[1], &room).iter().filter(|delta| delta.gone).count(), 1);
    assert_eq!(version(&nodes[1], &room).await, before + 1);
    until("when they were last seen", async || {
        nodes[0].plane.presence.last_seen(&room, &user("user-7")).wait().await.unwrap()
    })
    .await;
    // Nothing refers to it any more.
    let pattern = format!("*{own}*");
    let shared = turnpike_lab::shared();
    until("its keys to go", async || {
        let keys = shared.seeds().into_iter().map(|(host, port)| {
            let mut connection = turnpike_lab::redis::Connection::open((host.as_str(), port)).unwrap();
            connection.command(&["KEYS", &pattern]).unwrap().items().len()
        });
        (keys.sum::<usize>() == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_rise_with_the_room_and_are_told_to_all() {
    let nodes = nodes(2).await;
    let room = room("chat:a");
    for node in &nodes {
        node.plane.broker.open(&room).wait().await.unwrap();
    }
    for number in 0..5 {
        let publication = turnpike_cluster::Publication {
            room: room.clone(),
            from: user("alice"),
            id: None,
            age_ms: 0,
            body: number.to_string().into(),
            attachments: Vec::new(),
        };
        nodes[0].plane.broker.publish(publication).wait().await.unwrap();
    }
    let mark = |received, read| Mark { user: user("bob"), received, read };
    let races = (0..40).map(|number| {
        let marks = vec![mark(number % 9, (number * 7) % 5)];
        nodes[number as usize % 2].plane.marks.mark(&room, marks).wait()
    });
    for done in join_all(races).await {
        done.unwrap();
    }
    let marks = nodes[1].plane.marks.marks(&room, &[user("bob"), user("carol")]).wait().await.unwrap();
    assert_eq!(marks, [mark(5, 4)], "not beyond the latest message");
    for node in &nodes {
        let told = || {
            let signals = node.heard.signals.lock().unwrap();
            let marks = signals.iter().filter_map(|(_, signal)| match signal {
                Signal::Marks(marks) => Some(marks[0].clone()),
                _ => None,
            });
            marks.collect::<Vec<_>>()
        };
        until("the last mark", async || (told().last() == Some(&mark(5, 4))).then_some(())).await;
        assert!(told().is_sorted_by(|one, next| one.received <= next.received && one.read <= next.read));
    }
    let cursors = &nodes[0].plane.marks;
    assert_eq!(cursors.cursor(&user("bob"), "phone").wait().await.unwrap(), None);
    for device in 0..40 {
        cursors.advance(&user("bob"), &format!("device-{device}"), 3).wait().await.unwrap();
    }
    // There is no message in the personal room, so nobody can have got any.
    assert_eq!(cursors.cursor(&user("bob"), "device-39").wait().await.unwrap(), Some(0));
    assert_eq!(cursors.cursor(&user("bob"), "device-0").wait().await.unwrap(), None, "32 are kept");
}

/// Masters die and come back while rows change. At rest every node reads what is true.
#[tokio::test(flavor = "multi_thread")]
async fn at_rest_rows_are_those_of_the_nodes() {
    const ROOMS: u64 = 24;
    let seed =
        std::env::var("SEED").map_or_else(|_| u64::from(std::process::id()), |seed| seed.parse().unwrap());
    say(&format!("SEED={seed}"));
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut draw = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let cluster = RedisCluster::start().unwrap();
    let (_, nodes) = nodes_on(&cluster, 3).await;
    let rooms: Vec<RoomId> = (0..ROOMS).map(|number| room(&format!("chat:{number}"))).collect();
    let mut truth = vec![BTreeSet::new(); rooms.len()];
    let mut victim = None;
    for step in 0..600 {
        let (node, of) = (draw(3) as usize, draw(ROOMS) as usize);
        let name = format!("n{node}-{}", draw(5));
        let change = if draw(2) == 0 { here(&name) } else { gone(&name) };
        if change.row.is_some() {
            truth[of].insert(name);
        } else {
            truth[of].remove(&name);
        }
        // Not waited for: what cannot be written now is written later.
        drop(nodes[node].plane.presence.apply(&rooms[of], vec![change]));
        tokio::time::sleep(Duration::from_millis(10)).await;
        if step % 200 == 100 {
            let masters = cluster.masters().unwrap();
            let master = masters[draw(masters.len() as u64) as usize];
            cluster.kill(master);
            victim = Some(master);
        }
        if step % 200 == 199
            && let Some(victim) = victim.take()
        {
            // If no replica was fit to take over, the master comes back with what it had.
            let _ = cluster.wait_served(Duration::from_secs(10));
            cluster.restart(victim).unwrap();
            cluster.wait_healthy(Duration::from_secs(20)).unwrap();
        }
    }
    for (room, truth) in rooms.iter().zip(&truth) {
        for node in &nodes {
            let expected: Vec<String> = truth.iter().cloned().collect();
            let read = async || {
                let roster = node.plane.presence.read(room).wait().await.ok()?;
                let mut users: Vec<String> =
                    roster.rows.iter().map(|(_, key, _)| key.user.to_string()).collect();
                users.sort_unstable();
                (users == expected).then_some(())
            };
            until(&format!("{room} as it is (SEED={seed})"), read).await;
        }
    }
}
