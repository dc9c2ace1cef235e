//! Streams over several nodes: who watches at another relay than that of the publisher gets them over one link, and goes on
//! watching when a relay leaves or is killed. Real nodes on a real Redis Cluster, browsers with the code of the guide.

mod browsers;
mod house;
pub(crate) mod peer;
pub mod viewers;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::browsers::Browsers;
use self::house::House;
use self::viewers::{Client, Entry, Viewer};

/// A relay that is killed is missed for no longer than this.
const BACK_WITHIN_MS: u64 = 2_000;

/// What a viewer may see of a relay that leaves. What a busy machine adds with a browser on it is left to the viewers that
/// have none (`viewers.rs`).
const MOVED_WITHIN_MS: u64 = 1_000;

/// Says what it is about while it leaves.
const LOUD: [(&str, &str); 1] = [("LOG_LEVEL", "info")];

/// Reaching it means that a node which is to leave does not.
const LEFT_WITHIN: Duration = Duration::from_secs(30);

const STREAM: &str = "live:show";

/// What the viewers without a browser watch, in which frames are numbered.
const NUMBERED: &str = "live:numbered";

#[test]
fn alone_one_copy_crosses_a_link_however_many_watch_behind_it() {
    let house = House::start(&[("a", &[]), ("b", &[])]);
    let mut browsers = Browsers::start(&house);
    browsers.ask(&json!({ "do": "publish", "name": "p", "at": "a", "stream": STREAM }));
    for name in ["v1", "v2", "v3"] {
        browsers.ask(&json!({ "do": "watch", "name": name, "at": "b", "stream": STREAM }));
    }
    assert_eq!(house.metric(0, "turnpike_media_viewers"), 0, "they are at the relay of their node");
    assert_eq!(house.metric(1, "turnpike_media_viewers"), 3);
    let packets = || {
        let link = house.labelled(1, "turnpike_media_link_received_packets_total");
        (link, house.metric(1, "turnpike_media_rtp_sent_packets_total"))
    };
    let (link_before, sent_before) = packets();
    for name in ["v1", "v2", "v3"] {
        browsers.ask(&json!({ "do": "sees", "name": name, "frames": 60 }));
    }
    let (link, sent) = packets();
    let (link, sent) = (link - link_before, sent - sent_before);
    println!("{link} packets over the link, {sent} to viewers");
    assert!(link > 0 && (5 * link..7 * link).contains(&(2 * sent)), "{link} packets for {sent}");
    // The end of a stream is one for everybody, wherever they are.
    house.end(1, STREAM);
    for name in ["v1", "v2", "v3"] {
        browsers.ask(&json!({ "do": "hears", "name": name, "of": "home", "state": "ended", "code": 120 }));
    }
    house.until("nobody watches", |house| house.metric(1, "turnpike_media_viewers") == 0);
    house.until("nothing goes over the link", |house| house.labelled(1, "turnpike_media_link_pipes") == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alone_viewers_of_a_relay_that_is_killed_are_back_at_another() {
    const LOAD: usize = 50;
    // The publisher's relay has room for nobody else, so all who watch are at one of the others.
    let full = [("TURNPIKE_MEDIA_SESSIONS_MAX", "1"), ("TURNPIKE_MEDIA_SHARDS", "1")];
    let mut house = House::start(&[("a", &full), ("b", &[]), ("c", &[])]);
    let mut browsers = Browsers::start(&house);
    browsers.ask(&json!({ "do": "publish", "name": "p", "at": "a", "stream": STREAM }));
    house.until("the first relay is full", |house| house.metric(0, "turnpike_media_publishers") == 1);
    std::thread::sleep(Duration::from_secs(3));
    for name in ["v1", "v2", "v3"] {
        browsers.ask(&json!({ "do": "watch", "name": name, "at": "a", "stream": STREAM }));
        browsers.ask(&json!({ "do": "sees", "name": name }));
    }
    let lost = if house.metric(1, "turnpike_media_viewers") > 0 { 1 } else { 2 };
    let other = 3 - lost;
    let entry = Entry::to(vec![house.nodes[lost].gateway]);
    let _publisher =
        Client::new(&house.token("studio", "publish"), 0).publish(house.nodes[other].gateway, NUMBERED).await;
    let (token, mut load) = (house.token("crowd", "subscribe"), Vec::new());
    for number in 0..LOAD {
        load.push(Client::new(&token, number).watch(entry.clone(), NUMBERED).await);
    }
    entry.set(vec![house.nodes[other].gateway]);
    longest(&load);
    house.nodes[lost].kill();
    for name in ["v1", "v2", "v3"] {
        let seen = browsers.ask(&json!({ "do": "sees", "name": name, "frames": 60 }));
        println!("{name}: {seen}");
        assert!(seen["longest_ms"].as_u64().unwrap() <= BACK_WITHIN_MS, "{name}: {seen}");
        assert_eq!(seen["sessions"], 1, "{name}: {seen}");
    }
    let of_load = longest(&load);
    println!("of those over WHEP, who see that their node is gone: {of_load:?}");
    assert!(of_load <= Duration::from_millis(BACK_WITHIN_MS), "{of_load:?}");
    let viewers = house.metric(other, "turnpike_media_viewers") as usize;
    assert_eq!(viewers, 3 + LOAD);
    drop(load);
}

#[test]
fn alone_a_node_that_leaves_takes_no_picture_with_it() {
    let mut house = House::start(&[("a", &LOUD), ("b", &LOUD), ("c", &[])]);
    let mut browsers = Browsers::start(&house);
    browsers.ask(&json!({ "do": "publish", "name": "p", "at": "a", "stream": STREAM }));
    for name in ["v1", "v2", "v3"] {
        browsers.ask(&json!({ "do": "watch", "name": name, "at": "b", "stream": STREAM }));
        browsers.ask(&json!({ "do": "sees", "name": name }));
    }
    // Viewers of B, whose gateway leaves as well: they come back to another, name their sessions, and hear again that they move.
    browsers.balance("b", &[house.port(0), house.port(2)]);
    let begun = Instant::now();
    house.nodes[1].terminate().unwrap();
    for name in ["v1", "v2", "v3"] {
        let seen = browsers.ask(&json!({ "do": "sees", "name": name, "frames": 150 }));
        println!("{name}: {seen}");
        assert!(seen["longest_ms"].as_u64().unwrap() <= MOVED_WITHIN_MS, "{name}: {seen}");
    }
    let status = house.nodes[1].wait(LEFT_WITHIN).unwrap();
    println!("left after {:?}", begun.elapsed());
    assert!(status.success(), "{status}");
    for name in ["v1", "v2", "v3"] {
        let seen = browsers.ask(&json!({ "do": "sees", "name": name }));
        assert_eq!(seen["sessions"], 1, "{name}: {seen}");
        let states = browsers.ask(&json!({ "do": "states", "name": name, "of": "home" }));
        let is_moving = |state: &&Value| state["state"] == "moving" && state["code"] == 123;
        assert!(
            states["states"].as_array().unwrap().iter().any(|state| is_moving(&state)),
            "{name}: {states}"
        );
    }
    // And now that of the publisher: it moves, and its viewers with it.
    browsers.balance("a", &[house.port(2)]);
    browsers.balance("b", &[house.port(2)]);
    let begun = Instant::now();
    house.nodes[0].terminate().unwrap();
    let status = house.nodes[0].wait(LEFT_WITHIN).unwrap();
    println!("left after {:?}", begun.elapsed());
    assert!(status.success(), "{status}");
    for name in ["v1", "v2", "v3"] {
        let seen = browsers.ask(&json!({ "do": "sees", "name": name, "frames": 30 }));
        println!("{name}, with the publisher: {seen}");
    }
    assert_eq!(house.metric(2, "turnpike_media_publishers"), 1);
    assert_eq!(house.metric(2, "turnpike_media_viewers"), 3);
}

fn longest(viewers: &[Viewer]) -> Duration {
    viewers.iter().map(|viewer| viewer.picture.longest()).max().unwrap()
}

/// A viewer's picture stands still for no longer than this while a relay leaves.
const FROZEN_MAX: Duration = Duration::from_millis(250);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alone_a_hundred_viewers_of_a_relay_that_leaves_see_nothing_of_it() {
    const VIEWERS: usize = 100;
    let mut house = House::start(&[("a", &[]), ("b", &[]), ("c", &[])]);
    let [a, b, c] = [0, 1, 2].map(|node: usize| house.nodes[node].gateway);
    let _publisher = Client::new(&house.token("publisher", "publish"), 0).publish(a, NUMBERED).await;
    let (token, entry) = (house.token("viewer", "subscribe"), Entry::to(vec![b]));
    let mut viewers = Vec::new();
    for number in 0..VIEWERS {
        viewers.push(Client::new(&token, number).watch(entry.clone(), NUMBERED).await);
    }
    assert_eq!(house.metric(1, "turnpike_media_viewers") as usize, VIEWERS);
    longest(&viewers);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let quiet = longest(&viewers);
    entry.set(vec![a, c]);
    let begun = Instant::now();
    house.nodes[1].terminate().unwrap();
    let (status, house) = tokio::task::spawn_blocking(move || {
        let status = house.nodes[1].wait(Duration::from_secs(30)).unwrap();
        (status, house)
    })
    .await
    .unwrap();
    let (took, frozen) = (begun.elapsed(), longest(&viewers));
    println!("{frozen:?} at most, and {quiet:?} before that; gone after {took:?}");
    assert!(status.success(), "{status}");
    let moves = viewers.iter().map(|viewer| viewer.moves.load(std::sync::atomic::Ordering::Relaxed));
    assert!(moves.clone().all(|moves| moves == 1), "{:?}", moves.collect::<Vec<_>>());
    let there = [0, 2].map(|node| house.metric(node, "turnpike_media_viewers") as usize);
    assert_eq!(there.iter().sum::<usize>(), VIEWERS, "{there:?}");
    assert!(there.iter().all(|viewers| *viewers > 0), "both took some: {there:?}");
    assert!(frozen <= FROZEN_MAX, "{frozen:?}, and {quiet:?} while nothing happened");
    // Before the nodes: nobody is to see those end.
    drop(viewers);
}
