//! A websocket that speaks packets by hand.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::Server;

/// Longer than anything takes that works.
pub const BROKEN: Duration = Duration::from_secs(10);

pub struct WebSocket {
    pub stream: WebSocketStream<TcpStream>,
}

/// What came, Engine.IO pings aside.
#[derive(Debug, PartialEq)]
pub enum Came {
    Text(String),
    Binary(Vec<u8>),
    /// A close frame with its code, or the end of the stream.
    End(Option<u16>),
}

impl WebSocket {
    /// Opens the websocket itself and nothing more.
    pub async fn open(server: &Server, query: &str) -> Result<Self, Error> {
        let stream = TcpStream::connect(server.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let url = format!("ws://{}/socket.io/?{query}", server.address);
        let (stream, _) = tokio_tungstenite::client_async(url, stream).await?;
        Ok(Self { stream })
    }

    /// An Engine.IO session over websocket; also gives the fields of its open packet.
    pub async fn session(server: &Server) -> (Self, Value) {
        let mut socket = Self::open(server, "EIO=4&transport=websocket").await.unwrap();
        let open = socket.text().await;
        let fields =
            serde_json::from_str(open.strip_prefix('0').unwrap_or_else(|| panic!("no open: {open}")));
        (socket, fields.unwrap())
    }

    /// A session that has entered the main namespace; also gives the socket id.
    pub async fn connected(server: &Server) -> (Self, String) {
        let (mut socket, _) = Self::session(server).await;
        let id = socket.enter("40").await;
        (socket, id)
    }

    /// Sends a CONNECT for the main namespace and takes its answer and the welcome.
    pub async fn enter(&mut self, connect: &str) -> String {
        self.send(connect).await;
        let answer = self.text().await;
        let fields: Value =
            serde_json::from_str(answer.strip_prefix("40").unwrap_or_else(|| panic!("{answer}"))).unwrap();
        let welcome = self.text().await;
        assert!(welcome.starts_with("42[\"welcome\""), "{welcome}");
        fields["sid"].as_str().unwrap().to_owned()
    }

    pub async fn send(&mut self, text: &str) {
        self.stream.send(Message::text(text.to_owned())).await.unwrap();
    }

    /// Where the server may already have closed.
    pub async fn try_send(&mut self, message: Message) {
        let _ = self.stream.send(message).await;
    }

    pub async fn send_binary(&mut self, bytes: &[u8]) {
        self.stream.send(Message::binary(bytes.to_vec())).await.unwrap();
    }

    pub async fn next(&mut self) -> Came {
        self.next_within(BROKEN).await.expect("something comes in time")
    }

    /// None: nothing came in time.
    pub async fn next_within(&mut self, time: Duration) -> Option<Came> {
        let came = async {
            loop {
                match self.stream.next().await {
                    Some(Ok(Message::Text(text))) if text.as_str() == "2" => {
                        self.try_send(Message::text("3")).await;
                    }
                    Some(Ok(Message::Text(text))) => return Came::Text(text.to_string()),
                    Some(Ok(Message::Binary(bytes))) => return Came::Binary(bytes.to_vec()),
                    Some(Ok(Message::Close(frame))) => {
                        return Came::End(frame.map(|frame| frame.code.into()));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Came::End(None),
                }
            }
        };
        tokio::time::timeout(time, came).await.ok()
    }

    pub async fn text(&mut self) -> String {
        match self.next().await {
            Came::Text(text) => text,
            other => panic!("no text but {other:?}"),
        }
    }

    /// Everything up to the end of the connection, which has to come.
    pub async fn until_end(&mut self) -> Vec<Came> {
        let mut all = Vec::new();
        loop {
            match self.next().await {
                Came::End(_) => return all,
                // Engine.IO's goodbye: some servers send it, some only close.
                Came::Text(text) if text == "1" => {}
                other => all.push(other),
            }
        }
    }

    pub async fn expect_end(&mut self) {
        let before = self.until_end().await;
        assert!(before.is_empty(), "before the end there came {before:?}");
    }

    /// A round trip by ack: the session works, and everything that came before the answer is given back.
    pub async fn round_trip(&mut self) -> Vec<Came> {
        self.send(r#"42777["echo","round trip"]"#).await;
        let mut before = Vec::new();
        loop {
            match self.next().await {
                Came::Text(text) if text == r#"43777["round trip"]"# => return before,
                Came::End(code) => panic!("ended with {code:?} after {before:?}"),
                other => before.push(other),
            }
        }
    }

    /// The round trip, with nothing before its answer.
    pub async fn works(&mut self) {
        let before = self.round_trip().await;
        assert!(before.is_empty(), "there also came {before:?}");
    }
}

/// Another client, to see that the server as a whole is well.
pub async fn server_is_well(server: &Server) {
    let (mut other, _) = WebSocket::connected(server).await;
    other.works().await;
}
