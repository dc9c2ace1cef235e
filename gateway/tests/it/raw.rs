//! The same events over the plain websocket.

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::client::Client;
use crate::house::{BROKEN, House, claims, signed, token, unix_seconds};

pub(crate) struct Raw(WebSocketStream<TcpStream>);

impl Raw {
    pub(crate) async fn open(house: &House, bearer: Option<&str>) -> Self {
        let address = house.address();
        let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
        if let Some(token) = bearer {
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let stream = TcpStream::connect(address).await.unwrap();
        Self(tokio_tungstenite::client_async(request, stream).await.unwrap().0)
    }

    pub(crate) async fn send(&mut self, frame: &Value) {
        self.0.send(Message::text(frame.to_string())).await.unwrap();
    }

    pub(crate) async fn next(&mut self) -> Result<Value, Option<(u16, String)>> {
        loop {
            match tokio::time::timeout(BROKEN, self.0.next()).await.unwrap() {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(close))) => {
                    return Err(close.map(|close| (close.code.into(), close.reason.to_string())));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }
}

#[tokio::test]
async fn the_token_in_the_first_frame() {
    let house = House::start();
    let mut raw = Raw::open(&house, None).await;
    raw.send(&json!({ "id": 1, "event": "connect", "data": { "token": token("alice") } })).await;
    let answer = raw.next().await.unwrap();
    assert_eq!((&answer["id"], &answer["ok"]), (&json!(1), &json!(true)));
    let session = raw.next().await.unwrap();
    assert_eq!((&session["event"], &session["data"]["user"]), (&json!("session"), &json!("alice")));
    assert_eq!(session["data"]["connection"], answer["connection"]);
}

#[tokio::test]
async fn the_token_in_the_header_and_a_talk_with_a_stock_client() {
    let house = House::start();
    let mut raw = Raw::open(&house, Some(&token("alice"))).await;
    assert_eq!(raw.next().await.unwrap()["event"], "session");
    raw.send(&json!({ "id": 7, "event": "room:join", "data": { "room": "chat:a" } })).await;
    let joined = raw.next().await.unwrap();
    let epoch = joined["epoch"].as_u64().unwrap();
    assert_eq!(
        joined,
        json!({ "id": 7, "ok": true, "room": "chat:a", "epoch": epoch, "seq": 0, "recovered": false, "messages": [] })
    );
    let mut bob = Client::enter(&house, "bob").await;
    bob.join("chat:a").await;
    bob.say("chat:a", json!({ "text": "hi" })).await;
    let message = raw.next().await.unwrap();
    assert_eq!(message["event"], "message");
    assert_eq!((&message["data"]["from"], &message["data"]["body"]["text"]), (&json!("bob"), &json!("hi")));
    assert!(message.as_object().unwrap().len() == 2, "no offset: raw clients go by positions");
    raw.send(&json!({ "event": "no:such" })).await;
    let error = raw.next().await.unwrap();
    assert_eq!((&error["event"], &error["data"]["code"]), (&json!("error"), &json!(102)));
    raw.send(
        &json!({ "id": 9, "event": "message:send", "data": { "room": "chat:a", "id": "m1", "body": 1 } }),
    )
    .await;
    assert_eq!(raw.next().await.unwrap()["data"]["id"], "m1", "a sender sees the message before its answer");
    let sent = raw.next().await.unwrap();
    assert_eq!((&sent["id"], &sent["result_id"], &sent["seq"]), (&json!(9), &json!("m1"), &json!(2)));
    raw.send(&json!({ "id": 8, "event": "ping", "data": 5 })).await;
    assert_eq!(raw.next().await.unwrap()["data"], 5);
}

#[tokio::test]
async fn a_raw_client_returns_by_position() {
    let house = House::start();
    let mut bob = Client::enter(&house, "bob").await;
    bob.join("chat:a").await;
    let first = bob.say("chat:a", 1).await;
    bob.say("chat:a", 2).await;
    let mut raw = Raw::open(&house, Some(&token("alice"))).await;
    raw.next().await.unwrap();
    let since = format!("{}:1", first["epoch"]);
    raw.send(&json!({ "id": 1, "event": "room:join", "data": { "room": "chat:a", "since": since } })).await;
    let joined = raw.next().await.unwrap();
    assert_eq!((&joined["recovered"], &joined["messages"][0]["body"]), (&json!(true), &json!(2)));
}

#[tokio::test]
async fn a_bad_token_closes_with_the_reason() {
    let house = House::start();
    let mut raw = Raw::open(&house, None).await;
    raw.send(&json!({ "id": 3, "event": "connect", "data": { "token": "x" } })).await;
    let answer = raw.next().await.unwrap();
    assert_eq!(
        (&answer["id"], &answer["ok"], &answer["error"]["code"]),
        (&json!(3), &json!(false), &json!(104))
    );
    assert!(answer["error"]["message"].is_string(), "{answer}");
    assert_eq!(raw.next().await.unwrap_err().unwrap().0, 1008);

    let mut old = claims("alice");
    old.exp = turnpike_guard::NumericDate(unix_seconds() - 60);
    let mut raw = Raw::open(&house, Some(&signed(&old))).await;
    let closed = loop {
        if let Err(closed) = raw.next().await {
            break closed.unwrap();
        }
    };
    assert_eq!(closed, (3501, "token_expired".to_owned()));
}

#[tokio::test]
async fn a_newcomer_in_a_crowd_is_told_when_to_come_again() {
    let house = House::with(|plan| {
        (plan.engine.shards, plan.engine.handshakes_per_second, plan.engine.handshakes_burst) = (1, 1, 40);
    });
    // Half of the burst, and what a slow machine gains meanwhile.
    let mut let_in = Vec::new();
    let (mut raw, answer) = loop {
        let mut raw = Raw::open(&house, None).await;
        raw.send(&json!({ "id": 1, "event": "connect", "data": { "token": token("alice") } })).await;
        let answer = raw.next().await.unwrap();
        if answer["ok"] == json!(false) {
            break (raw, answer);
        }
        let_in.push(raw);
    };
    assert!((19..32).contains(&let_in.len()), "{} were let in", let_in.len());
    let (error, closing) = (&answer["error"], raw.next().await.unwrap());
    assert_eq!(error["retryable"], json!(true), "{answer}");
    assert_eq!(closing["event"], "closing");
    assert_eq!(closing["data"]["code"], 3003);
    assert_eq!(closing["data"]["reconnect_after_ms"], error["retry_after_ms"]);
    assert_eq!(raw.next().await, Err(Some((3003, "overloaded".to_owned()))));
    assert_eq!(house.metric("turnpike_gateway_connects_put_off_total", &[]), 1);
}
