//! Who comes: asked about before anything is read of it, before a request and before a session; and its end is told once.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::SinkExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use turnpike_engine::{EngineConfig, Introduces, Noticed, Origins, TurnedAway};

use super::door::{CLIENT_HEADER, INTRODUCTION};
use super::http::{Answer, Http};
use super::lab::{BROKEN, Client, Lab};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const BANNED: TurnedAway = TurnedAway { status: 403, slug: "banned", retry_after: None };
const TOO_MANY: TurnedAway =
    TurnedAway { status: 429, slug: "too_many", retry_after: Some(Duration::from_millis(1_500)) };

impl Lab {
    /// Waits until nobody is there any more, as the application was told.
    async fn everybody_left(&self) {
        self.until_told("everybody left", |lab| {
            let door = &lab.app.door;
            door.visits.load(Ordering::Relaxed) == 0 && door.sessions.load(Ordering::Relaxed) == 0
        })
        .await;
    }

    async fn until_told(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let waited = tokio::time::timeout(BROKEN, async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        let told = || {
            let door = &self.app.door;
            let noticed = door.noticed.lock().expect("no panics").clone();
            (door.visits.load(Ordering::Relaxed), door.sessions.load(Ordering::Relaxed), noticed)
        };
        assert!(waited.await.is_ok(), "{what}: {:?}", told());
    }

    pub(super) async fn until_noticed(&self, client: IpAddr, what: Noticed) {
        self.until_told(&format!("{what:?} of {client}"), |lab| {
            lab.app.door.noticed.lock().expect("no panics").contains(&(client, what))
        })
        .await;
    }

    pub(super) fn noticed(&self) -> Vec<(IpAddr, Noticed)> {
        self.app.door.noticed.lock().expect("no panics").clone()
    }

    /// One request with headers of its own.
    async fn request(&self, line: &str, headers: &str, body: &str) -> Answer {
        let mut http = self.http().await;
        let length = body.len();
        let request =
            format!("{line} HTTP/1.1\r\nhost: x\r\n{headers}content-length: {length}\r\n\r\n{body}");
        http.write(request.as_bytes()).await;
        http.answer().await.expect("an answer")
    }

    /// A websocket whose request bears a header.
    pub(super) async fn websocket_of(&self, path: &str, client: &str) -> Result<Client, u16> {
        let address = self.server.local_addr();
        let stream = TcpStream::connect(address).await.expect("it listens");
        let mut request = format!("ws://{address}{path}").into_client_request().expect("a request");
        request.headers_mut().insert(CLIENT_HEADER, client.parse().expect("a value"));
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, _)) => Ok(Client { socket, sid: String::new(), pid: None }),
            Err(tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }
}

async fn ends(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let end = stream.read_to_end(&mut rest);
    // Reset or closed, as long as it ends.
    let _ = tokio::time::timeout(BROKEN, end).await.expect("the server closes");
    rest
}

const ENGINE_IO: &str = "/socket.io/?EIO=4&transport=websocket";

#[tokio::test]
async fn whoever_is_not_wanted_is_dropped_before_a_byte_is_read() {
    let lab = Lab::start(Lab::config());
    lab.app.door.shut.lock().expect("no panics").push("127.0.0.9".parse().expect("an address"));
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.9:0".parse().expect("an address")).expect("it is ours");
    let mut unwanted = socket.connect(lab.server.local_addr()).await.expect("the kernel accepts");
    // It says nothing, and is not waited for.
    assert!(ends(&mut unwanted).await.is_empty());
    lab.until("counted", |counters| counters.connections_turned_away == 1).await;
    assert_eq!(lab.http().await.engine_io("GET", "", "").await.status, 200, "others are let in");
    assert_eq!(lab.handle().counters().connections_turned_away, 1);
}

#[tokio::test]
async fn every_visit_and_every_session_ends_once() {
    let config = EngineConfig {
        shards: 2,
        http_header_timeout: Duration::from_secs(2),
        connect_timeout: Duration::from_secs(3),
        ..Lab::config()
    };
    let (a, b) = Lab::pair(&config);
    let visits = |lab: &Lab| lab.app.door.visits.load(Ordering::Relaxed);
    let sessions = |lab: &Lab| lab.app.door.sessions.load(Ordering::Relaxed);

    let (client, raw) = (a.client().await, a.raw(Some("x")).await);
    let (polling, forwarded) = (a.polling().await, a.polling().await);
    polling.enter().await;
    forwarded.enter().await;
    // One that moves to a websocket, which the kernel may have given to the other shard; and one through the other node.
    let mut moved =
        a.websocket_of(&format!("{ENGINE_IO}{}", polling.query()), "-").await.expect("it upgrades");
    let tunnel = b.websocket_of(&format!("{ENGINE_IO}{}", forwarded.query()), "-").await;
    let mut tunnelled = tunnel.expect("it upgrades");
    for client in [&mut moved, &mut tunnelled] {
        client.send("2probe").await;
        assert_eq!(client.text().await, "3probe");
        client.send("5").await;
        client.send("42999[\"echo\",0]").await;
        assert_eq!(client.text().await, "43999[0]");
    }
    // One that fails to, and one for a session that is not there.
    let waiting = a.polling().await;
    drop(a.websocket_of(&format!("{ENGINE_IO}{}", waiting.query()), "-").await.expect("it is agreed on"));
    assert_eq!(
        a.websocket_of(&format!("{ENGINE_IO}&sid=node.a.0.AAAAAAAAAAAAAAAAAAAAAA"), "-").await.err(),
        Some(400)
    );
    // What spoke HTTP ends by itself, and the session that entered nothing as well.
    a.until_told("what is left are four websockets and their sessions", |lab| {
        visits(lab) == 4 && sessions(lab) == 4
    })
    .await;
    b.until_told("the other node has the client's end of the tunnel", |lab| visits(lab) == 1).await;
    assert_eq!(sessions(&b), 0, "the session is the owner's");
    drop((client, raw, moved, tunnelled));
    a.everybody_left().await;
    b.everybody_left().await;
}

#[tokio::test]
async fn a_session_that_came_to_nothing_departs() {
    let lab = Lab::start(EngineConfig {
        http_header_timeout: Duration::from_secs(2),
        handshakes_per_second: 1,
        handshakes_burst: 1,
        connect_timeout: Duration::from_secs(1),
        ..Lab::config()
    });
    // One is let in, and one more for each second that it takes.
    let mut asked = 0;
    loop {
        asked += 1;
        match lab.request("GET /socket.io/?EIO=4&transport=polling", "", "").await.status {
            200 => {}
            status => break assert!(status == 503 && asked > 1, "{status} for the {asked}."),
        }
    }
    loop {
        asked += 1;
        if let Err(status) = lab.websocket_of(ENGINE_IO, "-").await {
            break assert_eq!(status, 503);
        }
    }
    assert_eq!(lab.app.door.arrived.lock().expect("no panics").len(), asked);
    lab.everybody_left().await;
    lab.until_noticed(HERE, Noticed::Idle).await;
}

#[tokio::test]
async fn requests_and_sessions_are_of_the_client_that_the_application_names() {
    let lab = Lab::start(Lab::config());
    let peer = lab.request("GET /peer", "x-client: 203.0.113.1\r\n", "").await;
    assert_eq!(peer.body, "203.0.113.1:0");
    assert!(lab.request("GET /peer", "", "").await.body.starts_with("127.0.0.1:"));
    let open = lab.request("GET /socket.io/?EIO=4&transport=polling", "x-client: 203.0.113.2\r\n", "").await;
    let sid = open.body.split('"').nth(3).expect("a session id").to_owned();
    assert_eq!(
        lab.request(&format!("POST /socket.io/?EIO=4&transport=polling&sid={sid}"), "", "40").await.body,
        "ok"
    );
    let mut client = lab.websocket_of(ENGINE_IO, "203.0.113.3").await.expect("it upgrades");
    let _open = client.text().await;
    client.enter("40").await;
    let mut raw = lab.websocket_of("/ws", "203.0.113.4").await.expect("it upgrades");
    raw.send(r#"{"id":1,"event":"connect","data":null}"#).await;
    let _connected = raw.text().await;
    let of: Vec<String> = lab.app.peers.lock().expect("no panics").iter().map(ToString::to_string).collect();
    assert_eq!(of, ["203.0.113.2:0", "203.0.113.3:0", "203.0.113.4:0"]);
    let arrived: Vec<String> =
        lab.app.door.arrived.lock().expect("no panics").iter().map(ToString::to_string).collect();
    assert_eq!(arrived, ["203.0.113.2", "203.0.113.3", "203.0.113.4"]);
    // A second namespace, when the request is long forgotten.
    client.enter("40/any/other,").await;
    assert_eq!(
        lab.app.peers.lock().expect("no panics").last().expect("one more").to_string(),
        "203.0.113.3:0"
    );
}

#[tokio::test]
async fn a_client_may_be_refused_its_requests_or_only_its_sessions() {
    let lab = Lab::start(Lab::config());
    let (banned, many) = ("203.0.113.1", "203.0.113.2");
    let of = |client: &str| client.parse::<IpAddr>().expect("an address");
    let session = lab.polling().await;
    lab.app.door.turned_away.lock().expect("no panics").insert(of(banned), BANNED);
    lab.app.door.no_sessions.lock().expect("no panics").insert(of(many), TOO_MANY);
    let polling = "/socket.io/?EIO=4&transport=polling";
    for (client, line, status) in [
        (banned, format!("GET {polling}"), 403),
        (banned, format!("OPTIONS {polling}"), 403),
        (banned, format!("POST {polling}{}", session.query()), 403),
        (banned, "GET /peer".to_owned(), 403),
        (banned, "GET /nothing/here".to_owned(), 403),
        (many, format!("GET {polling}"), 429),
        (many, "GET /peer".to_owned(), 200),
        ("203.0.113.3", format!("POST {polling}{}", session.query()), 200),
    ] {
        let answer = lab.request(&line, &format!("x-client: {client}\r\n"), "6").await;
        assert_eq!(answer.status, status, "{client} {line}: {answer:?}");
        match status {
            403 => assert_eq!(answer.body, r#"{"code":4,"message":"banned"}"#),
            429 => {
                assert_eq!(answer.body, r#"{"code":4,"message":"too_many"}"#);
                assert!(answer.head.contains("retry-after: 2\r\n"), "{}", answer.head);
            }
            _ => {}
        }
    }
    assert_eq!(lab.websocket_of(ENGINE_IO, banned).await.err(), Some(403));
    assert_eq!(lab.websocket_of(ENGINE_IO, many).await.err(), Some(429));
    assert_eq!(lab.websocket_of("/ws", banned).await.err(), Some(403));
    assert_eq!(lab.websocket_of("/ws", many).await.err(), Some(429));
    let counters = lab.handle().counters();
    assert_eq!((counters.requests_turned_away, counters.sessions_turned_away), (7, 3));
    assert_eq!(lab.app.door.arrived.lock().expect("no panics").len(), 1);
}

/// Its header counts at the node that the client asked, and the other one believes that node.
#[tokio::test]
async fn a_forwarded_request_is_of_the_same_client_and_nobody_can_forge_that() {
    let (a, b) = Lab::pair(&Lab::config());
    let session = a.polling().await;
    let target = format!("/socket.io/?EIO=4&transport=polling{}", session.query());
    let client: IpAddr = "203.0.113.1".parse().expect("an address");
    a.app.door.turned_away.lock().expect("no panics").insert(client, BANNED);
    // The second node names the client, and the owner refuses it: the seal told.
    assert_eq!(b.request(&format!("POST {target}"), "x-client: 203.0.113.1\r\n", "40").await.status, 403);
    // Without a genuine seal the mark says nothing of whose it is.
    let forged = "x-engine-forwarded: 203.0.113.1:0 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n";
    assert_eq!(a.request(&format!("POST {target}"), forged, "40").await.status, 200);
    // What a client says of it does not reach the owner either.
    let both = format!("{forged}x-client: 203.0.113.9\r\n");
    assert_eq!(
        b.request(&format!("POST {target}"), &both, "").await.status,
        400,
        "a marked one goes no further"
    );
    // Nor does it count anywhere else.
    assert!(a.request("GET /peer", forged, "").await.body.starts_with("127.0.0.1:"));
}

fn introduced(address: [u8; 4]) -> Vec<u8> {
    [INTRODUCTION, &address].concat()
}

const PEER: &[u8] = b"GET /peer HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test]
async fn a_proxy_says_first_for_whom_it_connects() {
    let lab = Lab::start(Lab::config());
    *lab.app.door.introduces.lock().expect("no panics") = Some(Introduces::Always);
    // In one write with the request, and byte by byte.
    let mut http = lab.http().await;
    http.write(&[&introduced([203, 0, 113, 1]), PEER].concat()).await;
    assert_eq!(http.answer().await.expect("an answer").body, "203.0.113.1:77");
    http.write(PEER).await;
    assert_eq!(http.answer().await.expect("an answer").body, "203.0.113.1:77", "the whole connection is its");
    let mut slowly = lab.http().await;
    for byte in introduced([203, 0, 113, 2]) {
        slowly.write(&[byte]).await;
        slowly.stream.flush().await.expect("it reads");
        tokio::task::yield_now().await;
    }
    slowly.write(PEER).await;
    assert_eq!(slowly.answer().await.expect("an answer").body, "203.0.113.2:77");
    // For itself.
    let mut own = lab.http().await;
    own.write(&[&introduced([0, 0, 0, 0]), PEER].concat()).await;
    assert!(own.answer().await.expect("an answer").body.starts_with("127.0.0.1:"));
    // The client counts in place of the proxy.
    let knocked = lab.app.door.knocked.lock().expect("no panics").clone();
    for client in ["203.0.113.1", "203.0.113.2"] {
        assert_eq!(knocked.iter().filter(|ip| ip.to_string() == client).count(), 1);
    }
    drop((http, slowly, own));
    lab.everybody_left().await;
    // And is refused in its place.
    lab.app.door.shut.lock().expect("no panics").push("203.0.113.3".parse().expect("an address"));
    let mut refused = lab.http().await;
    refused.write(&[&introduced([203, 0, 113, 3]), PEER].concat()).await;
    assert!(ends(&mut refused.stream).await.is_empty());
    assert_eq!(lab.handle().counters().connections_turned_away, 1);
}

#[tokio::test]
async fn whoever_does_not_say_it_is_not_heard() {
    let lab = Lab::start(EngineConfig { http_header_timeout: Duration::from_millis(300), ..Lab::config() });
    *lab.app.door.introduces.lock().expect("no panics") = Some(Introduces::Always);
    // Something else at once; what is not there at all, or not to its end, is waited for, and not for ever.
    for begins in [PEER, b"\x01NTRO", b"", &INTRODUCTION[..3]] {
        let mut http = lab.http().await;
        http.write(begins).await;
        assert!(ends(&mut http.stream).await.is_empty());
    }
    lab.until("counted", |counters| counters.introductions_refused == 4).await;
    assert_eq!(lab.noticed(), [(HERE, Noticed::NotIntroduced); 4]);
    lab.everybody_left().await;
    // One byte now and then buys no time.
    let mut slow = lab.http().await;
    let trickle = async {
        for byte in INTRODUCTION.iter().cycle() {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if slow.stream.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
    };
    tokio::time::timeout(BROKEN, trickle).await.expect("the server closes");
}

#[tokio::test]
async fn of_whom_it_is_not_sure_the_first_byte_tells() {
    let lab = Lab::start(Lab::config());
    *lab.app.door.introduces.lock().expect("no panics") = Some(Introduces::Perhaps);
    let mut plain = lab.http().await;
    plain.write(PEER).await;
    assert!(plain.answer().await.expect("an answer").body.starts_with("127.0.0.1:"));
    let mut http = lab.http().await;
    http.write(&[&introduced([203, 0, 113, 1]), PEER].concat()).await;
    assert_eq!(http.answer().await.expect("an answer").body, "203.0.113.1:77");
    assert_eq!(lab.handle().counters().introductions_refused, 0);
}

#[tokio::test]
async fn who_misbehaves_is_told_of() {
    let lab = Lab::start(EngineConfig {
        payload_bytes_max: 10_000,
        message_timeout: Duration::from_millis(300),
        http_body_timeout: Duration::from_millis(300),
        ..Lab::config()
    });
    let of = |last: u8| IpAddr::V4(Ipv4Addr::new(203, 0, 113, last));
    let client = async |last: u8| {
        let mut client = lab.websocket_of(ENGINE_IO, &of(last).to_string()).await.expect("it upgrades");
        let _open = client.text().await;
        client.enter("40").await;
        client
    };
    // Packets and frames.
    client(1).await.send("4nonsense").await;
    lab.until_noticed(of(1), Noticed::Malformed).await;
    let mut frames = client(2).await;
    frames.socket.get_mut().write_all(&[0xff, 0xff, 0xff]).await.expect("it reads");
    lab.until_noticed(of(2), Noticed::Malformed).await;
    let mut large = client(3).await;
    large.socket.send(Message::text("4".repeat(10_001))).await.expect("it reads");
    lab.until_noticed(of(3), Noticed::TooLarge).await;
    // The beginning of a frame.
    let mut unfinished = client(4).await;
    unfinished.socket.get_mut().write_all(&[0x81, 0xfe, 0x01, 0x00, 1, 2, 3, 4, 5]).await.expect("it reads");
    lab.until_noticed(of(4), Noticed::SlowSender).await;
    // Requests.
    let polling = "/socket.io/?EIO=4&transport=polling";
    let session = lab.polling().await;
    let header = |last: u8| format!("x-client: {}\r\n", of(last));
    let large =
        lab.request(&format!("POST {polling}{}", session.query()), &header(5), &"x".repeat(12_000)).await;
    assert_eq!(large.status, 413);
    lab.until_noticed(of(5), Noticed::TooLarge).await;
    for (last, sid) in
        [(6, "local.0.AAAAAAAAAAAAAAAAAAAAAA"), (7, "local.9.AAAAAAAAAAAAAAAAAAAAAA"), (8, "x")]
    {
        assert_eq!(lab.request(&format!("GET {polling}&sid={sid}"), &header(last), "").await.status, 400);
        lab.until_noticed(of(last), Noticed::SessionUnknown).await;
    }
    let mut slow = lab.http().await;
    let head = format!("POST /body HTTP/1.1\r\nhost: x\r\n{}content-length: 100\r\n\r\nx", header(9));
    slow.write(head.as_bytes()).await;
    assert_eq!(slow.answer().await.expect("an answer").status, 400);
    lab.until_noticed(of(9), Noticed::SlowSender).await;
    let mut nonsense = lab.http().await;
    nonsense.write(b"\x16\x03\x01\0\xee\x01\0\0\xea\x03\x03\r\n\r\n").await;
    assert_eq!(nonsense.answer().await.expect("an answer").status, 400);
    lab.until_noticed(HERE, Noticed::Malformed).await;
    // Each of them once.
    let noticed = lab.noticed();
    for last in 1..=9 {
        assert_eq!(noticed.iter().filter(|(client, _)| *client == of(last)).count(), 1, "{noticed:?}");
    }
}

#[tokio::test]
async fn a_page_that_may_not_connect_is_told_of() {
    let origins = Origins::Listed(vec!["https://app.example".to_owned()]);
    let lab = Lab::start(EngineConfig { origins, ..Lab::config() });
    let headers = "x-client: 203.0.113.1\r\norigin: https://evil.example\r\n";
    assert_eq!(lab.request("GET /socket.io/?EIO=4&transport=polling", headers, "").await.status, 403);
    lab.until_noticed("203.0.113.1".parse().expect("an address"), Noticed::OriginRefused).await;
    assert_eq!(lab.handle().counters().origins_refused, 1);
    assert!(lab.app.door.arrived.lock().expect("no panics").is_empty());
}

#[tokio::test]
async fn one_byte_now_and_then_buys_no_body_time() {
    let lab = Lab::start(EngineConfig { http_body_timeout: Duration::from_millis(400), ..Lab::config() });
    let session = lab.polling().await;
    let polling = format!("/socket.io/?EIO=4&transport=polling{}", session.query());
    for (path, framing, byte) in [
        ("/body", "content-length: 100000", &b"x"[..]),
        ("/body", "transfer-encoding: chunked", b"1\r\nx\r\n"),
        (&polling, "content-length: 100000", b"x"),
        (&polling, "transfer-encoding: chunked", b"1\r\nx\r\n"),
    ] {
        let mut http = lab.http().await;
        http.write(format!("POST {path} HTTP/1.1\r\nhost: x\r\n{framing}\r\n\r\n").as_bytes()).await;
        let Http { stream, .. } = &mut http;
        let (mut read, mut write) = stream.split();
        let trickle = async {
            while write.write_all(byte).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let mut answer = [0; 12];
        let answered = async { read.read_exact(&mut answer).await.expect("an answer") };
        tokio::time::timeout(BROKEN, async {
            tokio::select! { () = trickle => {}, _ = answered => {} }
        })
        .await
        .expect("the server answers");
        assert_eq!(&answer, b"HTTP/1.1 400", "{path} {framing}");
    }
    lab.until("counted", |counters| counters.requests_timed_out >= 4).await;
}

/// Told of the other end of the connection, for whose the request was to be nobody could read yet.
#[tokio::test]
async fn who_begins_headers_and_does_not_end_them_is_told_of_and_who_asks_nothing_is_not() {
    let lab = Lab::start(EngineConfig { http_header_timeout: Duration::from_millis(1_500), ..Lab::config() });
    let timed_out =
        async |count| lab.until("it is given up", |counters| counters.requests_timed_out >= count).await;
    // Nothing at all, and nothing after something that was answered.
    let _silent = lab.http().await;
    timed_out(1).await;
    let mut done = lab.http().await;
    done.write(PEER).await;
    assert_eq!(done.answer().await.expect("an answer").status, 200);
    timed_out(2).await;
    assert_eq!(lab.noticed(), []);
    let mut slow = lab.http().await;
    slow.write(&PEER[..PEER.len() - 2]).await;
    timed_out(3).await;
    lab.until_noticed(HERE, Noticed::SlowSender).await;
    // Nor does an answer before help.
    let mut again = lab.http().await;
    again.write(PEER).await;
    assert_eq!(again.answer().await.expect("an answer").status, 200);
    again.write(&PEER[..4]).await;
    timed_out(4).await;
    lab.until_told("the second one", |lab| {
        lab.app.door.noticed.lock().expect("no panics").as_slice() == [(HERE, Noticed::SlowSender); 2]
    })
    .await;
}
