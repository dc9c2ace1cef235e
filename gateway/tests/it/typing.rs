//! Who is typing, as clients see it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::Client;
use crate::house::House;
use crate::presence::house;

const ROOM: &str = "chat:a";
/// What ends it is seen at once, on a machine that may have other things to do; by itself it ends five seconds after it began.
const BEFORE_IT_IS_FORGOTTEN: Duration = Duration::from_secs(4);

async fn enter(house: &House, user: &str) -> Client {
    let mut client = Client::enter(house, user).await;
    client.join(ROOM).await;
    client
}

async fn start(client: &mut Client) {
    assert_eq!(client.ask("typing:start", &json!({ "room": ROOM })).await, json!({ "ok": true }));
}

/// Who is typing, as the next event says.
async fn told(client: &mut Client) -> (Vec<String>, u64) {
    let event = client.event().await;
    assert_eq!((&*event.name, &event.data["room"]), ("typing", &json!(ROOM)), "{event:?}");
    let users = event.data["users"].as_array().unwrap();
    (
        users.iter().map(|user| user.as_str().unwrap().to_owned()).collect(),
        event.data["more"].as_u64().unwrap(),
    )
}

fn these(users: &[&str]) -> (Vec<String>, u64) {
    (users.iter().map(|user| (*user).to_owned()).collect(), 0)
}

#[tokio::test]
async fn ty2_ty3_others_see_it_until_the_message() {
    let house = house();
    let mut alice = enter(&house, "alice").await;
    let mut tablet = enter(&house, "alice").await;
    let mut bob = enter(&house, "bob").await;
    let mut outside = Client::enter(&house, "carol").await;
    start(&mut alice).await;
    assert_eq!(told(&mut bob).await, these(&["alice"]));
    alice.say(ROOM, "hi").await;
    let spoke = Instant::now();
    assert_eq!(bob.message().await.1, "hi");
    assert_eq!(told(&mut bob).await, these(&[]));
    assert!(spoke.elapsed() < BEFORE_IT_IS_FORGOTTEN, "{:?}", spoke.elapsed());
    // Never to the typist, on whatever device, nor to who is not in the room.
    for own in [&mut alice, &mut tablet] {
        assert_eq!(own.message().await.1, "hi");
    }
    outside.has_nothing_more().await;
    // What the others are told when it is over says nothing of the typist.
    for own in [&mut alice, &mut tablet] {
        assert_eq!(told(own).await, these(&[]));
        own.has_nothing_more().await;
    }
    // TY5: nothing of it is kept.
    let history = bob.ask("message:history", &json!({ "room": ROOM })).await;
    assert_eq!(history["messages"].as_array().unwrap().len(), 1);
    assert!(!history.to_string().contains("typing"));
}

#[tokio::test]
async fn ty3_everybody_sees_the_others() {
    let house = house();
    let mut clients = Vec::new();
    for user in ["alice", "bob", "carol", "dave", "erin"] {
        clients.push(enter(&house, user).await);
    }
    for client in &mut clients[..4] {
        start(client).await;
    }
    let others = [
        (vec!["bob", "carol", "dave"], 0),
        (vec!["alice", "carol", "dave"], 0),
        (vec!["alice", "bob", "dave"], 0),
        (vec!["alice", "bob", "carol"], 0),
        (vec!["alice", "bob", "carol"], 1),
    ];
    let names = ["alice", "bob", "carol", "dave", "erin"];
    for ((client, expected), own) in clients.iter_mut().zip(others).zip(names) {
        loop {
            let (users, more) = told(client).await;
            assert!(!users.iter().any(|user| user == own), "{own} is told of {users:?}");
            if users == expected.0 && more == expected.1 {
                break;
            }
        }
    }
}

#[tokio::test]
async fn it_ends_with_stopping_leaving_and_going_away() {
    let house = house();
    let mut bob = enter(&house, "bob").await;
    for (user, how) in [("alice", "stop"), ("carol", "leave"), ("dave", "cut")] {
        let mut typist = enter(&house, user).await;
        start(&mut typist).await;
        assert_eq!(told(&mut bob).await, these(&[user]));
        match how {
            "stop" => drop(typist.ask("typing:stop", &json!({ "room": ROOM })).await),
            "leave" => drop(typist.ask("room:leave", &json!({ "room": ROOM })).await),
            _ => drop(typist.cut()),
        }
        let ended = Instant::now();
        assert_eq!(told(&mut bob).await, these(&[]), "{how}");
        assert!(ended.elapsed() < BEFORE_IT_IS_FORGOTTEN, "{how}");
    }
}

#[tokio::test]
async fn ty1_it_is_forgotten() {
    let house = house();
    let mut alice = enter(&house, "alice").await;
    let mut bob = enter(&house, "bob").await;
    let started = Instant::now();
    start(&mut alice).await;
    // Too soon to be taken, and nobody has to know.
    start(&mut alice).await;
    assert_eq!(told(&mut bob).await, these(&["alice"]));
    assert_eq!(told(&mut bob).await, these(&[]));
    let after = started.elapsed();
    assert!((5_000..10_000).contains(&after.as_millis()), "{after:?}");
}

#[tokio::test]
async fn who_may_not_type_is_told_so() {
    let house = house();
    let mut alice = enter(&house, "alice").await;
    let reason = |answer: Value| answer["error"]["reason"].as_str().unwrap().to_owned();
    alice.join("quiet:a").await;
    assert_eq!(reason(alice.ask("typing:start", &json!({ "room": "quiet:a" })).await), "forbidden");
    for event in ["typing:start", "typing:stop"] {
        assert_eq!(reason(alice.ask(event, &json!({ "room": "chat:elsewhere" })).await), "not_in_room");
        assert_eq!(reason(alice.ask(event, &json!({})).await), "bad_request");
    }
}
