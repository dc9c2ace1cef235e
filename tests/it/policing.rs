//! Two nodes on a Redis Cluster, an attacker at an address of their own, and an honest client beside them: the attacker is shut
//! out of both nodes, comes back by no way, and is let in again when the ban is over. The honest one notices nothing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use turnpike_lab::{Node, shared, unique_prefix};

use crate::harness::turnpike::signed;

/// Past it something is broken.
const BROKEN: Duration = Duration::from_secs(30);

/// Long enough to be seen on the other node, short enough to wait for.
const BAN: &str = "8s";
const BAN_TIME: Duration = Duration::from_secs(8);
/// Until then the other node has it: soon, and with time left in which it holds.
const KNOWN_MAX: Duration = Duration::from_secs(4);
const BANNED: u16 = 3503;

const ATTACKER: u8 = 1;
const ELSEWHERE: u8 = 2;
const HONEST: u8 = 3;

async fn connect(from: u8, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 9, from)), 0))?;
    socket.connect(to).await
}

/// The status of one request on a connection of its own. None: it was closed without an answer.
async fn ask(from: u8, to: SocketAddr, token: &str) -> Option<u16> {
    let mut stream = connect(from, to).await.ok()?;
    let request = format!(
        "GET /api/v1/info/monitoring HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(BROKEN, stream.read_to_end(&mut answer)).await;
    // An error is an end.
    let _ = read.expect("an answer or an end");
    std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()
}

struct Client(WebSocketStream<TcpStream>, u64);

/// What came instead of an answer.
#[derive(Debug)]
enum Gone {
    /// By a close code, or by a status before there was a websocket.
    Closed(u16),
    Lost,
}

impl Client {
    async fn enter(from: u8, to: SocketAddr, token: &str) -> Result<Self, Gone> {
        let mut request = format!("ws://{to}/ws").into_client_request().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let stream = connect(from, to).await.map_err(|_| Gone::Lost)?;
        let upgraded = tokio_tungstenite::client_async(request, stream).await;
        let stream = upgraded.map_err(|error| match error {
            Error::Http(response) => Gone::Closed(response.status().as_u16()),
            _ => Gone::Lost,
        })?;
        let mut client = Self(stream.0, 0);
        let first = client.next().await?;
        assert_eq!(first["event"], "session", "{first}");
        Ok(client)
    }

    async fn next(&mut self) -> Result<Value, Gone> {
        loop {
            match tokio::time::timeout(BROKEN, self.0.next()).await.expect("something comes in time") {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(Some(frame)))) => return Err(Gone::Closed(frame.code.into())),
                Some(Ok(Message::Close(None)) | Err(_)) | None => return Err(Gone::Lost),
                Some(Ok(_)) => {}
            }
        }
    }

    async fn ask(&mut self, event: &str, data: Value) -> Result<Value, Gone> {
        self.1 += 1;
        let frame = json!({ "id": self.1, "event": event, "data": data }).to_string();
        // The end is read, with its code.
        let _ = self.0.send(Message::text(frame)).await;
        loop {
            let frame = self.next().await?;
            if frame["id"] == self.1 && frame.get("event").is_none() {
                return Ok(frame);
            }
        }
    }

    /// The code with which it ends.
    async fn end(&mut self) -> u16 {
        loop {
            match self.next().await {
                Ok(_) => {}
                Err(Gone::Closed(code)) => return code,
                Err(other) => panic!("{other:?}"),
            }
        }
    }
}

/// What the stock client hands to `connect_error`.
async fn refused_over_socket_io(from: u8, to: SocketAddr, token: &str) -> Value {
    let url = format!("ws://{to}/socket.io/?EIO=4&transport=websocket");
    let (mut socket, _) =
        tokio_tungstenite::client_async(url, connect(from, to).await.unwrap()).await.unwrap();
    socket.send(Message::text(format!(r#"40{{"token":"{token}"}}"#))).await.unwrap();
    loop {
        match tokio::time::timeout(BROKEN, socket.next()).await.expect("an answer in time") {
            Some(Ok(Message::Text(text))) if text.starts_with("44") => {
                return serde_json::from_str(&text[2..]).unwrap();
            }
            Some(Ok(Message::Text(text))) => assert!(!text.starts_with("40"), "in again: {text}"),
            other => panic!("{other:?}"),
        }
    }
}

/// Says something all the time, on both nodes.
async fn be_honest(
    nodes: [SocketAddr; 2],
    token: String,
    mut stop: tokio::sync::watch::Receiver<bool>,
) -> usize {
    let mut clients = [
        Client::enter(HONEST, nodes[0], &token).await.unwrap(),
        Client::enter(HONEST, nodes[1], &token).await.unwrap(),
    ];
    let mut answered = 0;
    while !*stop.borrow_and_update() {
        for client in &mut clients {
            let answer = client.ask("ping", json!(1)).await.expect("nobody sends it away");
            assert_eq!(answer["ok"], true, "{answer}");
            answered += 1;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    answered
}

fn start() -> [Node; 2] {
    let (seeds, prefix) = (shared().seeds_text(), unique_prefix());
    ["n1", "n2"].map(|name| {
        Node::start(&[
            ("REDIS_NODES", &seeds),
            ("TURNPIKE_REDIS_PREFIX", &prefix),
            ("SERVER_ID", name),
            ("TURNPIKE_ADDRESS_EXEMPT", "192.0.2.0/24"),
            ("TURNPIKE_ABUSE_BAN", BAN),
            ("TURNPIKE_ABUSE_MUTE", "1s"),
            ("TURNPIKE_DEFAULT_GRANTS", "open:*=join,send"),
            // What is tried here is what follows from it, not how fast it may be tried.
            ("TURNPIKE_RATE_JOINS", "10000/10000"),
        ])
        .unwrap()
    })
}

fn metric(node: &Node, name: &str) -> u64 {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(node.admin).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", node.admin).unwrap();
    let mut metrics = String::new();
    stream.read_to_string(&mut metrics).unwrap();
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name}")).parse::<f64>().unwrap() as u64
}

async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let waited = tokio::time::timeout(BROKEN, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_guesses_tokens_is_shut_out_of_both_nodes_until_the_ban_is_over() {
    let nodes = tokio::task::spawn_blocking(start).await.unwrap();
    let at = [nodes[0].gateway, nodes[1].gateway];
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let honest = tokio::spawn(be_honest(at, nodes[0].token(&["--user", "honest"]).unwrap(), stopped));
    let good = nodes[0].token(&["--user", "root", "--role", "admin"]).unwrap();
    assert_eq!(ask(ATTACKER, at[1], &good).await, Some(200));
    let mut tries = 0;
    while ask(ATTACKER, at[0], "e30.e30.AAAA").await == Some(401) {
        tries += 1;
        assert!(tries < 500, "nobody minds");
    }
    let banned = Instant::now();
    assert!(tries >= 20, "{tries} are not many");
    assert_eq!(metric(&nodes[0], "turnpike_bans"), 1);
    assert!(metric(&nodes[0], "turnpike_detections_total{measure=\"ban\"}") >= 1);
    assert!(metric(&nodes[0], "turnpike_signals_total{signal=\"bad_token\"}") >= 20);
    // A good token does not help, and on the other node as little.
    assert_eq!(ask(ATTACKER, at[0], &good).await, None);
    until("the other node has it", || async { ask(ATTACKER, at[1], &good).await.is_none() }).await;
    assert!(banned.elapsed() < KNOWN_MAX, "after {:?}", banned.elapsed());
    assert!(Client::enter(ATTACKER, at[1], &good).await.is_err());
    assert_eq!(ask(ELSEWHERE, at[0], &good).await, Some(200), "another address is another");
    until("the ban is over", || async {
        ask(ATTACKER, at[0], &good).await == Some(200) && ask(ATTACKER, at[1], &good).await == Some(200)
    })
    .await;
    assert!(banned.elapsed() > BAN_TIME * 2 / 3, "after {:?}", banned.elapsed());
    stop.send(true).unwrap();
    assert!(honest.await.unwrap() > 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_scans_rooms_is_muted_and_then_banned_wherever_they_come_from() {
    let nodes = tokio::task::spawn_blocking(start).await.unwrap();
    let at = [nodes[0].gateway, nodes[1].gateway];
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let honest = tokio::spawn(be_honest(at, nodes[0].token(&["--user", "honest"]).unwrap(), stopped));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let rooms = json!([{ "match": "open:*", "can": ["join", "send"] }]);
    let token = signed(&json!({ "sub": "mallory", "exp": now + 600, "rooms": rooms }));
    let mut here = Client::enter(ATTACKER, at[0], &token).await.unwrap();
    let mut there = Client::enter(ELSEWHERE, at[1], &token).await.unwrap();
    for client in [&mut here, &mut there] {
        assert_eq!(client.ask("room:join", json!({ "room": "open:a" })).await.unwrap()["ok"], true);
    }
    let mut scanned = 0;
    let mut scan = async |client: &mut Client, from: usize| {
        scanned += 1;
        client.ask("room:join", json!({ "room": format!("secret:{from}.{scanned}") })).await
    };
    // Muted: what is said is refused with the time to wait, on the other node as well.
    let muted = loop {
        match scan(&mut here, 0).await {
            Ok(answer) => assert_eq!(answer["error"]["code"], 106, "{answer}"),
            Err(gone) => panic!("sent away before being muted: {gone:?}"),
        }
        let said = here.ask("message:send", json!({ "room": "open:a", "body": 1 })).await.unwrap();
        if said["ok"] != true {
            break said;
        }
    };
    assert_eq!(muted["error"]["code"], 108, "{muted}");
    assert!(muted["error"]["retry_after_ms"].as_u64().unwrap() <= 1_000, "{muted}");
    // On and on, with a new session when sent away, until no session is to be had.
    let refused = loop {
        match scan(&mut here, 1).await {
            Ok(_) => {}
            Err(Gone::Closed(code)) => {
                assert!([3003, BANNED].contains(&code), "{code}");
                match Client::enter(ATTACKER, at[0], &token).await {
                    Ok(client) => here = client,
                    Err(Gone::Closed(code)) => break code,
                    Err(gone) => panic!("{gone:?}"),
                }
            }
            Err(gone) => panic!("{gone:?}"),
        }
    };
    let banned = Instant::now();
    assert_eq!(refused, BANNED);
    // Sent away for a while first, and on the other node with it; then for longer.
    let end = there.end().await;
    assert!([3003, BANNED].contains(&end), "{end}");
    until("the other node has it", || async {
        matches!(Client::enter(ELSEWHERE, at[1], &token).await, Err(Gone::Closed(BANNED)))
    })
    .await;
    assert!(banned.elapsed() < KNOWN_MAX, "after {:?}", banned.elapsed());
    for (from, to) in [(ELSEWHERE, at[0]), (ELSEWHERE, at[1]), (ATTACKER, at[1])] {
        match Client::enter(from, to, &token).await {
            Err(Gone::Closed(code)) => assert_eq!(code, BANNED),
            Err(gone) => panic!("{gone:?}"),
            Ok(_) => panic!("in again, from {from}"),
        }
    }
    // Over Socket.IO as well, and there it is said for how long.
    for (from, to) in [(ELSEWHERE, at[0]), (ELSEWHERE, at[1])] {
        let passed_ms = banned.elapsed().as_millis() as u64;
        let refused = refused_over_socket_io(from, to, &token).await;
        assert_eq!(refused["data"]["code"], 112, "{refused}");
        assert_eq!(refused["data"]["reason"], "banned", "{refused}");
        let left_ms = refused["data"]["retry_after_ms"].as_u64().expect("for how long");
        let ban_ms = BAN_TIME.as_millis() as u64;
        assert!(left_ms >= 1 && left_ms + passed_ms <= ban_ms + 1_000, "{refused} after {passed_ms} ms");
    }
    until("the ban is over", || async { Client::enter(ELSEWHERE, at[1], &token).await.is_ok() }).await;
    assert!(banned.elapsed() > BAN_TIME * 2 / 3, "after {:?}", banned.elapsed());
    stop.send(true).unwrap();
    assert!(honest.await.unwrap() > 20);
}
