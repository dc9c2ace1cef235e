//! A websocket takes a polling session over: what is lost on the way (nothing), and what is done wrong.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use turnpike_engine::packet::Class;
use turnpike_engine::{DisconnectReason, EngineConfig};

use super::http::Polling;
use super::lab::{Client, Lab, numbered};

impl Lab {
    /// A websocket for a session that polls.
    async fn probe(&self, session: &Polling) -> Client {
        let address = self.server.local_addr();
        let stream = TcpStream::connect(address).await.expect("it listens");
        let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket{}", session.query());
        let (socket, _) = tokio_tungstenite::client_async(url, stream).await.expect("it upgrades");
        Client { socket, sid: String::new(), pid: None }
    }

    async fn probed(&self, session: &Polling) -> Client {
        let mut probe = self.probe(session).await;
        probe.send("2probe").await;
        assert_eq!(probe.text().await, "3probe");
        probe
    }
}

#[tokio::test]
async fn a_parked_poll_is_let_go_and_nothing_is_lost_or_doubled() {
    let lab = Lab::start(EngineConfig { shards: 2, ..Lab::config() });
    for _ in 0..10 {
        let session = lab.polling().await;
        let id = session.enter().await;
        let socket = lab.app.sockets.lock().expect("no panics")[&id];
        let handle = lab.handle().clone();
        let emitting = tokio::spawn(async move {
            for number in 0..200 {
                handle.emit(&socket, numbered(number, Class::Reliable, 1)).expect("room in the inbox");
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        });
        // As the stock client does: polls until the probe is answered and the last poll is, then goes over.
        let mut got = Vec::new();
        let mut probe = lab.probe(&session).await;
        got.push(session.get().await.body);
        probe.send("2probe").await;
        let mut parked = session.park().await;
        assert_eq!(probe.text().await, "3probe");
        got.push(parked.answer().await.expect("an answer").body);
        probe.send("5").await;
        let mut packets: Vec<_> =
            got.iter().flat_map(|body| body.split('\u{1e}')).map(str::to_owned).collect();
        packets.retain(|packet| packet != "6");
        while packets.len() < 200 {
            packets.push(probe.text().await);
        }
        for (number, packet) in packets.iter().enumerate() {
            assert!(packet.starts_with(&format!("42[\"message\",[{number},")), "{number}: {packet}");
        }
        emitting.await.expect("no panic");
        assert_eq!(session.get().await.status, 400, "the session lives on its websocket");
        probe.send(&format!("420{}", json!(["echo", 1]))).await;
        assert_eq!(probe.text().await, "430[1]", "and a poll does it no harm");
    }
}

#[tokio::test]
async fn one_probe_counts_and_its_end_gives_way_to_another() {
    let lab = Lab::start(EngineConfig { upgrade_timeout: Duration::from_secs(3), ..Lab::config() });
    let session = lab.polling().await;
    session.enter().await;
    let first = lab.probed(&session).await;
    let mut others = Vec::new();
    for _ in 0..20 {
        let mut other = lab.probe(&session).await;
        other.send("2probe").await;
        others.push(other);
    }
    for other in &mut others {
        assert_eq!(other.next_text().await, None, "one at a time");
    }
    assert_eq!(session.get().await.body, "6", "polls are not kept while a probe stands");
    // Gone without a word.
    drop(first);
    lab.until("its end is seen", |counters| counters.upgrades_failed == 21).await;
    // Stays without a word.
    let mut second = lab.probed(&session).await;
    assert_eq!(second.next_text().await, None);
    assert_eq!(session.post(&format!("420{}", json!(["echo", 1]))).await.body, "ok");
    assert_eq!(session.get().await.body, "430[1]");
    let mut third = lab.probed(&session).await;
    third.send("5").await;
    third.send(&format!("420{}", json!(["echo", 2]))).await;
    assert_eq!(third.text().await, "430[2]");
}

#[tokio::test]
async fn what_stands_behind_the_upgrade_in_one_write_is_read_and_what_breaks_the_protocol_closes() {
    let mut lab = Lab::start(Lab::config());
    let session = lab.polling().await;
    session.enter().await;
    let mut probe = lab.probed(&session).await;
    let frame = |text: &str| {
        let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).expect("short"), 0, 0, 0, 0];
        frame.extend_from_slice(text.as_bytes());
        frame
    };
    let echo = frame(&format!("420{}", json!(["echo", 1])));
    // A frame with a reserved bit.
    let bytes = [frame("5"), echo.clone(), vec![0xc1, 0x80, 0, 0, 0, 0], echo].concat();
    probe.socket.get_mut().write_all(&bytes).await.expect("it reads");
    assert_eq!(probe.text().await, "430[1]");
    assert_eq!(probe.next_text().await, None);
    assert!(matches!(lab.disconnected().await, DisconnectReason::ProtocolError(_)));
}

#[tokio::test]
async fn a_session_that_closes_while_it_is_probed_closes_on_the_way_that_is_left() {
    let mut lab = Lab::start(EngineConfig { upgrade_timeout: Duration::from_secs(2), ..Lab::config() });
    for goes_over in [false, true] {
        let session = lab.polling().await;
        let id = session.enter().await;
        let socket = lab.app.sockets.lock().expect("no panics")[&id];
        let mut probe = lab.probed(&session).await;
        lab.handle().close(&socket, turnpike_engine::Close::new(3001, "as asked", true));
        lab.handle().rooms(&socket).await;
        if goes_over {
            probe.send("5").await;
            assert_eq!(probe.next_text().await.as_deref(), Some("1"));
        } else {
            assert_eq!(session.get().await.body, "1");
        }
        assert_eq!(probe.next_text().await, None);
        let reason = DisconnectReason::Server { code: 3001, reason: "as asked".to_owned() };
        assert_eq!(lab.disconnected().await, reason);
    }
    lab.until("nothing is left", |counters| counters.connections_now == 0 && counters.websockets_now == 0)
        .await;
}

#[tokio::test]
async fn a_websocket_for_a_session_that_is_not_there_is_refused_before_it_begins() {
    let lab = Lab::start(EngineConfig { shards: 2, ..Lab::config() });
    let address = lab.server.local_addr();
    for shard in 0..2 {
        let url = format!(
            "ws://{address}/socket.io/?EIO=4&transport=websocket&sid=local.{shard}.AAAAAAAAAAAAAAAAAAAAAA"
        );
        for _ in 0..8 {
            let stream = TcpStream::connect(address).await.expect("it listens");
            let refused = tokio_tungstenite::client_async(&url, stream).await;
            assert!(refused.is_err_and(|error| error.to_string().contains("400")), "shard {shard}");
        }
    }
}
