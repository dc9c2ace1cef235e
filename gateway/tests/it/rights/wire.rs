//! A client that asks many things before it reads an answer: over Socket.IO or over the plain websocket, as told.

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::house::{BROKEN, House};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    SocketIo,
    Plain,
}

pub(super) struct Wire {
    socket: WebSocketStream<TcpStream>,
    dialect: Dialect,
    asked: u64,
    /// What survives the connection.
    pub(super) pid: Option<Value>,
    pub(super) offset: Option<Value>,
}

#[derive(Debug)]
pub(super) enum Came {
    Event(String, Value),
    Answer(u64, Value),
    End,
}

impl Wire {
    /// Gives what `session` says besides, or why it was not let in.
    pub(super) async fn enter(house: &House, dialect: Dialect, auth: &Value) -> Result<(Self, Value), Value> {
        let address = house.address();
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let path = match dialect {
            Dialect::SocketIo => "socket.io/?EIO=4&transport=websocket",
            Dialect::Plain => "ws",
        };
        let url = format!("ws://{address}/{path}");
        let (socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
        let mut wire = Self { socket, dialect, asked: 0, pid: None, offset: None };
        match dialect {
            Dialect::SocketIo => {
                wire.feed(format!("40{auth}")).await;
                wire.flush().await;
                assert!(wire.text().await.unwrap().starts_with("0{"));
                let answer = wire.text().await.unwrap();
                let mut body: Value = serde_json::from_str(&answer[2..]).unwrap();
                if answer.starts_with("44") {
                    return Err(body);
                }
                wire.pid = Some(body["pid"].take()).filter(|pid| !pid.is_null());
            }
            Dialect::Plain => {
                wire.asked = 1;
                wire.feed(json!({ "id": 1, "event": "connect", "data": auth }).to_string()).await;
                wire.flush().await;
                match wire.next().await {
                    Came::Answer(1, answer) if answer["ok"] == true => {}
                    Came::Answer(1, answer) => return Err(answer),
                    other => panic!("{other:?}"),
                }
            }
        }
        match wire.next().await {
            Came::Event(name, session) if name == "session" => Ok((wire, session)),
            other => panic!("{other:?}"),
        }
    }

    /// Written at the next [`Self::flush`]. Gives the number of its answer.
    pub(super) async fn ask(&mut self, event: &str, data: &Value) -> u64 {
        self.asked += 1;
        let id = self.asked;
        let text = match self.dialect {
            Dialect::SocketIo => format!("42{id}{}", json!([event, data])),
            Dialect::Plain => json!({ "id": id, "event": event, "data": data }).to_string(),
        };
        self.feed(text).await;
        id
    }

    pub(super) async fn flush(&mut self) {
        // Whoever has been sent away learns it by reading.
        let _ = self.socket.flush().await;
    }

    pub(super) async fn next(&mut self) -> Came {
        let Some(text) = self.text().await else { return Came::End };
        match self.dialect {
            Dialect::SocketIo if text == "41" => Came::End,
            Dialect::SocketIo => {
                let array = text.find('[').unwrap_or_else(|| panic!("{text}"));
                let mut values: Vec<Value> = serde_json::from_str(&text[array..]).unwrap();
                if let Some(number) = text[..array].strip_prefix("43") {
                    return Came::Answer(number.parse().unwrap(), values.swap_remove(0));
                }
                assert!(text.starts_with("42["), "{text}");
                if values.len() == 3 && self.pid.is_some() {
                    self.offset = values.pop();
                }
                let data = values.pop().unwrap();
                Came::Event(values[0].as_str().unwrap().to_owned(), data)
            }
            Dialect::Plain => {
                let mut frame: Value = serde_json::from_str(&text).unwrap();
                match frame["event"].as_str() {
                    Some(name) => Came::Event(name.to_owned(), frame["data"].take()),
                    None => Came::Answer(frame["id"].as_u64().unwrap(), frame),
                }
            }
        }
    }

    async fn feed(&mut self, text: String) {
        let _ = self.socket.feed(Message::text(text)).await;
    }

    async fn text(&mut self) -> Option<String> {
        loop {
            match tokio::time::timeout(BROKEN, self.socket.next()).await.expect("a frame in time") {
                Some(Ok(Message::Text(text))) if text == "2" => {
                    self.feed("3".to_owned()).await;
                    self.flush().await;
                }
                Some(Ok(Message::Text(text))) => return Some(text.to_string()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }
}
