//! Viewers over WHEP who come back where they are told to: another session first, and when it shows something the first one
//! ends.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::peer::{Peer, Picture, offer};

/// Reaching it means that something is broken.
const BROKEN: Duration = Duration::from_secs(30);
/// A relay counts requests by address; a hundred people do not share one.
const PER_ADDRESS: usize = 10;

/// The nodes that newcomers are sent to, as what stands before them in production would.
#[derive(Clone)]
pub struct Entry(Arc<Mutex<Vec<SocketAddr>>>);

impl Entry {
    pub fn to(nodes: Vec<SocketAddr>) -> Self {
        Self(Arc::new(Mutex::new(nodes)))
    }

    pub fn set(&self, nodes: Vec<SocketAddr>) {
        *self.0.lock().unwrap() = nodes;
    }

    fn draw(&self) -> SocketAddr {
        static DRAWN: AtomicUsize = AtomicUsize::new(0);
        let nodes = self.0.lock().unwrap();
        nodes[DRAWN.fetch_add(1, Ordering::Relaxed) % nodes.len()]
    }
}

pub struct Viewer {
    pub picture: Arc<Picture>,
    /// How often it has moved.
    pub moves: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Session {
    node: SocketAddr,
    location: String,
    peer: Peer,
    events: BufReader<TcpStream>,
}

#[derive(Clone)]
pub struct Client {
    pub token: String,
    pub source: Ipv4Addr,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

impl Client {
    pub fn new(token: &str, number: usize) -> Self {
        let source = Ipv4Addr::new(127, 0, 1, 1 + (number / PER_ADDRESS) as u8);
        Self { token: token.to_owned(), source }
    }

    async fn send(&self, node: SocketAddr, method: &str, path: &str, kind: &str, body: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((self.source, 0).into()).unwrap();
        let mut stream = socket.connect(node).await.unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {node}\r\nAuthorization: Bearer {}\r\nContent-Type: {kind}\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.token,
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    async fn ask(&self, node: SocketAddr, method: &str, path: &str, kind: &str, body: &str) -> Answer {
        let mut stream = self.send(node, method, path, kind, body).await;
        let mut text = String::new();
        timeout(BROKEN, stream.read_to_string(&mut text)).await.expect("an answer").unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    pub async fn publish(&self, node: SocketAddr, stream: &str) -> Peer {
        self.publish_but(node, stream, |_| false).await
    }

    /// Over a way on which some frames are lost.
    pub async fn publish_but(&self, node: SocketAddr, stream: &str, is_lost: fn(u64) -> bool) -> Peer {
        let offered = offer(true).await;
        let answer =
            self.ask(node, "POST", &format!("/whip/{stream}"), "application/sdp", &offered.sdp).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        offered.publish_but(&answer.body, is_lost)
    }

    /// The address that it was told, or wherever newcomers are sent.
    async fn open(&self, entry: &Entry, path: &str, picture: &Arc<Picture>) -> Session {
        loop {
            let node = entry.draw();
            let offered = offer(false).await;
            let answer = self.ask(node, "POST", path, "application/sdp", &offered.sdp).await;
            if answer.status != 201 {
                // Not yet, or not there.
                assert!([409, 503].contains(&answer.status), "{} {}", answer.status, answer.body);
                sleep(Duration::from_millis(200)).await;
                continue;
            }
            let location = answer.header("location").unwrap().to_owned();
            let peer = offered.watch(&answer.body, Arc::clone(picture));
            let events = format!("{location}/events");
            let asked = self.ask(node, "POST", &events, "application/json", "[\"reconnect\"]").await;
            assert_eq!(asked.status, 201, "{}", asked.body);
            let events = asked.header("location").unwrap().to_owned();
            let events = BufReader::new(self.send(node, "GET", &events, "text/plain", "").await);
            return Session { node, location, peer, events };
        }
    }

    /// It watches when this returns.
    pub async fn watch(self, entry: Entry, stream: &str) -> Viewer {
        let (picture, moves) = (Arc::<Picture>::default(), Arc::<AtomicUsize>::default());
        let endpoint = format!("/whep/{stream}");
        let mut session = self.open(&entry, &endpoint, &picture).await;
        session.shows().await;
        let (seen, moved) = (Arc::clone(&picture), Arc::clone(&moves));
        let task = tokio::spawn(async move {
            loop {
                if let Some(path) = session.reconnect().await {
                    let next = self.open(&entry, &path, &seen).await;
                    next.shows().await;
                    let ended = self.ask(session.node, "DELETE", &session.location, "text/plain", "").await;
                    assert_eq!(ended.status, 200);
                    session = next;
                } else {
                    // The node is gone, and the session with it.
                    session = self.open(&entry, &endpoint, &seen).await;
                }
                moved.fetch_add(1, Ordering::Relaxed);
            }
        });
        Viewer { picture, moves, task }
    }
}

impl Session {
    async fn shows(&self) {
        let shows = async {
            while !self.peer.has_media.load(Ordering::Relaxed) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(BROKEN, shows).await.expect("a picture");
    }

    /// Where it is told to go. None: nobody tells it anything any more.
    async fn reconnect(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if !self.events.read_line(&mut line).await.is_ok_and(|count| count > 0) {
                return None;
            }
            if let Some(data) = line.strip_prefix("data:") {
                let data: serde_json::Value = serde_json::from_str(data).unwrap();
                return Some(data["url"].as_str().unwrap().to_owned());
            }
        }
    }
}
