//! More at once than can be let in: who is let in, and what the others are told.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use turnpike_engine::EngineConfig;

use super::lab::{BROKEN, Lab};

#[tokio::test]
async fn who_finds_a_crowd_at_the_door_is_told_when_to_come_again() {
    const BURST: usize = 5;
    let config = EngineConfig { handshakes_per_second: 2, handshakes_burst: BURST, ..Lab::config() };
    let lab = Lab::start(config);
    let mut http = lab.http().await;
    let mut let_in = Vec::new();
    let wait = loop {
        let answer = http.engine_io("GET", "", "").await;
        if answer.status == 503 {
            assert!(answer.body.contains("Too many at once"), "{answer:?}");
            let after = answer.head.lines().find_map(|line| line.strip_prefix("retry-after: "));
            break after.and_then(|after| after.parse::<u64>().ok()).expect("when to come again");
        }
        assert_eq!(answer.status, 200);
        let_in.push(format!("&sid={}", answer.body.split('"').nth(3).expect("a session id")));
    };
    assert!(let_in.len() >= BURST && (1..=3).contains(&wait), "{} were let in, wait {wait} s", let_in.len());
    let mut refused = 0;
    for path in ["/socket.io/?EIO=4&transport=websocket", "/ws"] {
        let asked = tokio_tungstenite::connect_async(format!("ws://{}{path}", lab.server.local_addr())).await;
        refused += u32::from(asked.is_err_and(|error| error.to_string().contains("503")));
    }
    assert!(refused > 0, "at two a second both were let in");
    // Those who are in do not notice.
    assert_eq!(http.engine_io("POST", &let_in[0], "40").await.body, "ok");
    assert!(http.engine_io("GET", &let_in[0], "").await.body.starts_with("40{"));
    let counters = lab.handle().counters();
    assert!(counters.handshakes_put_off >= 2 && counters.connections_refused_full == 0, "{counters:?}");
    tokio::time::sleep(Duration::from_secs(wait)).await;
    assert_eq!(http.engine_io("GET", "", "").await.status, 200);
}

#[tokio::test]
async fn who_comes_back_is_let_in_before_newcomers() {
    const BURST: usize = 40;
    let config = EngineConfig { handshakes_per_second: 1, handshakes_burst: BURST, ..Lab::config() };
    let lab = Lab::start(config);
    let first = lab.client().await;
    let pid = first.pid.clone().expect("a ticket");
    drop(first);
    let mut newcomers = Vec::new();
    loop {
        let mut client = lab.websocket().await;
        client.send("40").await;
        let Some(answer) = client.next_text().await else { break };
        assert!(answer.starts_with("40{"), "{answer}");
        newcomers.push(client);
    }
    // With what a slow machine gains meanwhile.
    assert!((BURST / 2 - 1..BURST - 8).contains(&newcomers.len()), "{} newcomers", newcomers.len());
    assert_eq!(lab.handle().counters().connects_put_off, 1);
    for _ in 0..3 {
        let mut back = lab.websocket().await;
        back.enter(&format!("40{}", json!({"pid": pid, "offset": "o1"}))).await;
        assert_eq!(back.pid.as_ref(), Some(&pid));
    }
    // A raw client reads what the close says; a stock client would keep it for its next connection.
    let mut raw = lab.raw(None).await;
    raw.send(r#"{"id":1,"event":"connect","data":null}"#).await;
    assert_eq!(raw.text().await, r#"{"id":1,"ok":false,"error":{}}"#);
    let farewell = raw.text().await;
    assert!(farewell.starts_with(r#"{"event":"disconnecting","data":{"reconnect_after_ms":"#), "{farewell}");
    let last = tokio::time::timeout(BROKEN, raw.socket.next()).await.expect("in time");
    let Some(Ok(Message::Close(Some(close)))) = last else { panic!("{last:?}") };
    assert_eq!((u16::from(close.code), &*close.reason), (3003, "overloaded"));
}

/// A node has died, and its clients come to another one, all at the same moment.
#[tokio::test]
async fn five_thousand_who_come_back_at_once_are_all_let_in() {
    const CLIENTS: usize = 5_000;
    const AT_ONCE: usize = 50;
    let lab = Lab::start(Lab::config());
    let first = lab.client().await;
    let ticket = json!({"pid": first.pid.clone().expect("a ticket"), "offset": "o1"});
    drop(first);
    let begun = std::time::Instant::now();
    let coming = (0..AT_ONCE).map(|_| async {
        let mut http = lab.http().await;
        for _ in 0..CLIENTS / AT_ONCE {
            let open = http.engine_io("GET", "", "").await;
            assert_eq!(open.status, 200, "{open:?}");
            let query = format!("&sid={}", open.body.split('"').nth(3).expect("a session id"));
            assert_eq!(http.engine_io("POST", &query, &format!("40{ticket}")).await.body, "ok");
            assert!(http.engine_io("GET", &query, "").await.body.starts_with("40{"));
        }
    });
    futures_util::future::join_all(coming).await;
    assert!(begun.elapsed() < BROKEN, "{:?}", begun.elapsed());
    let counters = lab.handle().counters();
    assert_eq!((counters.handshakes_put_off, counters.connects_put_off), (0, 0));
    assert_eq!(counters.sockets_recovered, CLIENTS as u64);
}
