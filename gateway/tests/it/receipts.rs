//! How far everybody has come, as clients see it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use turnpike_guard::Role;

use crate::client::Client;
use crate::house::{claims, signed, token};
use crate::presence::house;

const ROOM: &str = "chat:a";

async fn mark(client: &mut Client, what: &str, room: &str, seq: u64) {
    let answer = client.ask(&format!("message:{what}"), &json!({ "room": room, "seq": seq })).await;
    assert_eq!(answer, json!({ "ok": true }));
}

/// The next event that is no message.
async fn told(client: &mut Client) -> Value {
    loop {
        let event = client.event().await;
        if event.name == "receipt" {
            return event.data;
        }
        assert_eq!(event.name, "message", "{event:?}");
    }
}

#[tokio::test]
async fn members_are_told_how_far_others_have_come() {
    let house = house();
    let mut alice = Client::enter(&house, "alice").await;
    let mut bob = Client::enter(&house, "bob").await;
    for client in [&mut alice, &mut bob] {
        client.join(ROOM).await;
    }
    for number in 1..=5 {
        alice.say(ROOM, number).await;
    }
    mark(&mut bob, "received", ROOM, 3).await;
    for client in [&mut alice, &mut bob] {
        let event = told(client).await;
        assert_eq!(event, json!({ "room": ROOM, "marks": [{ "user": "bob", "received": 3 }] }));
    }
    mark(&mut bob, "read", ROOM, 2).await;
    assert_eq!(told(&mut alice).await["marks"], json!([{ "user": "bob", "received": 3, "read": 2 }]));
    // Never back, and never beyond what there is.
    mark(&mut bob, "received", ROOM, 1).await;
    mark(&mut bob, "read", ROOM, 1_000).await;
    assert_eq!(told(&mut alice).await["marks"], json!([{ "user": "bob", "received": 5, "read": 5 }]));
    alice.has_nothing_more().await;
}

#[tokio::test]
async fn many_marks_are_few_events_and_the_last_is_never_lost() {
    let house = house();
    let mut alice = Client::enter(&house, "alice").await;
    let mut bob = Client::enter(&house, "bob").await;
    for client in [&mut alice, &mut bob] {
        client.join(ROOM).await;
    }
    let started = Instant::now();
    for number in 1..=100 {
        alice.say(ROOM, number).await;
        mark(&mut bob, "read", ROOM, number).await;
    }
    bob.leave_namespace().await;
    let mut events = 0;
    loop {
        events += 1;
        let event = told(&mut alice).await;
        if event["marks"][0]["read"] == 100 {
            break;
        }
    }
    // One at once, and one for each second that it took.
    assert!(events <= 2 + started.elapsed().as_secs(), "{events} in {:?}", started.elapsed());
}

#[tokio::test]
async fn a_device_is_given_what_it_has_not_received() {
    let house = house();
    let mut service = claims("backend");
    service.role = Role::Service;
    service.rooms = Some(vec!["user:*=send".parse().unwrap()]);
    let (mut backend, _) = Client::enter_with(&house, &json!({ "token": signed(&service) })).await;
    let auth = json!({ "token": token("alice"), "device": "phone" });
    let (mut phone, _) = Client::enter_with(&house, &auth).await;
    let (mut tablet, _) =
        Client::enter_with(&house, &json!({ "token": token("alice"), "device": "tablet" })).await;
    for number in 1..=3 {
        backend.say("user:alice", number).await;
        assert_eq!(phone.message().await.1, number);
    }
    mark(&mut phone, "received", "user:alice", 2).await;
    // Her other devices learn of it. By then it has been written.
    assert_eq!(told(&mut tablet).await["marks"], json!([{ "user": "alice", "received": 2 }]));
    phone.leave_namespace().await;
    let (mut phone, _) = Client::enter_with(&house, &auth).await;
    assert_eq!(phone.message().await, (3, json!(3)));
    tokio::time::timeout(Duration::from_secs(5), phone.has_nothing_more()).await.unwrap();
}

/// An offset says that everything before it was given, which a receipt does not know.
#[tokio::test]
async fn a_receipt_moves_nobody_in_the_log() {
    let house = house();
    let mut alice = Client::enter(&house, "alice").await;
    let mut bob = Client::enter(&house, "bob").await;
    for client in [&mut alice, &mut bob] {
        client.join(ROOM).await;
    }
    bob.say(ROOM, "one").await;
    assert_eq!(alice.message().await.1, "one");
    let before = alice.memory.offset.clone();
    assert!(before.is_some());
    mark(&mut bob, "read", ROOM, 1).await;
    told(&mut alice).await;
    assert_eq!(alice.memory.offset, before);
    let memory = alice.cut();
    bob.say(ROOM, "two").await;
    let (mut alice, session) = Client::return_with(&house, "alice", &memory).await;
    assert_eq!(session["recovered"], true);
    assert_eq!(alice.message().await.1, "two");
    alice.has_nothing_more().await;
}

#[tokio::test]
async fn only_members_mark() {
    let house = house();
    let mut alice = Client::enter(&house, "alice").await;
    for event in ["message:received", "message:read"] {
        let answer = alice.ask(event, &json!({ "room": ROOM, "seq": 1 })).await;
        assert_eq!(answer["error"]["reason"], "not_in_room");
        let answer = alice.ask(event, &json!({ "room": ROOM })).await;
        assert_eq!(answer["error"]["reason"], "bad_request");
    }
}
