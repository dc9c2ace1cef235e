//! Joining, leaving, and what is read on the way in.

use serde_json::{Value, json};
use turnpike_cluster::HistoryLimits;

use crate::client::Client;
use crate::house::House;

fn seqs(answer: &Value) -> Vec<u64> {
    let messages = answer["messages"].as_array().unwrap();
    messages.iter().map(|message| message["seq"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_join_tells_where_the_room_stands() {
    let house = House::start();
    let mut alice = Client::enter(&house, "alice").await;
    let joined = alice.join("chat:a").await;
    let epoch = joined["epoch"].as_u64().unwrap();
    assert_eq!(
        joined,
        json!({ "ok": true, "room": "chat:a", "epoch": epoch, "seq": 0, "recovered": false, "messages": [] })
    );
    for number in 1..=3 {
        assert_eq!(alice.say("chat:a", number).await["seq"], number);
    }
    let mut bob = Client::enter(&house, "bob").await;
    let joined = bob.join("chat:a").await;
    assert_eq!((&joined["epoch"], &joined["seq"]), (&json!(epoch), &json!(3)));
    bob.has_nothing_more().await;
    alice.say("chat:a", 4).await;
    assert_eq!(bob.message().await, (4, json!(4)));
}

#[tokio::test]
async fn what_was_missed_comes_with_the_join() {
    let house = House::with(|config| {
        config.cluster.history = HistoryLimits { room_messages_max: 5, ..HistoryLimits::default() };
        config.ring.room_messages_max = 5;
    });
    let mut alice = Client::enter(&house, "alice").await;
    let epoch = alice.join("chat:a").await["epoch"].as_u64().unwrap();
    for number in 1..=8 {
        alice.say("chat:a", number).await;
    }
    let mut bob = Client::enter(&house, "bob").await;
    let mut join = async |since: String, history: Value| {
        let mut data = json!({ "room": "chat:a", "since": since });
        if !history.is_null() {
            data["history"] = history;
        }
        bob.ask("room:join", &data).await
    };
    let joined = join(format!("{epoch}:6"), Value::Null).await;
    assert_eq!((&joined["recovered"], seqs(&joined)), (&json!(true), vec![7, 8]));
    let first = &joined["messages"][0];
    assert_eq!(
        (&first["body"], &first["from"], &first["room"]),
        (&json!(7), &json!("alice"), &json!("chat:a"))
    );
    let joined = join(format!("{epoch}:8"), Value::Null).await;
    assert_eq!((&joined["recovered"], seqs(&joined)), (&json!(true), vec![]));
    let joined = join(format!("{epoch}:3"), Value::Null).await;
    assert_eq!((&joined["recovered"], seqs(&joined)), (&json!(true), vec![4, 5, 6, 7, 8]));
    for (lost, why) in [
        (format!("{epoch}:2"), "3 is gone"),
        (format!("{epoch}:9"), "not reached yet"),
        (format!("{}:8", epoch - 1), "another epoch"),
    ] {
        let joined = join(lost.clone(), Value::Null).await;
        assert_eq!((&joined["recovered"], seqs(&joined)), (&json!(false), vec![]), "{why}");
        let joined = join(lost, json!(2)).await;
        assert_eq!((&joined["recovered"], seqs(&joined)), (&json!(false), vec![7, 8]), "{why}");
    }
    let joined = bob.ask("room:join", &json!({ "room": "chat:a", "history": 100 })).await;
    assert_eq!((&joined["recovered"], seqs(&joined)), (&json!(false), vec![4, 5, 6, 7, 8]));
}

#[tokio::test]
async fn an_answer_holds_no_more_than_it_may() {
    let house = House::with(|config| config.limits.answer_bytes_max = 2_000);
    let mut alice = Client::enter(&house, "alice").await;
    let epoch = alice.join("chat:a").await["epoch"].as_u64().unwrap();
    for _ in 0..5 {
        alice.say("chat:a", "x".repeat(500)).await;
    }
    let join = json!({ "room": "chat:a", "since": format!("{epoch}:0"), "history": 100 });
    let joined = alice.ask("room:join", &join).await;
    assert_eq!((&joined["recovered"], seqs(&joined)), (&json!(false), vec![4, 5]));
}

#[tokio::test]
async fn who_left_hears_nothing_more() {
    let house = House::start();
    let mut alice = Client::enter(&house, "alice").await;
    let mut bob = Client::enter(&house, "bob").await;
    alice.join("chat:a").await;
    bob.join("chat:a").await;
    assert_eq!(bob.ask("room:leave", &json!({ "room": "chat:a" })).await, json!({ "ok": true }));
    assert_eq!(bob.ask("room:leave", &json!({ "room": "chat:a" })).await, json!({ "ok": true }), "and again");
    alice.say("chat:a", 1).await;
    bob.has_nothing_more().await;
    let refused = bob.ask("message:send", &json!({ "room": "chat:a", "body": 1 })).await;
    assert_eq!(refused["error"]["reason"], "not_in_room");
    assert_eq!(bob.join("chat:a").await["seq"], 1);
    alice.say("chat:a", 2).await;
    assert_eq!(bob.message().await, (2, json!(2)));
}

#[tokio::test]
async fn rights_and_limits() {
    let house = House::with(|config| config.limits.rooms_per_connection_max = 3);
    let mut alice = Client::enter(&house, "alice").await;
    let refused = alice.ask("room:join", &json!({ "room": "staff:a" })).await;
    assert_eq!(refused["error"]["reason"], "forbidden");
    let refused = alice.ask("room:join", &json!({ "room": "quiet:a", "history": 1 })).await;
    assert_eq!(refused["error"]["reason"], "forbidden", "no history there");
    let joined = alice.ask("room:join", &json!({ "room": "quiet:a", "since": "1:0" })).await;
    assert_eq!((&joined["ok"], &joined["recovered"]), (&json!(true), &json!(false)));
    let refused = alice.ask("message:send", &json!({ "room": "quiet:a", "body": 1 })).await;
    assert_eq!(refused["error"]["reason"], "forbidden", "only to listen");
    alice.join("chat:a").await;
    let refused = alice.ask("room:join", &json!({ "room": "chat:b" })).await;
    assert_eq!(
        (&refused["error"]["code"], &refused["error"]["reason"]),
        (&json!(109), &json!("limit_reached"))
    );
    assert_eq!(alice.join("chat:a").await["ok"], true, "it is in there already");
    alice.ask("room:leave", &json!({ "room": "chat:a" })).await;
    assert_eq!(alice.join("chat:b").await["ok"], true);
}

#[tokio::test]
async fn requests_of_the_wrong_form() {
    let house = House::start();
    let mut alice = Client::enter(&house, "alice").await;
    for (event, data) in [
        ("room:join", json!(null)),
        ("room:join", json!("chat:a")),
        ("room:join", json!({})),
        ("room:join", json!({ "room": "a b" })),
        ("room:join", json!({ "room": "chat:a", "since": "x" })),
        ("room:join", json!({ "room": "chat:a", "history": 101 })),
        ("room:leave", json!([])),
        ("message:send", json!({ "room": "chat:a" })),
        ("message:send", json!({ "room": "chat:a", "id": "not an id", "body": 1 })),
    ] {
        let refused = alice.ask(event, &data).await;
        assert_eq!(refused["ok"], false, "{event} {data}");
        assert_eq!(refused["error"]["code"], 101, "{event} {data}: {refused}");
    }
    let refused = alice.ask("room:explode", &json!({})).await;
    let error = json!({ "code": 102, "reason": "unknown_event", "message": "there is no such event", "retryable": false });
    assert_eq!(refused, json!({ "ok": false, "error": error }));
    assert_eq!(house.metric("turnpike_gateway_events_total", &["unknown", "unknown_event"]), 1);
    assert_eq!(house.metric("turnpike_gateway_events_total", &["room:join", "bad_request"]), 6);
}
