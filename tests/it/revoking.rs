//! Three nodes on a Redis Cluster, three hundred connections over them: what is revoked is closed within a second on all of
//! them, also where the bus is gone, and on a node that was cut off as soon as it is back. What expires is closed as well.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream as Plain};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use turnpike_lab::{End, Node, RedisCluster, RedisOptions};

use crate::harness::turnpike::signed;

/// What the system promises.
const CLOSED_MAX: Duration = Duration::from_secs(1);
/// Within it a node that was cut off has its connections to Redis back, and has read what it missed.
const BACK_MAX: Duration = Duration::from_secs(3);
/// Past it something is broken.
const PATIENCE: Duration = Duration::from_secs(30);
/// Shorter than a lease: a node that is cut off for longer sends its clients away.
const CUT: Duration = Duration::from_millis(1_500);

const REVOKED: u16 = 3502;
const EXPIRED: u16 = 3501;

/// Connections of one kind on each node.
const EACH: usize = 25;

fn unix() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

fn token(user: &str, id: &str, expires_in: u64) -> String {
    let now = unix() as u64;
    signed(&json!({
        "sub": user, "jti": id, "iat": now - 1, "exp": now + expires_in,
    }))
}

fn ask(node: SocketAddr, token: &str, method: &str, path: &str, body: &str) -> (u16, Value) {
    let mut stream = Plain::connect(node).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

/// How a connection ended: on which node, when, and with which code.
#[derive(Debug)]
struct Ending {
    node: usize,
    at: Instant,
    unix: f64,
    code: u16,
}

/// Connections of one kind, until they end.
#[derive(Default)]
struct Group {
    ends: JoinSet<Ending>,
    ids: Vec<(usize, String)>,
}

impl Group {
    async fn enter(nodes: &[Node], token: &str, each: usize) -> Self {
        let mut group = Self::default();
        for (index, node) in nodes.iter().enumerate() {
            for _ in 0..each {
                let (id, socket) = enter(node.gateway, token).await.expect("the token is good");
                group.ids.push((index, id));
                group.ends.spawn(until_end(index, socket));
            }
        }
        group
    }

    /// Waits until all are closed with this code. Gives the slowest of each node.
    async fn closed(&mut self, code: u16, since: Instant, nodes: usize) -> Vec<Duration> {
        let mut slowest = vec![Duration::ZERO; nodes];
        while !self.ends.is_empty() {
            let end = tokio::time::timeout(PATIENCE, self.ends.join_next()).await;
            let end = end.expect("all are closed").unwrap().unwrap();
            assert_eq!(end.code, code, "{end:?}");
            slowest[end.node] = slowest[end.node].max(end.at.saturating_duration_since(since));
        }
        slowest
    }
}

async fn enter(node: SocketAddr, token: &str) -> Option<(String, WebSocketStream<TcpStream>)> {
    let mut request = format!("ws://{node}/ws").into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let stream = TcpStream::connect(node).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.ok()?;
    let first = tokio::time::timeout(PATIENCE, socket.next()).await.expect("something comes");
    let Some(Ok(Message::Text(text))) = first else { return None };
    let session: Value = serde_json::from_str(&text).unwrap();
    let id = session["data"]["connection"].as_str()?.to_owned();
    Some((id, socket))
}

async fn until_end(node: usize, mut socket: WebSocketStream<TcpStream>) -> Ending {
    let mut code = 0;
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Close(frame) = message {
            code = frame.map_or(0, |frame| frame.code.into());
            break;
        }
    }
    Ending { node, at: Instant::now(), unix: unix(), code }
}

/// No announcement reaches anybody for as long as this is held.
struct Deaf {
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Deaf {
    fn begin(redis: &Arc<RedisCluster>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (redis, ended) = (Arc::clone(redis), Arc::clone(&over));
        let masters = redis.masters().unwrap();
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                for master in &masters {
                    let _ = redis.command(*master, &["CLIENT", "KILL", "TYPE", "pubsub"]);
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        std::thread::sleep(Duration::from_millis(50));
        Self { over, thread: Some(thread) }
    }
}

impl Drop for Deaf {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

#[test]
fn alone_what_is_revoked_is_closed_within_a_second_on_every_node() {
    let options = RedisOptions { cuttable: true, ..RedisOptions::default() };
    let redis = Arc::new(RedisCluster::start_with(options).unwrap());
    let seeds = redis.seeds_text();
    let nodes =
        ["n1", "n2", "n3"].map(|name| Node::start(&[("REDIS_NODES", &*seeds), ("SERVER_ID", name)]).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(play(&redis, &nodes));
}

async fn play(redis: &Arc<RedisCluster>, nodes: &[Node; 3]) {
    let backend = nodes[0].token(&["--user", "backend", "--role", "service"]).unwrap();
    let revoke = |from: usize, what: Value| {
        let begun = Instant::now();
        let (status, answer) =
            ask(nodes[from].gateway, &backend, "POST", "/api/v1/revocations", &what.to_string());
        assert_eq!((status, &answer["ok"]), (200, &json!(true)), "{answer}");
        begun
    };
    let [by_id, by_user, one_by_one, deaf, cut, other] = ["id", "user", "connection", "deaf", "cut", "other"]
        .map(|name| token(name, &format!("t-{name}"), 3_600));
    let mut of_id = Group::enter(nodes, &by_id, EACH).await;
    let mut of_user = Group::enter(nodes, &by_user, EACH).await;
    let mut of_connection = Group::enter(nodes, &one_by_one, 3).await;
    let mut of_deaf = Group::enter(nodes, &deaf, EACH).await;
    let mut of_cut = Group::enter(nodes, &cut, 10).await;
    let mut bystanders = Group::enter(nodes, &other, 12).await;

    let say = |what: &str, slowest: &[Duration]| println!("{what}: closed on the nodes after {slowest:?}");
    let within = |what: &str, slowest: &[Duration], max: Duration| {
        say(what, slowest);
        assert!(slowest.iter().all(|took| *took <= max), "{what}: {slowest:?}");
    };

    let begun = revoke(0, json!({ "token": "t-id" }));
    within("token", &of_id.closed(REVOKED, begun, 3).await, CLOSED_MAX);
    let begun = revoke(1, json!({ "user": "user" }));
    within("user", &of_user.closed(REVOKED, begun, 3).await, CLOSED_MAX);
    let begun = Instant::now();
    for (_, id) in &of_connection.ids {
        revoke(2, json!({ "connection": id }));
    }
    let asked = begun.elapsed();
    within("connections", &of_connection.closed(REVOKED, begun, 3).await, asked + CLOSED_MAX);

    // Nobody comes in by it any more, anywhere.
    for node in nodes {
        for token in [&by_id, &by_user] {
            assert!(enter(node.gateway, token).await.is_none());
            assert_eq!(ask(node.gateway, token, "GET", "/api/v1/rooms", "").0, 401);
        }
        assert!(
            enter(node.gateway, &one_by_one).await.is_some(),
            "the token of a connection is as good as before"
        );
    }
    // Who shows a later token is not meant.
    let later = signed(&json!({ "sub": "user", "iat": unix() as u64 + 2, "exp": unix() as u64 + 3_600 }));
    assert!(enter(nodes[2].gateway, &later).await.is_some());

    let (_, listed) = ask(nodes[2].gateway, &backend, "GET", "/api/v1/revocations?limit=100", "");
    assert_eq!(listed["revocations"].as_array().unwrap().len(), 2 + of_connection.ids.len(), "{listed}");

    // The bus is dead, and stays so: they read it from the stream.
    let silence = Deaf::begin(redis);
    let begun = revoke(0, json!({ "token": "t-deaf" }));
    within("token, without the bus", &of_deaf.closed(REVOKED, begun, 3).await, CLOSED_MAX);
    drop(silence);

    // One node is away from all of Redis, and comes back before it is taken for dead.
    let everywhere: Vec<End> = redis.nodes().map(End::Redis).collect();
    redis.network().part(&[End::Process(nodes[2].id())], &everywhere);
    let begun = revoke(0, json!({ "user": "cut" }));
    tokio::time::sleep(CUT).await;
    redis.network().mend();
    let back = begun.elapsed();
    let slowest = of_cut.closed(REVOKED, begun, 3).await;
    say("user, one node cut off", &slowest);
    assert!(slowest[0] <= CLOSED_MAX && slowest[1] <= CLOSED_MAX, "{slowest:?}");
    assert!(slowest[2] > CUT, "it was really cut off");
    let after = slowest[2].saturating_sub(back);
    println!("the node that was cut off: {after:?} after it was back");
    assert!(after <= BACK_MAX, "{after:?}");

    // A token ends.
    let expires = unix() as u64 + 6;
    let claims = json!({ "sub": "mayfly", "iat": unix() as u64, "exp": expires });
    let mut of_expiry = Group::enter(nodes, &signed(&claims), EACH).await;
    let mut latest = 0.0_f64;
    while let Some(end) = of_expiry.ends.join_next().await {
        let end = end.unwrap();
        assert_eq!(end.code, EXPIRED, "{end:?}");
        assert!(end.unix >= expires as f64, "not before its time: {end:?}");
        latest = latest.max(end.unix - expires as f64);
    }
    println!("expiry: all closed {latest:.3} s after the end of the token");
    assert!(latest <= 1.0 + 0.25, "{latest}");

    assert!(bystanders.ends.try_join_next().is_none(), "nobody else is closed");

    // It can be taken back.
    let (status, _) = ask(nodes[1].gateway, &backend, "DELETE", "/api/v1/revocations/token/t-id", "");
    assert_eq!(status, 200);
    let begun = Instant::now();
    while enter(nodes[2].gateway, &by_id).await.is_none() {
        assert!(begun.elapsed() < PATIENCE, "lifted everywhere");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("lifted: good again after {:?}", begun.elapsed());
}
