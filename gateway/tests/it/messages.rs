//! Messages: their order, their places, what is kept from being sent twice.

use serde_json::{Value, json};

use crate::client::Client;
use crate::house::House;

#[tokio::test]
async fn every_member_gets_every_message_in_one_order() {
    const MEMBERS: usize = 8;
    const EACH: usize = 40;
    let house = House::start();
    let mut members = Vec::new();
    for number in 0..MEMBERS {
        let mut member = Client::enter(&house, &format!("user-{number}")).await;
        member.join("chat:a").await;
        members.push(member);
    }
    // Both shards hold members: the kernel spreads connections, and eight do not all fall on one but once in 128 runs.
    let tasks: Vec<_> = members
        .into_iter()
        .enumerate()
        .map(|(number, mut member)| {
            tokio::spawn(async move {
                let mut own = Vec::new();
                for count in 0..EACH {
                    own.push(member.say("chat:a", json!([number, count])).await["seq"].as_u64().unwrap());
                }
                let mut got = Vec::new();
                for _ in 0..MEMBERS * EACH {
                    got.push(member.message().await);
                }
                (own, got)
            })
        })
        .collect();
    let mut orders = Vec::new();
    for (number, task) in tasks.into_iter().enumerate() {
        let (own, got) = task.await.unwrap();
        let seqs: Vec<u64> = got.iter().map(|(seq, _)| *seq).collect();
        assert_eq!(seqs, (1..=(MEMBERS * EACH) as u64).collect::<Vec<_>>(), "without gaps");
        let mine: Vec<u64> = got.iter().filter(|(_, body)| body[0] == number).map(|(seq, _)| *seq).collect();
        assert_eq!(
            mine, own,
            "a sender's messages keep the sender's order, at the places that were acknowledged"
        );
        orders.push(got);
    }
    assert!(orders.windows(2).all(|pair| pair[0] == pair[1]), "all agree");
}

#[tokio::test]
async fn a_message_sent_again_is_answered_with_the_first_result() {
    let house = House::start();
    let mut alice = Client::enter(&house, "alice").await;
    alice.join("chat:a").await;
    let send = json!({ "room": "chat:a", "id": "m1", "body": "once" });
    let first = alice.ask("message:send", &send).await;
    assert_eq!((&first["id"], &first["seq"], &first["duplicate"]), (&json!("m1"), &json!(1), &Value::Null));
    let again = alice.ask("message:send", &send).await;
    let mut expected = first.clone();
    expected["duplicate"] = true.into();
    assert_eq!(again, expected);
    assert_eq!(alice.message().await, (1, json!("once")));
    alice.has_nothing_more().await;
    let mut bob = Client::enter(&house, "bob").await;
    bob.join("chat:a").await;
    let other = bob.ask("message:send", &send).await;
    assert_eq!((&other["seq"], &other["duplicate"]), (&json!(2), &Value::Null), "ids are the sender's");
    assert_eq!(house.metric("turnpike_gateway_messages_total", &["duplicate"]), 1);
    assert_eq!(house.metric("turnpike_gateway_messages_total", &["stored"]), 2);
}

#[tokio::test]
async fn messages_without_an_id_are_given_one() {
    let house = House::start();
    let mut alice = Client::enter(&house, "alice").await;
    alice.join("chat:a").await;
    let first = alice.say("chat:a", 1).await;
    let second = alice.say("chat:a", 1).await;
    assert_ne!(first["id"], second["id"]);
    let event = alice.event().await;
    assert_eq!(event.data["id"], first["id"]);
    assert_eq!(event.data["ts"], first["ts"]);
    assert_eq!(event.data["epoch"], first["epoch"]);
}

#[tokio::test]
async fn a_volatile_message_has_no_place() {
    let house = House::start();
    let mut alice = Client::enter(&house, "alice").await;
    alice.join("chat:a").await;
    alice.say("chat:a", 1).await;
    alice.message().await;
    let offset = alice.memory.offset.clone();
    let answer =
        alice.ask("message:send", &json!({ "room": "chat:a", "body": "psst", "volatile": true })).await;
    assert_eq!((&answer["ok"], &answer["seq"]), (&json!(true), &json!(1)));
    let event = alice.event().await;
    assert_eq!((&event.data["body"], &event.data["volatile"]), (&json!("psst"), &json!(true)));
    assert_eq!((&event.data["seq"], &event.data["id"]), (&Value::Null, &answer["id"]));
    assert_eq!(alice.memory.offset, offset, "it bears no offset");
    let joined = alice.ask("room:join", &json!({ "room": "chat:a", "history": 10 })).await;
    assert_eq!(joined["messages"].as_array().unwrap().len(), 1, "and is not kept");
}

#[tokio::test]
async fn binary_values_travel_with_the_message_and_with_its_history() {
    let house = House::start();
    let mut alice = Client::enter(&house, "alice").await;
    alice.join("chat:a").await;
    let placeholder = |number: u64| json!({ "_placeholder": true, "num": number });
    for byte in [1u8, 2] {
        let body = json!({ "small": placeholder(0), "list": ["text", placeholder(1)] });
        let send = json!({ "room": "chat:a", "body": body });
        let (answer, _) = alice.ask_with("message:send", &send, &[&[byte; 3], &[byte + 10; 5]]).await;
        assert_eq!(answer["ok"], true, "{answer}");
        let event = alice.event().await;
        assert_eq!(event.data["body"], body);
        assert_eq!(event.attachments, [vec![byte; 3], vec![byte + 10; 5]]);
    }
    let join = json!({ "room": "chat:a", "history": 10 });
    let (joined, attachments) = alice.ask_with("room:join", &join, &[]).await;
    assert_eq!(attachments, [vec![1; 3], vec![11; 5], vec![2; 3], vec![12; 5]]);
    assert_eq!(joined["messages"][0]["body"]["list"][1], placeholder(1));
    assert_eq!(
        joined["messages"][1]["body"],
        json!({ "small": placeholder(2), "list": ["text", placeholder(3)] })
    );
    // Outside of the body they would have nowhere to go.
    let send = json!({ "room": "chat:a", "body": 1, "other": placeholder(0) });
    let (refused, _) = alice.ask_with("message:send", &send, &[&[1]]).await;
    assert_eq!(refused["error"]["code"], 101, "{refused}");
}

#[tokio::test]
async fn bodies_have_a_limit() {
    let house = House::with(|config| config.limits.body_bytes_max = 100);
    let mut alice = Client::enter(&house, "alice").await;
    alice.join("chat:a").await;
    alice.say("chat:a", "x".repeat(98)).await;
    let refused = alice.ask("message:send", &json!({ "room": "chat:a", "body": "x".repeat(99) })).await;
    assert_eq!((&refused["error"]["code"], &refused["error"]["reason"]), (&json!(103), &json!("too_large")));
    let send = json!({ "room": "chat:a", "body": { "_placeholder": true, "num": 0 } });
    let (refused, _) = alice.ask_with("message:send", &send, &[&[0; 100]]).await;
    assert_eq!(refused["error"]["code"], 103);
}

#[tokio::test]
async fn a_failure_that_nobody_waits_for_is_an_event() {
    let house = House::start();
    let mut alice = Client::enter(&house, "alice").await;
    alice.tell("message:send", &json!({ "room": "chat:a", "body": 1 })).await;
    let event = alice.event().await;
    assert_eq!(event.name, "error");
    assert_eq!(
        event.data,
        json!({ "event": "message:send", "code": 107, "reason": "not_in_room", "message": "join the room first" })
    );
    let offset = alice.memory.offset.clone();
    alice.tell("no:such", &json!({})).await;
    assert_eq!(alice.event().await.data["code"], 102);
    assert_eq!(alice.memory.offset, offset, "no text at its end that could be taken for an offset");
}

#[tokio::test]
async fn ping_gives_back_what_it_got() {
    let house = House::start();
    let mut alice = Client::enter(&house, "alice").await;
    let answer = alice.ask("ping", &json!({ "sent": 1.5 })).await;
    assert_eq!((&answer["ok"], &answer["data"]), (&json!(true), &json!({ "sent": 1.5 })));
    assert!(answer["server_time"].as_u64().unwrap() > 1_700_000_000_000);
    let refused = alice.ask("ping", &json!("x".repeat(1023))).await;
    assert_eq!(refused["error"]["code"], 103);
}
