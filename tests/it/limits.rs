//! One user floods three nodes at once: what all of them let through stays within the limit, also while Redis is away and
//! when it comes back. And what clients and backends are told who are held back.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use turnpike_lab::{End, Node, RedisCluster, RedisOptions};

use crate::harness::turnpike::signed;
use crate::harness::websocket::BROKEN;

const PER_SECOND: usize = 200;
const BURST: usize = 400;
const KEY: &str = "0123456789-an-API-key-of-the-tests-0123456789";
const WINDOW_MS: u64 = 10_000;
/// Nodes give up their users after 3 s without Redis, and it takes a while until they have it back.
const AWAY: Duration = Duration::from_millis(1_500);

/// Far more than are let through in a second or two.
const PINGS: usize = 1_000;

/// Nobody is muted for what a limit has refused: limits alone are looked at here.
const UNPUNISHED: (&str, &str) = ("TURNPIKE_ABUSE", "false");

struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn enter(address: SocketAddr, token: &str) -> Self {
        let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let stream = TcpStream::connect(address).await.unwrap();
        let mut client = Self(tokio_tungstenite::client_async(request, stream).await.unwrap().0);
        assert_eq!(client.next().await["event"], "session");
        client
    }

    async fn send(&mut self, id: u64, event: &str, data: Value) {
        let frame = json!({ "id": id, "event": event, "data": data });
        self.0.send(Message::text(frame.to_string())).await.unwrap();
    }

    async fn next(&mut self) -> Value {
        loop {
            match tokio::time::timeout(BROKEN, self.0.next()).await.expect("something comes in time") {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Close(why))) => panic!("closed: {why:?}"),
                Some(Err(error)) => panic!("{error}"),
                None => panic!("the connection has ended"),
                Some(Ok(_)) => {}
            }
        }
    }

    /// The next answer to whichever request; events that come meanwhile are nobody's concern here.
    async fn answer(&mut self) -> Value {
        loop {
            let frame = self.next().await;
            if frame.get("event").is_none() {
                return frame;
            }
        }
    }

    async fn ask(&mut self, id: u64, event: &str, data: Value) -> Value {
        self.send(id, event, data).await;
        self.answer().await
    }
}

/// What became of a flood: when each message passed, by the clock of the machine, and how many were refused.
#[derive(Default)]
struct Flood {
    passed_ms: Vec<u64>,
    refused: usize,
    undecided: usize,
}

/// Messages that need no Redis: what is held back is held back by limits alone.
async fn flood(address: SocketAddr, token: String, stop: Arc<AtomicBool>) -> Flood {
    const UNDER_WAY: u64 = 8;
    let mut client = Client::enter(address, &token).await;
    let mut flood = Flood::default();
    let mut id = 0;
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..UNDER_WAY {
            id += 1;
            client
                .send(id, "message:send", json!({ "room": "user:alice", "body": 1, "volatile": true }))
                .await;
        }
        for _ in 0..UNDER_WAY {
            let answer = client.answer().await;
            if answer["ok"] == true {
                flood.passed_ms.push(answer["ts"].as_u64().unwrap());
                continue;
            }
            assert!(answer["error"]["retry_after_ms"].as_u64().unwrap() > 0, "{answer}");
            match answer["error"]["code"].as_u64() {
                Some(108) => flood.refused += 1,
                Some(110) => flood.undecided += 1,
                _ => panic!("{answer}"),
            }
        }
        // Several times the limit, all nodes together.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    flood
}

/// The most of them that lie within any such stretch of time.
fn most(passed_ms: &[u64], length_ms: u64) -> usize {
    let mut first = 0;
    (0..passed_ms.len()).fold(0, |most, last| {
        while passed_ms[first] + length_ms <= passed_ms[last] {
            first += 1;
        }
        most.max(last + 1 - first)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alone_one_user_on_three_nodes_passes_no_more_than_the_limit_also_while_redis_is_away() {
    let redis = tokio::task::spawn_blocking(|| {
        RedisCluster::start_with(RedisOptions { cuttable: true, ..RedisOptions::default() }).unwrap()
    });
    let redis = redis.await.unwrap();
    let (seeds, rate) = (redis.seeds_text(), format!("{PER_SECOND}/{BURST}"));
    let nodes: Vec<Node> = ["n1", "n2", "n3"]
        .map(|name| {
            let environment = [
                ("REDIS_NODES", &*seeds),
                ("SERVER_ID", name),
                ("TURNPIKE_RATE_MESSAGES", &*rate),
                UNPUNISHED,
            ];
            Node::start(&environment).unwrap()
        })
        .into();
    let token = nodes[0].token(&["--user", "alice"]).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let floods: Vec<_> = nodes
        .iter()
        .map(|node| tokio::spawn(flood(node.gateway, token.clone(), Arc::clone(&stop))))
        .collect();
    let unix_ms = || {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.unwrap().as_millis() as u64
    };
    let begun = Instant::now();
    tokio::time::sleep(Duration::from_secs(11)).await;
    let everywhere: Vec<End> = redis.nodes().map(End::Redis).collect();
    let of_nodes: Vec<End> = nodes.iter().map(|node| End::Process(node.id())).collect();
    redis.network().part(&of_nodes, &everywhere);
    let away_ms = unix_ms();
    tokio::time::sleep(AWAY).await;
    let back_ms = unix_ms();
    redis.network().mend();
    tokio::time::sleep(Duration::from_secs(12)).await;
    stop.store(true, Ordering::Relaxed);
    let (mut all, mut refused, mut undecided) = (Vec::new(), 0, 0);
    for flood in floods {
        let flood = flood.await.unwrap();
        all.extend(flood.passed_ms);
        refused += flood.refused;
        undecided += flood.undecided;
    }
    all.sort_unstable();
    let in_window = most(&all, WINDOW_MS);
    let away: Vec<u64> = all.iter().copied().filter(|at| (away_ms..back_ms).contains(at)).collect();
    println!(
        "{} passed in {:?}, {refused} refused, {undecided} undecided; at most {in_window} in 10 s, {} while Redis was away",
        all.len(),
        begun.elapsed(),
        away.len()
    );
    let ten_seconds = PER_SECOND * 10;
    assert!(in_window <= ten_seconds * 105 / 100 + BURST, "{in_window} in 10 s");
    assert!(in_window >= ten_seconds * 9 / 10, "the limit is also what may be used: {in_window} in 10 s");
    let away_max = PER_SECOND * (back_ms - away_ms) as usize / 1_000 + BURST;
    assert!(away.len() <= away_max, "{} while Redis was away", away.len());
    assert!(!away.is_empty(), "the nodes' own share holds, and not nothing");
    assert!(refused > ten_seconds, "it was a flood");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_held_back_is_told_for_how_long() {
    let node = Node::start(&[
        UNPUNISHED,
        ("TURNPIKE_RATE_EVENTS", "100/200"),
        ("TURNPIKE_RATE_JOINS", "1/3"),
        ("TURNPIKE_RATE_PRESENCE", "1/2"),
        ("TURNPIKE_RATE_HISTORY", "1/2"),
        ("TURNPIKE_RATE_MESSAGES", "1/4"),
        ("TURNPIKE_RATE_ROOM_MESSAGES", "1/3"),
        ("TURNPIKE_RATE_REQUESTS", "1/2"),
        ("TURNPIKE_LIMIT_CLASSES", "bot joins:1/6 messages:1/8"),
        ("TURNPIKE_API_KEY", KEY),
    ])
    .unwrap();
    let alice = node.token(&["--user", "alice"]).unwrap();
    let mut client = Client::enter(node.gateway, &alice).await;
    let mut id = 0;
    let mut passes = async |client: &mut Client, event: &str, data: Value| {
        for passed in 0.. {
            id += 1;
            let answer = client.ask(id, event, data.clone()).await;
            if answer["ok"] != true {
                assert_eq!(
                    (&answer["error"]["code"], &answer["error"]["retryable"]),
                    (&json!(108), &json!(true))
                );
                let wait_ms = answer["error"]["retry_after_ms"].as_u64().unwrap();
                assert!((1..=10_000).contains(&wait_ms), "{answer}");
                return passed;
            }
        }
        unreachable!("it is limited")
    };
    // One a second is regained meanwhile.
    let begun = Instant::now();
    let regained = || begun.elapsed().as_secs() as usize + 2;
    let about = |passed: usize, burst: usize| (burst..=burst + regained()).contains(&passed);
    let room = json!({ "room": "chat:a" });
    assert!(about(passes(&mut client, "room:join", room.clone()).await, 3));
    assert!(about(passes(&mut client, "message:history", room.clone()).await, 2));
    assert!(about(passes(&mut client, "presence:update", json!({ "status": "away" })).await, 2));
    let message = json!({ "room": "chat:a", "body": "hello" });
    assert!(
        about(passes(&mut client, "message:send", message.clone()).await, 3),
        "the room's is the lower one"
    );
    let own = json!({ "room": "user:alice", "body": "hello" });
    let passed = passes(&mut client, "message:send", own).await;
    assert!(passed <= regained(), "{passed}: her own is nearly used up by that");

    let bot = signed(&json!({ "sub": "robot", "class": "bot" }));
    let mut client = Client::enter(node.gateway, &bot).await;
    assert!(about(passes(&mut client, "room:join", room).await, 6), "another class");

    let mut carol = Client::enter(node.gateway, &node.token(&["--user", "carol"]).unwrap()).await;
    let asked = Instant::now();
    for id in 1..=PINGS {
        carol.send(id as u64, "ping", json!(1)).await;
    }
    let mut passed = 0;
    for _ in 1..=PINGS {
        passed += usize::from(carol.answer().await["ok"] == true);
    }
    let due = 200 + (asked.elapsed().as_secs() as usize + 1) * 100;
    assert!((200..=due).contains(&passed) && passed < PINGS, "{passed} of {PINGS} events");
    assert!(Client::enter(node.gateway, &alice).await.ask(1, "ping", json!(1)).await["ok"] == true);

    let asked = Instant::now();
    let mut passed = 0;
    let refused = loop {
        let answer = rooms(node.gateway);
        if !answer.starts_with("HTTP/1.1 200 ") {
            break answer;
        }
        passed += 1;
    };
    assert!((2..=4 + asked.elapsed().as_secs() as usize).contains(&passed), "{passed}");
    assert!(refused.starts_with("HTTP/1.1 429 "), "{refused}");
    assert!(refused.to_ascii_lowercase().contains("\r\nretry-after: 1\r\n"), "{refused}");
    assert!(refused.contains("\"reason\":\"rate_limited\""), "{refused}");

    let metrics = get(node.admin, "/metrics", "");
    for limit in ["events", "joins", "presence", "history", "messages", "room_messages", "requests"] {
        let name = format!("turnpike_limit_refused_total{{limit=\"{limit}\"}} ");
        let line = metrics.lines().find(|line| line.starts_with(&name));
        assert!(line.is_some_and(|line| !line.ends_with(" 0")), "{name}: {line:?}");
    }
}

fn rooms(address: SocketAddr) -> String {
    get(address, "/api/v1/rooms", &format!("Authorization: Bearer {KEY}\r\n"))
}

fn get(address: SocketAddr, path: &str, headers: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
