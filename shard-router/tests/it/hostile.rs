//! Clients and nodes that are slow, endless or rude: what they cost is bounded, and others are served.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;

use crate::node::Mode;
use crate::stand::{BEGIN, Stand};

/// For one request in one direction, with what the kernel holds for four sockets.
const HELD_BYTES_MAX: usize = 1024 * 1024;

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let stand = Stand::start(1);
    let long = format!("GET /a HTTP/1.1\r\nhost: r\r\nx-bomb: {}\r\n\r\n", "x".repeat(200_000));
    let many: String = (0..2_000).fold(String::from("GET /a HTTP/1.1\r\nhost: r\r\n"), |mut head, number| {
        let _ = write!(head, "x-{number}: 1\r\n");
        head
    });
    let wide = format!("GET /{} HTTP/1.1\r\nhost: r\r\n\r\n", "a".repeat(200_000));
    for request in [long, many + "\r\n", wide] {
        let answer = stand.exchange(&request).await;
        let is_refused =
            ["HTTP/1.1 431", "HTTP/1.1 414", "HTTP/1.1 400"].iter().any(|head| answer.starts_with(head));
        // Whoever still writes while it is refused may find the connection broken instead.
        assert!(is_refused || answer.is_empty(), "{answer}");
    }
    assert_eq!(stand.nodes[0].seen(), [""; 0]);
    stand.until("they are gone", || stand.serving.connections() == 0).await;
}

/// One letter after the other: the head has a deadline, and that of the connection's silence is the same.
#[tokio::test]
async fn a_head_that_takes_for_ever_is_given_up() {
    let stand = Stand::start(1);
    let mut slow = stand.client().await;
    let mut silent = stand.client().await;
    let mut idle = stand.client().await;
    idle.send("GET /a HTTP/1.1\r\nhost: r\r\n\r\n").await;
    idle.until(b"n0").await;
    let begun = Instant::now();
    let (mut reads, mut writes) = slow.0.split();
    let trickle = async {
        for byte in BEGIN.bytes().cycle().filter(|byte| *byte != b'\n') {
            if writes.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let end = async { while let Ok(1..) = tokio::io::AsyncReadExt::read(&mut reads, &mut [0; 512]).await {} };
    tokio::join!(
        async {
            tokio::select! { () = trickle => {}, () = end => {} }
        },
        async { assert!(silent.ends().await) },
        async { assert!(idle.ends().await) },
    );
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

/// What a client uploads goes to the node as it comes, and no faster than the node takes it.
#[tokio::test]
async fn an_upload_without_end_is_not_piled_up() {
    let stand = Stand::start(1);
    stand.set(Mode::Deaf);
    let mut client = stand.client().await;
    client.send("POST /api HTTP/1.1\r\nhost: r\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let chunk = [b"4000\r\n".as_slice(), &[b'x'; 0x4000], b"\r\n"].concat();
    let mut sent = 0;
    while let Ok(Ok(written)) = tokio::time::timeout(Duration::from_secs(1), client.0.write(&chunk)).await {
        sent += written;
        assert!(sent < HELD_BYTES_MAX, "{sent} bytes were taken, and nobody reads them");
    }
    assert!(stand.exchange("GET /live2 HTTP/1.1\r\nhost: r\r\n\r\n").await.starts_with("HTTP/1.1"));
}

#[tokio::test]
async fn an_answer_without_end_is_not_piled_up() {
    let stand = Stand::start(1);
    stand.set(Mode::Endless);
    let mut client = stand.client().await;
    client.send("GET /a HTTP/1.1\r\nhost: r\r\n\r\n").await;
    let mut before = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = stand.nodes[0].seen_bytes();
        if now == before && now > 0 {
            break;
        }
        assert!(now < HELD_BYTES_MAX, "{now} bytes were taken for a client that reads nothing");
        before = now;
    }
    drop(client);
    stand.until("it is gone", || stand.serving.connections() == 0).await;
}

#[tokio::test]
async fn a_node_with_a_head_without_end_is_broken() {
    let stand = Stand::start(1);
    stand.set(Mode::HeadBomb);
    let answer = stand.exchange("GET /a HTTP/1.1\r\nhost: r\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(stand.nodes[0].seen_bytes() < HELD_BYTES_MAX);
}

#[tokio::test]
async fn who_asks_whether_to_continue_is_told() {
    let stand = Stand::start(1);
    stand.set(Mode::Silent);
    let mut client = stand.client().await;
    client.send("POST /api HTTP/1.1\r\nhost: r\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n").await;
    client.until(b"HTTP/1.1 100 Continue\r\n\r\n").await;
    client.send("hello").await;
    stand.until("the body has come", || stand.nodes[0].seen().concat().ends_with("hello")).await;
}

/// Who is not taken in is hung up on, and others go on.
#[tokio::test]
async fn more_connections_than_it_takes_are_hung_up_on() {
    let stand = Stand::start(1);
    let mut held = Vec::new();
    for _ in 0..1_000 {
        held.push(stand.client().await);
    }
    stand.until("all are taken in", || stand.serving.connections() == 1_000).await;
    let mut more = stand.client().await;
    assert!(more.ends().await);
    assert!(stand.metric("turnpike_router_connections_refused_total") >= 1.0);
    let mut first = held.swap_remove(0);
    first.send("GET /a HTTP/1.1\r\nhost: r\r\n\r\n").await;
    first.until(b"n0").await;
}
