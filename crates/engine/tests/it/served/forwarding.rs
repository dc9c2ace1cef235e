//! Two nodes behind a balancer that knows nothing of sessions: whatever lands on the wrong one finds its session.

use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio_tungstenite::tungstenite::Message;
use turnpike_engine::packet::{Class, Encoded};
use turnpike_engine::{Close, Counters, DisconnectReason, EngineConfig, Origins};

use super::http::{Http, Polling};
use super::lab::{BROKEN, Client, Lab, numbered};

const UNKNOWN: &str = r#"{"code":1,"message":"Session ID unknown"}"#;

fn no_requests(counters: &Counters) -> bool {
    counters.tunnels_now == 0 && counters.http_sockets_now == 0
}

/// A websocket for the session, by way of this server.
async fn upgrade(lab: &Lab, session: &Polling) -> Client {
    upgrade_reading(lab, session, 1_024 * 1_024).await
}

/// As the kernel buffers no more than this for it.
async fn upgrade_reading(lab: &Lab, session: &Polling, bytes: u32) -> Client {
    let url =
        format!("ws://{}/socket.io/?EIO=4&transport=websocket{}", lab.server.local_addr(), session.query());
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(bytes).expect("a size");
    let stream = socket.connect(lab.server.local_addr()).await.expect("it listens");
    let (socket, _) = tokio_tungstenite::client_async(url, stream).await.expect("it upgrades");
    let mut client = Client { socket, sid: String::new(), pid: None };
    client.send("2probe").await;
    assert_eq!(client.text().await, "3probe");
    client.send("5").await;
    // So that it is complete.
    client.send("42999[\"echo\",0]").await;
    assert_eq!(client.text().await, "43999[0]");
    client
}

#[tokio::test]
async fn a_session_works_whichever_node_its_requests_land_on() {
    // Wide enough for an answer and an event of those below.
    let (a, b) = Lab::pair(&EngineConfig { shards: 2, queue_soft_bytes: 250_000, ..Lab::config() });
    let via_a = a.polling().await;
    assert!(via_a.sid.starts_with("node.a."));
    let via_b = via_a.by_way_of(&b);
    assert_eq!(via_b.post("40").await.body, "ok");
    let connected = via_a.get().await.body;
    assert!(connected.starts_with("40{\"sid\""), "{connected}");
    for round in 0..10 {
        assert_eq!(via_b.post(&format!("420{}", json!(["echo", round]))).await.body, "ok");
        assert_eq!(via_b.get().await.body, format!("430[{round}]"));
    }
    // A poll that waits.
    let mut parked = via_b.park().await;
    b.until("it is on its way", |counters| counters.forwarded == 22).await;
    assert_eq!(via_a.post("421[\"echo\",\"late\"]").await.body, "ok");
    assert_eq!(parked.answer().await.expect("an answer").body, "431[\"late\"]");
    drop(parked);

    let mut client = upgrade(&b, &via_a).await;
    client.send("422[\"echo\",\"up\"]").await;
    assert_eq!(client.text().await, "432[\"up\"]");
    assert_eq!(b.handle().counters().tunnels_now, 1);
    assert_eq!(b.handle().counters().connections_now, 0, "the session is elsewhere");
    assert_eq!(a.handle().counters().upgrades, 1);
    // Both directions at once, and more than any buffer holds.
    let socket = a.app.sockets.lock().expect("no panics").values().next().copied().expect("one");
    let big = "x".repeat(90_000);
    for number in 0..40 {
        client.send(&format!("42{number}{}", json!(["echo", big]))).await;
        let event = Encoded::event("/", "big").arg(&big).class(Class::Reliable).build();
        a.handle().emit(&socket, event).expect("room in the inbox");
        let mut kinds = [client.text().await, client.text().await];
        kinds.sort();
        assert!(kinds[0].starts_with("42[\"big\"") && kinds[1].starts_with(&format!("43{number}[\"x")));
    }
    drop(client);
    b.until("nothing is left", no_requests).await;
    a.until("nothing is left", |counters| counters.connections_now == 0).await;
    assert_eq!((b.handle().counters().forwards_failed, b.handle().counters().forwarded), (0, 23));
}

#[tokio::test]
async fn connections_to_the_owner_are_kept() {
    let (a, b) = Lab::pair(&Lab::config());
    let session = a.polling().await;
    session.enter().await;
    a.until("idle", |counters| counters.http_sockets_now == 0).await;
    let mut http = b.http().await;
    for round in 0..50 {
        let posted = http.engine_io("POST", &session.query(), &format!("420[\"echo\",{round}]")).await;
        assert_eq!(posted.body, "ok");
        assert_eq!(http.engine_io("GET", &session.query(), "").await.body, format!("430[{round}]"));
        assert_eq!(a.handle().counters().http_sockets_now, 1, "in round {round}");
    }
}

#[tokio::test]
async fn answers_pass_unchanged() {
    let origins = Origins::Listed(vec!["https://app.example".to_owned()]);
    let (a, b) = Lab::pair(&EngineConfig { origins, ..Lab::config() });
    let session = a.polling().await;
    session.enter().await;
    let socket = a.app.sockets.lock().expect("no panics").values().next().copied().expect("one");
    let mut answers = Vec::new();
    for lab in [&a, &b] {
        a.handle().emit(&socket, numbered(1, Class::Reliable, 5_000)).expect("room in the inbox");
        a.handle().rooms(&socket).await;
        let mut http = lab.http().await;
        let request = format!(
            "GET /socket.io/?EIO=4&transport=polling{} HTTP/1.1\r\nhost: x\r\naccept-encoding: gzip\r\n\
             origin: https://app.example\r\nconnection: x-private, keep-alive\r\nx-private: 1\r\n\r\n",
            session.query()
        );
        http.write(request.as_bytes()).await;
        let answer = http.answer().await.expect("an answer");
        let mut lines: Vec<_> =
            answer.head.lines().filter(|line| !line.starts_with("date:")).map(str::to_owned).collect();
        lines.sort();
        answers.push((lines, answer.body));
    }
    assert_eq!(answers[0], answers[1]);
    for expected in ["content-encoding: gzip", "access-control-allow-origin: https://app.example"] {
        assert!(answers[1].0.iter().any(|line| line == expected), "{:?}", answers[1].0);
    }
}

#[tokio::test]
async fn two_at_once_are_two_at_once_wherever_they_land() {
    let (mut a, b) = Lab::pair(&Lab::config());
    let via_a = a.polling().await;
    via_a.enter().await;
    let via_b = via_a.by_way_of(&b);
    let mut first = via_a.park().await;
    a.until("parked", |counters| counters.polls == 2).await;
    assert_eq!(via_b.get().await.status, 400);
    assert_eq!(first.answer().await.expect("an answer").body, "1");
    assert_eq!(a.disconnected().await, DisconnectReason::ProtocolError("two polls at once".to_owned()));
    // Many sessions at once, each by way of the other node.
    let mut sessions = Vec::new();
    for _ in 0..50 {
        let session = a.polling().await;
        session.enter().await;
        let via_b = session.by_way_of(&b);
        let parked = via_b.park().await;
        sessions.push((via_b, parked));
    }
    b.until("all on their way", |counters| counters.http_sockets_now == 100).await;
    for (number, (session, _)) in sessions.iter().enumerate() {
        assert_eq!(session.post(&format!("420[\"echo\",{number}]")).await.body, "ok");
    }
    for (number, (_, parked)) in sessions.iter_mut().enumerate() {
        assert_eq!(parked.answer().await.expect("an answer").body, format!("430[{number}]"));
    }
    drop((sessions, first));
    b.until("nothing is left", no_requests).await;
    // Of those that were opened as many are kept as may be.
    a.until("few are kept", |counters| counters.http_sockets_now <= 32).await;
}

#[tokio::test]
async fn a_session_of_a_node_that_is_gone_or_unheard_of_is_unknown() {
    let (a, b) = Lab::pair(&Lab::config());
    let session = a.polling().await;
    session.enter().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let place = |node: &str, address: &str| {
        let address = address.parse().expect("an address");
        b.app.nodes.lock().expect("no panics").insert(node.to_owned(), address);
    };
    place("dead", &closed.expect("a port").to_string());
    place("nowhere", "192.0.2.1:9");
    let secret = session.sid.rsplit('.').next().expect("a secret");
    let begun = Instant::now();
    for node in ["dead", "nowhere", "unheard.of"] {
        let query = format!("&sid={node}.0.{secret}");
        for (method, body) in [("GET", ""), ("POST", "3")] {
            let answer = b.http().await.engine_io(method, &query, body).await;
            assert_eq!((answer.status, &*answer.body), (400, UNKNOWN), "{method} to {node}");
        }
        let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket{query}", b.server.local_addr());
        let refused = tokio_tungstenite::connect_async(url).await;
        assert!(refused.is_err_and(|error| error.to_string().contains("400")), "{node}");
    }
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    let counters = b.handle().counters();
    assert_eq!((counters.forwarded, counters.forwards_failed), (6, 6));
    // A node that comes back has forgotten its sessions.
    let of_a = format!("&sid=node.a.0.{}", "A".repeat(22));
    let answer = b.http().await.engine_io("GET", &of_a, "").await;
    assert_eq!((answer.status, &*answer.body), (400, UNKNOWN));
    assert_eq!(b.handle().counters().forwards_failed, 6);
    // While a poll waits.
    let mut parked = session.by_way_of(&b).park().await;
    b.until("on its way", |counters| counters.forwarded == 8).await;
    a.until("parked", |counters| counters.polls == 3).await;
    a.server.shutdown();
    let answer = parked.answer().await.expect("an answer");
    assert_eq!((answer.status, &*answer.body), (400, UNKNOWN));
    drop(parked);
    b.until("nothing is left", no_requests).await;
}

#[tokio::test]
async fn a_request_goes_one_hop() {
    let (a, b) = Lab::pair(&Lab::config());
    let own = b.server.local_addr();
    b.app.nodes.lock().expect("no panics").insert("c".to_owned(), own);
    let answer = b.http().await.engine_io("GET", &format!("&sid=c.0.{}", "A".repeat(22)), "").await;
    assert_eq!((answer.status, &*answer.body), (400, UNKNOWN));
    assert_eq!(b.handle().counters().forwarded, 1);

    // The mark of an outsider stops its own request, and its word for where it comes from counts for nothing.
    let session = a.polling().await;
    session.enter().await;
    let forged = |query: &str| {
        format!(
            "GET /socket.io/?EIO=4&transport=polling{query} HTTP/1.1\r\nhost: x\r\n\
             x-engine-forwarded: 198.51.100.1:9 AAAA\r\n\r\n"
        )
    };
    let mut http = b.http().await;
    http.write(forged(&session.query()).as_bytes()).await;
    assert_eq!(http.answer().await.expect("an answer").body, UNKNOWN);
    assert_eq!(b.handle().counters().forwarded, 1);
    let mut http = a.http().await;
    let local = http.stream.local_addr().expect("it has one");
    http.write(forged("").as_bytes()).await;
    let open = http.answer().await.expect("an answer").body;
    let query = format!("&sid={}", open.split('"').nth(3).expect("a session id"));
    assert_eq!(http.engine_io("POST", &query, "40").await.body, "ok");
    assert_eq!(a.app.peers.lock().expect("no panics").last(), Some(&local));
}

#[tokio::test]
async fn large_bodies_pass_and_too_large_ones_do_not() {
    let (a, b) = Lab::pair(&EngineConfig { payload_bytes_max: 400_000, ..Lab::config() });
    let session = a.polling().await;
    session.enter().await;
    let via_b = session.by_way_of(&b);
    let big = "x".repeat(200_000);
    assert_eq!(via_b.post(&format!("420[\"echo\",\"{big}\"]")).await.body, "ok");
    assert_eq!(via_b.get().await.body, format!("430[\"{big}\"]"));
    // Announced, and then in pieces of which nobody knows how many will come.
    let mut http = b.http().await;
    let head = format!("POST /socket.io/?EIO=4&transport=polling{} HTTP/1.1\r\nhost: x\r\n", session.query());
    http.write(format!("{head}content-length: 500000\r\n\r\n").as_bytes()).await;
    assert_eq!(http.answer().await.expect("an answer").status, 413);
    let forwarded = b.handle().counters().forwarded;
    let mut http = b.http().await;
    http.write(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes()).await;
    let chunk = [b"186a0\r\n".as_slice(), "x".repeat(100_000).as_bytes(), b"\r\n"].concat();
    for _ in 0..5 {
        // The answer may come before all was sent.
        let _ = http.stream.write_all(&chunk).await;
    }
    assert_eq!(http.answer().await.expect("an answer").status, 413);
    assert_eq!(b.handle().counters().forwarded, forwarded + 1);
    // In pieces, and not too large.
    let mut http = b.http().await;
    http.write(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes()).await;
    http.write(b"4\r\n421[\r\n9\r\n\"echo\",2]\r\n0\r\n\r\n").await;
    assert_eq!(http.answer().await.expect("an answer").body, "ok");
    assert_eq!(via_b.get().await.body, "431[2]");
}

#[tokio::test]
async fn a_client_that_hangs_up_is_missed_by_the_owner() {
    let (mut a, b) = Lab::pair(&Lab::config());
    for _ in 0..5 {
        let session = a.polling().await;
        session.enter().await;
        let polls = a.handle().counters().polls;
        let parked = session.by_way_of(&b).park().await;
        a.until("parked", |counters| counters.polls == polls + 1).await;
        drop(parked);
        assert_eq!(a.disconnected().await, DisconnectReason::TransportError);
        b.until("nothing is left", no_requests).await;
    }
    // In the midst of a body.
    let session = a.polling().await;
    session.enter().await;
    let mut http = b.http().await;
    let head = format!("POST /socket.io/?EIO=4&transport=polling{} HTTP/1.1\r\nhost: x\r\n", session.query());
    http.write(format!("{head}content-length: 100\r\n\r\n42[").as_bytes()).await;
    b.until("on its way", |counters| counters.http_sockets_now == 2).await;
    drop(http);
    b.until("nothing is left", no_requests).await;
    a.until("nothing is left", |counters| counters.http_sockets_now <= 1).await;
}

#[tokio::test]
async fn alone_a_tunnel_ends_with_either_end() {
    let (mut a, mut b) = Lab::pair(&Lab::config());
    // The owner closes.
    let session = a.polling().await;
    let sid = session.enter().await;
    let mut client = upgrade(&b, &session).await;
    let socket = a.app.sockets.lock().expect("no panics")[&sid];
    a.handle().close(&socket, Close::new(3001, "as asked", true));
    assert_eq!(client.next_text().await, None);
    b.until("nothing is left", no_requests).await;
    a.disconnected().await;
    // The client closes, and hears the answer to its close.
    let session = a.polling().await;
    session.enter().await;
    let mut client = upgrade(&b, &session).await;
    client.socket.send(Message::Close(None)).await.expect("it reads");
    let last = tokio::time::timeout(BROKEN, client.socket.next()).await.expect("in time");
    assert!(matches!(last, Some(Ok(Message::Close(_)))), "{last:?}");
    drop(client);
    assert_eq!(a.disconnected().await, DisconnectReason::TransportClosed);
    b.until("nothing is left", no_requests).await;
    // The node between them goes: evenly over its window, and the owner sees an accident.
    let mut clients = Vec::new();
    for _ in 0..8 {
        let session = a.polling().await;
        session.enter().await;
        clients.push(upgrade(&b, &session).await);
    }
    let begun = Instant::now();
    let handle = b.handle().clone();
    let drained = tokio::spawn(async move {
        handle.drain(Duration::from_secs(1), &Close::new(3001, "drain", true)).await;
    });
    let first = a.disconnected().await;
    assert!(matches!(first, DisconnectReason::TransportClosed | DisconnectReason::TransportError));
    let first = begun.elapsed();
    for _ in 1..8 {
        a.disconnected().await;
    }
    let last = begun.elapsed();
    assert!(last > Duration::from_millis(500) && last > first * 2, "first {first:?}, last {last:?}");
    for client in &mut clients {
        assert_eq!(client.next_text().await, None);
    }
    drained.await.expect("no panic");
    drop(clients);
    b.until("nothing is left", no_requests).await;
    // The owner dies.
    let session = b_session(&mut b).await;
    drop(session);
    let (a, b) = Lab::pair(&Lab::config());
    let session = a.polling().await;
    session.enter().await;
    let mut client = upgrade(&b, &session).await;
    a.server.shutdown();
    assert_eq!(client.next_text().await, None);
    b.until("nothing is left", no_requests).await;
}

/// A node that drains takes nobody in, and says so.
async fn b_session(lab: &mut Lab) -> Http {
    let mut http = lab.http().await;
    assert_eq!(http.engine_io("GET", "", "").await.status, 503);
    http
}

/// What the client does not take stays with the owner, where it is bounded.
#[tokio::test]
async fn a_tunnel_hides_no_slow_reader() {
    let config = EngineConfig {
        write_deadline: Duration::from_millis(500),
        ping_interval: Duration::from_millis(600),
        ping_timeout: Duration::from_secs(5),
        send_buffer_bytes: Some(16 * 1_024),
        ..Lab::config()
    };
    let (mut a, b) = Lab::pair(&config);
    let session = a.polling().await;
    let sid = session.enter().await;
    let mut client = upgrade_reading(&b, &session, 16 * 1_024).await;
    let socket = a.app.sockets.lock().expect("no panics")[&sid];
    let handle = a.handle().clone();
    let sending = async {
        loop {
            for number in 0..64 {
                handle.emit(&socket, numbered(number, Class::Reliable, 1_024)).expect("room in the inbox");
            }
            handle.refill(&socket, Vec::new()).expect("room in the inbox");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let reason = tokio::select! {
        reason = a.disconnected() => reason,
        () = sending => unreachable!("it never ends"),
    };
    assert_eq!(reason, DisconnectReason::SlowReader);
    let sent = a.handle().counters().bytes_out;
    assert!(sent < 1_024 * 1_024, "{sent} bytes are somewhere");
    b.until("nothing is left", no_requests).await;
    let mut rest = vec![0; 1_024 * 1_024];
    while client.socket.get_mut().read(&mut rest).await.is_ok_and(|count| count > 0) {}
}
