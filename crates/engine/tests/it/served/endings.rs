//! How connections end, and that nothing of them is left: not after a panic either.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use turnpike_engine::packet::{Class, Encoded};
use turnpike_engine::{DisconnectReason, EngineConfig};

use super::lab::{Lab, numbered};

/// A masked frame with a mask of zeros.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode, 0x80 | u8::try_from(payload.len()).expect("a short one"), 0, 0, 0, 0];
    frame.extend_from_slice(payload);
    frame
}

/// RFC 6455 5.5.1: no data frame follows a close frame.
#[tokio::test]
async fn nothing_follows_the_answer_to_a_close_frame() {
    let mut lab = Lab::start(Lab::config());
    let mut client = lab.client().await;
    lab.handle().join(&lab.socket(&client), "/", "r").expect("room in the inbox");
    let stream = client.socket.get_mut();
    let ask = format!("427{}", json!(["slow", {"n": 1, "ms": 200}]));
    let bytes = [frame(1, ask.as_bytes()), frame(8, &1000_u16.to_be_bytes())].concat();
    stream.write_all(&bytes).await.expect("it reads");
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.expect("the close is answered");
    assert_eq!(answer, [0x88, 2, 3, 0xe8]);
    lab.handle().broadcast("r", numbered(0, Class::Reliable, 10), None).expect("room in the inbox");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("an orderly end");
    assert_eq!(String::from_utf8_lossy(&rest), "", "frames behind the close");
    assert_eq!(lab.disconnected().await, DisconnectReason::TransportClosed);
    assert_eq!(lab.app.handled.load(Ordering::Relaxed), 1, "what it had asked for is done");
}

#[tokio::test]
async fn what_was_asked_is_done_though_its_answers_find_nobody() {
    let mut lab = Lab::start(Lab::config());
    let mut client = lab.client().await;
    for id in 0..10 {
        client.send(&format!("42{id}{}", json!(["slow", {"n": 1, "ms": 20}]))).await;
    }
    drop(client);
    lab.disconnected().await;
    assert_eq!(lab.app.handled.load(Ordering::Relaxed), 10);
}

#[tokio::test]
async fn a_namespace_that_takes_its_time_to_refuse_is_none() {
    let config = EngineConfig { connect_timeout: Duration::from_secs(2), ..Lab::config() };
    let lab = Lab::start(config);
    let mut client = lab.websocket().await;
    // Still being decided on when the deadline passes.
    client.send("40/never,").await;
    assert_eq!(client.text().await, r#"44/never,{"message":"no","data":{"code":104}}"#);
    assert_eq!(client.next_text().await, None, "in no namespace, so closed");
}

#[tokio::test]
async fn a_ticket_gives_its_id_to_one_socket_of_a_connection() {
    let lab = Lab::start(Lab::config());
    let first = lab.client().await;
    let pid = first.pid.clone().expect("a ticket");
    drop(first);
    let mut client = lab.websocket().await;
    client.enter(&format!("40{}", json!({"pid": pid, "offset": "o1"}))).await;
    let root = client.sid.clone();
    client.enter(&format!("40/later,{}", json!({"pid": pid, "offset": "o1"}))).await;
    assert_ne!(client.sid, root, "what is sent to one must not reach the other");
    let emitted = Encoded::event("/later", "message").arg(&1).build();
    lab.handle().emit(&lab.socket(&client), emitted).expect("room in the inbox");
    assert_eq!(client.text().await, "42/later,[\"message\",1]");
}

#[tokio::test]
async fn a_panic_in_a_call_that_nobody_answers_costs_nobody_anything() {
    let config = EngineConfig {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_secs(2),
        ..Lab::config()
    };
    let mut lab = Lab::start(config);
    let mut bystander = lab.client().await;
    let mut leaver = lab.client().await;
    let silent = lab.client().await;
    let mut parting = lab.client().await;
    for client in [&leaver, &silent, &parting] {
        lab.handle().join(&lab.socket(client), "/", "r").expect("room in the inbox");
    }
    lab.until("joined", |counters| counters.rooms_now == 1).await;
    lab.app.panics.store(true, Ordering::Relaxed);
    // Told by the connection's own task, by the shard's timers, by its commands.
    leaver.send("41").await;
    drop(leaver);
    parting.event("leave me", &json!({"reconnect": true})).await;
    drop(parting);
    // Answers its pings meanwhile.
    let timed_out = async {
        lab.until("all gone but one", |counters| counters.connections_now == 1).await;
        lab.until("with their rooms", |counters| counters.rooms_now == 0 && counters.sockets_now == 1).await;
        lab.until("panics are counted", |counters| counters.panics == 3).await;
    };
    tokio::select! {
        () = timed_out => {}
        text = bystander.next_text() => panic!("{text:?}"),
    }
    lab.app.panics.store(false, Ordering::Relaxed);
    bystander.send(&format!("420{}", json!(["echo", "alive"]))).await;
    assert_eq!(bystander.text().await, r#"430["alive"]"#);
    drop(silent);
    for _ in 0..3 {
        lab.disconnected().await;
    }
    // The timers still turn.
    let _silent = lab.client().await;
    assert_eq!(lab.disconnected().await, DisconnectReason::PingTimeout);
}

#[tokio::test]
async fn a_panic_ends_the_session_on_whichever_way_its_packet_came() {
    let mut lab = Lab::start(Lab::config());
    let internal = DisconnectReason::ProtocolError("internal".to_owned());
    // A post.
    let session = lab.polling().await;
    session.enter().await;
    let mut http = lab.http().await;
    http.ask("POST", &session.query(), "42[\"panic\"]").await;
    let answer = http.answer().await.expect("an answer");
    assert_eq!(answer.status, 400, "{answer:?}");
    drop(session);
    assert_eq!(lab.disconnected().await, internal);
    // Later.
    let mut client = lab.client().await;
    client.event("panic later", &json!(1)).await;
    assert_eq!(lab.disconnected().await, internal);
    assert_eq!(client.next_text().await, None);
    // While entering.
    let mut client = lab.websocket().await;
    client.send("40/panic,").await;
    assert_eq!(client.next_text().await, None);
    lab.until("all gone", |counters| counters.connections_now == 0 && counters.panics == 3).await;
}

/// The engine does not wait for the end of what arrives with the request.
#[tokio::test]
async fn a_panic_in_front_of_the_first_read_leaves_no_connection() {
    let lab = Lab::start(Lab::config());
    let mut http = lab.http().await;
    let request = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\n\
        upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut bytes = request.as_bytes().to_vec();
    bytes.extend_from_slice(&frame(1, b"40/panic,"));
    http.write(&bytes).await;
    let mut rest = Vec::new();
    // Closed or reset, as long as it ends.
    let _ =
        tokio::time::timeout(super::lab::BROKEN, http.stream.read_to_end(&mut rest)).await.expect("it ends");
    lab.until("gone", |counters| counters.connections_now == 0 && counters.panics == 1).await;
}

#[tokio::test]
async fn a_shutdown_finds_room_in_a_full_inbox() {
    let lab = Lab::start(EngineConfig { inbox_commands_max: 4, ..Lab::config() });
    let mut client = lab.client().await;
    let socket = lab.socket(&client);
    client.event("block", &json!({"ms": 500})).await;
    while lab.app.handled.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    while lab.handle().emit(&socket, numbered(0, Class::Reliable, 1)).is_ok() {}
    let (done, waiting) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        lab.server.shutdown();
        done.send(())
    });
    tokio::time::timeout(super::lab::BROKEN, waiting).await.expect("it ends").expect("without a panic");
}
