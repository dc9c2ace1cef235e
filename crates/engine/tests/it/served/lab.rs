//! The application under test, and a client for it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use axum::http::HeaderMap;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use turnpike_engine::packet::{Class, Encoded};
use turnpike_engine::{
    AckReply, Admission, Application, Close, ConnectRequest, DisconnectReason, EngineConfig, Event, Handle,
    Introduces, Introduction, Noticed, Refusal, Server, SocketRef, Step, TicketClaims, Traffic, TurnedAway,
};

use super::door::{self, Door};

/// Longer than anything here takes on a busy machine: only a fault runs into it.
pub(super) const BROKEN: Duration = Duration::from_secs(20);

/// What the application was told, in order.
#[derive(Debug)]
pub(super) enum Told {
    Connected { recovered: bool },
    Disconnected(DisconnectReason),
    Refill { socket: SocketRef, offset: Option<String> },
}

/// A CONNECT to `/gate`, which the test answers.
pub(super) struct Gate {
    /// As it will be named: as recovered, if it has a ticket.
    pub(super) socket: SocketRef,
    /// True admits, false refuses, and dropping it makes the application panic.
    pub(super) decide: oneshot::Sender<bool>,
}

pub(super) struct App {
    pub(super) handle: Handle,
    pub(super) door: Door,
    told: mpsc::UnboundedSender<Told>,
    gates: mpsc::UnboundedSender<Gate>,
    /// Answers that the test gives.
    acks: mpsc::UnboundedSender<(AckReply, oneshot::Sender<()>)>,
    this: Weak<Self>,
    /// Where other nodes live.
    pub(super) nodes: Mutex<HashMap<String, SocketAddr>>,
    /// The other ends of those who connected, as the engine gave them.
    pub(super) peers: Mutex<Vec<SocketAddr>>,
    pub(super) sockets: Mutex<HashMap<String, SocketRef>>,
    /// Makes the calls that nobody answers panic.
    pub(super) panics: AtomicBool,
    /// Events that were handled to their end.
    pub(super) handled: AtomicU64,
    /// What the engine had delivered when the last echo was asked for.
    pub(super) deliveries_at_echo: AtomicU64,
}

impl Application for App {
    type Socket = ();

    fn knock(&self, peer: IpAddr) -> bool {
        self.door.knock(peer)
    }

    fn hung_up(&self, _: IpAddr) {
        self.door.visits.fetch_sub(1, Ordering::Relaxed);
    }

    fn introduces(&self, _: IpAddr) -> Introduces {
        self.door.introduces()
    }

    fn introduction(&self, bytes: &[u8]) -> Introduction {
        Door::introduction(bytes)
    }

    fn client_of(&self, peer: SocketAddr, headers: &HeaderMap) -> SocketAddr {
        let named = headers.get(door::CLIENT_HEADER).and_then(|client| client.to_str().ok()?.parse().ok());
        named.map_or(peer, |client| SocketAddr::new(client, 0))
    }

    fn may_ask(&self, client: IpAddr) -> Result<(), TurnedAway> {
        self.door.may_ask(client)
    }

    fn arrive(&self, client: IpAddr) -> Result<(), TurnedAway> {
        self.door.arrive(client)
    }

    fn depart(&self, _: IpAddr) {
        self.door.sessions.fetch_sub(1, Ordering::Relaxed);
    }

    fn noticed(&self, client: IpAddr, what: Noticed) {
        self.door.noticed(client, what);
    }

    fn connect(&self, request: ConnectRequest) -> Step<Result<Admission<()>, Refusal>> {
        let refuse = |message: &str| {
            Err(Refusal {
                message: message.to_owned(),
                data: Some(r#"{"code":104}"#.to_owned()),
                close: None,
            })
        };
        let ticket = TicketClaims { payload: b"who".to_vec(), expires: u64::MAX / 2 };
        let recovered = request.resume.as_ref().is_some_and(|resume| {
            assert_eq!(resume.payload, b"who");
            resume.offset.is_some()
        });
        let socket = if recovered { request.recovered_socket().expect("resumed") } else { request.socket };
        self.sockets.lock().expect("no panics").insert(socket.id().to_string(), socket);
        self.peers.lock().expect("no panics").push(request.handshake.peer);
        let admitted = Ok(Admission { socket: (), recovered, ticket: Some(ticket) });
        match &*request.namespace {
            "/" => Step::Now(admitted),
            "/admin" if request.auth.as_deref() == Some(r#"{"token":"ok"}"#) => Step::Now(admitted),
            "/admin" => Step::Now(refuse("no")),
            "/later" => Step::later(async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                admitted
            }),
            "/never" => Step::later(async move {
                tokio::time::sleep(Duration::from_millis(2_300)).await;
                refuse("no")
            }),
            "/gate" => {
                let (decide, decided) = oneshot::channel();
                let _ = self.gates.send(Gate { socket, decide });
                Step::later(
                    async move { if decided.await.expect("as asked") { admitted } else { refuse("no") } },
                )
            }
            "/panic" => panic!("as asked"),
            any if any.starts_with("/any/") => Step::Now(admitted),
            _ => Step::Now(refuse("Invalid namespace")),
        }
    }

    fn put_off(&self, _: &ConnectRequest, retry_after: Duration) -> Refusal {
        let wait = json!({"reconnect_after_ms": retry_after.as_millis() as u64});
        let farewell = Encoded::event("/", "disconnecting").arg(&wait).build();
        let close = Close::new(3003, "overloaded", true).farewell(farewell);
        Refusal { message: "overloaded".to_owned(), data: Some("{}".to_owned()), close: Some(close) }
    }

    fn connected(&self, (): &(), _: &SocketRef, recovered: bool) {
        let _ = self.told.send(Told::Connected { recovered });
    }

    fn event(&self, (): &(), event: Event) -> Step<()> {
        let (socket, namespace) = (event.socket, event.namespace.clone());
        let arg = event.args.get::<Value>(0).unwrap_or(Value::Null);
        let text = |key: &str| arg[key].as_str().unwrap_or_default().to_owned();
        match event.name() {
            "echo" => {
                self.handled.fetch_add(1, Ordering::Relaxed);
                self.deliveries_at_echo.store(self.handle.counters().deliveries, Ordering::Relaxed);
                if let Some(ack) = event.ack {
                    ack.send(&arg);
                }
            }
            "join" => {
                self.handle.join(&socket, &namespace, &text("room")).expect("room in the inbox");
                if let Some(ack) = event.ack {
                    let rooms = self.handle.rooms(&socket);
                    return Step::later(async move { ack.send(&rooms.await) });
                }
            }
            "shout" => {
                let message = Encoded::event(&namespace, "message").arg(&arg["data"]).build();
                self.handle.broadcast(&text("room"), message, Some(&socket)).expect("room in the inbox");
            }
            "slow" => {
                let ack = event.ack.expect("slow answers");
                let wait = Duration::from_millis(arg["ms"].as_u64().unwrap_or(0));
                let app = self.this.upgrade().expect("it lives while it is called");
                return Step::later(async move {
                    tokio::time::sleep(wait).await;
                    app.handled.fetch_add(1, Ordering::Relaxed);
                    ack.send(&arg["n"]);
                });
            }
            "hand in" => event.ack.expect("it is asked for").send(&arg),
            "hand over" => {
                let (done, until) = oneshot::channel();
                let _ = self.acks.send((event.ack.expect("it is asked for"), done));
                return Step::later(async move { drop(until.await) });
            }
            "block" => {
                let wait = Duration::from_millis(arg["ms"].as_u64().unwrap_or(0));
                self.handled.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(wait);
            }
            "panic" => panic!("as asked"),
            "panic later" => {
                return Step::later(async {
                    tokio::task::yield_now().await;
                    panic!("as asked");
                });
            }
            "leave me" => {
                let reconnect = arg["reconnect"] == json!(true);
                self.handle.close(&socket, Close::new(3001, "as asked", reconnect));
            }
            other => panic!("unknown event {other}"),
        }
        Step::Now(())
    }

    fn disconnect(&self, (): &(), _: &SocketRef, reason: &DisconnectReason, _: Traffic) {
        let _ = self.told.send(Told::Disconnected(reason.clone()));
        assert!(!self.panics.load(Ordering::Relaxed), "as asked");
    }

    fn address_of(&self, node: &str) -> Option<SocketAddr> {
        self.nodes.lock().expect("no panics").get(node).copied()
    }

    fn refill(&self, (): &(), socket: &SocketRef, offset: Option<&str>) {
        let _ = self.told.send(Told::Refill { socket: *socket, offset: offset.map(str::to_owned) });
        assert!(!self.panics.load(Ordering::Relaxed), "as asked");
    }
}

pub(super) struct Lab {
    pub(super) app: Arc<App>,
    pub(super) server: Server,
    told: mpsc::UnboundedReceiver<Told>,
    gates: mpsc::UnboundedReceiver<Gate>,
    acks: mpsc::UnboundedReceiver<(AckReply, oneshot::Sender<()>)>,
}

impl Lab {
    pub(super) fn start(config: EngineConfig) -> Self {
        let bound = Server::bind("127.0.0.1:0".parse().expect("an address"), config).expect("a free port");
        let (told, received) = mpsc::unbounded_channel();
        let (gates, gates_received) = mpsc::unbounded_channel();
        let (acks, acks_received) = mpsc::unbounded_channel();
        let app = Arc::new_cyclic(|this| App {
            handle: bound.handle(),
            door: Door::default(),
            told,
            gates,
            acks,
            this: Weak::clone(this),
            nodes: Mutex::default(),
            peers: Mutex::default(),
            sockets: Mutex::default(),
            panics: AtomicBool::new(false),
            handled: AtomicU64::new(0),
            deliveries_at_echo: AtomicU64::new(0),
        });
        let server = bound.serve(&app, &door::router()).expect("threads");
        Self { app, server, told: received, gates: gates_received, acks: acks_received }
    }

    /// Two nodes that know each other.
    pub(super) fn pair(config: &EngineConfig) -> (Self, Self) {
        let start = |node: &str| Self::start(EngineConfig { node: node.to_owned(), ..config.clone() });
        let (one, two) = (start("node.a"), start("node.b"));
        for (lab, name, address) in
            [(&one, "node.b", two.server.local_addr()), (&two, "node.a", one.server.local_addr())]
        {
            lab.app.nodes.lock().expect("no panics").insert(name.to_owned(), address);
        }
        (one, two)
    }

    pub(super) fn config() -> EngineConfig {
        EngineConfig {
            shards: 1,
            ticket_secrets: vec![b"0123456789abcdef0123456789abcdef".to_vec()],
            ..EngineConfig::default()
        }
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.app.handle
    }

    pub(super) async fn next_told(&mut self) -> Told {
        tokio::time::timeout(BROKEN, self.told.recv())
            .await
            .expect("the application is told")
            .expect("it lives")
    }

    pub(super) async fn gate(&mut self) -> Gate {
        let gate = tokio::time::timeout(BROKEN, self.gates.recv());
        gate.await.expect("the application is asked").expect("it lives")
    }

    pub(super) async fn ack(&mut self) -> (AckReply, oneshot::Sender<()>) {
        let ack = tokio::time::timeout(BROKEN, self.acks.recv());
        ack.await.expect("the application is asked").expect("it lives")
    }

    pub(super) async fn disconnected(&mut self) -> DisconnectReason {
        loop {
            if let Told::Disconnected(reason) = self.next_told().await {
                return reason;
            }
        }
    }

    /// The offset from which the application is asked to refill.
    pub(super) async fn refill(&mut self) -> Option<String> {
        loop {
            if let Told::Refill { offset, .. } = self.next_told().await {
                return offset;
            }
        }
    }

    pub(super) async fn websocket(&self) -> Client {
        let address = self.server.local_addr();
        let socket = TcpSocket::new_v4().expect("a socket");
        // Fixed and small: the kernel's buffer must not grow while a test waits for it to be full.
        socket.set_recv_buffer_size(16 * 1_024).expect("a size");
        let stream = socket.connect(address).await.expect("it listens");
        let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
        let (socket, _) = tokio_tungstenite::client_async(url, stream).await.expect("it upgrades");
        let mut client = Client { socket, sid: String::new(), pid: None };
        let open = client.text().await;
        assert!(open.starts_with("0{\"sid\""), "{open}");
        client
    }

    pub(super) async fn client(&self) -> Client {
        let mut client = self.websocket().await;
        client.enter("40").await;
        client
    }

    pub(super) fn socket(&self, client: &Client) -> SocketRef {
        self.app.sockets.lock().expect("no panics")[&client.sid]
    }

    /// Waits until the engine's counters say so.
    pub(super) async fn until(&self, what: &str, holds: impl Fn(&turnpike_engine::Counters) -> bool) {
        let waited = tokio::time::timeout(BROKEN, async {
            while !holds(&self.handle().counters()) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        assert!(waited.await.is_ok(), "{what}: {:?}", self.handle().counters());
    }
}

pub(super) struct Client {
    pub(super) socket: WebSocketStream<TcpStream>,
    pub(super) sid: String,
    pub(super) pid: Option<String>,
}

impl Client {
    /// Sends a CONNECT and takes its answer.
    pub(super) async fn enter(&mut self, connect: &str) {
        self.send(connect).await;
        let answer = self.text().await;
        let start = answer.find('{').expect("an answer with a payload");
        assert!(answer.starts_with("40"), "{answer}");
        let answer: Value = serde_json::from_str(&answer[start..]).expect("JSON");
        answer["sid"].as_str().expect("a socket id").clone_into(&mut self.sid);
        self.pid = answer["pid"].as_str().map(str::to_owned);
    }

    pub(super) async fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text.to_owned())).await.expect("the server reads");
    }

    pub(super) async fn event(&mut self, name: &str, arg: &Value) {
        self.send(&format!("42{}", json!([name, arg]))).await;
    }

    /// The next text frame that is no ping.
    pub(super) async fn text(&mut self) -> String {
        self.next_text().await.expect("a frame before the end")
    }

    /// None: the server closed.
    pub(super) async fn next_text(&mut self) -> Option<String> {
        loop {
            let message = tokio::time::timeout(BROKEN, self.socket.next()).await.expect("a frame in time");
            match message {
                Some(Ok(Message::Text(text))) if text == "2" => self.send("3").await,
                Some(Ok(Message::Text(text))) => return Some(text.to_string()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// The data of the next event, and its name.
    pub(super) async fn received(&mut self) -> (String, Value) {
        let text = self.text().await;
        let mut event: Vec<Value> =
            serde_json::from_str(text.strip_prefix("42").expect("an event")).expect("JSON");
        let name = event[0].as_str().expect("a name").to_owned();
        (name, event.swap_remove(1))
    }
}

pub(super) fn numbered(number: usize, class: Class, bytes: usize) -> Arc<Encoded> {
    Encoded::event("/", "message")
        .arg(&json!([number, "x".repeat(bytes)]))
        .class(class)
        .offset(&format!("o{number}"))
        .build()
}
