//! A hundred of a thousand clients stop reading. The others must not notice, the server must not grow, and the hundred
//! come back to everything they missed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::harness::turnpike::Turnpike;
use crate::harness::{home, http, require_packages, signal};

const ROOMS: usize = 20;
const ACTIVE_PER_ROOM: usize = 45;
const STALLED_PER_ROOM: usize = 5;
const CLIENTS: usize = ROOMS * (ACTIVE_PER_ROOM + STALLED_PER_ROOM);
/// Eight kilobytes four times a second fill what the kernel holds for a stopped client within a few seconds.
const BODY_BYTES: usize = 8_000;
const PACE: Duration = Duration::from_millis(250);
const PHASE: Duration = Duration::from_secs(8);
/// Past it something is broken.
const PATIENCE: Duration = Duration::from_mins(1);
/// Kernel buffers are not ours: this is what the queues of a hundred stopped clients may add to the process.
const GROWTH_BYTES_MAX: u64 = 24_000_000;

#[derive(Debug, Deserialize)]
struct Stalled {
    room: String,
    first: u64,
    last: u64,
    whole: bool,
    disconnects: usize,
    recovered: usize,
    fresh: usize,
}

#[test]
fn alone_a_hundred_of_a_thousand() {
    require_packages();
    let turnpike = Turnpike::start(&[
        ("TURNPIKE_WRITE_DEADLINE", "2s"),
        // All are one user, who would have to answer for a hundred that do not read.
        ("TURNPIKE_ABUSE", "false"),
        // What is sent in PATIENCE: a client that stays away for so long can still recover.
        ("TURNPIKE_HISTORY_ROOM_BYTES_MAX", "64MiB"),
    ]);
    let token = turnpike.token(&["--user", "crowd"]);
    let mut crowd = Crowd::start(&turnpike, &token);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut others = Others::enter(&turnpike, &token).await;

        others.run_for(Duration::from_secs(2)).await; // warm
        let (before_bytes, quiet) = (turnpike.server.resident_bytes(), others.run_for(PHASE).await);
        signal("STOP", crowd.child.id());
        let start = Instant::now();
        let mut stalled = others.run_for(PHASE).await;
        while turnpike.gauge("turnpike_gateway_connections").await > (CLIENTS - ROOMS * STALLED_PER_ROOM) as u64 {
            assert!(start.elapsed() < PATIENCE, "stopped clients are still connected");
            stalled.extend(others.run_for(Duration::from_secs(1)).await);
        }
        println!("the last stopped client was closed after {:.1} s", start.elapsed().as_secs_f64());
        let grown = turnpike.server.resident_bytes().saturating_sub(before_bytes);

        signal("CONT", crowd.child.id());
        let start = Instant::now();
        while turnpike.gauge("turnpike_gateway_sockets").await < CLIENTS as u64 {
            assert!(start.elapsed() < PATIENCE, "not all came back");
            others.run_for(Duration::from_millis(500)).await;
        }
        others.run_for(Duration::from_secs(2)).await;
        let sent = others.finish().await;

        let (quiet, stalled) = (p99(quiet), p99(stalled));
        println!("p99 of the others: {quiet:?} before, {stalled:?} while a hundred were stopped; {grown} bytes grown");
        // Two cores that also run the clients: what is looked for here is a stall, not a percent.
        assert!(stalled < quiet * 2 + Duration::from_millis(50), "{quiet:?} became {stalled:?}");
        assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes");
        for client in crowd.report(&sent) {
            assert!(client.whole, "missing or doubled: {client:?}");
            assert_eq!((client.first, client.last), (1, sent[room_number(&client.room)]), "{client:?}");
            assert!(client.disconnects >= 1 && client.recovered >= 1 && client.fresh == 0, "{client:?}");
        }
    });
}

fn room_number(room: &str) -> usize {
    room.strip_prefix("room-").unwrap().parse().unwrap()
}

fn p99(mut latencies: Vec<Duration>) -> Duration {
    assert!(latencies.len() > 10_000, "only {} deliveries", latencies.len());
    latencies.sort_unstable();
    latencies[latencies.len() * 99 / 100]
}

/// The process of stock clients that is stopped.
struct Crowd {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Crowd {
    fn start(turnpike: &Turnpike, token: &str) -> Self {
        let mut child = Command::new("node")
            .current_dir(home().join("node"))
            .args(["stalled.mjs", "--url", &turnpike.server.url(), "--token", token])
            .args(["--rooms", &ROOMS.to_string(), "--each", &STALLED_PER_ROOM.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut this = Self { child, stdin, stdout };
        assert_eq!(this.line(), json!({ "ready": ROOMS * STALLED_PER_ROOM }));
        this
    }

    fn line(&mut self) -> serde_json::Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// What each client got, once the last messages have had a moment to arrive.
    fn report(&mut self, sent: &[u64]) -> Vec<Stalled> {
        assert!(sent.iter().all(|&sent| sent > 50));
        std::thread::sleep(Duration::from_secs(2));
        self.stdin.write_all(b"report\n").unwrap();
        let mut line = self.line();
        serde_json::from_value(line["report"].take()).unwrap()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Nine hundred that read. Each room has one that speaks as well.
struct Others {
    speakers: Vec<mpsc::UnboundedSender<Message>>,
    latencies: mpsc::UnboundedReceiver<Duration>,
    sent: Vec<u64>,
    /// Deliveries that have not come yet, and those who wait for them.
    missing: Arc<AtomicUsize>,
    epoch: Instant,
}

impl Others {
    async fn enter(turnpike: &Turnpike, token: &str) -> Self {
        let (report, latencies) = mpsc::unbounded_channel();
        let (missing, epoch) = (Arc::new(AtomicUsize::new(0)), Instant::now());
        let mut speakers = Vec::new();
        for room in 0..ROOMS {
            for member in 0..ACTIVE_PER_ROOM {
                let mut socket = connect(turnpike, token).await;
                let join =
                    json!({ "id": 1, "event": "room:join", "data": { "room": format!("room-{room}") } });
                socket.send(Message::text(join.to_string())).await.unwrap();
                let (speaker, mut speeches) = mpsc::unbounded_channel::<Message>();
                if member == 0 {
                    speakers.push(speaker);
                } else {
                    drop(speaker);
                }
                let (report, missing) = (report.clone(), Arc::clone(&missing));
                tokio::spawn(async move {
                    let (mut out, mut incoming) = socket.split();
                    let speak = async {
                        while let Some(speech) = speeches.recv().await {
                            out.send(speech).await.unwrap();
                        }
                        std::future::pending::<()>().await;
                    };
                    let listen = async {
                        while let Some(Ok(message)) = incoming.next().await {
                            let Some(sent) = message.to_text().ok().and_then(sent_at) else { continue };
                            missing.fetch_sub(1, Ordering::Relaxed);
                            let _ = report.send(epoch.elapsed().saturating_sub(sent));
                        }
                    };
                    tokio::select! { () = speak => (), () = listen => () }
                });
            }
        }
        Self { speakers, latencies, sent: vec![0; ROOMS], missing, epoch }
    }

    /// Speaks in every room at the pace, spread over it, and gives how long each delivery took.
    async fn run_for(&mut self, time: Duration) -> Vec<Duration> {
        let start = Instant::now();
        let mut turn = tokio::time::interval(PACE / ROOMS as u32);
        while start.elapsed() < time {
            for room in 0..ROOMS {
                turn.tick().await;
                self.missing.fetch_add(ACTIVE_PER_ROOM, Ordering::Relaxed);
                self.sent[room] += 1;
                self.speakers[room].send(speech(room, self.epoch.elapsed())).unwrap();
            }
        }
        let mut latencies = Vec::new();
        while let Ok(latency) = self.latencies.try_recv() {
            latencies.push(latency);
        }
        latencies
    }

    /// How much was said in each room, once all of it has arrived.
    async fn finish(&mut self) -> Vec<u64> {
        let start = Instant::now();
        while self.missing.load(Ordering::Relaxed) > 0 {
            assert!(start.elapsed() < PATIENCE, "{:?} deliveries are missing", self.missing);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.sent.clone()
    }
}

async fn connect(turnpike: &Turnpike, token: &str) -> WebSocketStream<TcpStream> {
    let address = turnpike.server.address;
    let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    tokio_tungstenite::client_async(request, stream).await.unwrap().0
}

/// Microseconds since the beginning stand at the start of the body.
fn speech(room: usize, now: Duration) -> Message {
    let body = format!("@{}@{}", now.as_micros(), "x".repeat(BODY_BYTES));
    let frame = json!({ "event": "message:send", "data": { "room": format!("room-{room}"), "body": body } });
    Message::text(frame.to_string())
}

fn sent_at(text: &str) -> Option<Duration> {
    let (_, rest) = text.split_once("\"@")?;
    Some(Duration::from_micros(rest.split_once('@')?.0.parse().ok()?))
}

impl Turnpike {
    /// One gauge of `/metrics`.
    async fn gauge(&self, name: &str) -> u64 {
        let metrics = http::ask(self.admin, "GET", "/metrics", &[], b"").await.answer().await;
        let line = metrics.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in the metrics")).parse().unwrap()
    }
}
