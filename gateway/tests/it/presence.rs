//! Who is where, as clients see it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use turnpike_guard::{TokenKey, Verifier};

use crate::client::Client;
use crate::house::{House, SECRET, grant, token};

const ROOM: &str = "chat:a";

/// Rooms in which everything is granted, and some in which presence is not.
pub(crate) fn house() -> House {
    House::with(|plan| {
        let grants = vec![grant("chat:*=join,send,history,presence,typing"), grant("quiet:*=join,send")];
        plan.tokens = Verifier::new(TokenKey::hs256(SECRET).unwrap(), grants);
    })
}

async fn watch(client: &mut Client) -> Value {
    let answer = client.ask("room:join", &json!({ "room": ROOM, "presence": true })).await;
    assert_eq!(answer["ok"], true, "{answer}");
    answer
}

async fn enter(house: &House, user: &str) -> Client {
    let mut client = Client::enter(house, user).await;
    watch(&mut client).await;
    client
}

async fn update(client: &mut Client, update: Value) {
    let answer = client.ask("presence:update", &update).await;
    assert_eq!(answer, json!({ "ok": true }));
}

async fn list(client: &mut Client) -> Value {
    client.ask("presence:list", &json!({ "room": ROOM })).await
}

fn users(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|entry| entry.as_str().or(entry["user"].as_str()).unwrap()).collect()
}

/// The next event about who is there.
async fn told(client: &mut Client) -> Value {
    let event = client.event().await;
    assert_eq!((&*event.name, &event.data["room"]), ("presence", &json!(ROOM)), "{event:?}");
    event.data
}

#[tokio::test]
async fn a_join_shows_who_is_there_and_tells_the_others() {
    let house = house();
    let mut alice = Client::enter(&house, "alice").await;
    let joined = watch(&mut alice).await;
    assert_eq!((&joined["count"], users(&joined["members"])), (&json!(1), vec!["alice"]));
    let mut bob = Client::enter(&house, "bob").await;
    let joined = watch(&mut bob).await;
    assert_eq!((&joined["count"], users(&joined["members"])), (&json!(2), vec!["alice", "bob"]));
    let event = told(&mut alice).await;
    assert_eq!(
        event,
        json!({ "room": ROOM, "count": 2, "joined": [{ "user": "bob", "status": "online" }], "left": [], "changed": [] })
    );
    alice.ask("room:leave", &json!({ "room": ROOM })).await;
    let left = Instant::now();
    let event = told(&mut bob).await;
    assert_eq!((&event["count"], users(&event["left"])), (&json!(1), vec!["alice"]));
    assert!(left.elapsed() < Duration::from_millis(3_900), "at once, and not after a grace");
    alice.has_nothing_more().await;
}

#[tokio::test]
async fn only_who_asks_for_it_is_shown_and_told() {
    let house = house();
    let mut alice = enter(&house, "alice").await;
    let mut bob = Client::enter(&house, "bob").await;
    let joined = bob.join(ROOM).await;
    assert!(joined.get("members").is_none() && joined.get("count").is_none(), "{joined}");
    let mut carol = enter(&house, "carol").await;
    assert_eq!(users(&told(&mut alice).await["joined"]), ["carol"]);
    assert_eq!(users(&list(&mut bob).await["members"]), ["alice", "carol"], "who is in the room may ask");
    carol.ask("room:leave", &json!({ "room": ROOM })).await;
    assert_eq!(users(&told(&mut alice).await["left"]), ["carol"]);
    bob.has_nothing_more().await;
    // Asking for it later is as good, and so is thinking better of it.
    watch(&mut bob).await;
    assert_eq!(users(&told(&mut alice).await["joined"]), ["bob"]);
    bob.join(ROOM).await;
    assert_eq!(users(&told(&mut alice).await["left"]), ["bob"]);
    let refused = carol.ask("room:join", &json!({ "room": "quiet:a", "presence": true })).await;
    assert_eq!(refused["error"]["reason"], "forbidden");
    assert_eq!(list(&mut carol).await["error"]["reason"], "not_in_room");
}

#[tokio::test]
async fn pr4_a_user_is_there_as_long_as_one_device_is() {
    let house = house();
    let mut alice = enter(&house, "alice").await;
    let mut devices = Vec::new();
    for device in ["phone", "laptop"] {
        let (mut client, _) =
            Client::enter_with(&house, &json!({ "token": token("bob"), "device": device })).await;
        watch(&mut client).await;
        devices.push(client);
    }
    assert_eq!(users(&told(&mut alice).await["joined"]), ["bob"]);
    let listed = list(&mut alice).await;
    assert_eq!(listed["members"][1]["devices"], json!(["laptop", "phone"]));
    update(&mut devices[0], json!({ "status": "away" })).await;
    devices.pop().unwrap().leave_namespace().await;
    let event = told(&mut alice).await;
    assert_eq!(event["changed"], json!([{ "user": "bob", "status": "away" }]), "{event}");
    devices.pop().unwrap().leave_namespace().await;
    let event = told(&mut alice).await;
    assert_eq!((users(&event["left"]), &event["count"]), (vec!["bob"], &json!(1)));
}

#[tokio::test]
async fn what_somebody_does_is_told_as_it_came() {
    let house = house();
    let mut alice = enter(&house, "alice").await;
    let mut bob = enter(&house, "bob").await;
    told(&mut alice).await;
    update(&mut bob, json!({ "status": "busy", "activity": { "in": "a call" }, "device": "phone" })).await;
    let event = told(&mut alice).await;
    assert_eq!(
        event["changed"],
        json!([{ "user": "bob", "status": "busy", "activity": { "in": "a call" } }])
    );
    assert_eq!(
        list(&mut bob).await["members"][1]["devices"],
        json!(["phone"]),
        "one and the same connection"
    );
    for bad in [
        json!({}),
        json!({ "status": "asleep" }),
        json!({ "status": "online", "activity": "text" }),
        json!({ "status": "online", "activity": { "a": "x".repeat(1_100) } }),
        json!({ "status": "online", "device": "my phone" }),
    ] {
        assert_eq!(bob.ask("presence:update", &bad).await["error"]["reason"], "bad_request", "{bad}");
    }
    alice.has_nothing_more().await;
}

#[tokio::test]
async fn who_is_invisible_is_not_there_for_others() {
    let house = house();
    let mut alice = enter(&house, "alice").await;
    let mut bob = Client::enter(&house, "bob").await;
    update(&mut bob, json!({ "status": "invisible" })).await;
    let joined = watch(&mut bob).await;
    assert_eq!((&joined["count"], users(&joined["members"])), (&json!(1), vec!["alice"]));
    update(&mut bob, json!({ "status": "invisible", "activity": { "n": 1 } })).await;
    assert_eq!(bob.ask("typing:start", &json!({ "room": ROOM })).await["ok"], true);
    let mut carol = Client::enter(&house, "carol").await;
    let joined = watch(&mut carol).await;
    assert_eq!((&joined["count"], users(&joined["members"])), (&json!(2), vec!["alice", "carol"]));
    // He hears of others, and nobody of him.
    assert_eq!(users(&told(&mut bob).await["joined"]), ["carol"]);
    assert_eq!(users(&told(&mut alice).await["joined"]), ["carol"]);
    assert_eq!(list(&mut alice).await["count"], 2);
    update(&mut bob, json!({ "status": "online" })).await;
    let event = told(&mut alice).await;
    assert_eq!((users(&event["joined"]), &event["count"]), (vec!["bob"], &json!(3)));
    update(&mut bob, json!({ "status": "invisible" })).await;
    let event = told(&mut alice).await;
    assert_eq!((users(&event["left"]), &event["count"]), (vec!["bob"], &json!(2)));
    alice.has_nothing_more().await;
}

#[tokio::test]
async fn pr7_who_returns_in_time_was_never_gone() {
    let house = house();
    let mut alice = enter(&house, "alice").await;
    let mut bob = enter(&house, "bob").await;
    told(&mut alice).await;
    update(&mut bob, json!({ "status": "busy" })).await;
    told(&mut alice).await;
    let (mut bob, session) = Client::return_with(&house, "bob", &bob.cut()).await;
    assert_eq!(session["recovered"], true);
    let event = told(&mut bob).await;
    assert_eq!(
        (&event["partial"], &event["count"]),
        (&json!(true), &json!(2)),
        "what he missed he can ask for"
    );
    // Longer than the grace of the connection that broke.
    tokio::time::sleep(Duration::from_millis(4_500)).await;
    alice.has_nothing_more().await;
    update(&mut bob, json!({ "status": "away" })).await;
    let event = told(&mut alice).await;
    assert_eq!(
        event["changed"],
        json!([{ "user": "bob", "status": "away" }]),
        "and hears and is heard of again"
    );
    update(&mut alice, json!({ "status": "away" })).await;
    loop {
        let event = told(&mut bob).await;
        if !event["changed"].as_array().unwrap().iter().any(|shown| shown["user"] == "alice") {
            assert_eq!(users(&event["changed"]), ["bob"], "{event}");
            continue;
        }
        break;
    }
}

#[tokio::test]
async fn who_does_not_return_is_gone_after_the_grace() {
    let house = house();
    let mut alice = enter(&house, "alice").await;
    let bob = enter(&house, "bob").await;
    told(&mut alice).await;
    bob.cut();
    let cut = Instant::now();
    let event = told(&mut alice).await;
    assert_eq!(users(&event["left"]), ["bob"]);
    let after = cut.elapsed();
    assert!((3_900..10_000).contains(&after.as_millis()), "{after:?}");
}

#[tokio::test]
async fn who_was_invisible_comes_back_invisible() {
    let house = house();
    let mut alice = enter(&house, "alice").await;
    let mut bob = enter(&house, "bob").await;
    told(&mut alice).await;
    update(&mut bob, json!({ "status": "invisible" })).await;
    told(&mut alice).await;
    let (mut bob, _) = Client::return_with(&house, "bob", &bob.cut()).await;
    told(&mut bob).await;
    assert_eq!(list(&mut bob).await["count"], 1);
    update(&mut alice, json!({ "status": "busy" })).await;
    assert_eq!(told(&mut bob).await["changed"][0]["user"], "alice", "he watches as before");
    let event = told(&mut alice).await;
    assert_eq!((users(&event["changed"]), &event["count"]), (vec!["alice"], &json!(1)));
}

#[tokio::test]
async fn pages() {
    let house = house();
    let mut clients = Vec::new();
    for number in 10..22 {
        clients.push(enter(&house, &format!("u{number}")).await);
    }
    let client = &mut clients[0];
    let (mut cursor, mut all) = (Value::Null, Vec::new());
    for _ in 0..3 {
        let mut ask = json!({ "room": ROOM, "limit": 5 });
        if !cursor.is_null() {
            ask["cursor"] = cursor;
        }
        let page = client.ask("presence:list", &ask).await;
        let members = users(&page["members"]).into_iter().map(str::to_owned).collect::<Vec<_>>();
        all.extend(members);
        cursor = page["cursor"].clone();
    }
    assert_eq!(cursor, Value::Null);
    // The list is what the events have said so far, which may be a second old.
    assert!(all.is_sorted() && all.len() <= 12 && all.contains(&"u10".to_owned()), "{all:?}");
    let counted = client.ask("presence:list", &json!({ "room": ROOM, "limit": 0 })).await;
    assert_eq!((&counted["members"], &counted["cursor"]), (&json!([]), &Value::Null));
    for bad in [json!({ "room": ROOM, "limit": 101 }), json!({ "room": ROOM, "cursor": "a b" }), json!({})] {
        assert_eq!(client.ask("presence:list", &bad).await["error"]["reason"], "bad_request");
    }
}

#[tokio::test]
async fn a_token_that_grants_less_hides_as_well() {
    let house = house();
    let mut alice = enter(&house, "alice").await;
    let mut bob = enter(&house, "bob").await;
    told(&mut alice).await;
    let mut claims = crate::house::claims("bob");
    claims.rooms = Some(vec![grant("chat:*=join,send")]);
    let refreshed = bob.ask("auth:refresh", &json!({ "token": crate::house::signed(&claims) })).await;
    assert_eq!(refreshed["ok"], true, "{refreshed}");
    assert_eq!(users(&told(&mut alice).await["left"]), ["bob"]);
    assert_eq!(list(&mut bob).await["error"]["reason"], "forbidden");
    assert_eq!(bob.say(ROOM, 1).await["ok"], true, "he is in the room nevertheless");
}
