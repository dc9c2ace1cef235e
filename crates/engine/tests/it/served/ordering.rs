//! Order: of one client's events, of answers, of what is sent to a room.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use turnpike_engine::packet::{Class, Encoded};
use turnpike_engine::{Close, EngineConfig};

use super::lab::{BROKEN, Lab, numbered};

#[tokio::test]
async fn events_are_handled_in_order_however_long_each_takes() {
    let lab = Lab::start(Lab::config());
    let mut client = lab.client().await;
    for id in 0..20_u64 {
        // The earlier, the slower.
        client.send(&format!("42{id}{}", json!(["slow", {"n": id, "ms": (20 - id) / 4}]))).await;
    }
    for id in 0..20 {
        assert_eq!(client.text().await, format!("43{id}[{id}]"));
    }
}

#[tokio::test]
async fn a_busy_application_stops_the_reading_and_loses_nothing() {
    let lab = Lab::start(EngineConfig { events_waiting_max: 4, ..Lab::config() });
    let mut client = lab.client().await;
    let pad = "x".repeat(1_024);
    client.send(&format!("420{}", json!(["slow", {"n": 0, "ms": 300}]))).await;
    for id in 1..200_u64 {
        client.send(&format!("42{id}{}", json!(["slow", {"n": id, "ms": 0, "pad": pad}]))).await;
    }
    for id in 0..200 {
        assert_eq!(client.text().await, format!("43{id}[{id}]"));
    }
}

#[tokio::test]
async fn what_a_client_asked_before_it_hung_up_is_still_done() {
    let lab = Lab::start(Lab::config());
    let mut listener = lab.client().await;
    listener.send(&format!("421{}", json!(["join", {"room": "r"}]))).await;
    assert_eq!(listener.text().await, r#"431[["r"]]"#);
    let mut speaker = lab.client().await;
    speaker.send(&format!("420{}", json!(["slow", {"n": 0, "ms": 100}]))).await;
    for number in 0..5 {
        speaker.event("shout", &json!({"room": "r", "data": number})).await;
    }
    drop(speaker);
    for number in 0..5 {
        assert_eq!(listener.received().await, ("message".to_owned(), json!(number)));
    }
}

#[tokio::test]
async fn a_room_of_thousands_gets_everything_in_order_while_others_are_served() {
    const MEMBERS: usize = 1_500;
    let lab = Lab::start(Lab::config());
    let mut clients = Vec::new();
    for _ in 0..MEMBERS {
        let client = lab.client().await;
        lab.handle().join(&lab.socket(&client), "/", "hall").expect("room in the inbox");
        clients.push(client);
    }
    lab.until("all joined", |counters| counters.sockets_now == MEMBERS as u64).await;
    let mut leaver = clients.pop().expect("many");
    for number in 0..3 {
        lab.handle()
            .broadcast("hall", numbered(number, Class::Reliable, 10), None)
            .expect("room in the inbox");
    }
    lab.handle().leave(&lab.socket(&leaver), "hall").expect("room in the inbox");
    lab.handle().broadcast("hall", numbered(3, Class::Reliable, 10), None).expect("room in the inbox");
    leaver.send(&format!("429{}", json!(["echo", 1]))).await;
    for client in &mut clients {
        for number in 0..4 {
            assert_eq!(client.received().await.1[0], json!(number));
        }
    }
    // The one that left behind the third message got three, then its answer, wherever that falls among them.
    let mut got = Vec::new();
    while got.len() < 4 {
        got.push(leaver.text().await);
    }
    assert_eq!(got.iter().filter(|text| text.starts_with("42")).count(), 3, "{got:?}");
    assert!(tokio::time::timeout(Duration::from_millis(100), leaver.text()).await.is_err());
}

#[tokio::test]
async fn joins_emits_and_broadcasts_keep_the_order_they_were_sent_in() {
    let lab = Lab::start(Lab::config());
    let mut client = lab.client().await;
    let socket = lab.socket(&client);
    let handle = lab.handle();
    handle.broadcast("r", numbered(0, Class::Reliable, 1), None).expect("room in the inbox");
    handle.join(&socket, "/", "r").expect("room in the inbox");
    handle.join(&socket, "/", "r").expect("room in the inbox");
    handle.emit(&socket, numbered(1, Class::Reliable, 1)).expect("room in the inbox");
    handle.broadcast("r", numbered(2, Class::Reliable, 1), None).expect("room in the inbox");
    handle.emit(&socket, numbered(3, Class::Reliable, 1)).expect("room in the inbox");
    handle.leave(&socket, "r").expect("room in the inbox");
    handle.broadcast("r", numbered(4, Class::Reliable, 1), None).expect("room in the inbox");
    handle.emit(&socket, numbered(5, Class::Reliable, 1)).expect("room in the inbox");
    for expected in [1, 2, 3, 5] {
        assert_eq!(client.received().await.1[0], json!(expected));
    }
    lab.until("the room is forgotten", |counters| counters.rooms_now == 0).await;
}

/// As every broadcast to thousands, one that asks is done in slices, and what is sent behind it arrives behind it.
#[tokio::test]
async fn a_room_of_thousands_is_asked_while_others_are_served() {
    const MEMBERS: usize = 1_000;
    let lab = Lab::start(Lab::config());
    let mut bystander = lab.client().await;
    let mut clients = Vec::new();
    for _ in 0..MEMBERS {
        let client = lab.client().await;
        lab.handle().join(&lab.socket(&client), "/", "hall").expect("room in the inbox");
        clients.push(client);
    }
    lab.until("all joined", |counters| counters.sockets_now == MEMBERS as u64 + 1).await;
    let question = Encoded::event("/", "question").arg(&1);
    let answers = lab.handle().broadcast_with_ack("/", "hall", &question, Duration::from_secs(20));
    lab.handle().broadcast("hall", numbered(0, Class::Reliable, 10), None).expect("room in the inbox");
    let asking = async {
        for client in &mut clients {
            let asked = client.text().await;
            let id =
                asked.strip_prefix("42").and_then(|rest| rest.split('[').next()).expect("an id").to_owned();
            assert!(asked.contains("question"), "{asked}");
            assert_eq!(client.received().await.1[0], json!(0));
            client.send(&format!("43{id}[1]")).await;
        }
    };
    let (answers, ()) = tokio::join!(answers, asking);
    let answers = answers.expect("room in the inbox");
    assert_eq!(answers.iter().filter(|(_, answer)| answer.is_ok()).count(), MEMBERS);
    // An event of another client is handled in the midst of it, at the latest when it is tried again.
    let begun = std::time::Instant::now();
    loop {
        assert!(begun.elapsed() < BROKEN / 4, "always before or behind all of them");
        let before = lab.handle().counters().deliveries;
        drop(lab.handle().broadcast_with_ack("/", "hall", &question, Duration::from_millis(1)));
        bystander.send(&format!("421{}", json!(["echo", 1]))).await;
        assert_eq!(bystander.text().await, "431[1]");
        let at_echo = lab.app.deliveries_at_echo.load(Ordering::Relaxed);
        lab.until("all asked", |counters| counters.deliveries == before + MEMBERS as u64).await;
        if (before + 1..before + MEMBERS as u64).contains(&at_echo) {
            break;
        }
    }
}

/// What may not be refused waits for room, and nothing of the same sender passes it meanwhile.
#[tokio::test]
async fn what_finds_a_full_inbox_is_not_overtaken() {
    let lab = Lab::start(EngineConfig { inbox_commands_max: 8, ..Lab::config() });
    for round in 0..20 {
        let mut client = lab.client().await;
        let mut other = lab.client().await;
        let (socket, handled) = (lab.socket(&client), lab.app.handled.load(Ordering::Relaxed));
        other.event("block", &json!({"ms": 20})).await;
        while lab.app.handled.load(Ordering::Relaxed) == handled {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        while lab.handle().leave(&socket, "no room").is_ok() {}
        // The first of them finds no room; the others come as soon as there is any.
        let close = Close::new(3001, "last", true).farewell(numbered(77, Class::Reliable, 1));
        lab.handle().close(&socket, close);
        let mut refused = 0;
        while lab.handle().emit(&socket, numbered(0, Class::Reliable, 1)).is_err() {
            refused += 1;
            tokio::task::yield_now().await;
        }
        assert_eq!(client.received().await.1[0], json!(77), "round {round}, refused {refused} times");
        assert_eq!(client.next_text().await, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_inbox_loses_nothing_that_may_not_be_refused() {
    const QUESTIONS: usize = 200;
    let lab = Lab::start(EngineConfig { inbox_commands_max: 4, ..Lab::config() });
    let client = lab.client().await;
    let socket = lab.socket(&client);
    let mut threads = Vec::new();
    for _ in 0..4 {
        let handle = lab.handle().clone();
        threads.push(tokio::spawn(async move {
            let mut answers = Vec::new();
            for _ in 0..QUESTIONS {
                answers.push(handle.rooms(&socket));
            }
            for answer in answers {
                tokio::time::timeout(BROKEN, answer).await.expect("an answer");
            }
        }));
    }
    for thread in threads {
        thread.await.expect("no panic");
    }
}
