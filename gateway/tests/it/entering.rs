//! Who is let in, and what they are told first.

use serde_json::json;
use turnpike_guard::NumericDate;

use crate::client::Client;
use crate::house::{House, claims, signed, token, unix_seconds};

#[tokio::test]
async fn the_first_event_says_who_where_and_bears_an_offset() {
    let house = House::start();
    let (client, session) = Client::enter_with(&house, &json!({ "token": token("alice") })).await;
    assert_eq!(session["connection"], client.sid);
    assert_eq!(session["user"], "alice");
    assert_eq!(session["node"], "n1");
    assert_eq!(session["recovered"], false);
    assert_eq!((&session["ping_interval_ms"], &session["ping_timeout_ms"]), (&json!(25_000), &json!(20_000)));
    assert!(session["server_time"].as_u64().unwrap() / 1000 >= unix_seconds() - 60);
    assert!(client.memory.pid.is_some() && client.memory.offset.is_some());
}

#[tokio::test]
async fn without_a_good_token_nobody_enters() {
    let house = House::start();
    let mut old = claims("alice");
    old.exp = NumericDate(unix_seconds() - 60);
    for (auth, code, reason, message) in [
        (json!({}), 104, "unauthorized", "a valid token is needed"),
        (json!({ "token": 5 }), 104, "unauthorized", "a valid token is needed"),
        (json!({ "token": "x.y.z" }), 104, "unauthorized", "a valid token is needed"),
        (json!({ "token": signed(&old) }), 105, "token_expired", "the token has expired"),
    ] {
        let mut client = Client::open(house.address()).await;
        let refused = client.connect(&auth).await.unwrap_err();
        assert_eq!(
            refused,
            json!({ "message": message, "data": { "code": code, "reason": reason, "retryable": false } }),
            "{auth}"
        );
        // The connection stays, for another try.
        assert_eq!(client.connect(&json!({ "token": token("alice") })).await, Ok(()));
    }
    assert_eq!(house.metric("turnpike_gateway_tokens_refused_total", &["missing"]), 2);
    assert_eq!(house.metric("turnpike_gateway_tokens_refused_total", &["expired"]), 1);
}

#[tokio::test]
async fn an_event_before_entering_ends_the_connection() {
    let house = House::start();
    let mut client = Client::open(house.address()).await;
    client.tell("room:join", &json!({ "room": "chat:a" })).await;
    assert!(client.next_event().await.is_none());
}

#[tokio::test]
async fn everybody_is_in_their_personal_room() {
    let house = House::start();
    let mut phone = Client::enter(&house, "alice").await;
    let mut laptop = Client::enter(&house, "alice").await;
    let mut bob = Client::enter(&house, "bob").await;
    let mut service = claims("backend");
    service.role = turnpike_guard::Role::Service;
    let (mut backend, _) = Client::enter_with(&house, &json!({ "token": signed(&service) })).await;
    backend.say("user:alice", "for alice").await;
    assert_eq!(phone.message().await.1, "for alice");
    assert_eq!(laptop.message().await.1, "for alice");
    bob.has_nothing_more().await;
    let refused = bob.ask("message:send", &json!({ "room": "user:alice", "body": 1 })).await;
    assert_eq!(refused["error"]["reason"], "forbidden");
    let refused = bob.ask("room:join", &json!({ "room": "user:alice" })).await;
    assert_eq!(refused["error"]["reason"], "forbidden");
    let refused = bob.ask("room:leave", &json!({ "room": "user:bob" })).await;
    assert_eq!(refused["error"]["reason"], "forbidden");
}
