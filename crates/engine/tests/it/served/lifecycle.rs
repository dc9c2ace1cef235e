//! Beginnings and ends: CONNECT, recovery tickets, answers that do not come, panics, drain.

use std::time::Duration;

use serde_json::json;
use turnpike_engine::packet::Encoded;
use turnpike_engine::{AckError, Close, DisconnectReason, EngineConfig};

use super::lab::{Lab, Told};

#[tokio::test]
async fn a_ticket_and_an_offset_bring_the_socket_back() {
    let mut lab = Lab::start(Lab::config());
    let first = lab.client().await;
    assert!(matches!(lab.next_told().await, Told::Connected { recovered: false }));
    let (sid, pid) = (first.sid.clone(), first.pid.clone().expect("a ticket"));
    drop(first);
    assert_eq!(lab.disconnected().await, DisconnectReason::TransportClosed);

    let mut second = lab.websocket().await;
    second.enter(&format!("40{}", json!({"pid": pid, "offset": "o1"}))).await;
    assert_eq!((&second.sid, &second.pid), (&sid, &Some(pid.clone())));
    assert!(matches!(lab.next_told().await, Told::Connected { recovered: true }));

    // A ticket that is not ours, and one without an offset, are newcomers.
    let mut forged = pid.clone();
    forged.replace_range(pid.len() - 1.., if pid.ends_with('A') { "B" } else { "A" });
    let mut others = Vec::new();
    for auth in
        [json!({"pid": forged, "offset": "o1"}), json!({"pid": pid}), json!({"pid": "x", "offset": "o1"})]
    {
        let mut other = lab.websocket().await;
        other.enter(&format!("40{auth}")).await;
        assert_ne!(other.sid, sid, "{auth}");
        others.push(other);
        assert!(matches!(lab.next_told().await, Told::Connected { recovered: false }), "{auth}");
    }
}

#[tokio::test]
async fn namespaces_are_entered_one_by_one_and_refused_with_data() {
    let lab = Lab::start(EngineConfig { namespaces_per_connection_max: 2, ..Lab::config() });
    let mut client = lab.client().await;
    client.send("40/admin,{\"token\":\"wrong\"}").await;
    assert_eq!(client.text().await, r#"44/admin,{"message":"no","data":{"code":104}}"#);
    client.send("40/nowhere,").await;
    assert!(client.text().await.starts_with(r#"44/nowhere,{"message":"Invalid namespace""#));
    client.send("40/later,").await;
    // Behind a CONNECT that takes its time, in order.
    client.send(&format!("42/later,7{}", json!(["echo", 1]))).await;
    assert!(client.text().await.starts_with("40/later,{\"sid\""));
    assert_eq!(client.text().await, "43/later,7[1]");
    client.send("40/admin,{\"token\":\"ok\"}").await;
    assert_eq!(client.text().await, r#"44/admin,{"message":"too many namespaces on this connection"}"#);
    client.send("41/later,").await;
    client.send("40/admin,{\"token\":\"ok\"}").await;
    assert!(client.text().await.starts_with("40/admin,{\"sid\""));
    // A second CONNECT to the same namespace makes no second socket.
    client.send("40").await;
    client.send(&format!("428{}", json!(["echo", 2]))).await;
    assert_eq!(client.text().await, "438[2]");
}

#[tokio::test]
async fn a_panic_ends_its_connection_and_no_other() {
    let mut lab = Lab::start(Lab::config());
    let mut bystander = lab.client().await;
    let mut victim = lab.client().await;
    victim.event("panic", &json!(null)).await;
    assert_eq!(lab.disconnected().await, DisconnectReason::ProtocolError("internal".to_owned()));
    assert_eq!(victim.next_text().await, None);
    bystander.send(&format!("420{}", json!(["echo", "alive"]))).await;
    assert_eq!(bystander.text().await, r#"430["alive"]"#);
    assert_eq!(lab.handle().counters().panics, 1);
}

#[tokio::test]
async fn a_client_that_does_not_answer_meets_the_deadline() {
    let lab = Lab::start(EngineConfig { acks_outstanding_max: 1, ..Lab::config() });
    let mut client = lab.client().await;
    let socket = lab.socket(&client);
    let question = || Encoded::event("/", "question").arg(&1);
    let long = lab.handle().emit_with_ack(&socket, question(), Duration::from_mins(1));
    let asked = client.text().await;
    let id: u64 =
        asked.strip_prefix("42").and_then(|rest| rest.split('[').next()?.parse().ok()).expect("an id");

    let too_many = lab.handle().emit_with_ack(&socket, question(), Duration::from_mins(1)).await;
    assert_eq!(too_many.err(), Some(AckError::TooMany));
    client.send(&format!("43{}[1]", id + 77)).await;
    client.send(&format!("43{id}[\"first\"]")).await;
    client.send(&format!("43{id}[\"again\"]")).await;
    let answer = long.await.expect("it was answered");
    assert_eq!(answer.get::<String>(0).ok().as_deref(), Some("first"));

    let timed = lab.handle().emit_with_ack(&socket, question(), Duration::from_millis(60)).await;
    assert_eq!(timed.err(), Some(AckError::Timeout));
    let gone = lab.handle().emit_with_ack(&socket, question(), Duration::from_mins(1));
    drop(client);
    assert_eq!(gone.await.err(), Some(AckError::Gone));
}

#[tokio::test]
async fn a_room_is_asked_at_once_and_who_stays_silent_is_named() {
    let lab = Lab::start(EngineConfig { shards: 2, ..Lab::config() });
    let mut clients = Vec::new();
    for _ in 0..6 {
        let client = lab.client().await;
        lab.handle().join(&lab.socket(&client), "/", "quiz").expect("room in the inbox");
        clients.push(client);
    }
    let question = Encoded::event("/", "question").arg(&1);
    let answers = lab.handle().broadcast_with_ack("/", "quiz", &question, Duration::from_secs(2));
    let answering = async {
        for client in &mut clients[1..] {
            let asked = client.text().await;
            let id =
                asked.strip_prefix("42").and_then(|rest| rest.split('[').next()).expect("an id").to_owned();
            client.send(&format!("43{id}[\"{}\"]", client.sid)).await;
        }
    };
    let (answers, ()) = tokio::join!(answers, answering);
    let answers = answers.expect("not overloaded");
    assert_eq!(answers.len(), 6);
    for (from, answer) in answers {
        let answer = answer.map(|args| args.get::<String>(0).expect("a string"));
        let silent = from.to_string() == clients[0].sid;
        assert_eq!(answer, if silent { Err(AckError::Timeout) } else { Ok(from.to_string()) });
    }
}

#[tokio::test]
async fn heartbeats_find_who_is_gone() {
    let config = EngineConfig {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_secs(2),
        ..Lab::config()
    };
    let mut lab = Lab::start(config);
    let silent = lab.client().await;
    let mut faithful = lab.client().await;
    // The faithful one answers its pings while it waits for an event that does not come.
    let listening = tokio::time::timeout(Duration::from_secs(4), faithful.text());
    let (reason, heard) = tokio::join!(lab.disconnected(), listening);
    assert_eq!(reason, DisconnectReason::PingTimeout);
    assert!(heard.is_err(), "{heard:?}");
    assert_eq!(lab.handle().counters().connections_now, 1);
    drop(silent);
}

#[tokio::test]
async fn who_enters_nothing_is_closed() {
    let lab = Lab::start(EngineConfig { connect_timeout: Duration::from_secs(2), ..Lab::config() });
    let mut idle = lab.websocket().await;
    let mut entered = lab.client().await;
    assert_eq!(idle.next_text().await, None);
    entered.send(&format!("420{}", json!(["echo", 1]))).await;
    assert_eq!(entered.text().await, "430[1]");
}

#[tokio::test]
async fn the_application_closes_for_good_or_for_now() {
    let mut lab = Lab::start(Lab::config());
    let mut for_good = lab.client().await;
    for_good.event("leave me", &json!({"reconnect": false})).await;
    assert_eq!(for_good.text().await, "41", "the stock client takes this as final");
    let mut for_now = lab.client().await;
    for_now.event("leave me", &json!({"reconnect": true})).await;
    assert_eq!(for_now.next_text().await, None, "the stock client takes this as an accident");
    for _ in 0..2 {
        let reason = DisconnectReason::Server { code: 3001, reason: "as asked".to_owned() };
        assert_eq!(lab.disconnected().await, reason);
    }
}

#[tokio::test]
async fn a_drain_closes_everyone_within_its_window_and_takes_nobody_in() {
    let lab = Lab::start(EngineConfig { shards: 2, ..Lab::config() });
    let mut clients = Vec::new();
    for _ in 0..60 {
        clients.push(lab.client().await);
    }
    let close =
        Close::new(3001, "drain", true).farewell(Encoded::event("/", "disconnecting").arg(&3001).build());
    let drained = lab.handle().drain(Duration::from_millis(500), &close);
    let closing = async {
        for client in &mut clients {
            assert_eq!(client.received().await, ("disconnecting".to_owned(), json!(3001)));
            assert_eq!(client.next_text().await, None);
        }
    };
    let begun = std::time::Instant::now();
    let (count, ()) = tokio::join!(drained, closing);
    assert_eq!(count, 60);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let address = lab.server.local_addr();
    let stream = tokio::net::TcpStream::connect(address).await.expect("it still answers");
    let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
    let refused = tokio_tungstenite::client_async(url, stream).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("503")));
}

#[tokio::test]
async fn a_message_that_trickles_is_not_waited_for() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let mut lab = Lab::start(EngineConfig { message_timeout: Duration::from_millis(400), ..Lab::config() });
    let mut client = lab.client().await;
    let stream = client.socket.get_mut();
    // A masked text frame of 100,000 bytes, of which one comes now and then.
    stream.write_all(&[0x81, 0xff, 0, 0, 0, 0, 0, 1, 0x86, 0xa0, 0, 0, 0, 0]).await.expect("it reads");
    let trickle = async {
        while stream.write_all(b"4").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let reason = tokio::select! {
        () = trickle => lab.disconnected().await,
        reason = lab.disconnected() => reason,
    };
    assert_eq!(reason, DisconnectReason::ProtocolError("message did not arrive in time".to_owned()));
    let mut rest = Vec::new();
    let _ = client.socket.get_mut().read_to_end(&mut rest).await;
}

#[tokio::test]
async fn a_stream_whose_reads_always_end_within_a_message_goes_on() {
    use tokio::io::AsyncWriteExt as _;

    const TIME: Duration = Duration::from_millis(1_500);
    let mut lab = Lab::start(EngineConfig { message_timeout: TIME, ..Lab::config() });
    let mut client = lab.client().await;
    // Each write ends one message and begins the next, for longer than a message may take.
    let frame = [0x81, 0x81, 0, 0, 0, 0, b'6'];
    let stream = client.socket.get_mut();
    stream.write_all(&frame[..3]).await.expect("it reads");
    let begun = std::time::Instant::now();
    while begun.elapsed() < TIME * 2 {
        stream.write_all(&[&frame[3..], &frame[..3]].concat()).await.expect("it reads");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(lab.handle().counters().connections_now, 1);
    assert!(lab.handle().counters().timers_now < 10, "a timer for each: {:?}", lab.handle().counters());
    assert_eq!(
        lab.disconnected().await,
        DisconnectReason::ProtocolError("message did not arrive in time".to_owned())
    );
}

#[tokio::test]
async fn attachments_are_waited_for_and_not_for_ever() {
    use futures_util::SinkExt as _;
    use tokio_tungstenite::tungstenite::Message;

    const TIME: Duration = Duration::from_millis(1_500);
    let mut lab = Lab::start(EngineConfig { attachments_timeout: TIME, ..Lab::config() });
    let mut client = lab.client().await;
    let packet = r#"451-["echo",{"_placeholder":true,"num":0}]"#;
    let begun = std::time::Instant::now();
    let mut count = 0;
    while begun.elapsed() < TIME * 2 {
        client.send(packet).await;
        count += 1;
        // So that the engine sees one without the other.
        lab.until("it is read", |counters| counters.bytes_in >= 40 * count).await;
        client.socket.send(Message::binary(vec![1])).await.expect("it reads");
    }
    assert!(lab.handle().counters().timers_now < 10, "a timer for each: {:?}", lab.handle().counters());
    assert_eq!(lab.handle().counters().connections_now, 1);
    client.send(packet).await;
    assert_eq!(
        lab.disconnected().await,
        DisconnectReason::ProtocolError("attachments did not arrive in time".to_owned())
    );
}

/// A message that began late in another's time has its own, and no more than that.
#[tokio::test]
async fn alone_each_message_has_its_own_time() {
    use tokio::io::AsyncWriteExt as _;

    const TIME: Duration = Duration::from_secs(1);
    let mut lab = Lab::start(EngineConfig { message_timeout: TIME, ..Lab::config() });
    let mut client = lab.client().await;
    let frame = [0x81, 0x81, 0, 0, 0, 0, b'6'];
    let stream = client.socket.get_mut();
    stream.write_all(&frame[..3]).await.expect("it reads");
    tokio::time::sleep(TIME / 12).await;
    let begun = std::time::Instant::now();
    // Ends the one and begins the other.
    stream.write_all(&[&frame[3..], &frame[..3]].concat()).await.expect("it reads");
    let reason = lab.disconnected().await;
    assert_eq!(reason, DisconnectReason::ProtocolError("message did not arrive in time".to_owned()));
    let waited = begun.elapsed();
    assert!(waited >= TIME * 9 / 10 && waited < TIME * 8 / 5, "{waited:?}");
}

#[tokio::test]
async fn alone_the_attachments_of_each_packet_have_their_own_time() {
    use futures_util::SinkExt as _;
    use tokio_tungstenite::tungstenite::Message;

    const TIME: Duration = Duration::from_secs(1);
    let mut lab = Lab::start(EngineConfig { attachments_timeout: TIME, ..Lab::config() });
    let mut client = lab.client().await;
    let packet = r#"451-["echo",{"_placeholder":true,"num":0}]"#;
    client.send(packet).await;
    tokio::time::sleep(TIME / 12).await;
    client.socket.send(Message::binary(vec![1])).await.expect("it reads");
    let begun = std::time::Instant::now();
    client.send(packet).await;
    let reason = lab.disconnected().await;
    assert_eq!(reason, DisconnectReason::ProtocolError("attachments did not arrive in time".to_owned()));
    let waited = begun.elapsed();
    assert!(waited >= TIME * 9 / 10 && waited < TIME * 8 / 5, "{waited:?}");
}

/// The stock client takes the end of each namespace as final, and that of the connection alone as an accident.
#[tokio::test]
async fn a_whole_connection_is_closed_with_all_its_namespaces() {
    let mut lab = Lab::start(Lab::config());
    let mut client = lab.client().await;
    let socket = lab.socket(&client);
    client.send("40/admin,{\"token\":\"ok\"}").await;
    assert!(client.text().await.starts_with("40/admin,"));
    client.send("40/gate,").await;
    let gate = lab.gate().await;
    let farewell = Encoded::event("/", "disconnecting").arg(&3001).build();
    lab.handle().close(&socket, Close::new(3001, "revoked", false).farewell(farewell).everything());
    assert_eq!(client.received().await.0, "disconnecting");
    assert_eq!(client.text().await, "41");
    assert_eq!(client.text().await, "41/admin,");
    assert_eq!(client.next_text().await, None);
    for _ in 0..2 {
        let reason = DisconnectReason::Server { code: 3001, reason: "revoked".to_owned() };
        assert_eq!(lab.disconnected().await, reason);
    }
    lab.until("nothing is left", |counters| (counters.connections_now, counters.sockets_now) == (0, 0)).await;
    // Who was being decided on as well.
    gate.decide.send(true).expect("it is still decided");
    let reason = DisconnectReason::Server { code: 3001, reason: "revoked".to_owned() };
    assert_eq!(lab.disconnected().await, reason);
}

/// An application that makes up namespaces as it goes must not fill the engine with their names.
#[tokio::test]
async fn a_namespace_is_forgotten_with_its_last_socket() {
    let lab = Lab::start(Lab::config());
    let mut client = lab.client().await;
    for number in 0..300 {
        client.send(&format!("40/any/{number},")).await;
        let answer = client.text().await;
        assert!(answer.starts_with(&format!("40/any/{number},")), "{answer}");
        let said = format!("42/any/{number},1[\"hand in\",1]");
        if number % 50 == 0 {
            client.send(&said).await;
            assert_eq!(client.text().await, format!("43/any/{number},1[1]"));
        }
        client.send(&format!("41/any/{number},")).await;
    }
    client.send("420[\"echo\",1]").await;
    assert_eq!(client.text().await, "430[1]", "not told in another's name");
    assert_eq!(lab.handle().counters().namespaces_now, 1);
}

#[tokio::test]
async fn a_drain_reaches_pollers_and_probes_and_is_not_outlived_by_newcomers() {
    let mut lab = Lab::start(EngineConfig { shards: 2, ..Lab::config() });
    let parked = lab.polling().await;
    parked.enter().await;
    let mut poll = parked.park().await;
    let between_polls = lab.polling().await;
    between_polls.enter().await;
    let close = Close::new(3001, "drain", true);
    let handle = lab.handle().clone();
    let drained = tokio::spawn(async move { handle.drain(Duration::ZERO, &close).await });
    assert_eq!(poll.answer().await.expect("an answer").body, "1");
    assert_eq!(between_polls.get().await.body, "1");
    assert_eq!(drained.await.expect("no panic"), 2);
    for _ in 0..2 {
        let reason = DisconnectReason::Server { code: 3001, reason: "drain".to_owned() };
        assert_eq!(lab.disconnected().await, reason);
    }
    for _ in 0..8 {
        let answer = lab.http().await.engine_io("GET", "", "").await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.head.contains("retry-after: "), "{answer:?}");
    }
    let url = format!("ws://{}/ws", lab.server.local_addr());
    let refused = tokio_tungstenite::connect_async(url).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("503")));
    assert_eq!(lab.handle().counters().connections_now, 0);
}
