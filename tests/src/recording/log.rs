//! Writes down what a room's log holds in the end, as a client is given it.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use turnpike_history::What;

use super::packet::{self, Packet};
use super::{Plan, Recording};

/// An answer that takes longer will not come.
const ANSWER_MAX: Duration = Duration::from_secs(20);
const PAGE: usize = 100;
/// Tries of one page.
const TRIES_MAX: usize = 20;
const AGAIN_AFTER: Duration = Duration::from_millis(250);

const WHO: &str = "log";

/// All of what is kept in these rooms, oldest first.
pub async fn record(plan: &Plan, rooms: &[String], recording: &Recording) -> anyhow::Result<()> {
    let mut reader = Reader::connect(plan).await?;
    for room in rooms {
        let mut after = 0;
        let mut is_first = true;
        loop {
            let (messages, more) = reader.page(room, after).await?;
            let seq = |message: &Value| message["seq"].as_u64().unwrap_or_default();
            if std::mem::take(&mut is_first) {
                let first = messages.front().map_or(1, seq);
                recording.write(WHO, What::LogStart { room: room.clone(), seq: first });
            }
            for message in &messages {
                let text = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
                after = seq(message);
                let logged = What::Logged {
                    room: room.clone(),
                    epoch: message["epoch"].as_u64().unwrap_or_default(),
                    seq: after,
                    id: text("id"),
                    from: text("from"),
                    body: message["body"].to_string(),
                };
                recording.write(WHO, logged);
            }
            if !more || messages.is_empty() {
                break;
            }
        }
    }
    Ok(())
}

struct Reader {
    socket: WebSocketStream<TcpStream>,
    numbers: u64,
}

impl Reader {
    async fn connect(plan: &Plan) -> anyhow::Result<Self> {
        let node = plan.nodes.first().context("there is no node")?;
        let stream = TcpStream::connect(node).await?;
        let url = format!("ws://{node}/socket.io/?EIO=4&transport=websocket");
        let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await?;
        socket.send(Frame::text(packet::connect(&json!({ "token": plan.token })))).await?;
        let mut reader = Self { socket, numbers: 0 };
        reader.until(|packet| matches!(packet, Packet::Connected { .. }).then_some(())).await?;
        Ok(reader)
    }

    async fn page(&mut self, room: &str, after: u64) -> anyhow::Result<(VecDeque<Value>, bool)> {
        let mut refused = Value::Null;
        for _ in 0..TRIES_MAX {
            self.numbers += 1;
            let asked = self.numbers;
            let data = json!({ "room": room, "after": after, "limit": PAGE });
            self.socket.send(Frame::text(packet::event(asked, "message:history", &data))).await?;
            let mut answer = self
                .until(|packet| match packet {
                    Packet::Answer { number, answer } if number == asked => Some(answer),
                    _ => None,
                })
                .await?;
            if let Value::Array(messages) = answer["messages"].take() {
                return Ok((messages.into(), answer["more"].as_bool().unwrap_or_default()));
            }
            refused = answer;
            tokio::time::sleep(AGAIN_AFTER).await;
        }
        bail!("{room} cannot be read: {refused}")
    }

    async fn until<T>(&mut self, find: impl Fn(Packet) -> Option<T>) -> anyhow::Result<T> {
        let found = timeout(ANSWER_MAX, async {
            loop {
                let frame = self.socket.next().await.context("the connection ended")??;
                let Frame::Text(text) = frame else { continue };
                match packet::parse(&text) {
                    Some(Packet::Ping) => self.socket.send(Frame::text(packet::PONG)).await?,
                    Some(Packet::Refused) => bail!("it is not let in: {text}"),
                    Some(packet) => {
                        if let Some(found) = find(packet) {
                            return Ok(found);
                        }
                    }
                    None => {}
                }
            }
        });
        found.await.context("no answer in time")?
    }
}
