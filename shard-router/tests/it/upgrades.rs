//! Websockets: agreed, refused, with early words, and when one of the ends does not do its part.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;

use crate::node::{EARLY, Mode};
use crate::stand::{AT_ONCE, BROKEN, Stand, WEBSOCKET};

/// What may be on its way in one direction: the router's piece, and what the kernel holds for four sockets, which is twice of
/// what was asked for. Most of it is the kernel's.
const HELD_BYTES_MAX: usize = 768 * 1024;

#[tokio::test]
async fn words_before_and_with_the_agreement_arrive() {
    let stand = Stand::start(1);
    stand.set(Mode::Echo);
    let mut client = stand.client().await;
    client.send(format!("{WEBSOCKET}at once")).await;
    let head = String::from_utf8(client.until(b"\r\n\r\n").await).unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 101") && head.contains("upgrade: websocket"), "{head}");
    assert_eq!(client.until(EARLY).await, EARLY);
    // The stand-in for a node takes what came with the request as part of it.
    stand
        .until("what was said at once has come", || stand.nodes[0].seen().concat().contains("at once"))
        .await;
    client.send("and later").await;
    assert!(client.until(b"and later").await.ends_with(b"and later"));
    assert_eq!(stand.serving.connections(), 1);
    drop(client);
    stand.until("the connection is gone", || stand.serving.connections() == 0).await;
}

#[tokio::test]
async fn a_refusal_is_passed_on_and_the_connection_goes_on() {
    let stand = Stand::start(1);
    stand.set(Mode::Refuse);
    let mut client = stand.client().await;
    client.send(WEBSOCKET).await;
    let head = client.until(b"\r\n\r\n").await;
    assert!(head.starts_with(b"HTTP/1.1 403"), "{}", String::from_utf8_lossy(&head));
    client.until(b"no").await;
    stand.set(Mode::Answer);
    client.send("GET /a HTTP/1.1\r\nhost: r\r\n\r\n").await;
    client.until(b"n0").await;
}

/// Else what a client writes next would be taken for something else than requests.
#[tokio::test]
async fn an_agreement_that_nobody_asked_for_is_none() {
    let stand = Stand::start(1);
    stand.set(Mode::Agree);
    let answer = stand.exchange("GET /a HTTP/1.1\r\nhost: r\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503") && !answer.contains("early"), "{answer}");
    let answer =
        stand.exchange("GET /a HTTP/1.1\r\nhost: r\r\nconnection: close\r\nupgrade: h2c\r\n\r\n").await;
    assert!(!answer.contains("hidden"), "{answer}");
}

#[tokio::test]
async fn of_a_node_whose_client_reads_nothing_little_is_held() {
    let stand = Stand::start(1);
    stand.set(Mode::Flood);
    let mut client = stand.client().await;
    client.send(WEBSOCKET).await;
    client.until(EARLY).await;
    let mut before = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = stand.nodes[0].seen_bytes();
        if now == before {
            break;
        }
        assert!(now < HELD_BYTES_MAX, "{now} bytes were taken for a client that reads nothing");
        before = now;
    }
    println!("held for a client that reads nothing: {before} bytes");
    drop(client);
    stand.until("the connection is gone", || stand.serving.connections() == 0).await;
}

#[tokio::test]
async fn of_a_client_whose_node_reads_nothing_little_is_held() {
    let stand = Stand::start(1);
    stand.set(Mode::Deaf);
    let mut client = stand.client().await;
    client.send(WEBSOCKET).await;
    client.until(EARLY).await;
    let (mut sent, chunk) = (0, vec![0; 16 * 1024]);
    while let Ok(Ok(written)) = tokio::time::timeout(Duration::from_secs(1), client.0.write(&chunk)).await {
        sent += written;
        assert!(sent < HELD_BYTES_MAX, "{sent} bytes were taken, and nobody reads them");
    }
    println!("held for a node that reads nothing: {sent} bytes");
}

/// One end is closed and the other is not: what is left is not kept for long.
#[tokio::test]
async fn half_a_connection_does_not_stay() {
    let stand = Stand::start(1);
    stand.set(Mode::Deaf);
    let mut client = stand.client().await;
    client.send(WEBSOCKET).await;
    client.until(EARLY).await;
    client.0.shutdown().await.unwrap();
    let took = stand.until("it is given up", || stand.serving.connections() == 0).await;
    assert!(took < Duration::from_secs(10), "{took:?}");
}

/// Nothing tells the client of a node whose machine lost its power, but the cluster.
#[tokio::test]
async fn those_of_a_node_that_is_gone_are_cut_and_no_others() {
    let stand = Stand::start(2);
    stand.set(Mode::Echo);
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = stand.client().await;
        client.send(WEBSOCKET).await;
        client.until(EARLY).await;
        clients.push(client);
    }
    stand.keep(|node| node.name != "n0");
    let gone = Instant::now();
    stand.until("one of them is cut", || stand.serving.connections() == 1).await;
    assert!(gone.elapsed() < AT_ONCE, "{:?}", gone.elapsed());
    let mut served = 0;
    for client in &mut clients {
        client.send("still").await;
        let echo = async {
            let mut byte = [0];
            tokio::io::AsyncReadExt::read_exact(&mut client.0, &mut byte).await.is_ok()
        };
        served += usize::from(tokio::time::timeout(BROKEN, echo).await.unwrap());
    }
    assert_eq!(served, 1);
}
