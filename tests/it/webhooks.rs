//! What a backend is told of two nodes: of each change once, whichever of them it happened on, also when one is killed.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Bytes;
use axum::routing::post;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::roaming::Pair;

/// A lease, the time in which clients may come back, and as much again for a slow machine.
const BROKEN: Duration = Duration::from_secs(30);

struct Backend {
    address: SocketAddr,
    events: mpsc::UnboundedReceiver<Value>,
    seen: BTreeSet<String>,
}

impl Backend {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, events) = mpsc::unbounded_channel();
        let take = move |body: Bytes| {
            let batch: Value = serde_json::from_slice(&body).unwrap();
            for event in batch["events"].as_array().unwrap() {
                // Nobody listens when the test is over.
                let _ = sender.send(event.clone());
            }
            async {}
        };
        let router = axum::Router::new().route("/hook", post(take));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, events, seen: BTreeSet::new() }
    }

    /// The next event that did not come before.
    async fn next(&mut self) -> Value {
        loop {
            let event = tokio::time::timeout(BROKEN, self.events.recv()).await.expect("an event").unwrap();
            if self.seen.insert(event["id"].as_str().unwrap().to_owned()) {
                return event;
            }
        }
    }

    async fn change(&mut self) -> (String, String) {
        let event = self.next().await;
        let word = |name: &str| event[name].as_str().unwrap_or_else(|| panic!("{event}")).to_owned();
        (word("type"), word("room"))
    }
}

struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn enter(pair: &Pair, node: usize, user: &str) -> Self {
        let address = pair.nodes[node].gateway;
        let stream = TcpStream::connect(address).await.unwrap();
        let (socket, _) =
            tokio_tungstenite::client_async(format!("ws://{address}/ws"), stream).await.unwrap();
        let mut client = Self(socket);
        let rooms = ["--room", "*=join,send", "--room", "user:*=send"];
        let token = pair.nodes[node].token(&[&["--user", user], &rooms[..]].concat()).unwrap();
        client.ask("connect", &json!({ "token": token })).await;
        client
    }

    async fn ask(&mut self, event: &str, data: &Value) {
        let request = json!({ "id": 1, "event": event, "data": data });
        self.0.send(Message::text(request.to_string())).await.unwrap();
        loop {
            let frame = tokio::time::timeout(BROKEN, self.0.next()).await.unwrap().unwrap().unwrap();
            let Message::Text(text) = frame else { continue };
            let frame: Value = serde_json::from_str(&text).unwrap();
            if frame.get("event").is_none() {
                assert!(frame.get("error").is_none() && frame["id"] == 1, "{frame}");
                return;
            }
        }
    }

    async fn join(&mut self, room: &str) {
        self.ask("room:join", &json!({ "room": room })).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_of_a_room_and_each_conversation_is_told_once_of_all_nodes() {
    let mut backend = Backend::start().await;
    let url = format!("http://{}/hook", backend.address);
    let mut pair = Pair::start(&[
        ("TURNPIKE_WEBHOOK_URL", &url),
        ("TURNPIKE_WEBHOOK_SECRET", "0123456789-of-the-webhooks-of-the-tests"),
        ("TURNPIKE_WEBHOOK_EVENTS", "room.occupied,room.vacated,message.offline"),
        ("TURNPIKE_WEBHOOK_ALLOW_PRIVATE", "true"),
    ]);
    let change = |kind: &str, room: &str| (format!("room.{kind}"), room.to_owned());
    let mut alice = Client::enter(&pair, 0, "alice").await;
    let mut bob = Client::enter(&pair, 1, "bob").await;
    alice.join("chat:a").await;
    assert_eq!(backend.change().await, change("occupied", "chat:a"));
    bob.join("chat:a").await;
    alice.join("chat:b").await;
    assert_eq!(backend.change().await, change("occupied", "chat:b"));

    // To somebody who is nowhere, by one sender over both nodes.
    let mut elsewhere = Client::enter(&pair, 1, "alice").await;
    let message = json!({ "room": "user:nobody", "body": 1 });
    for _ in 0..2 {
        alice.ask("message:send", &message).await;
        elsewhere.ask("message:send", &message).await;
    }
    let offline = backend.next().await;
    assert_eq!((&offline["type"], &offline["user"]), (&json!("message.offline"), &json!("nobody")));
    bob.join("chat:c").await;
    assert_eq!(backend.change().await, change("occupied", "chat:c"), "and nothing between");

    pair.nodes[0].kill();
    assert_eq!(backend.change().await, change("vacated", "chat:b"), "the other room has somebody left");
    bob.ask("room:leave", &json!({ "room": "chat:a" })).await;
    assert_eq!(backend.change().await, change("vacated", "chat:a"));
    bob.join("chat:b").await;
    assert_eq!(backend.change().await, change("occupied", "chat:b"));
    assert!(backend.events.try_recv().is_err());
}
