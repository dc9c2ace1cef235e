//! Sessions over HTTP: what clients do wrong with polls and posts, and what they lose by it.

use std::time::Duration;

use serde_json::json;
use turnpike_engine::packet::{Class, Encoded};
use turnpike_engine::{DisconnectReason, EngineConfig};

use super::lab::{Lab, numbered};

fn protocol_error(what: &str) -> DisconnectReason {
    DisconnectReason::ProtocolError(what.to_owned())
}

#[tokio::test]
async fn two_polls_at_once_end_the_session() {
    let mut lab = Lab::start(Lab::config());
    let session = lab.polling().await;
    session.enter().await;
    let mut parked = session.park().await;
    lab.until("parked", |counters| counters.polls == 2).await;
    assert_eq!(session.get().await.status, 400);
    assert_eq!(parked.answer().await.expect("an answer").body, "1", "told that it is over");
    assert_eq!(lab.disconnected().await, protocol_error("two polls at once"));
    assert_eq!(session.get().await.body, r#"{"code":1,"message":"Session ID unknown"}"#);
}

#[tokio::test]
async fn who_hangs_up_while_polling_is_gone_wherever_the_poll_landed() {
    let mut lab = Lab::start(EngineConfig { shards: 4, ..Lab::config() });
    for round in 1..=8 {
        let session = lab.polling().await;
        session.enter().await;
        let parked = session.park().await;
        lab.until("parked", |counters| counters.polls == 2 * round).await;
        drop(parked);
        assert_eq!(lab.disconnected().await, DisconnectReason::TransportError);
    }
    lab.until("nothing is left", |counters| counters.connections_now == 0).await;
}

/// Two posts have no order, and each may hold a megabyte while it waits.
#[tokio::test]
async fn two_posts_at_once_end_the_session() {
    let mut lab = Lab::start(EngineConfig { events_waiting_max: 4, ..Lab::config() });
    let session = lab.polling().await;
    session.enter().await;
    let slow = |id: u64| format!("42{id}{}", json!(["slow", {"n": id, "ms": 1_000}]));
    let body = (0..6).map(slow).collect::<Vec<_>>().join("\u{1e}");
    let mut first = lab.http().await;
    first.ask("POST", &session.query(), &body).await;
    lab.until("the first is being taken", |counters| counters.events_in == 1).await;
    let second = session.post(&slow(9)).await;
    assert_eq!(second.status, 400, "{second:?}");
    assert_eq!(lab.disconnected().await, protocol_error("two posts at once"));
    let first = first.answer().await.expect("an answer");
    assert_eq!(first.status, 400, "{first:?}");
}

/// What a post holds waits in its body, which is small, and not as events, which are large.
#[tokio::test]
async fn a_post_waits_for_a_busy_application_and_loses_nothing() {
    let lab = Lab::start(EngineConfig { events_waiting_max: 4, ..Lab::config() });
    let session = lab.polling().await;
    session.enter().await;
    // Between the twentieth answer and the last that is taken lies a second, which a busy machine does not miss.
    let slow = |id: u64| format!("42{id}{}", json!(["slow", {"n": id, "ms": 60}]));
    let mut http = lab.http().await;
    let body = (0..40).map(slow).collect::<Vec<_>>().join("\u{1e}");
    http.ask("POST", &session.query(), &body).await;
    let (mut answers, mut early) = (Vec::new(), 0);
    while answers.len() < 40 {
        let body = session.get().await.body;
        answers.extend(body.split('\u{1e}').map(str::to_owned));
        if tokio::time::timeout(Duration::ZERO, http.stream.readable()).await.is_err() {
            early = answers.len();
        }
    }
    assert_eq!(answers, (0..40).map(|id| format!("43{id}[{id}]")).collect::<Vec<_>>());
    assert!(early >= 20, "answered when all of it was taken, not before: {early}");
    assert_eq!(http.answer().await.expect("an answer").body, "ok");
}

#[tokio::test]
async fn a_post_whose_client_hangs_up_halfway_ends_the_session() {
    let mut lab = Lab::start(EngineConfig { shards: 2, events_waiting_max: 4, ..Lab::config() });
    for _ in 0..6 {
        let session = lab.polling().await;
        session.enter().await;
        let slow = |id: u64| format!("42{id}{}", json!(["slow", {"n": id, "ms": 500}]));
        let before = lab.handle().counters().events_in;
        let mut http = lab.http().await;
        http.ask("POST", &session.query(), &(0..10).map(slow).collect::<Vec<_>>().join("\u{1e}")).await;
        lab.until("it is being taken", |counters| counters.events_in > before).await;
        drop(http);
        assert_eq!(lab.disconnected().await, DisconnectReason::TransportError);
    }
}

/// A megabyte of tiny packets takes a while, and others must not wait for the whole of it.
#[tokio::test]
async fn alone_a_post_of_many_packets_is_taken_in_slices() {
    let lab = Lab::start(Lab::config());
    let session = lab.polling().await;
    session.enter().await;
    let mut bystander = lab.client().await;
    let body = vec![r#"42["echo"]"#; 80_000].join("\u{1e}");
    let mut http = lab.http().await;
    http.ask("POST", &session.query(), &body).await;
    lab.until("it is being taken", |counters| counters.events_in > 0).await;
    // Asked in the midst of it, and answered before its end.
    bystander.send(&format!("420{}", json!(["echo", 1]))).await;
    assert_eq!(bystander.text().await, "430[1]");
    let handled = lab.app.handled.load(std::sync::atomic::Ordering::Relaxed);
    assert!(handled < 60_000, "{handled} events came first");
    assert_eq!(http.answer().await.expect("an answer").body, "ok");
}

#[tokio::test]
async fn the_newest_state_replaces_the_older_while_a_client_is_between_polls() {
    let lab = Lab::start(Lab::config());
    let session = lab.polling().await;
    let id = session.enter().await;
    let socket = lab.app.sockets.lock().expect("no panics")[&id];
    for number in 0..1_000 {
        let pad = "x".repeat(100);
        let state = Encoded::event("/", "state").arg(&json!([number, pad])).class(Class::State { key: 7 });
        lab.handle().emit(&socket, state.build()).expect("room in the inbox");
    }
    lab.handle().rooms(&socket).await;
    let body = session.get().await.body;
    let states: Vec<_> = body.split('\u{1e}').collect();
    assert_eq!(states.len(), 1, "{} states", states.len());
    assert!(states[0].starts_with("42[\"state\",[999,"), "{body}");
}

#[tokio::test]
async fn a_poll_that_finds_its_session_closing_gets_the_last_words() {
    let mut lab = Lab::start(Lab::config());
    let session = lab.polling().await;
    let id = session.enter().await;
    let socket = lab.app.sockets.lock().expect("no panics")[&id];
    lab.handle().emit(&socket, numbered(0, Class::Reliable, 1)).expect("room in the inbox");
    lab.handle().close(&socket, turnpike_engine::Close::new(3001, "drain", true));
    lab.handle().emit(&socket, numbered(1, Class::Reliable, 1)).expect("room in the inbox");
    lab.handle().rooms(&socket).await;
    assert_eq!(session.post("42[\"echo\"]").await.body, "ok", "too late, and no fault");
    assert_eq!(session.get().await.body, "42[\"message\",[0,\"x\"],\"o0\"]");
    // The stock client would read what stands before it in the same answer when it is back, and be given it again.
    assert_eq!(session.get().await.body, "1");
    assert_eq!(lab.disconnected().await, DisconnectReason::Server { code: 3001, reason: "drain".to_owned() });
    assert_eq!(lab.app.handled.load(std::sync::atomic::Ordering::Relaxed), 0);
    assert_eq!(session.post("42[\"echo\"]").await.body, r#"{"code":1,"message":"Session ID unknown"}"#);
}

#[tokio::test]
async fn heartbeats_find_the_poller_that_is_gone() {
    let config = EngineConfig {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_secs(2),
        ..Lab::config()
    };
    let mut lab = Lab::start(config);
    let session = lab.polling().await;
    session.enter().await;
    for _ in 0..4 {
        assert_eq!(session.get().await.body, "2");
        assert_eq!(session.post("3").await.body, "ok");
    }
    assert_eq!(session.get().await.body, "2");
    assert_eq!(lab.disconnected().await, DisconnectReason::PingTimeout);
}

#[tokio::test]
async fn methods_and_bodies_that_have_no_place_here_are_refused() {
    let mut lab = Lab::start(EngineConfig { payload_bytes_max: 1_000, ..Lab::config() });
    let session = lab.polling().await;
    session.enter().await;
    for method in ["PUT", "DELETE", "PATCH"] {
        let answer = lab.http().await.engine_io(method, &session.query(), "").await;
        assert_eq!((answer.status, &*answer.body), (400, r#"{"code":2,"message":"Bad handshake method"}"#));
    }
    assert_eq!(lab.http().await.engine_io("POST", "", "40").await.status, 400);
    let mut http = lab.http().await;
    http.ask("GET", "&EIO=3", "").await;
    let answer = http.answer().await.expect("an answer");
    assert_eq!(answer.body, r#"{"code":5,"message":"Unsupported protocol version"}"#);
    // An eighth above the limit is the stock client's miscount of base64; what is in it has the limit all the same.
    assert_eq!(session.post(&"4".repeat(1_126)).await.status, 413);
    // Announced by nobody, and found while it is read.
    let mut http = lab.http().await;
    let head = format!(
        "POST /socket.io/?EIO=4&transport=polling{} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n",
        session.query()
    );
    http.write(format!("{head}480\r\n{}\r\n", "x".repeat(1_152)).as_bytes()).await;
    let answer = http.answer().await.expect("an answer");
    assert_eq!(answer.status, 413, "{}", answer.head);
    assert_eq!(lab.handle().counters().connections_now, 1, "none of it has hurt the session");
    assert_eq!(session.post("").await.status, 400, "no packet at all");
    assert!(matches!(lab.disconnected().await, DisconnectReason::ProtocolError(_)));
}

/// A post that was answered has been taken, and is done.
#[tokio::test]
async fn what_was_posted_is_done_though_the_poller_hangs_up() {
    let mut lab = Lab::start(Lab::config());
    let session = lab.polling().await;
    session.enter().await;
    let parked = session.park().await;
    let slow = |id: u64| format!("42{id}{}", json!(["slow", {"n": id, "ms": 50}]));
    let body = (0..10).map(slow).collect::<Vec<_>>().join("\u{1e}");
    assert_eq!(session.post(&body).await.body, "ok");
    drop(parked);
    assert_eq!(lab.disconnected().await, DisconnectReason::TransportError);
    assert_eq!(lab.app.handled.load(std::sync::atomic::Ordering::Relaxed), 10);
}
