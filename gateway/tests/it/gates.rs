//! A backend that is asked before somebody may do something: what it refuses, and what happens when it says nothing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;
use turnpike_gateway::{Gate, Gates, Unanswered};

use crate::backend::{Answer, Backend, FIRST, SECOND};
use crate::client::Client;
use crate::house::{House, token};

const ANSWERS: &str = "turnpike_gateway_gate_answers_total";

fn gates(backend: &Backend, asked: &[Gate]) -> Gates {
    let url = format!("http://127.0.0.1:{}/gate", backend.port);
    Gates { asked: asked.to_vec(), allow_private: true, ..Gates::new(url, FIRST) }
}

fn house(gates: Gates) -> House {
    House::with(|plan| plan.gates = Some(gates))
}

fn allow() -> Answer {
    Answer::Says(json!({ "allow": true }))
}

fn auth(user: &str) -> Value {
    json!({ "token": token(user) })
}

#[tokio::test]
async fn what_is_refused_does_not_happen_and_the_client_is_told_why() {
    let mut backend = Backend::answering(|request| {
        let question = request.json();
        let is_refused = match question["gate"].as_str().unwrap() {
            "connect" => question["user"] == "mallory",
            "join" => question["room"] == "chat:closed",
            _ => question["message"]["body"] == "shout",
        };
        Answer::Says(if is_refused {
            json!({ "allow": false, "reason": "not\r\ntoday\u{202e}", "code": "rate_limited", "retry_after_ms": 7000 })
        } else {
            json!({ "allow": true })
        })
    })
    .await;
    let gates = gates(&backend, &Gate::ALL);
    let house = house(Gates { secrets: vec![FIRST.to_vec(), SECOND.to_vec()], ..gates });

    let mut mallory = Client::open(house.address()).await;
    let refused = mallory.connect(&auth("mallory")).await.unwrap_err();
    let expected = json!({ "message": "not  today", "data": {
        "code": 108, "reason": "rate_limited", "retryable": true, "retry_after_ms": 7000
    } });
    assert_eq!(refused, expected);
    let asked = backend.next().await;
    assert_eq!((&*asked.path, asked.header("content-type")), ("/gate", "application/json"));
    asked.assert_signed(&[FIRST, SECOND]);
    assert_eq!(asked.json()["id"], asked.header("turnpike-webhook-id"));

    let mut auth = auth("alice");
    auth["device"] = "phone".into();
    let (mut alice, _) = Client::enter_with(&house, &auth).await;
    let question = backend.next().await.json();
    assert_eq!(
        (
            &question["gate"],
            &question["user"],
            &question["connection"],
            &question["returning"],
            &question["device"]
        ),
        (&json!("connect"), &json!("alice"), &json!(alice.sid), &json!(false), &json!("phone"))
    );
    let error = json!({ "code": 108, "reason": "rate_limited", "message": "not  today", "retryable": true, "retry_after_ms": 7000 });
    let refused = alice.ask("room:join", &json!({ "room": "chat:closed" })).await;
    assert_eq!(refused, json!({ "ok": false, "error": error }));
    let question = backend.next().await.json();
    assert_eq!((&question["gate"], &question["room"]), (&json!("join"), &json!("chat:closed")));
    assert_eq!(
        alice.ask("message:send", &json!({ "room": "chat:closed", "body": 1 })).await["error"]["reason"],
        "not_in_room",
        "and nobody is asked about that"
    );
    alice.join("chat:a").await;
    assert_eq!(backend.next().await.json()["room"], "chat:a");
    alice.ask("room:join", &json!({ "room": "chat:a", "history": 10 })).await;
    assert_eq!(
        alice.ask("room:join", &json!({ "room": "elsewhere" })).await["error"]["message"],
        "the token does not grant this"
    );

    let shout = json!({ "room": "chat:a", "id": "m1", "body": "shout" });
    assert_eq!(alice.ask("message:send", &shout).await["error"], error);
    let question = backend.next().await.json();
    assert_eq!((&question["gate"], &question["room"]), (&json!("send"), &json!("chat:a")));
    assert_eq!(question["message"], json!({ "id": "m1", "volatile": false, "body": "shout" }));
    let picture = json!({ "room": "chat:a", "body": { "picture": { "_placeholder": true, "num": 0 } } });
    let (said, _) = alice.ask_with("message:send", &picture, &[&[1, 2, 3]]).await;
    assert_eq!(said["seq"], 1, "{said}");
    let question = backend.next().await.json();
    assert_eq!(
        question["message"],
        json!({ "volatile": false, "body": { "picture": { "$binary": "AQID" } } })
    );
    assert_eq!(alice.message().await.0, 1);
    alice.has_nothing_more().await;
    let count = |gate: &str, outcome: &str| house.metric(ANSWERS, &[gate, outcome]);
    for gate in ["connect", "join", "send"] {
        assert_eq!((count(gate, "allowed"), count(gate, "refused")), (1, 1), "{gate}");
    }
    assert_eq!(house.metric(ANSWERS, &[]), 6);
}

#[tokio::test]
async fn a_connections_messages_keep_their_order_and_others_do_not_wait() {
    let (release, released) = watch::channel(false);
    let mut backend = Backend::answering(move |request| {
        let question = request.json();
        let allow = json!({ "allow": question["message"]["body"] != "not this" });
        if question["user"] == "alice" {
            Answer::SaysOnce(released.clone(), allow)
        } else {
            Answer::Says(allow)
        }
    })
    .await;
    let house = house(Gates { timeout: Duration::from_secs(10), ..gates(&backend, &[Gate::Send]) });
    let mut alice = Client::enter(&house, "alice").await;
    let mut bob = Client::enter(&house, "bob").await;
    for client in [&mut alice, &mut bob] {
        client.join("chat:a").await;
    }
    for body in ["first", "not this", "second", "third"] {
        alice.tell("message:send", &json!({ "room": "chat:a", "body": body })).await;
    }
    alice.tell("room:leave", &json!({ "room": "chat:a" })).await;
    assert_eq!(backend.next().await.json()["message"]["body"], "first");
    for number in 0..5 {
        bob.say("chat:a", number).await;
    }
    release.send(true).unwrap();
    let expected: Vec<Value> =
        (0..5).map(Value::from).chain(["first", "second", "third"].map(Value::from)).collect();
    assert_eq!(bob.bodies(8).await, expected);
    let refused = loop {
        let event = alice.event().await;
        if event.name == "error" {
            break event.data;
        }
    };
    assert_eq!((&refused["event"], &refused["code"]), (&json!("message:send"), &json!(106)));
    assert_eq!(refused["message"], "the application refuses this");
}

#[tokio::test]
async fn without_an_answer_that_can_be_understood_it_is_as_configured() {
    let answers = [
        (Answer::Status(500), "rejected"),
        (Answer::Status(403), "rejected"),
        (Answer::Status(204), "malformed"),
        (Answer::Status(200), "malformed"),
        (Answer::Says(json!({ "allow": "yes" })), "malformed"),
        (Answer::Redirect, "rejected"),
        (Answer::Endless, "malformed"),
        (Answer::None, "timed_out"),
    ];
    for unanswered in [Unanswered::Deny, Unanswered::Allow] {
        let mut backend =
            Backend::start(&answers.iter().map(|(answer, _)| answer.clone()).collect::<Vec<_>>()).await;
        let gates = gates(&backend, &[Gate::Join]);
        let house = house(Gates { timeout: Duration::from_millis(2_500), unanswered, ..gates });
        let mut alice = Client::enter(&house, "alice").await;
        for (number, (answer, outcome)) in answers.iter().enumerate() {
            let before = house.metric(ANSWERS, &[outcome]);
            let said = alice.ask("room:join", &json!({ "room": format!("chat:{number}") })).await;
            assert_eq!(backend.next().await.json()["room"], format!("chat:{number}"), "asked once");
            assert_eq!(said["ok"], unanswered == Unanswered::Allow, "{answer:?}: {said}");
            if unanswered == Unanswered::Deny {
                let error = &said["error"];
                assert_eq!((&error["reason"], &error["retryable"]), (&json!("unavailable"), &json!(true)));
                assert!(error["retry_after_ms"].as_u64().unwrap() > 0, "{error}");
            }
            assert_eq!(house.metric(ANSWERS, &[outcome]), before + 1, "{answer:?}");
        }
        assert!(backend.requests.try_recv().is_err(), "nothing is asked twice");
    }
}

#[tokio::test]
async fn a_backend_that_hangs_is_not_waited_for_every_time() {
    let (wake, awake) = watch::channel(false);
    let mut backend = Backend::answering(move |_| if *awake.borrow() { allow() } else { Answer::None }).await;
    let timeout = Duration::from_millis(800);
    let house = house(Gates { timeout, ..gates(&backend, &[Gate::Send]) });
    let mut alice = Client::enter(&house, "alice").await;
    alice.join("chat:a").await;
    let send = json!({ "room": "chat:a", "body": "x" });
    let open = || house.metric(ANSWERS, &["breaker_open"]);
    let mut at_once = Vec::new();
    house_says_open(&house, &mut alice, &send).await;
    for _ in 0..20 {
        let (before, begun) = (open(), Instant::now());
        let said = alice.ask("message:send", &send).await;
        assert_eq!(said["error"]["reason"], "unavailable");
        if open() > before {
            at_once.push(begun.elapsed());
        }
    }
    at_once.sort_unstable();
    // This process may have been kept from its turn once or twice.
    assert!(at_once.len() > 10 && at_once[at_once.len() / 2] < timeout, "{at_once:?}");
    wake.send(true).unwrap();
    let said = tokio::time::timeout(crate::house::BROKEN, async {
        while alice.ask("message:send", &send).await["ok"] != true {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(said.await.is_ok(), "it is asked again once it answers");
    alice.say("chat:a", "and again").await;
    while backend.requests.try_recv().is_ok() {}
}

/// Asks until the breaker has opened.
async fn house_says_open(house: &House, client: &mut Client, send: &Value) {
    let mut asked = 0;
    while house.metric(ANSWERS, &["breaker_open"]) == 0 {
        client.ask("message:send", send).await;
        asked += 1;
        assert!(asked < 20, "it never opens");
    }
    // Who asks again later than a tenth of a second finds it open no more, and is let through to see.
    let timed_out = house.metric(ANSWERS, &["timed_out"]);
    assert!((5..=7).contains(&timed_out), "{timed_out} in a row");
}

#[tokio::test]
async fn a_backend_that_answers_badly_opens_no_breaker() {
    let backend =
        Backend::answering(
            |request| {
                if request.json()["user"] == "mallory" { Answer::Status(500) } else { allow() }
            },
        )
        .await;
    let house = house(gates(&backend, &[Gate::Send]));
    let mut mallory = Client::enter(&house, "mallory").await;
    let mut alice = Client::enter(&house, "alice").await;
    for client in [&mut mallory, &mut alice] {
        client.join("chat:a").await;
    }
    for _ in 0..30 {
        let said = mallory.ask("message:send", &json!({ "room": "chat:a", "body": "boom" })).await;
        assert_eq!(said["error"]["reason"], "unavailable");
    }
    alice.say("chat:a", "hello").await;
    assert_eq!(house.metric(ANSWERS, &["breaker_open"]), 0);
}

#[tokio::test]
async fn only_so_many_are_asked_about_at_once_and_only_so_many_wait() {
    let (release, released) = watch::channel(false);
    let mut backend =
        Backend::answering(move |_| Answer::SaysOnce(released.clone(), json!({ "allow": true }))).await;
    let timeout = Duration::from_secs(10);
    let gates = gates(&backend, &[Gate::Join]);
    let house = house(Gates { requests_max: 1, queue_max: 1, timeout, ..gates });
    let mut clients = Vec::new();
    for user in ["alice", "bob", "carol"] {
        clients.push(Client::enter(&house, user).await);
    }
    let [alice, bob, carol] = &mut clients[..] else { panic!() };
    let join = json!({ "room": "chat:a" });
    alice.tell("room:join", &join).await;
    backend.next().await;
    bob.tell("room:join", &join).await;
    let waiting = "turnpike_gateway_gate_queue_length";
    house.until("one waits", |house| house.metric(waiting, &["join"]) == 1).await;
    let said = carol.ask("room:join", &join).await;
    assert_eq!(said["error"]["reason"], "unavailable");
    assert_eq!(house.metric(ANSWERS, &["queue_full"]), 1);
    assert!(backend.requests.try_recv().is_err(), "one at a time");
    release.send(true).unwrap();
    house.until("both are in", |house| house.metric(ANSWERS, &["allowed"]) == 2).await;
    assert_eq!(house.metric(waiting, &[]), 0);
    carol.join("chat:a").await;
}

#[tokio::test]
async fn who_comes_back_is_asked_about_before_the_session_is_taken() {
    let mut turn = 0;
    let mut backend = Backend::answering(move |_| {
        turn += 1;
        Answer::Says(json!({ "allow": turn != 2 }))
    })
    .await;
    let house = house(gates(&backend, &[Gate::Connect]));
    let mut alice = Client::enter(&house, "alice").await;
    alice.join("chat:a").await;
    backend.next().await;
    let sid = alice.sid.clone();
    let memory = alice.cut();
    let mut auth = auth("alice");
    auth["pid"] = memory.pid.clone().unwrap().into();
    auth["offset"] = memory.offset.clone().unwrap().into();
    let mut refused = Client::open(house.address()).await;
    assert_eq!(refused.connect(&auth).await.unwrap_err()["data"]["code"], 106);
    let (back, session) = Client::enter_with(&house, &auth).await;
    assert_eq!((&session["recovered"], &back.sid), (&json!(true), &sid));
    for _ in 0..2 {
        let question = backend.next().await.json();
        assert_eq!((&question["returning"], &question["connection"]), (&json!(true), &json!(sid)));
    }
}
