//! A Socket.IO client over a websocket, no more than the tests need: it keeps `pid` and offset as the stock client does.

use std::collections::VecDeque;
use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::house::{BROKEN, House, token};

pub(crate) struct Client {
    socket: WebSocketStream<TcpStream>,
    next_ack: u64,
    /// Events that came while an answer was waited for.
    waiting: VecDeque<Event>,
    pub(crate) sid: String,
    pub(crate) memory: Memory,
}

/// What survives a connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    pub(crate) pid: Option<String>,
    pub(crate) offset: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) data: Value,
    /// Placeholders stand as the binary values themselves, for comparing.
    pub(crate) attachments: Vec<Vec<u8>>,
}

enum Packet {
    Event(Event),
    Ack(u64, Value, Vec<Vec<u8>>),
    Other(String),
}

impl Client {
    /// A user's client that has entered, its `session` event read.
    pub(crate) async fn enter(house: &House, user: &str) -> Self {
        let (client, session) = Self::enter_with(house, &json!({ "token": token(user) })).await;
        assert_eq!(session["user"], user);
        client
    }

    pub(crate) async fn enter_with(house: &House, auth: &Value) -> (Self, Value) {
        let mut client = Self::open(house.address()).await;
        client.connect(auth).await.expect("admitted");
        let session = client.event().await;
        assert_eq!(session.name, "session", "the first event");
        (client, session.data)
    }

    /// As the stock client does it: the same token, and what it remembers of the earlier connection.
    pub(crate) async fn return_with(house: &House, user: &str, memory: &Memory) -> (Self, Value) {
        let mut auth = json!({ "token": token(user) });
        if let Some(pid) = &memory.pid {
            auth["pid"] = pid.as_str().into();
        }
        if let Some(offset) = &memory.offset {
            auth["offset"] = offset.as_str().into();
        }
        Self::enter_with(house, &auth).await
    }

    /// A websocket whose engine has said hello.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
        let (socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
        let mut client = Self {
            socket,
            next_ack: 0,
            waiting: VecDeque::new(),
            sid: String::new(),
            memory: Memory::default(),
        };
        let open = client.text().await.unwrap();
        assert!(open.starts_with("0{"), "{open}");
        client
    }

    /// Enters, or gives what `connect_error` says.
    pub(crate) async fn connect(&mut self, auth: &Value) -> Result<(), Value> {
        self.send_text(&format!("40{auth}")).await;
        let answer = self.text().await.unwrap();
        let body: Value = serde_json::from_str(&answer[2..]).unwrap();
        if answer.starts_with("44") {
            return Err(body);
        }
        assert!(answer.starts_with("40"), "{answer}");
        body["sid"].as_str().unwrap().clone_into(&mut self.sid);
        self.memory.pid = body["pid"].as_str().map(str::to_owned);
        Ok(())
    }

    pub(crate) async fn join(&mut self, room: &str) -> Value {
        let answer = self.ask("room:join", &json!({ "room": room })).await;
        assert_eq!(answer["ok"], true, "{answer}");
        answer
    }

    pub(crate) async fn say(&mut self, room: &str, body: impl Into<Value>) -> Value {
        let answer = self.ask("message:send", &json!({ "room": room, "body": body.into() })).await;
        assert_eq!(answer["ok"], true, "{answer}");
        answer
    }

    /// Sends an event and waits for its answer.
    pub(crate) async fn ask(&mut self, name: &str, data: &Value) -> Value {
        self.ask_with(name, data, &[]).await.0
    }

    pub(crate) async fn ask_with(
        &mut self,
        name: &str,
        data: &Value,
        attachments: &[&[u8]],
    ) -> (Value, Vec<Vec<u8>>) {
        self.next_ack += 1;
        let id = self.next_ack;
        if attachments.is_empty() {
            self.send_text(&format!("42{id}{}", json!([name, data]))).await;
        } else {
            self.send_text(&format!("45{}-{id}{}", attachments.len(), json!([name, data]))).await;
            for attachment in attachments {
                self.socket.send(Message::binary(attachment.to_vec())).await.unwrap();
            }
        }
        loop {
            match self.packet().await.expect("an answer before the end") {
                Packet::Event(event) => self.waiting.push_back(event),
                Packet::Ack(answered, value, attachments) => {
                    assert_eq!(answered, id);
                    return (value, attachments);
                }
                Packet::Other(text) => panic!("{text}"),
            }
        }
    }

    /// Sends an event that asks for no answer.
    pub(crate) async fn tell(&mut self, name: &str, data: &Value) {
        self.send_text(&format!("42{}", json!([name, data]))).await;
    }

    pub(crate) async fn event(&mut self) -> Event {
        self.next_event().await.expect("an event before the end")
    }

    /// None: the server closed the connection, or this socket.
    pub(crate) async fn next_event(&mut self) -> Option<Event> {
        if let Some(event) = self.waiting.pop_front() {
            return Some(event);
        }
        match self.packet().await? {
            Packet::Event(event) => Some(event),
            Packet::Ack(id, ..) => panic!("an answer to {id} that nobody asked for"),
            Packet::Other(text) if text == "41" => None,
            Packet::Other(text) => panic!("{text}"),
        }
    }

    /// The body of the next message, and its place in the room.
    pub(crate) async fn message(&mut self) -> (u64, Value) {
        let event = self.event().await;
        assert_eq!(event.name, "message", "{event:?}");
        (event.data["seq"].as_u64().unwrap(), event.data["body"].clone())
    }

    /// The bodies of the next messages.
    pub(crate) async fn bodies(&mut self, count: usize) -> Vec<Value> {
        let mut bodies = Vec::new();
        for _ in 0..count {
            bodies.push(self.message().await.1);
        }
        bodies
    }

    /// Asserts that nothing else has come: an answer to a later question overtakes nothing.
    pub(crate) async fn has_nothing_more(&mut self) {
        self.ask("ping", &json!(null)).await;
        assert!(self.waiting.is_empty(), "{:?}", self.waiting);
    }

    /// Says goodbye, as `socket.disconnect()` does.
    pub(crate) async fn leave_namespace(&mut self) {
        self.send_text("41").await;
    }

    /// Goes away without a word, as a phone does in a tunnel.
    pub(crate) fn cut(self) -> Memory {
        self.memory
    }

    async fn packet(&mut self) -> Option<Packet> {
        let text = self.text().await?;
        let rest = match text.get(..2) {
            Some("42" | "43") => &text[2..],
            Some("45" | "46") => text[2..].split_once('-').unwrap().1,
            _ => return Some(Packet::Other(text)),
        };
        let attachments = match text.get(..2) {
            Some("45" | "46") => text[2..].split_once('-').unwrap().0.parse().unwrap(),
            _ => 0,
        };
        let array = rest.find('[').unwrap();
        let mut values: Vec<Value> = serde_json::from_str(&rest[array..]).unwrap();
        let mut binary = Vec::new();
        while binary.len() < attachments {
            match tokio::time::timeout(BROKEN, self.socket.next()).await.unwrap() {
                Some(Ok(Message::Binary(bytes))) => binary.push(bytes.to_vec()),
                other => panic!("an attachment, not {other:?}"),
            }
        }
        if text.starts_with("43") || text.starts_with("46") {
            return Some(Packet::Ack(rest[..array].parse().unwrap(), values.swap_remove(0), binary));
        }
        // The rule of the stock client: the last argument, if it is a text.
        if let (Some(_), Some(Value::String(last))) = (&self.memory.pid, values.last()) {
            self.memory.offset = Some(last.clone());
        }
        let name = values[0].as_str().unwrap().to_owned();
        Some(Packet::Event(Event { name, data: values.swap_remove(1), attachments: binary }))
    }

    async fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text.to_owned())).await.unwrap();
    }

    /// The next text frame that is no ping.
    async fn text(&mut self) -> Option<String> {
        loop {
            match tokio::time::timeout(BROKEN, self.socket.next()).await.expect("a frame in time") {
                Some(Ok(Message::Text(text))) if text == "2" => self.send_text("3").await,
                Some(Ok(Message::Text(text))) => return Some(text.to_string()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }
}
