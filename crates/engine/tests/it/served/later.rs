//! An application that decides later: what it sends meanwhile, and what becomes of those who do not wait.

use std::time::Duration;

use serde_json::json;
use turnpike_engine::packet::{Class, Encoded};
use turnpike_engine::{AckError, Close, DisconnectReason, EngineConfig};

use super::lab::{BROKEN, Client, Lab, Told};

fn event(name: &str, class: Class) -> std::sync::Arc<Encoded> {
    Encoded::event("/gate", name).arg(&1).class(class).offset(name).build()
}

async fn names(client: &mut Client, count: usize) -> Vec<String> {
    let mut names = Vec::new();
    for _ in 0..count {
        let text = client.text().await;
        let event = text.strip_prefix("42/gate,").unwrap_or_else(|| panic!("no event: {text}"));
        let event: serde_json::Value = serde_json::from_str(event).expect("JSON");
        names.push(event[0].as_str().expect("a name").to_owned());
    }
    names
}

/// Waits until the shard has taken everything that was sent to it so far.
async fn settled(lab: &Lab, socket: &turnpike_engine::SocketRef) -> Vec<String> {
    lab.handle().rooms(socket).await
}

#[tokio::test]
async fn what_is_sent_before_the_answer_comes_right_behind_it_in_order() {
    let mut lab = Lab::start(Lab::config());
    let handle = lab.handle().clone();
    let mut client = lab.websocket().await;
    client.send("40/gate,").await;
    let gate = lab.gate().await;
    let reliable = |name| event(name, Class::Reliable);
    handle.broadcast("r", reliable("before the join"), None).expect("room in the inbox");
    handle.emit(&gate.socket, reliable("session")).expect("room in the inbox");
    handle.join(&gate.socket, "/gate", "r").expect("room in the inbox");
    handle.join(&gate.socket, "/gate", "left").expect("room in the inbox");
    handle.join(&gate.socket, "/gate", "r").expect("room in the inbox");
    handle.refill(&gate.socket, vec![reliable("missed 1"), reliable("missed 2")]).expect("room in the inbox");
    handle.broadcast("r", reliable("live 1"), None).expect("room in the inbox");
    handle.leave(&gate.socket, "left").expect("room in the inbox");
    handle.broadcast("left", reliable("behind the leave"), None).expect("room in the inbox");
    assert_eq!(settled(&lab, &gate.socket).await, ["r"]);
    handle.broadcast("r", reliable("live 2"), None).expect("room in the inbox");
    settled(&lab, &gate.socket).await;
    let silence = tokio::time::timeout(Duration::from_millis(50), client.text()).await;
    assert!(silence.is_err(), "{silence:?}");

    gate.decide.send(true).expect("it waits");
    handle.broadcast("r", reliable("live 3"), None).expect("room in the inbox");
    assert!(client.text().await.starts_with("40/gate,{\"sid\""));
    let expected = ["session", "missed 1", "missed 2", "live 1", "live 2", "live 3"];
    assert_eq!(names(&mut client, 6).await, expected);
    assert_eq!(lab.handle().counters().commands_stale, 0);
    assert_eq!(settled(&lab, &gate.socket).await, ["r"]);
}

#[tokio::test]
async fn a_recovering_socket_is_reached_under_its_earlier_id() {
    let mut lab = Lab::start(Lab::config());
    let mut client = lab.websocket().await;
    client.send("40/gate,").await;
    lab.gate().await.decide.send(true).expect("it waits");
    let answer = client.text().await;
    let field = |text: &str, name: &str| {
        let value: serde_json::Value = serde_json::from_str(&text["40/gate,".len()..]).expect("JSON");
        value[name].as_str().expect("a string").to_owned()
    };
    let (sid, pid) = (field(&answer, "sid"), field(&answer, "pid"));
    drop(client);
    let mut again = lab.websocket().await;
    again.send(&format!("40/gate,{}", json!({"pid": pid, "offset": "o1"}))).await;
    let gate = lab.gate().await;
    assert_eq!(gate.socket.id().to_string(), sid);
    lab.handle().join(&gate.socket, "/gate", "r").expect("room in the inbox");
    lab.handle().refill(&gate.socket, vec![event("missed", Class::Reliable)]).expect("room in the inbox");
    lab.handle().broadcast("r", event("live", Class::Reliable), None).expect("room in the inbox");
    settled(&lab, &gate.socket).await;
    gate.decide.send(true).expect("it waits");
    assert_eq!(field(&again.text().await, "pid"), pid);
    assert_eq!(names(&mut again, 2).await, ["missed", "live"]);
}

#[tokio::test]
async fn what_waits_for_an_answer_is_bounded_and_refilled() {
    let mut lab = Lab::start(EngineConfig { queue_soft_bytes: 1_000, ..Lab::config() });
    let mut client = lab.websocket().await;
    client.send("40/gate,").await;
    let gate = lab.gate().await;
    for number in 0..1_000 {
        let event = Encoded::event("/gate", "e").arg(&"x".repeat(90)).offset(&format!("o{number:03}"));
        lab.handle().emit(&gate.socket, event.build()).expect("room in the inbox");
    }
    settled(&lab, &gate.socket).await;
    assert!(lab.handle().counters().deliveries_deferred > 980);
    gate.decide.send(true).expect("it waits");
    let answer = client.text().await;
    assert!(answer.starts_with("40/gate,"), "{answer}");
    let last = loop {
        tokio::select! {
            _ = client.text() => {}
            offset = lab.refill() => break offset.expect("an offset"),
        }
    };
    assert!(("o005".."o012").contains(&&*last), "{last}");
    lab.handle().refill(&gate.socket, vec![event("refilled", Class::Reliable)]).expect("room in the inbox");
    while !client.text().await.contains("refilled") {}
}

#[tokio::test]
async fn a_question_and_a_close_wait_for_the_answer_as_well() {
    let mut lab = Lab::start(Lab::config());
    let mut client = lab.websocket().await;
    client.send("40/gate,").await;
    let gate = lab.gate().await;
    let question = Encoded::event("/gate", "question").arg(&1);
    let asked = lab.handle().emit_with_ack(&gate.socket, question, BROKEN);
    settled(&lab, &gate.socket).await;
    gate.decide.send(true).expect("it waits");
    assert!(client.text().await.starts_with("40/gate,"));
    let text = client.text().await;
    let id = text.strip_prefix("42/gate,").and_then(|rest| rest.split('[').next()).expect("an id");
    client.send(&format!("43/gate,{id}[\"yes\"]")).await;
    assert_eq!(asked.await.expect("answered").get::<String>(0).ok().as_deref(), Some("yes"));

    let mut client = lab.websocket().await;
    client.send("40/gate,").await;
    let gate = lab.gate().await;
    let reliable = |name| event(name, Class::Reliable);
    lab.handle().emit(&gate.socket, reliable("session")).expect("room in the inbox");
    lab.handle().close(&gate.socket, Close::new(3001, "sent away", false).farewell(reliable("farewell")));
    settled(&lab, &gate.socket).await;
    gate.decide.send(true).expect("it waits");
    assert!(client.text().await.starts_with("40/gate,"));
    assert_eq!(names(&mut client, 2).await, ["session", "farewell"]);
    assert_eq!(client.text().await, "41/gate,");
    let reason = DisconnectReason::Server { code: 3001, reason: "sent away".to_owned() };
    assert_eq!(lab.disconnected().await, reason);
}

#[tokio::test]
async fn who_is_refused_leaves_no_trace() {
    let mut lab = Lab::start(EngineConfig { shards: 2, ..Lab::config() });
    for panics in [false, true] {
        let mut client = lab.websocket().await;
        client.send("40/gate,").await;
        let gate = lab.gate().await;
        lab.handle().join(&gate.socket, "/gate", "r").expect("room in the inbox");
        lab.handle().emit(&gate.socket, event("session", Class::Reliable)).expect("room in the inbox");
        let question = Encoded::event("/gate", "question").arg(&1);
        let asked = lab.handle().emit_with_ack(&gate.socket, question, BROKEN);
        settled(&lab, &gate.socket).await;
        if panics {
            drop(gate.decide);
            assert_eq!(client.next_text().await, None);
        } else {
            gate.decide.send(false).expect("it waits");
            assert!(client.text().await.starts_with("44/gate,"));
        }
        assert_eq!(asked.await.err(), Some(AckError::Gone));
        lab.until("no room", |counters| counters.rooms_now == 0).await;
        assert_eq!(lab.handle().counters().sockets_now, 0);
    }
    assert!(!lab.handle().may_have_members("/gate", "r"));
}

#[tokio::test]
async fn who_does_not_wait_for_the_answer_is_told_of_all_the_same() {
    let mut lab = Lab::start(EngineConfig { shards: 2, ..Lab::config() });
    // Hung up: everything is done first. Closed for a fault of the protocol: the decision goes on without it.
    for fault in [None, Some("4x")] {
        let mut client = lab.websocket().await;
        client.send("40/gate,").await;
        let gate = lab.gate().await;
        lab.handle().join(&gate.socket, "/gate", "r").expect("room in the inbox");
        settled(&lab, &gate.socket).await;
        assert_eq!(lab.handle().counters().rooms_now, 1);
        if let Some(fault) = fault {
            client.send(fault).await;
            assert_eq!(client.next_text().await, None);
            lab.until("it is gone", |counters| counters.connections_now == 0).await;
            assert_eq!(lab.handle().counters().rooms_now, 0);
            // Too late for whoever is still at it.
            lab.handle().join(&gate.socket, "/gate", "r").expect("room in the inbox");
            settled(&lab, &gate.socket).await;
            assert!(!lab.handle().may_have_members("/gate", "r"));
        } else {
            drop(client);
        }
        gate.decide.send(true).expect("it is still decided");
        let reason = lab.disconnected().await;
        assert_eq!(matches!(reason, DisconnectReason::ProtocolError(_)), fault.is_some(), "{reason:?}");
        lab.until("nothing is left", |counters| {
            (counters.connections_now, counters.sockets_now, counters.rooms_now) == (0, 0, 0)
        })
        .await;
    }
    // Refused, or decided by a panic: nobody was there, so nobody has gone.
    for decision in [Some(false), None] {
        let mut client = lab.websocket().await;
        client.send("40/gate,").await;
        let gate = lab.gate().await;
        client.send("4x").await;
        lab.until("it is gone", |counters| counters.connections_now == 0).await;
        if let Some(decision) = decision {
            gate.decide.send(decision).expect("it is still decided");
        } else {
            drop(gate.decide);
            lab.until("it panicked", |counters| counters.panics == 1).await;
        }
    }
    let mut next = lab.client().await;
    next.send("420[\"echo\",1]").await;
    assert_eq!(next.text().await, "430[1]");
    assert!(matches!(lab.next_told().await, Told::Connected { .. }), "told of somebody who was not there");
}

/// Over polling, where a session that waits costs no descriptor.
#[tokio::test]
async fn ten_thousand_can_wait_for_their_answers_at_once() {
    const ALL: usize = 10_000;
    let mut lab = Lab::start(Lab::config());
    let mut http = lab.http().await;
    let mut sessions = Vec::new();
    for _ in 0..ALL {
        let open = http.engine_io("GET", "", "").await.body;
        let query = format!("&sid={}", open.split('"').nth(3).expect("a session id"));
        assert_eq!(http.engine_io("POST", &query, "40/gate,").await.body, "ok");
        sessions.push(query);
    }
    let mut gates = Vec::new();
    for number in 0..ALL {
        let gate = lab.gate().await;
        lab.handle().join(&gate.socket, "/gate", "all").expect("room in the inbox");
        let session = Encoded::event("/gate", "session").arg(&number).build();
        lab.handle().emit(&gate.socket, session).expect("room in the inbox");
        if number % 1_000 == 999 {
            settled(&lab, &gate.socket).await;
        }
        gates.push(gate);
    }
    lab.handle().broadcast("all", event("live", Class::Reliable), None).expect("room in the inbox");
    assert_eq!(lab.handle().counters().sockets_now, 0);
    for gate in gates.into_iter().rev() {
        gate.decide.send(true).expect("it waits");
    }
    for (number, query) in sessions.iter().enumerate() {
        let body = http.engine_io("GET", query, "").await.body;
        let packets: Vec<&str> = body.split('\x1e').collect();
        assert!(packets[0].starts_with("40/gate,"), "{body}");
        assert_eq!(packets[1], format!("42/gate,[\"session\",{number}]"));
        assert_eq!(packets[2], "42/gate,[\"live\",1,\"live\"]");
    }
    lab.until("all entered", |counters| counters.sockets_now == ALL as u64).await;
}

#[tokio::test]
async fn an_answer_given_elsewhere_and_later_arrives_in_order() {
    let mut lab = Lab::start(Lab::config());
    let mut client = lab.client().await;
    client.send("421[\"hand over\",1]").await;
    client.send("422[\"echo\",\"behind\"]").await;
    let (ack, done) = lab.ack().await;
    let (handle, socket) = (lab.handle().clone(), lab.socket(&client));
    std::thread::spawn(move || {
        handle.emit(&socket, Encoded::event("/", "first").arg(&1).build()).expect("room in the inbox");
        ack.send(&"answered");
        let _ = done.send(());
    })
    .join()
    .expect("no panic");
    assert_eq!(client.text().await, "42[\"first\",1]");
    // The next event is handled once the first is done; that answer has left before.
    let mut both = [client.text().await, client.text().await];
    both.sort();
    assert_eq!(both, ["431[\"answered\"]", "432[\"behind\"]"]);
}
