//! Somebody who may write to Redis speaks in the nodes' name: nothing of it is heard, all of it is counted and reported.

use std::sync::{Arc, Mutex};

use turnpike_cluster::redis::{RedisConfig, Report};
use turnpike_cluster::{Notice, Publication, Range, Read, Signal, Topic, TypingChange, lane_of};
use turnpike_lab::{shared, unique_prefix};
use turnpike_wire::RoomId;

use super::stage::{Node, config, node, room, until, user};

const SECRET: [u8; 32] = [7; 32];
const OTHER: [u8; 32] = [9; 32];

fn sealed(prefix: &str, secrets: &[[u8; 32]]) -> RedisConfig {
    RedisConfig { seal_secrets: secrets.to_vec(), ..config(shared().seeds(), prefix) }
}

fn typing(name: &str) -> Signal {
    Signal::Typing(vec![TypingChange { user: user(name), typing: true }])
}

fn heard(node: &Node, room: &RoomId) -> Vec<Signal> {
    let signals = node.heard.signals.lock().unwrap();
    signals.iter().filter(|(of, _)| of == room).map(|(_, signal)| signal.clone()).collect()
}

async fn hears(node: &Node, room: &RoomId, signal: &Signal) {
    until("the signal", async || heard(node, room).contains(signal).then_some(())).await;
}

async fn publish(node: &Node, room: &RoomId, body: &str) {
    let publication = Publication {
        room: room.clone(),
        from: user("alice"),
        id: None,
        age_ms: 0,
        body: body.into(),
        attachments: Vec::new(),
    };
    node.plane.broker.publish(publication).wait().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_another_secret_is_not_heard_and_reported() {
    let (prefix, room) = (unique_prefix(), room("chat:a"));
    let reports: Arc<Mutex<Vec<Report>>> = Arc::default();
    let told = Arc::clone(&reports);
    let report: turnpike_cluster::redis::Reporter = Arc::new(move |report| told.lock().unwrap().push(report));
    let near = node(RedisConfig { report: Some(report), ..sealed(&prefix, &[SECRET]) }).await;
    let friend = node(sealed(&prefix, &[SECRET])).await;
    let forger = node(sealed(&prefix, &[OTHER])).await;
    let unsealed = node(sealed(&prefix, &[])).await;
    near.plane.broker.open(&room).wait().await.unwrap();
    for stranger in [&forger, &unsealed] {
        stranger.plane.broker.signal(&room, typing("mallory"));
        stranger
            .plane
            .bulletin
            .post(Notice::new(Topic::Ban, "user:alice", "x", 1 << 52))
            .wait()
            .await
            .unwrap();
        let words = bytes::Bytes::from_static(b"hi");
        stranger.plane.post.send(near.own(), "media", words).unwrap();
    }
    friend.plane.broker.signal(&room, typing("bob"));
    hears(&near, &room, &typing("bob")).await;
    until("all of it is counted", async || (near.forged() >= 6).then_some(())).await;
    assert!(!heard(&near, &room).contains(&typing("mallory")));
    assert!(near.plane.bulletin.holding(Topic::Ban).is_empty());
    let reports = reports.lock().unwrap();
    for kind in ["announcement", "letter", "notice"] {
        assert!(reports.contains(&Report::Forged { kind }), "{kind}: {reports:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_is_not_said_again_elsewhere() {
    let (prefix, first) = (unique_prefix(), room("chat:0"));
    let same_lane = |number: &u32| lane_of(&room(&format!("chat:{number}"))) == lane_of(&first);
    let other = room(&format!("chat:{}", (1..10_000).find(same_lane).unwrap()));
    let (near, far) = (node(sealed(&prefix, &[SECRET])).await, node(sealed(&prefix, &[SECRET])).await);
    for room in [&first, &other] {
        near.plane.broker.open(room).wait().await.unwrap();
    }
    publish(&far, &first, "\"secret of a\"").await;
    assert_eq!(near.forged(), 0);
    let of_lane =
        |what: &str, room: &RoomId| format!("{{{prefix}:l{}}}:{what}:{room}", lane_of(room).index());
    // What stands in the log is what was announced: in another room, and with another bit.
    let again = "local frame = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1][2][2] \
                 return redis.call('SPUBLISH', KEYS[1], ARGV[1] == '' and frame or string.sub(frame, 1, -2) .. ARGV[1])";
    for (number, (to, last)) in [(&other, ""), (&first, "\u{1}")].into_iter().enumerate() {
        let (to, log) = (of_lane("c", to), of_lane("log", &first));
        let heard = shared().command(&log, &["EVAL", again, "2", &to, &log, last]).unwrap();
        assert_eq!(heard.integer(), Some(1), "the node listens there: {heard:?}");
        until("it is refused", async || (near.forged() == number as u64 + 1).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_log_as_well() {
    let (prefix, room) = (unique_prefix(), room("chat:a"));
    let (near, forger) = (node(sealed(&prefix, &[SECRET])).await, node(sealed(&prefix, &[OTHER])).await);
    publish(&near, &room, "\"one\"").await;
    publish(&forger, &room, "\"forged\"").await;
    publish(&near, &room, "\"three\"").await;
    let read = Read { room: room.clone(), range: Range::Latest, messages_max: 10, bytes_max: 1 << 20 };
    let page = near.plane.broker.read(&read).wait().await.unwrap();
    let bodies: Vec<serde_json::Value> =
        page.messages.iter().map(|message| serde_json::from_str(&message.data).unwrap()).collect();
    assert_eq!(bodies.iter().map(|one| one["seq"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((&bodies[0]["body"], &bodies[2]["body"]), (&"one".into(), &"three".into()));
    assert_eq!((&bodies[1]["body"], &bodies[1]["from"]), (&serde_json::Value::Null, &"-".into()));
    assert!(near.forged() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_exchanged_while_nodes_speak() {
    let (prefix, room) = (unique_prefix(), room("chat:a"));
    let steps: [&[[u8; 32]]; 4] = [&[SECRET], &[SECRET, OTHER], &[OTHER, SECRET], &[OTHER]];
    for (number, pair) in steps.windows(2).enumerate() {
        let (one, other) = (node(sealed(&prefix, pair[0])).await, node(sealed(&prefix, pair[1])).await);
        for node in [&one, &other] {
            node.plane.broker.open(&room).wait().await.unwrap();
        }
        let name = format!("user{number}");
        one.plane.broker.signal(&room, typing(&name));
        hears(&other, &room, &typing(&name)).await;
        let back = format!("back{number}");
        other.plane.broker.signal(&room, typing(&back));
        hears(&one, &room, &typing(&back)).await;
        one.plane.bulletin.post(Notice::new(Topic::Ban, name, "x", 1 << 52)).wait().await.unwrap();
        // Those of all steps before as well: in the end nobody is left who has the old secret.
        until("the notices", async || {
            (other.plane.bulletin.holding(Topic::Ban).len() == number + 1).then_some(())
        })
        .await;
    }
}
