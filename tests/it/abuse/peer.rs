//! A connection of an attacker, below every library: bytes out, and as much read as it wants.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::Life;
use crate::harness::frames::{FIN, HANDSHAKE, TEXT, frame};

/// Begins a session over long-polling.
pub(crate) const OPEN: &str =
    "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Whoever is kept waiting longer looks for another victim.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where to, and from where, and what an attacker has got hold of.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) gateway: SocketAddr,
    /// The third part of its addresses.
    pub(crate) network: u8,
    /// Of users of the product: an attacker may have accounts.
    pub(crate) tokens: Arc<Vec<String>>,
    /// Of one who may do hardly anything.
    pub(crate) narrow: Arc<str>,
}

impl Target {
    /// From one of its addresses. None: not let in.
    pub(crate) async fn connect(&self, number: usize) -> Option<Peer> {
        let from = Ipv4Addr::new(127, 0, self.network, 1 + (number % 4) as u8);
        let socket = TcpSocket::new_v4().ok()?;
        socket.bind((from, 0).into()).ok()?;
        let stream = tokio::time::timeout(PATIENCE, socket.connect(self.gateway)).await.ok()?.ok()?;
        let _ = stream.set_nodelay(true);
        Some(Peer { stream })
    }

    /// A connection that has asked this, and reads no answer.
    pub(crate) async fn asks(&self, number: usize, request: &str) -> Option<Peer> {
        let mut peer = self.connect(number).await?;
        peer.say(request.as_bytes()).await.then_some(peer)
    }

    /// The whole answer to a request, or what came of it.
    pub(crate) async fn answer(&self, number: usize, request: &str) -> Option<String> {
        let mut peer = self.asks(number, request).await?;
        let mut answer = Vec::new();
        tokio::time::timeout(PATIENCE, peer.stream.read_to_end(&mut answer)).await.ok()?.ok()?;
        Some(String::from_utf8_lossy(&answer).into_owned())
    }

    pub(crate) async fn websocket(&self, number: usize, headers: &str) -> Option<Peer> {
        let request = format!(
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: a\r\n{HANDSHAKE}{headers}\r\n"
        );
        let mut peer = self.asks(number, &request).await?;
        peer.until("\"sid\"").await.then_some(peer)
    }

    /// Over a websocket and past the door.
    pub(crate) async fn entered(&self, number: usize, token: &str) -> Option<Peer> {
        let mut peer = self.websocket(number, "").await?;
        peer.text(&format!(r#"40{{"token":"{token}"}}"#)).await;
        peer.until("\"session\"").await.then_some(peer)
    }

    /// The same with the account of that number.
    pub(crate) async fn inside(&self, number: usize) -> Option<Peer> {
        self.entered(number, self.token(number)).await
    }

    /// The id of a new session over long-polling.
    pub(crate) async fn session(&self, number: usize) -> Option<String> {
        let opened = self.answer(number, OPEN).await?;
        opened.split_once("\"sid\":\"")?.1.split_once('"').map(|(sid, _)| sid.to_owned())
    }

    pub(crate) fn token(&self, number: usize) -> &str {
        &self.tokens[number % self.tokens.len()]
    }

    /// So many at once, each again and again, until the time is up.
    pub(super) async fn swarm(&self, count: usize, until: Instant, life: Life) {
        let mut swarm = JoinSet::new();
        for number in 0..count {
            let target = self.clone();
            swarm.spawn(async move {
                loop {
                    let begun = Instant::now();
                    life(target.clone(), number).await;
                    // Who is turned away at once takes a breath: this process has no more than a core for all of them.
                    if begun.elapsed() < Duration::from_millis(1) {
                        tokio::time::sleep(Duration::from_millis(3)).await;
                    }
                }
            });
        }
        tokio::time::sleep_until(until.into()).await;
        // With them go their sockets.
        swarm.shutdown().await;
    }
}

pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
}

impl Peer {
    /// False: it is closed, or takes nothing.
    pub(crate) async fn say(&mut self, bytes: &[u8]) -> bool {
        matches!(tokio::time::timeout(PATIENCE, self.stream.write_all(bytes)).await, Ok(Ok(())))
    }

    pub(crate) async fn text(&mut self, text: &str) -> bool {
        self.say(&frame(FIN | TEXT, text.as_bytes())).await
    }

    /// Reads away what is there. False: it is closed.
    pub(crate) fn drain(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        loop {
            match self.stream.try_read(&mut bytes) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
            }
        }
    }

    /// The answer to the event of this number, or to what came before it and was not read.
    pub(crate) async fn answered(&mut self, number: u64) -> Option<String> {
        let mut read = Vec::new();
        let found = async {
            loop {
                let text = String::from_utf8_lossy(&read);
                // The answer is short, and comes in one piece.
                if let Some((_, answer)) = text.split_once(&format!("43{number}[")) {
                    return Some(answer.to_owned());
                }
                if !matches!(self.stream.read_buf(&mut read).await, Ok(1..)) {
                    return None;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.ok().flatten()
    }

    /// Whether the other side has ended it.
    pub(crate) fn is_closed(&mut self) -> bool {
        !self.drain()
    }

    /// Reads whatever comes, until the end or for as long as it has patience.
    pub(crate) async fn listen(&mut self) {
        self.until("\u{0}never\u{0}").await;
    }

    /// Until something with this has come. False: it did not, or the end came first.
    pub(crate) async fn until(&mut self, part: &str) -> bool {
        let mut read = Vec::new();
        let found = async {
            loop {
                if String::from_utf8_lossy(&read).contains(part) {
                    return true;
                }
                if !matches!(self.stream.read_buf(&mut read).await, Ok(1..)) {
                    return false;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.unwrap_or(false)
    }
}
