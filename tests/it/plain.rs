//! The plain websocket of the real binary: `/ws`, JSON in text frames, no Socket.IO.

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::harness::signal;
use crate::harness::turnpike::{Turnpike, signed};
use crate::harness::websocket::BROKEN;

struct Plain(WebSocketStream<TcpStream>);

/// Code and reason of a close frame; none if the connection ended without.
type Closed = Option<(u16, String)>;

impl Plain {
    async fn open(turnpike: &Turnpike, authorization: Option<&str>) -> Self {
        let address = turnpike.server.address;
        let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
        if let Some(value) = authorization {
            request.headers_mut().insert("authorization", value.parse().unwrap());
        }
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(tokio_tungstenite::client_async(request, stream).await.unwrap().0)
    }

    /// A connection of this user, past its `session`.
    async fn enter(turnpike: &Turnpike, user: &str) -> Self {
        let token = turnpike.token(&["--user", user]);
        let mut this = Self::open(turnpike, Some(&format!("Bearer {token}"))).await;
        let session = this.event("session").await;
        assert_eq!(session["user"], user);
        this
    }

    async fn send(&mut self, frame: &Value) {
        self.0.send(Message::text(frame.to_string())).await.unwrap();
    }

    async fn next(&mut self) -> Result<Value, Closed> {
        loop {
            match tokio::time::timeout(BROKEN, self.0.next()).await.expect("something in time") {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).expect("JSON")),
                Some(Ok(Message::Close(frame))) => {
                    return Err(frame.map(|frame| (frame.code.into(), frame.reason.to_string())));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// The data of the next frame, which is this event.
    async fn event(&mut self, name: &str) -> Value {
        let mut frame = self.next().await.unwrap_or_else(|closed| panic!("no {name} but {closed:?}"));
        assert_eq!(frame["event"], name, "{frame}");
        assert!(frame.get("id").is_none(), "{frame}");
        frame["data"].take()
    }

    /// Asks and takes the answer, which has to be the next frame with an id.
    async fn ask(&mut self, id: u64, event: &str, data: Value) -> Value {
        self.send(&json!({ "id": id, "event": event, "data": data })).await;
        loop {
            let frame = self.next().await.unwrap_or_else(|closed| panic!("no answer but {closed:?}"));
            if frame.get("event").is_none() {
                assert_eq!(frame["id"], id, "{frame}");
                return frame;
            }
        }
    }

    /// How the connection ends, whatever comes before.
    async fn end(&mut self) -> Closed {
        loop {
            if let Err(closed) = self.next().await {
                return closed;
            }
        }
    }
}

fn block_on(body: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(body);
}

#[test]
fn the_first_frame_brings_the_token() {
    let turnpike = Turnpike::start(&[]);
    let token = turnpike.token(&["--user", "alice"]);
    block_on(async {
        let mut alice = Plain::open(&turnpike, None).await;
        let answer = alice.ask(1, "connect", json!({ "token": token })).await;
        assert_eq!(answer["ok"], true, "{answer}");
        let session = alice.event("session").await;
        assert_eq!((&session["user"], &session["connection"]), (&json!("alice"), &answer["connection"]));
    });
}

#[test]
fn the_header_brings_the_token() {
    let turnpike = Turnpike::start(&[]);
    let token = turnpike.token(&["--user", "alice"]);
    block_on(async {
        for scheme in ["Bearer", "bearer"] {
            let mut alice = Plain::open(&turnpike, Some(&format!("{scheme} {token}"))).await;
            assert_eq!(alice.event("session").await["user"], "alice");
        }
    });
}

#[test]
fn join_send_message_leave() {
    let turnpike = Turnpike::start(&[]);
    block_on(async {
        let mut alice = Plain::enter(&turnpike, "alice").await;
        let mut bob = Plain::enter(&turnpike, "bob").await;
        for client in [&mut alice, &mut bob] {
            let joined = client.ask(1, "room:join", json!({ "room": "chat:a" })).await;
            assert_eq!(
                (&joined["ok"], &joined["room"], &joined["seq"]),
                (&json!(true), &json!("chat:a"), &json!(0))
            );
        }
        alice.send(&json!({ "id": 2, "event": "message:send", "data": { "room": "chat:a", "body": { "text": "hi" } } })).await;
        // Its answer and its own copy may come in either order.
        let (mut answer, mut own) = (Value::Null, Value::Null);
        for _ in 0..2 {
            let frame = alice.next().await.unwrap();
            if frame.get("event").is_none() { answer = frame } else { own = frame }
        }
        assert_eq!(
            (&answer["id"], &answer["ok"], &answer["seq"]),
            (&json!(2), &json!(true), &json!(1)),
            "{answer}"
        );
        let message = bob.event("message").await;
        assert_eq!(own, json!({ "event": "message", "data": message }));
        assert_eq!(
            (&message["room"], &message["seq"], &message["from"], &message["body"], &message["ts"]),
            (&json!("chat:a"), &json!(1), &json!("alice"), &json!({ "text": "hi" }), &answer["ts"])
        );

        assert_eq!(
            bob.ask(3, "room:leave", json!({ "room": "chat:a" })).await,
            json!({ "id": 3, "ok": true })
        );
        alice.ask(4, "message:send", json!({ "room": "chat:a", "body": 2 })).await;
        bob.send(&json!({ "id": 5, "event": "ping", "data": "still here" })).await;
        let pong = bob.next().await.unwrap();
        assert_eq!(
            (&pong["id"], &pong["data"]),
            (&json!(5), &json!("still here")),
            "nothing of the room came before"
        );
    });
}

#[test]
fn binary_of_a_stock_client_is_base64_here() {
    // The plain protocol has no binary of its own; the reverse is what its clients send.
    let turnpike = Turnpike::start(&[]);
    block_on(async {
        let mut alice = Plain::enter(&turnpike, "alice").await;
        alice.ask(1, "room:join", json!({ "room": "chat:a" })).await;
        let token = turnpike.token(&["--user", "bob"]);
        let (mut bob, _) = crate::harness::websocket::WebSocket::session(&turnpike.server).await;
        bob.send(&format!("40{}", json!({ "token": token }))).await;
        bob.send(r#"420["room:join",{"room":"chat:a"}]"#).await;
        bob.send(r#"451-1["message:send",{"room":"chat:a","body":{"_placeholder":true,"num":0}}]"#).await;
        bob.send_binary(b"\x01\x02\x03").await;
        assert_eq!(alice.event("message").await["body"], json!({ "$binary": "AQID" }));
    });
}

#[test]
fn errors_have_their_codes() {
    let turnpike = Turnpike::start(&[]);
    let token = turnpike.token(&["--user", "alice", "--room", "chat:*=join"]);
    block_on(async {
        let mut alice = Plain::open(&turnpike, Some(&format!("Bearer {token}"))).await;
        alice.event("session").await;
        let table = [
            ("room:join", json!({ "room": "other" }), 106, "forbidden"),
            ("room:join", json!({ "room": "no room" }), 101, "bad_request"),
            ("room:join", json!(5), 101, "bad_request"),
            ("message:send", json!({ "room": "chat:a", "body": 1 }), 106, "forbidden"),
            ("no:such", json!({}), 102, "unknown_event"),
            ("ping", json!("x".repeat(2_000)), 103, "too_large"),
        ];
        for (id, (event, data, code, reason)) in table.into_iter().enumerate() {
            let answer = alice.ask(id as u64, event, data).await;
            assert_eq!(answer["ok"], false, "{event}: {answer}");
            let error = &answer["error"];
            assert_eq!((&error["code"], &error["reason"]), (&json!(code), &json!(reason)), "{event}");
            assert!(error["message"].is_string() && error["retryable"].is_boolean(), "{answer}");
        }
        // Who wants no answer is told by an event.
        alice.send(&json!({ "event": "no:such" })).await;
        let error = alice.event("error").await;
        assert_eq!((&error["event"], &error["code"]), (&json!("no:such"), &json!(102)));
    });
}

#[test]
fn a_bad_token_is_answered_and_closes() {
    let turnpike = Turnpike::start(&[]);
    block_on(async {
        let mut nobody = Plain::open(&turnpike, None).await;
        let answer = nobody.ask(1, "connect", json!({ "token": "abc" })).await;
        assert_eq!((&answer["ok"], &answer["error"]["code"]), (&json!(false), &json!(104)));
        assert_eq!(nobody.end().await.map(|(code, _)| code), Some(1008));

        let mut nobody = Plain::open(&turnpike, Some("Bearer abc")).await;
        assert_eq!(nobody.end().await.map(|(code, _)| code), Some(1008));
    });
}

#[test]
fn an_expired_token_has_a_close_code_of_its_own() {
    let turnpike = Turnpike::start(&[]);
    let token = signed(&json!({ "sub": "alice", "exp": 1_700_000_000 }));
    block_on(async {
        let mut alice = Plain::open(&turnpike, Some(&format!("Bearer {token}"))).await;
        assert_eq!(alice.end().await, Some((3501, "token_expired".to_owned())));
    });
}

#[test]
fn nothing_is_done_for_who_has_not_entered() {
    let turnpike = Turnpike::start(&[]);
    block_on(async {
        let mut nobody = Plain::open(&turnpike, None).await;
        nobody.send(&json!({ "id": 1, "event": "room:join", "data": { "room": "chat:a" } })).await;
        loop {
            match nobody.next().await {
                Ok(frame) => assert_eq!(frame["ok"], false, "{frame}"),
                Err(closed) => {
                    assert_eq!(closed.expect("a close frame").0, 1008);
                    break;
                }
            }
        }
    });
}

#[test]
fn frames_that_are_none_close() {
    let turnpike = Turnpike::start(&[]);
    block_on(async {
        for frame in
            ["", "{", "5", "[]", "{}", r#"{"id":1}"#, r#"{"event":5}"#, r#"{"id":"x","event":"ping"}"#]
        {
            let mut alice = Plain::enter(&turnpike, "alice").await;
            alice.0.send(Message::text(frame)).await.unwrap();
            let closed = alice.end().await;
            assert!(closed.is_some_and(|(code, _)| code == 1008), "{frame}");
        }
        let mut alice = Plain::enter(&turnpike, "alice").await;
        alice.0.send(Message::binary(b"{}".to_vec())).await.unwrap();
        let closed = alice.end().await;
        assert!(closed.as_ref().is_some_and(|(code, _)| [1003, 1008].contains(code)), "{closed:?}");
    });
}

#[test]
fn a_drain_says_so_and_closes_with_its_code() {
    let turnpike = Turnpike::start(&[("TURNPIKE_DRAIN_WINDOW", "200ms")]);
    block_on(async {
        let mut alice = Plain::enter(&turnpike, "alice").await;
        signal("TERM", turnpike.server.process_id());
        let told = alice.event("closing").await;
        assert_eq!((&told["code"], &told["reason"]), (&json!(3001), &json!("drain")));
        assert_eq!(alice.end().await, Some((3001, "drain".to_owned())));
    });
}
