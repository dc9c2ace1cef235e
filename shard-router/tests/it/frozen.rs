//! Nodes that stand still, say nothing or hang up: whoever begins a session does not notice for long.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::node::{LATE, Mode};
use crate::stand::{AT_ONCE, BEGIN, BROKEN, Stand, WEBSOCKET};

/// A second is what one waits for a node, and this machine is busy.
const BOUND: Duration = Duration::from_millis(2_500);

/// The body of the answer and how long it took.
async fn begin(stand: &Stand) -> (String, Duration) {
    let begun = Instant::now();
    let mut client = stand.client().await;
    client.send(BEGIN).await;
    let head = String::from_utf8(client.until(b"\r\n\r\n").await).unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let name = client.until(b"1").await;
    (String::from_utf8(name).unwrap(), begun.elapsed())
}

#[tokio::test]
async fn alone_a_handshake_to_a_frozen_node_goes_elsewhere() {
    let stand = Stand::start(2);
    stand.nodes[0].set(Mode::Frozen);
    let frozen = Instant::now();
    let mut longest = Duration::ZERO;
    while frozen.elapsed() < Duration::from_secs(2) {
        let (name, took) = begin(&stand).await;
        assert_eq!(name, "n1");
        longest = longest.max(took);
    }
    assert!(longest < BOUND, "{longest:?}");
    assert!(stand.metric("turnpike_router_silent_total") >= 1.0);
    // By now it is known not to be there, and nobody waits for it.
    let (_, took) = begin(&stand).await;
    assert!(took < Duration::from_millis(500), "{took:?}");
    assert!((stand.metric("turnpike_router_nodes") - 2.0).abs() < 0.1);

    stand.nodes[1].set(Mode::Frozen);
    stand.nodes[0].set(Mode::Answer);
    let thawed = Instant::now();
    let mut client = stand.client().await;
    client.send(BEGIN).await;
    client.until(b"n0").await;
    assert!(thawed.elapsed() < BROKEN);
}

#[tokio::test]
async fn alone_so_does_a_websocket() {
    let stand = Stand::start(2);
    stand.nodes[0].set(Mode::Frozen);
    stand.nodes[1].set(Mode::Echo);
    for _ in 0..2 {
        let begun = Instant::now();
        let mut client = stand.client().await;
        client.send(WEBSOCKET).await;
        client.until(b"early words").await;
        assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
        client.send(b"ping").await;
        client.until(b"ping").await;
    }
}

/// It says that it lives, but whoever begins there waits in vain.
#[tokio::test]
async fn alone_a_node_that_answers_no_handshake_is_passed_by_and_tried_again() {
    for mode in [Mode::Silent, Mode::HangUp] {
        let stand = Stand::start(2);
        stand.nodes[0].set(mode);
        let asked = || stand.nodes[0].seen().len();
        for _ in 0..6 {
            let (name, took) = begin(&stand).await;
            assert_eq!(name, "n1", "{mode:?}");
            assert!(took < BOUND, "{mode:?}: {took:?}");
        }
        assert!((2..=4).contains(&asked()), "{mode:?}: asked {} times", asked());
        stand.nodes[0].set(Mode::Answer);
        let begun = Instant::now();
        while asked() <= 4 {
            stand.exchange(BEGIN.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n")).await;
            assert!(begun.elapsed() < BROKEN, "it is never tried again");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// They have too much to do: asking each for what the other is late with would make it twice as much.
#[tokio::test]
async fn alone_nodes_that_are_slow_are_not_asked_for_everything_twice() {
    const COMERS: usize = 300;
    let stand = Stand::start(2);
    stand.set(Mode::Slow);
    let mut comers = JoinSet::new();
    for number in 0..COMERS {
        let mut client = stand.client().await;
        comers.spawn(async move {
            // From the beginning to the end there is always one that was answered just before.
            tokio::time::sleep(Duration::from_millis(10) * number as u32).await;
            client.send(BEGIN).await;
            let head = String::from_utf8(client.until(b"\r\n\r\n").await).unwrap();
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        });
    }
    while let Some(came) = comers.join_next().await {
        came.unwrap();
    }
    let asked: usize = stand.nodes.iter().map(|node| node.seen().len()).sum();
    // Before the first answer they might have been gone.
    let unheard = LATE.as_millis() as usize / 10;
    let again = asked - COMERS;
    assert!(again <= unheard + COMERS / 10 + 16, "{again} of {COMERS} were asked for again");
    assert!((stand.metric("turnpike_router_nodes") - 2.0).abs() < 0.1);
}

/// What may have been done is not done again.
#[tokio::test]
async fn only_what_changes_nothing_goes_elsewhere() {
    let stand = Stand::start(2);
    stand.set(Mode::HangUp);
    let post = "POST /api/v1/messages HTTP/1.1\r\nhost: r\r\ncontent-length: 2\r\n\r\n{}";
    let answer = stand.exchange(post).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    let asked = |stand: &Stand| stand.nodes.iter().map(|node| node.seen().len()).sum::<usize>();
    assert_eq!(asked(&stand), 1);
    let answer = stand.exchange("GET /api/v1/rooms HTTP/1.1\r\nhost: r\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert_eq!(asked(&stand), 3, "both were asked for what only reads");
}

/// A poll waits as long as it wants; it ends when its node is gone.
#[tokio::test]
async fn a_request_of_a_session_ends_with_its_node() {
    let stand = Stand::start(2);
    stand.set(Mode::Silent);
    let mut client = stand.client().await;
    client.send("GET /socket.io/?EIO=4&transport=polling&sid=n1.0.secret HTTP/1.1\r\nhost: r\r\n\r\n").await;
    stand.until("it is asked", || stand.nodes[1].seen().len() == 1).await;
    stand.keep(|node| node.name != "n1");
    let gone = Instant::now();
    assert!(client.ends().await);
    assert!(gone.elapsed() < AT_ONCE, "{:?}", gone.elapsed());
}
