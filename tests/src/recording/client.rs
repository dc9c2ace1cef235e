//! One client: a task that owns its connection, and a handle.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use turnpike_history::{Level, What};

use super::Recording;
use super::packet::{self, Packet};

/// A connection that says nothing for so long is given up. Far above any answer, below the patience of a test.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// A message that is not answered is sent again.
const ANSWER_MAX: Duration = Duration::from_secs(8);
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Sent and not answered. Whoever wants to send more waits.
const UNDER_WAY_MAX: usize = 64;

#[derive(Debug, Clone)]
pub struct Plan {
    pub name: String,
    pub user: String,
    pub token: String,
    /// It goes from one to the next whenever it has to connect.
    pub nodes: Vec<SocketAddr>,
    /// What the node is configured to acknowledge with.
    pub level: Level,
}

/// Ends with its value.
#[derive(Debug)]
pub struct Client {
    /// When it is full the caller waits.
    orders: mpsc::Sender<Order>,
    seen: Arc<Seen>,
    task: tokio::task::JoinHandle<()>,
}

/// How far a client is in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// The last message that it has.
    pub given: u64,
    /// The furthest of its own that was acknowledged.
    pub acknowledged: u64,
}

#[derive(Debug, Default)]
struct Seen {
    /// Sent, and neither acknowledged nor given up.
    under_way: AtomicUsize,
    places: Mutex<BTreeMap<String, Place>>,
}

impl Seen {
    fn update(&self, room: &str, update: impl FnOnce(&mut Place)) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.get_mut(room) {
            update(place);
        } else {
            update(places.entry(room.to_owned()).or_default());
        }
    }

    fn done(&self) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
enum Order {
    Join(String),
    Send {
        room: String,
        body: String,
    },
    /// The connection breaks off, and comes back after that long.
    Cut(Duration),
}

impl Client {
    pub fn start(plan: Plan, recording: Recording) -> Self {
        let (orders, taken) = mpsc::channel(UNDER_WAY_MAX);
        let seen = Arc::new(Seen::default());
        let task = tokio::spawn(Task::new(plan, recording, Arc::clone(&seen)).run(taken));
        Self { orders, seen, task }
    }

    pub async fn join(&self, room: &str) {
        let _ = self.orders.send(Order::Join(room.to_owned())).await;
    }

    /// It is sent until it is answered; the recording says when that was.
    pub async fn send(&self, room: &str, body: &str) {
        self.seen.under_way.fetch_add(1, Ordering::Relaxed);
        let _ = self.orders.send(Order::Send { room: room.to_owned(), body: body.to_owned() }).await;
    }

    pub async fn cut(&self, away: Duration) {
        let _ = self.orders.send(Order::Cut(away)).await;
    }

    /// So many messages are neither acknowledged nor given up.
    pub fn under_way(&self) -> usize {
        self.seen.under_way.load(Ordering::Relaxed)
    }

    /// How far it is in each of its rooms.
    pub fn places(&self) -> BTreeMap<String, Place> {
        self.seen.places.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Socket = WebSocketStream<TcpStream>;

/// What an answer is to.
enum Asked {
    Join(String),
    Send(String),
}

struct Sending {
    room: String,
    body: String,
    first: Instant,
    again_at: Instant,
}

struct Task {
    plan: Plan,
    recording: Recording,
    seen: Arc<Seen>,
    next_node: usize,
    pid: Option<String>,
    offset: Option<String>,
    wanted: BTreeSet<String>,
    joined: BTreeSet<String>,
    /// What came of a room before its join was answered.
    early: BTreeMap<String, Vec<What>>,
    sending: BTreeMap<u64, Sending>,
    sent: u64,
    asked: BTreeMap<u64, Asked>,
    numbers: u64,
    away: Option<Duration>,
}

/// Why a connection ended.
struct Ended;

impl Task {
    fn new(plan: Plan, recording: Recording, seen: Arc<Seen>) -> Self {
        Self {
            plan,
            recording,
            seen,
            next_node: 0,
            pid: None,
            offset: None,
            wanted: BTreeSet::new(),
            joined: BTreeSet::new(),
            early: BTreeMap::new(),
            sending: BTreeMap::new(),
            sent: 0,
            asked: BTreeMap::new(),
            numbers: 0,
            away: None,
        }
    }

    fn write(&self, what: What) {
        self.recording.write(&self.plan.name, what);
    }

    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        loop {
            if let Some(mut socket) = self.connect().await {
                let Ended = self.converse(&mut socket, &mut orders).await;
                self.write(What::Disconnect { clean: false });
            }
            self.early.clear();
            // What was not answered may have arrived, and may not: it is sent again under its id.
            self.asked.clear();
            let now = Instant::now();
            self.sending.values_mut().for_each(|sending| sending.again_at = now);
            self.next_node += 1;
            tokio::time::sleep(self.away.take().unwrap_or(AGAIN_AFTER)).await;
        }
    }

    async fn connect(&mut self) -> Option<Socket> {
        let node = self.plan.nodes[self.next_node % self.plan.nodes.len()];
        let connected = timeout(SILENCE_MAX, async {
            let stream = TcpStream::connect(node).await.ok()?;
            let url = format!("ws://{node}/socket.io/?EIO=4&transport=websocket");
            let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.ok()?;
            let mut auth = json!({ "token": self.plan.token });
            if let Some(pid) = &self.pid {
                auth["pid"] = json!(pid);
                auth["offset"] = json!(self.offset);
            }
            let what = What::Connect { user: self.plan.user.clone(), device: self.plan.name.clone() };
            self.write(what);
            socket.send(Frame::text(packet::connect(&auth))).await.ok()?;
            Some(socket)
        });
        connected.await.ok()?
    }

    async fn converse(&mut self, socket: &mut Socket, orders: &mut mpsc::Receiver<Order>) -> Ended {
        let mut connected = false;
        let mut tick = tokio::time::interval(AGAIN_AFTER);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                frame = socket.next() => {
                    let Some(Ok(frame)) = frame else { return Ended };
                    let Frame::Text(text) = frame else { continue };
                    heard = Instant::now();
                    let Some(packet) = packet::parse(&text) else { continue };
                    match packet {
                        Packet::Connected { pid } => {
                            connected = true;
                            self.pid = pid.or(self.pid.take());
                        }
                        Packet::Ping => {
                            if socket.send(Frame::text(packet::PONG)).await.is_err() { return Ended }
                        }
                        Packet::Event { name, data, offset } => self.event(&name, &data, offset),
                        Packet::Answer { number, answer } => self.answer(number, &answer),
                        Packet::Refused => {
                            // With what it shows it does not get in: it begins anew.
                            (self.pid, self.offset) = (None, None);
                            return Ended;
                        }
                        Packet::Disconnected => return Ended,
                        Packet::Open => {}
                    }
                }
                order = orders.recv(), if self.sending.len() < UNDER_WAY_MAX => match order {
                    Some(Order::Join(room)) => drop(self.wanted.insert(room)),
                    Some(Order::Send { room, body }) => {
                        self.sent += 1;
                        let now = Instant::now();
                        self.sending.insert(self.sent, Sending { room, body, first: now, again_at: now });
                    }
                    Some(Order::Cut(away)) => {
                        self.away = Some(away);
                        return Ended;
                    }
                    None => return Ended,
                },
                _ = tick.tick() => {
                    if heard.elapsed() > SILENCE_MAX { return Ended }
                }
            }
            if connected && self.ask(socket).await.is_err() {
                return Ended;
            }
        }
    }

    /// Joins what is to be joined, and sends what is due.
    async fn ask(&mut self, socket: &mut Socket) -> Result<(), Ended> {
        let is_asked =
            |room: &String| self.asked.values().any(|asked| matches!(asked, Asked::Join(of) if of == room));
        let rooms: Vec<String> = self
            .wanted
            .iter()
            .filter(|room| !self.joined.contains(*room) && !is_asked(room))
            .cloned()
            .collect();
        for room in rooms {
            let data = json!({ "room": room });
            self.request(socket, "room:join", &data, Asked::Join(room)).await?;
        }
        let now = Instant::now();
        let due: Vec<u64> = self
            .sending
            .iter()
            // Whoever is not in a room may not send there; after a session that was lost it is joined first.
            .filter(|(_, sending)| sending.again_at <= now && self.joined.contains(&sending.room))
            .map(|(number, _)| *number)
            .collect();
        for number in due {
            let id = format!("{}-{number}", self.plan.name);
            let Some(sending) = self.sending.get_mut(&number) else { continue };
            sending.again_at = now + ANSWER_MAX;
            let age_ms = sending.first.elapsed().as_millis() as u64;
            let (room, text) = (sending.room.clone(), sending.body.clone());
            let data = json!({ "room": room, "id": id, "age_ms": age_ms, "body": text });
            let from = self.plan.user.clone();
            self.write(What::Send { room, id: id.clone(), from, body: json!(text).to_string() });
            self.request(socket, "message:send", &data, Asked::Send(id)).await?;
        }
        Ok(())
    }

    async fn request(
        &mut self,
        socket: &mut Socket,
        name: &str,
        data: &Value,
        asked: Asked,
    ) -> Result<(), Ended> {
        self.numbers += 1;
        self.asked.insert(self.numbers, asked);
        socket.send(Frame::text(packet::event(self.numbers, name, data))).await.map_err(|_| Ended)
    }

    fn event(&mut self, name: &str, data: &Value, offset: Option<String>) {
        if let Some(offset) = offset {
            self.offset = Some(offset);
        }
        let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
        let number = |name: &str| data[name].as_u64().unwrap_or_default();
        match name {
            "session" => {
                let recovered = data["recovered"].as_bool().unwrap_or_default();
                if !recovered {
                    self.joined.clear();
                }
                self.write(What::Session { recovered });
            }
            "message" if data["seq"].is_u64() => {
                let room = text("room");
                let what = What::Message {
                    room: room.clone(),
                    epoch: number("epoch"),
                    seq: number("seq"),
                    id: text("id"),
                    from: text("from"),
                    body: data["body"].to_string(),
                };
                self.given(room, what);
            }
            "resync" => {
                let room = text("room");
                let what = What::Resync { room: room.clone(), epoch: number("epoch"), seq: number("seq") };
                self.given(room, what);
            }
            _ => {}
        }
    }

    fn given(&mut self, room: String, what: What) {
        if self.joined.contains(&room) {
            self.write_given(&room, what);
        } else {
            self.early.entry(room).or_default().push(what);
        }
    }

    fn write_given(&self, room: &str, what: What) {
        match &what {
            // It goes on from there, also back: what was behind it is lost.
            What::Resync { seq, .. } | What::Join { seq, .. } => {
                self.seen.update(room, |place| place.given = *seq);
            }
            What::Message { seq, .. } => {
                self.seen.update(room, |place| place.given = place.given.max(*seq));
            }
            _ => {}
        }
        self.write(what);
    }

    fn answer(&mut self, number: u64, answer: &Value) {
        let is_done = answer["ok"].as_bool().unwrap_or_default();
        match self.asked.remove(&number) {
            Some(Asked::Join(room)) if is_done => {
                let (epoch, seq) =
                    (answer["epoch"].as_u64().unwrap_or(0), answer["seq"].as_u64().unwrap_or(0));
                self.joined.insert(room.clone());
                self.write_given(&room, What::Join { room: room.clone(), epoch, seq, recovered: false });
                // What came before the answer, and is not behind where it says the room stands, is in it.
                for what in self.early.remove(&room).unwrap_or_default() {
                    let is_new = !matches!(&what, What::Message { seq: given, .. } if *given <= seq);
                    if is_new {
                        self.write_given(&room, what);
                    }
                }
            }
            Some(Asked::Send(id)) => self.sent_and_answered(id, is_done, answer),
            Some(Asked::Join(_)) | None => {}
        }
    }

    fn sent_and_answered(&mut self, id: String, is_done: bool, answer: &Value) {
        let number = id.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(0);
        let Some(sending) = self.sending.get_mut(&number) else { return };
        let (room, from) = (sending.room.clone(), self.plan.user.clone());
        if is_done {
            self.sending.remove(&number);
            let (epoch, seq) = (answer["epoch"].as_u64().unwrap_or(0), answer["seq"].as_u64().unwrap_or(0));
            self.seen.update(&room, |place| place.acknowledged = place.acknowledged.max(seq));
            self.write(What::Ack { room, id, from, epoch, seq, level: self.plan.level });
            self.seen.done();
            return;
        }
        let error = &answer["error"];
        let retryable = error["retryable"].as_bool().unwrap_or_default();
        if retryable {
            let after = error["retry_after_ms"].as_u64().map_or(AGAIN_AFTER, Duration::from_millis);
            sending.again_at = Instant::now() + after;
        } else {
            self.sending.remove(&number);
            self.seen.done();
        }
        self.write(What::Refused { room, id, from, retryable });
    }
}
