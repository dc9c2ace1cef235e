//! The master of Redis that keeps the leases of nodes stands still, and its replica as well, so that nobody can renew one. A
//! node goes on meanwhile: whoever asks how it is gets an answer, and its members have each other.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use turnpike_lab::{Node, RedisCluster, RedisOptions, unique_prefix};

/// Longer than a node does without a lease that others could have renewed. `FROZEN_SECONDS` makes it longer yet.
const FROZEN: Duration = Duration::from_secs(10);
/// Of a page of the admin listener, on a busy machine.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// Reaching it means that something is broken.
const PATIENCE: Duration = Duration::from_secs(30);
/// Enough for every master to have some of them.
const ROOMS: usize = 12;
/// Between two that somebody types in: whoever is said to type in a room is not said to do so again at once.
const PACE: Duration = Duration::from_millis(800);

/// Status and body.
fn ask(at: SocketAddr, path: &str) -> (u16, String) {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(at).unwrap_or_else(|error| panic!("{path}: {error}"));
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert!(begun.elapsed() < ANSWER_MAX, "{path} took {:?}", begun.elapsed());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: {answer:?}"));
    (head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status"), body.to_owned())
}

struct Client {
    socket: WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>,
    asked: u64,
    /// Answers that nobody has waited for.
    answers: Vec<Value>,
}

impl Client {
    async fn enter(node: &Node, user: &str) -> Self {
        let token = node.token(&["--user", user, "--room", "*=join,send,typing"]).unwrap();
        let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", node.gateway);
        let (socket, _) = connect_async(url).await.unwrap();
        let mut client = Self { socket, asked: 0, answers: Vec::new() };
        client.say(format!("40{}", json!({ "token": token }))).await;
        client.until(|text| text.starts_with("40").then_some(())).await;
        for room in 0..ROOMS {
            assert_eq!(client.ask("room:join", json!({ "room": room_id(room) })).await["ok"], true);
        }
        client
    }

    async fn say(&mut self, text: String) {
        self.socket.send(Message::text(text)).await.expect("the connection is open");
    }

    /// The next text that is what was waited for.
    async fn until<T>(&mut self, is_it: impl Fn(&str) -> Option<T>) -> T {
        let found = async {
            loop {
                let text = match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => text,
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                    other => panic!("the connection has ended: {other:?}"),
                };
                if text.as_str() == "2" {
                    self.socket.send(Message::text("3")).await.expect("the connection is open");
                } else if let Some(found) = is_it(&text) {
                    return found;
                } else if let Some(answer) = text.strip_prefix("43") {
                    let answer = answer.trim_start_matches(|letter: char| letter.is_ascii_digit());
                    self.answers.push(serde_json::from_str(answer).expect("an answer is JSON"));
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("in time")
    }

    async fn tell(&mut self, event: &str, data: Value) -> u64 {
        self.asked += 1;
        self.say(format!("42{}{}", self.asked, json!([event, data]))).await;
        self.asked
    }

    /// With its answer.
    async fn ask(&mut self, event: &str, data: Value) -> Value {
        let id = self.tell(event, data).await;
        let answer = format!("43{id}[");
        self.until(|text| {
            let answer = text.strip_prefix(&answer)?.strip_suffix(']')?;
            Some(serde_json::from_str(answer).expect("an answer is JSON"))
        })
        .await
    }

    async fn hears(&mut self, event: &str, of: &str) {
        let begins = format!("42[\"{event}\",");
        self.until(|text| (text.starts_with(&begins) && text.contains(of)).then_some(())).await;
    }
}

fn room_id(number: usize) -> String {
    format!("chat:room-{number}-")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alone_a_node_goes_on_while_nobody_can_renew_a_lease() {
    let frozen = std::env::var("FROZEN_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let frozen = frozen.map_or(FROZEN, Duration::from_secs);
    let redis = RedisCluster::start_with(RedisOptions::default()).unwrap();
    let (seeds, prefix) = (redis.seeds_text(), unique_prefix());
    let mut node = Node::start(&[
        ("REDIS_NODES", &*seeds),
        ("TURNPIKE_REDIS_PREFIX", &*prefix),
        ("SERVER_ID", "n1"),
        ("TURNPIKE_MEDIA", "false"),
    ])
    .unwrap();
    let (mut alice, mut bob) = (Client::enter(&node, "alice").await, Client::enter(&node, "bob").await);
    let keeps_leases = redis.master_of_key(&format!("{{{prefix}:nodes}}")).unwrap();
    let mut still = redis.replicas_of(keeps_leases).unwrap();
    still.push(keeps_leases);
    for process in &still {
        redis.freeze(*process).unwrap();
    }
    let begun = Instant::now();
    for room in (0..ROOMS).map(room_id) {
        alice.tell("message:send", json!({ "room": room, "body": "?" })).await;
    }
    let mut round = 0;
    while begun.elapsed() < frozen {
        let statuses = ["/metrics", "/live"].map(|path| ask(node.admin, path).0);
        assert_eq!(statuses, [200, 200], "after {:?}", begun.elapsed());
        assert_eq!(ask(node.gateway, "/live").0, 200, "after {:?}", begun.elapsed());
        for path in ["/health", "/ready"] {
            ask(node.admin, path);
        }
        let room = room_id(round % ROOMS);
        bob.ask("typing:start", json!({ "room": room })).await;
        alice.hears("typing", &room).await;
        round += 1;
        tokio::time::sleep(PACE).await;
    }
    let sent = alice.answers.iter().filter(|answer| answer[0]["ok"] == true).count();
    assert!(sent > 0, "rooms of other masters take messages: {:?}", alice.answers);
    let (status, health) = ask(node.admin, "/health");
    assert_eq!(status, 503, "it says that it is not well: {health}");
    for process in &still {
        redis.thaw(*process).unwrap();
    }
    let thawed = Instant::now();
    while ask(node.admin, "/ready").0 != 200 {
        assert!(thawed.elapsed() < PATIENCE, "not ready again: {}", ask(node.admin, "/health").1);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("ready again after {:?}; {sent} messages were taken meanwhile", thawed.elapsed());
    for room in (0..ROOMS).map(room_id) {
        let answer = alice.ask("message:send", json!({ "room": room, "body": "again" })).await;
        assert_eq!(answer["ok"], true, "{answer}");
        bob.hears("message", &room).await;
    }
    assert!(node.is_running() && !node.log().contains("starts over"), "{}", node.log());
}

/// Nobody can be told that it leaves, nor asked for room. It leaves nevertheless, in its time, and says so to its members.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alone_a_node_leaves_in_order_while_redis_is_away() {
    const WINDOW: Duration = Duration::from_secs(2);
    /// What clients have to read the last words, and calls to Redis that are tried for a while.
    const LEAVES_WITHIN: Duration = Duration::from_secs(25);
    let redis = RedisCluster::start_with(RedisOptions::default()).unwrap();
    let (seeds, prefix) = (redis.seeds_text(), unique_prefix());
    let mut node = Node::start(&[
        ("REDIS_NODES", &*seeds),
        ("TURNPIKE_REDIS_PREFIX", &*prefix),
        ("TURNPIKE_DRAIN_WINDOW", "2s"),
        ("TURNPIKE_MEDIA", "false"),
    ])
    .unwrap();
    let mut clients = Vec::new();
    for user in ["alice", "bob"] {
        clients.push(Client::enter(&node, user).await);
    }
    for process in redis.nodes() {
        redis.freeze(process).unwrap();
    }
    let begun = Instant::now();
    node.terminate().unwrap();
    for client in &mut clients {
        client.hears("closing", "reconnect_after_ms").await;
    }
    assert!(begun.elapsed() < WINDOW + ANSWER_MAX, "told after {:?}", begun.elapsed());
    let status = node.wait(LEAVES_WITHIN).unwrap();
    println!("gone after {:?}", begun.elapsed());
    assert!(status.success(), "{status}: {}", node.log());
    for process in redis.nodes() {
        redis.thaw(process).unwrap();
    }
}
