//! Who makes the sample cluster have something to do, beside the stock clients: people who see each other come and go, type
//! and write.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::roaming::Pair;

const ROOM: &str = "chat:talk";
/// Rooms enough for every master to have some of them.
const ROOMS: usize = 24;
/// Said at once, below every limit.
const AT_ONCE: usize = 4;
/// Reaching it means that something is broken.
const BROKEN: Duration = Duration::from_secs(10);
/// Between two things that a talker does.
const PACE: Duration = Duration::from_millis(400);

/// A client that is told what to say, and ends with its value.
pub struct Talker {
    words: mpsc::UnboundedSender<String>,
    task: JoinHandle<()>,
}

impl Drop for Talker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub async fn connect(to: SocketAddr, from: Ipv4Addr, token: &str) -> Option<WebSocketStream<TcpStream>> {
    let mut socket = open(to, from).await?;
    socket.send(Message::text(format!("40{}", json!({ "token": token })))).await.ok()?;
    Some(socket)
}

/// A connection that has not entered.
pub async fn open(to: SocketAddr, from: Ipv4Addr) -> Option<WebSocketStream<TcpStream>> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((IpAddr::from(from), 0).into()).unwrap();
    // What is not read is to fill up soon.
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let stream = socket.connect(to).await.ok()?;
    let url = format!("ws://{to}/socket.io/?EIO=4&transport=websocket");
    Some(tokio_tungstenite::client_async(url, stream).await.ok()?.0)
}

impl Talker {
    pub async fn enter(to: SocketAddr, token: &str, rooms: &[String]) -> Self {
        Self::enter_from(Ipv4Addr::LOCALHOST, to, token, rooms).await
    }

    /// One who is not to be taken for all others of this machine.
    pub async fn enter_from(from: Ipv4Addr, to: SocketAddr, token: &str, rooms: &[String]) -> Self {
        Self::try_enter(from, to, token, rooms).await.expect("it is let in")
    }

    async fn try_enter(from: Ipv4Addr, to: SocketAddr, token: &str, rooms: &[String]) -> Option<Self> {
        let (words, mut said) = mpsc::unbounded_channel::<String>();
        let mut socket = connect(to, from, token).await?;
        for room in rooms {
            let _ = words.send(event("room:join", &json!({ "room": room, "presence": true })));
        }
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    word = said.recv() => {
                        let Some(word) = word else { return };
                        if socket.send(Message::text(word)).await.is_err() {
                            return;
                        }
                    }
                    heard = socket.next() => match heard {
                        Some(Ok(Message::Text(text))) if text.as_str() == "2" => {
                            let _ = socket.send(Message::text("3")).await;
                        }
                        Some(Ok(_)) => {}
                        _ => return,
                    }
                }
            }
        });
        Some(Self { words, task })
    }

    pub fn say(&self, name: &str, data: &Value) {
        // Whose node is gone says nothing any more.
        let _ = self.words.send(event(name, data));
    }
}

fn event(name: &str, data: &Value) -> String {
    format!("421{}", json!([name, data]))
}

/// Two who stay, and others who come and go.
pub struct Talkers {
    stay: Vec<Talker>,
    next: AtomicUsize,
    ends: Arc<AtomicBool>,
}

impl Drop for Talkers {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

impl Talkers {
    pub async fn start(pair: &Pair, router: SocketAddr) -> Self {
        let mut rooms: Vec<String> = (0..ROOMS).map(|number| format!("chat:{number}")).collect();
        rooms.push(ROOM.to_owned());
        let mut stay = Vec::new();
        for (number, to) in [pair.nodes[0].gateway, router].into_iter().enumerate() {
            stay.push(Talker::enter(to, &pair.token(&format!("stays-{number}")), &rooms).await);
        }
        let ends = Arc::new(AtomicBool::new(false));
        let talkers = Self { stay, next: AtomicUsize::new(0), ends: Arc::clone(&ends) };
        let (words, token) = (talkers.stay[0].words.clone(), pair.token("comes"));
        tokio::spawn(async move {
            let room = [ROOM.to_owned()];
            while !ends.load(Ordering::Relaxed) {
                // When nodes die there are none left to let it in.
                let comer = Talker::try_enter(Ipv4Addr::LOCALHOST, router, &token, &room);
                let comer = tokio::time::timeout(BROKEN, comer).await;
                let _ = words.send(event("typing:start", &json!({ "room": ROOM })));
                let _ = words.send(event("message:send", &json!({ "room": ROOM, "body": "x".repeat(200) })));
                tokio::time::sleep(PACE).await;
                drop(comer);
            }
        });
        talkers
    }

    /// Something into some rooms, others each time.
    pub fn say_around(&self) {
        let first = self.next.fetch_add(AT_ONCE, Ordering::Relaxed);
        for number in (first..first + AT_ONCE).map(|number| number % ROOMS) {
            self.stay[0].say("message:send", &json!({ "room": format!("chat:{number}"), "body": "?" }));
        }
    }
}
