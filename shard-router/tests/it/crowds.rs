//! Many at once: who begins, and who only asks.

use std::time::{Duration, Instant};

use crate::stand::{AT_ONCE, BEGIN, Stand};

/// A storm: all come at once, and again when they are told to.
#[tokio::test]
async fn all_are_let_in_at_the_pace_in_the_end() {
    const CLIENTS: usize = 300;
    const PACE: u32 = 100;
    let stand = Stand::with(2, PACE, 100_000);
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..CLIENTS {
        let router = stand.router;
        tasks.push(tokio::spawn(async move {
            let mut refusals = 0;
            loop {
                let mut client = crate::stand::Client(tokio::net::TcpStream::connect(router).await.unwrap());
                client.send(BEGIN).await;
                let head = String::from_utf8(client.until(b"\r\n\r\n").await).unwrap();
                if head.starts_with("HTTP/1.1 200") {
                    return (begun.elapsed(), refusals);
                }
                assert!(head.starts_with("HTTP/1.1 503"), "{head}");
                let wait = head.split_once("retry-after: ").unwrap().1.split("\r\n").next().unwrap();
                assert!((1..=32).contains(&wait.parse::<u64>().unwrap()), "{head}");
                let body = String::from_utf8(client.until(b"}}").await).unwrap();
                let body: serde_json::Value = serde_json::from_str(&body).unwrap();
                let wait = body["error"]["retry_after_ms"].as_u64().unwrap();
                refusals += 1;
                assert!(refusals < 20, "it comes in vain all the time");
                tokio::time::sleep(Duration::from_millis(wait)).await;
            }
        }));
    }
    let mut times = Vec::new();
    for task in tasks {
        times.push(task.await.unwrap());
    }
    times.sort_unstable();
    let within = |seconds: u64| times.iter().filter(|(time, _)| *time < Duration::from_secs(seconds)).count();
    assert!(within(1) <= 130, "a second and a burst: {}", within(1));
    assert!(within(2) <= 230, "{}", within(2));
    let (last, _) = times.last().unwrap();
    println!(
        "{CLIENTS} at {PACE} a second: the last after {last:?}, most refusals {:?}",
        times.iter().map(|(_, refusals)| refusals).max()
    );
    assert!(*last < Duration::from_secs(20), "{last:?}");
    let asked: Vec<usize> = stand.nodes.iter().map(|node| node.seen().len()).collect();
    assert_eq!(asked.iter().sum::<usize>(), CLIENTS, "nodes see only who is let in: {asked:?}");
}

/// Who asks where something is asks the router alone, and gets an answer each time.
#[tokio::test]
async fn a_storm_of_questions_stays_with_the_router() {
    let stand = Stand::start(3);
    let mut client = stand.client().await;
    for number in 0..2_000 {
        client.send(format!("GET /v1/route?user=u{number} HTTP/1.1\r\nhost: r\r\n\r\n")).await;
        assert!(client.until(b"\r\n\r\n").await.starts_with(b"HTTP/1.1 200"));
        client.until(b"}").await;
    }
    assert!(stand.nodes.iter().all(|node| node.seen().is_empty()));
}

/// The cluster's directory is asked for each of them: one address has no more than its share, and others have theirs.
#[tokio::test]
async fn one_address_asks_no_more_than_its_share() {
    let stand = Stand::with(1, 100_000, 50);
    let mut client = stand.client().await;
    let mut told = 0;
    for _ in 0..500 {
        client.send("GET /v1/route?stream=live:1 HTTP/1.1\r\nhost: r\r\n\r\n").await;
        let head = client.until(b"\r\n\r\n").await;
        told += usize::from(head.starts_with(b"HTTP/1.1 429"));
        client.until(b"}").await;
        if head.starts_with(b"HTTP/1.1 429") || head.starts_with(b"HTTP/1.1 503") {
            client.until(b"}").await;
        }
    }
    assert!(told > 250, "{told} of 500");
    // Questions do not keep anybody from beginning a session.
    client.send(BEGIN).await;
    client.until(b"n0").await;
}

/// Whatever comes and goes, those who have a node stay with it.
#[tokio::test]
async fn a_node_that_comes_moves_nobody() {
    let stand = Stand::start(3);
    stand.keep(|node| node.name != "n2");
    stand.set(crate::node::Mode::Echo);
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = stand.client().await;
        client.send(crate::stand::WEBSOCKET).await;
        client.until(crate::node::EARLY).await;
        clients.push(client);
    }
    let came = Instant::now();
    stand.keep(|_| true);
    while stand.nodes[2].seen().is_empty() {
        let mut client = stand.client().await;
        client.send(crate::stand::WEBSOCKET).await;
        client.until(crate::node::EARLY).await;
        assert!(came.elapsed() < AT_ONCE, "it gets no session");
        clients.push(client);
    }
    for client in &mut clients[..20] {
        client.send("still").await;
        client.until(b"still").await;
    }
    assert!((stand.metric("turnpike_router_cut_total")).abs() < 0.5);
}
