//! HTTP as clients should not speak it: heads that do not end, answers that nobody reads, methods and headers out of place.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use turnpike_engine::{EngineConfig, Origins};

use super::http::Http;
use super::lab::{BROKEN, Lab};

async fn ends(http: &mut Http) -> Vec<u8> {
    let mut rest = Vec::new();
    let end = http.stream.read_to_end(&mut rest);
    // Reset or closed, as long as it ends.
    let _ = tokio::time::timeout(BROKEN, end).await.expect("the server closes");
    rest
}

#[tokio::test]
async fn a_head_that_does_not_end_is_not_waited_for() {
    const PATIENCE: Duration = Duration::from_secs(2);
    let lab = Lab::start(EngineConfig { http_header_timeout: PATIENCE, ..Lab::config() });
    let begun = Instant::now();
    // Nothing at all; half a head; nothing behind an answer.
    let mut silent = lab.http().await;
    let mut half = lab.http().await;
    half.write(b"GET /socket.io/?EIO=4 HTTP/1.1\r\nhost: x\r\n").await;
    let mut idle = lab.http().await;
    assert_eq!(idle.engine_io("GET", "&EIO=3", "").await.status, 400);
    let (said, _, _) = tokio::join!(ends(&mut silent), ends(&mut half), ends(&mut idle));
    assert!(said.is_empty());
    assert!(begun.elapsed() > PATIENCE * 9 / 10, "{:?}", begun.elapsed());
    // One byte now and then buys no time.
    let mut slow = lab.http().await;
    let trickle = async {
        let _ = slow.stream.write_all(b"GET / HTTP/1.1\r\nx: ").await;
        while slow.stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(BROKEN, trickle).await.expect("the server closes");
}

#[tokio::test]
async fn a_body_that_does_not_end_is_not_waited_for() {
    let lab = Lab::start(EngineConfig { http_body_timeout: Duration::from_millis(300), ..Lab::config() });
    let session = lab.polling().await;
    session.enter().await;
    let mut http = lab.http().await;
    let head = format!(
        "POST /socket.io/?EIO=4&transport=polling{} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n42",
        session.query()
    );
    http.write(head.as_bytes()).await;
    assert_eq!(http.answer().await.expect("an answer").status, 400);
    assert_eq!(session.post("42[\"echo\"]").await.body, "ok", "the session goes on");
}

#[tokio::test]
async fn heads_are_bounded() {
    let lab = Lab::start(Lab::config());
    let mut http = lab.http().await;
    let head = format!(
        "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n",
        "x".repeat(17_000)
    );
    let _ = http.stream.write_all(head.as_bytes()).await;
    assert_eq!(http.answer().await.expect("an answer").status, 431);
    let mut http = lab.http().await;
    let head = format!(
        "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n",
        "x".repeat(15_000)
    );
    http.write(head.as_bytes()).await;
    assert_eq!(http.answer().await.expect("an answer").status, 200);
    assert_eq!(lab.handle().counters().connections_now, 1);
}

/// Otherwise each such connection would hold its answers, half a megabyte of them, for ever.
#[tokio::test]
async fn answers_that_nobody_reads_are_not_kept() {
    let lab = Lab::start(EngineConfig {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(300),
        ..Lab::config()
    });
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a size");
    let mut stream = socket.connect(lab.server.local_addr()).await.expect("it listens");
    let requests = "GET /socket.io/?EIO=3 HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1_000);
    // Until the server reads no more, because its answers find no room.
    while let Ok(sent) =
        tokio::time::timeout(Duration::from_millis(500), stream.write_all(requests.as_bytes())).await
    {
        sent.expect("it reads, or waits");
    }
    let ended = tokio::time::timeout(BROKEN, async { while stream.write_all(b"x").await.is_ok() {} }).await;
    assert!(ended.is_ok(), "still kept");
}

#[tokio::test]
async fn requests_on_one_connection_are_answered_one_by_one() {
    let lab = Lab::start(Lab::config());
    let session = lab.polling().await;
    let mut http = lab.http().await;
    http.ask("POST", &session.query(), "40").await;
    http.ask("GET", &session.query(), "").await;
    http.ask("POST", &session.query(), "421[\"echo\",\"a\"]").await;
    http.ask("GET", &session.query(), "").await;
    http.ask("HEAD", &session.query(), "").await;
    let mut bodies = Vec::new();
    for _ in 0..4 {
        bodies.push(http.answer().await.expect("an answer").body);
    }
    assert_eq!((&*bodies[0], &*bodies[2], &*bodies[3]), ("ok", "ok", "431[\"a\"]"));
    assert!(bodies[1].starts_with("40{\"sid\""), "{bodies:?}");
}

#[tokio::test]
async fn a_websocket_needs_all_of_its_headers() {
    let lab = Lab::start(Lab::config());
    let all = [
        "connection: keep-alive, Upgrade\r\n",
        "upgrade: WebSocket\r\n",
        "sec-websocket-version: 13\r\n",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    ];
    for path in ["/ws", "/socket.io/?EIO=4&transport=websocket"] {
        let ask = async |method: &str, headers: &str| {
            let mut http = lab.http().await;
            http.write(format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n").as_bytes()).await;
            http.answer().await.expect("an answer").status
        };
        assert_eq!(ask("GET", &all.concat()).await, 101);
        for missing in 0..all.len() {
            let rest: String =
                all.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, line)| *line).collect();
            let status = ask("GET", &rest).await;
            assert!(matches!(status, 400 | 426), "{path} without {}: {status}", all[missing]);
        }
        for (bad, status) in [("version: 13", "version: 8"), ("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ=")]
            .map(|(good, bad)| (all.concat().replace(good, bad), [400, 426]))
        {
            assert!(status.contains(&ask("GET", &bad).await), "{bad}");
        }
        for method in ["POST", "PUT"] {
            assert!(matches!(ask(method, &all.concat()).await, 400 | 426), "{method}");
        }
    }
    lab.until("those that were agreed on are the only ones", |counters| counters.connections_opened == 2)
        .await;
}

#[tokio::test]
async fn pages_of_other_origins_are_refused_everywhere_but_on_the_list() {
    let origins = Origins::Listed(vec!["https://app.example".to_owned()]);
    let lab = Lab::start(EngineConfig { origins, ..Lab::config() });
    for (origin, polling, websocket) in [
        ("https://app.example", 200, 101),
        ("https://evil.example", 403, 403),
        // Its own name is what a page has whose name was made to lead here.
        ("http://x", 403, 403),
        ("null", 403, 403),
    ] {
        let ask = async |head: &str| {
            let mut http = lab.http().await;
            http.write(format!("{head} HTTP/1.1\r\nhost: x\r\norigin: {origin}\r\n").as_bytes()).await;
            http.write(b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n").await;
            http.write(b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").await;
            http.answer().await.expect("an answer")
        };
        let answer = ask("GET /socket.io/?EIO=4&transport=polling").await;
        assert_eq!(answer.status, polling, "{origin}");
        assert_eq!(
            answer.head.contains("access-control-allow-origin: https://app.example\r\n"),
            origin == "https://app.example",
            "{}",
            answer.head
        );
        assert_eq!(ask("GET /socket.io/?EIO=4&transport=websocket").await.status, websocket, "{origin}");
        assert_eq!(ask("GET /ws").await.status, websocket, "{origin}");
        let preflight = ask("OPTIONS /socket.io/?EIO=4&transport=polling").await;
        assert_eq!(preflight.status, if polling == 200 { 204 } else { 403 }, "{origin}");
    }
}

/// Sockets that ask for nothing cost a file descriptor all the same, and those are needed elsewhere.
#[tokio::test]
async fn sockets_are_bounded_whatever_they_are_for() {
    let lab = Lab::start(EngineConfig {
        connections_max: 40,
        http_header_timeout: Duration::from_secs(5),
        ..Lab::config()
    });
    let mut client = lab.client().await;
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(lab.http().await);
    }
    lab.until("most are closed at once", |counters| counters.connections_refused_full > 150).await;
    client.send("420[\"echo\",1]").await;
    assert_eq!(client.text().await, "430[1]", "who is in stays in");
    drop(idle);
    // And there is room again.
    tokio::time::timeout(BROKEN, async {
        let mut status = 0;
        while status != 200 {
            let mut http = lab.http().await;
            http.ask("GET", "", "").await;
            status = http.answer().await.map_or(0, |answer| answer.status);
        }
    })
    .await
    .expect("room again");
}

/// Whoever is answered with a 101 has a place: nobody is let in and sent away because others were quicker.
#[tokio::test]
async fn as_many_are_agreed_with_as_there_are_places() {
    const PLACES: usize = 8;
    let lab = Lab::start(EngineConfig { connections_max: PLACES, shards: 1, ..Lab::config() });
    let mut all = Vec::new();
    for _ in 0..60 {
        all.push(lab.http().await);
    }
    let request = b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\n\
        connection: upgrade\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";
    // The shard finds them all at once.
    lab.http().await.write(b"GET /stand-still HTTP/1.1\r\nhost: x\r\n\r\n").await;
    for http in &mut all {
        http.write(request).await;
    }
    let mut agreed = 0;
    for http in &mut all {
        let answer = http.answer().await.expect("an answer");
        if answer.status != 101 {
            assert_eq!(answer.status, 503, "{}", answer.head);
            continue;
        }
        agreed += 1;
        assert!(http.says_more().await, "agreed with and closed: the {agreed}th");
    }
    assert_eq!(agreed, PLACES);
}
