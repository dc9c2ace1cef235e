//! What a slow reader costs, and what it gets.

use std::time::Duration;

use futures_util::SinkExt as _;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use turnpike_engine::packet::{Class, Encoded};
use turnpike_engine::{DisconnectReason, EngineConfig, SocketRef};

use super::lab::{Lab, Told, numbered};

const KB: usize = 1_024;

fn config() -> EngineConfig {
    EngineConfig { queue_soft_bytes: 32 * KB, send_buffer_bytes: Some(16 * KB), ..Lab::config() }
}

/// Emits until the client's socket is full for good and an event had to be deferred. A momentary stall, while the kernel
/// moves bytes from one end to the other, is refilled as an application would. Gives how many events were emitted.
async fn stall(lab: &mut Lab, socket: &SocketRef) -> usize {
    const FOR_GOOD: Duration = Duration::from_millis(300);
    let mut number = 0;
    let mut deferred = 0;
    loop {
        assert!(number < 100_000, "the kernel swallows everything: {:?}", lab.handle().counters());
        lab.handle().emit(socket, numbered(number, Class::Reliable, KB)).expect("room in the inbox");
        number += 1;
        if number % 16 != 0 {
            continue;
        }
        // The commands go through the inbox in order: an answer to this one says that they were applied.
        lab.handle().rooms(socket).await;
        let now = lab.handle().counters().deliveries_deferred;
        if now > deferred {
            deferred = now;
            match tokio::time::timeout(FOR_GOOD, lab.refill()).await {
                Err(_) => return number,
                Ok(offset) => {
                    lab.handle().refill(socket, Vec::new()).expect("room in the inbox");
                    number = offset.map_or(0, |offset| after(&offset));
                }
            }
        }
    }
}

/// The number of the event behind the one that bears the offset.
fn after(offset: &str) -> usize {
    offset[1..].parse::<usize>().expect("ours") + 1
}

#[tokio::test]
async fn a_reader_that_is_behind_is_refilled_from_where_it_stopped() {
    let mut lab = Lab::start(config());
    let mut client = lab.client().await;
    assert!(matches!(lab.next_told().await, Told::Connected { recovered: false }));
    let socket = lab.socket(&client);
    let sent = stall(&mut lab, &socket).await;
    assert!(
        lab.handle().counters().queue_bytes_now <= 33 * KB as u64,
        "bounded: {:?}",
        lab.handle().counters()
    );

    // What comes while it is behind is not queued, and not lost: the application is asked for it.
    lab.handle().emit(&socket, numbered(1_000_000, Class::Reliable, 1)).expect("room in the inbox");
    let mut last = None;
    let refill = loop {
        tokio::select! {
            told = lab.next_told() => break told,
            (_, data) = client.received() => {
                let number = data[0].as_u64().expect("a number");
                assert_eq!(number, last.map_or(0, |last| last + 1), "in order, none missing");
                last = Some(number);
            }
        }
    };
    let Told::Refill { socket: who, offset } = refill else { panic!("{refill:?}") };
    assert_eq!(who, socket);
    let first_missing: u64 =
        offset.as_deref().and_then(|offset| offset[1..].parse::<u64>().ok()).expect("ours") + 1;
    assert!(first_missing as usize <= sent);

    let missed =
        (first_missing..first_missing + 3).map(|number| numbered(number as usize, Class::Reliable, KB));
    lab.handle().refill(&socket, missed.collect()).expect("room in the inbox");
    let mut expected = last.map_or(0, |last| last + 1);
    while expected < first_missing + 3 {
        let (_, data) = client.received().await;
        assert_eq!(data[0], json!(expected), "replay follows what was queued");
        expected += 1;
    }
}

#[tokio::test]
async fn volatile_events_are_dropped_and_states_replaced_while_the_reader_stalls() {
    let mut lab = Lab::start(config());
    let mut client = lab.client().await;
    let socket = lab.socket(&client);
    stall(&mut lab, &socket).await;
    let pad = "x".repeat(2 * KB);
    let state = |text: &str, key| {
        Encoded::event("/", "state").arg(&json!([text, pad])).class(Class::State { key }).build()
    };
    for number in 0..100 {
        lab.handle().emit(&socket, numbered(number, Class::Volatile, KB)).expect("room in the inbox");
    }
    lab.until("volatile dropped", |counters| counters.volatile_dropped == 100).await;
    // To the limit, if it is not there: where a reader stops may be anywhere in the last event. Of each state the newest finds
    // room all the same.
    let room = (31 * KB).saturating_sub(lab.handle().counters().queue_bytes_now as usize);
    let filler = Encoded::event("/", "filler").arg(&"x".repeat(room)).class(Class::State { key: 6 });
    lab.handle().emit(&socket, filler.build()).expect("room in the inbox");
    for number in 0..100 {
        for key in [7, 8] {
            lab.handle().emit(&socket, state(&format!("{key} is {number}"), key)).expect("room in the inbox");
        }
    }
    lab.until("states replaced", |counters| counters.state_replaced == 198).await;
    assert_eq!(lab.handle().counters().volatile_dropped, 100);
    assert!(lab.handle().counters().queue_bytes_now <= 38 * KB as u64);
    let mut states = Vec::new();
    while states.len() < 2 {
        let (name, data) = client.received().await;
        if name == "state" {
            states.push(data[0].as_str().expect("text").to_owned());
        }
    }
    assert_eq!(states, ["7 is 99", "8 is 99"]);
}

#[tokio::test]
async fn states_of_many_kinds_stay_within_the_hard_limit() {
    let mut lab = Lab::start(EngineConfig { queue_hard_bytes: 64 * KB, ..config() });
    let client = lab.client().await;
    let socket = lab.socket(&client);
    stall(&mut lab, &socket).await;
    for key in 0..1_000 {
        let state = Encoded::event("/", "state").arg(&"x".repeat(KB)).class(Class::State { key }).build();
        lab.handle().emit(&socket, state).expect("room in the inbox");
    }
    lab.handle().rooms(&socket).await;
    let counters = lab.handle().counters();
    assert!(counters.volatile_dropped > 900, "{counters:?}");
    assert!(counters.queue_bytes_now <= 66 * KB as u64, "{counters:?}");
    assert_eq!(counters.connections_now, 1, "it is not the reader's fault that there are so many");
}

#[tokio::test]
async fn a_reader_that_stops_is_closed_after_the_write_deadline() {
    let mut lab = Lab::start(EngineConfig { write_deadline: Duration::from_secs(2), ..config() });
    let client = lab.client().await;
    let socket = lab.socket(&client);
    stall(&mut lab, &socket).await;
    assert_eq!(lab.disconnected().await, DisconnectReason::SlowReader);
    lab.until("memory is given back", |counters| {
        counters.queue_bytes_now == 0 && counters.connections_now == 0
    })
    .await;
    drop(client);
}

#[tokio::test]
async fn answers_that_nobody_reads_end_at_the_hard_limit() {
    let mut lab = Lab::start(EngineConfig { queue_hard_bytes: 64 * KB, ..config() });
    let mut client = lab.client().await;
    let big = "x".repeat(KB);
    // The client asks and never reads.
    let asking = async {
        for id in 0..1_000_000_u64 {
            let text = format!("42{id}{}", json!(["echo", big]));
            if client.socket.send(Message::text(text)).await.is_err() {
                return;
            }
        }
    };
    let reason = tokio::select! {
        () = asking => lab.disconnected().await,
        reason = lab.disconnected() => reason,
    };
    assert_eq!(reason, DisconnectReason::SlowReader);
}

#[tokio::test]
async fn one_event_larger_than_the_soft_limit_still_arrives() {
    let lab = Lab::start(config());
    let mut client = lab.client().await;
    let socket = lab.socket(&client);
    lab.handle().emit(&socket, numbered(0, Class::Reliable, 300 * KB)).expect("room in the inbox");
    let (_, data) = client.received().await;
    assert_eq!(data[1].as_str().map(str::len), Some(300 * KB));
}

/// A refill that takes a while must not be asked for twice: the second would repeat the first.
#[tokio::test]
async fn each_socket_of_a_connection_is_refilled_once() {
    let mut lab = Lab::start(config());
    let mut client = lab.client().await;
    let root = lab.socket(&client);
    client.enter("40/later,").await;
    let later = lab.socket(&client);
    for (socket, namespace) in [(root, "/"), (later, "/later")] {
        let deferred = lab.handle().counters().deliveries_deferred;
        for number in 0..400 {
            let event = Encoded::event(namespace, "message").arg(&"x".repeat(KB));
            let event = event.offset(&format!("o{number}")).build();
            lab.handle().emit(&socket, event).expect("room in the inbox");
        }
        lab.handle().rooms(&socket).await;
        assert!(lab.handle().counters().deliveries_deferred > deferred, "it is behind");
        // Reads all there is, and the application takes its time to refill.
        let asked = loop {
            tokio::select! {
                told = lab.next_told() => if let Told::Refill { socket, .. } = told { break socket },
                _ = client.text() => {}
            }
        };
        assert_eq!(asked, socket);
        let more = tokio::time::timeout(Duration::from_millis(100), lab.refill()).await;
        assert!(more.is_err(), "asked again for one that is being refilled");
    }
    // Once it has been refilled it can be behind, and asked for, again. Nobody reads before it is: a reader that keeps up
    // takes all of it.
    let deferred = lab.handle().counters().deliveries_deferred;
    lab.handle()
        .refill(&root, (0..400).map(|number| numbered(number, Class::Reliable, KB)).collect())
        .expect("room");
    lab.handle().rooms(&root).await;
    assert!(lab.handle().counters().deliveries_deferred > deferred, "it is behind again");
    loop {
        tokio::select! {
            told = lab.next_told() => if let Told::Refill { socket, .. } = told { break assert_eq!(socket, root) },
            _ = client.text() => {}
        }
    }
}

/// The kernel takes more only when a good part of its buffer is free, so a trickle is a stall.
#[tokio::test]
async fn a_reader_of_one_byte_now_and_then_is_closed_as_well() {
    use tokio::io::AsyncReadExt as _;

    let mut lab = Lab::start(EngineConfig { write_deadline: Duration::from_millis(400), ..config() });
    let mut client = lab.client().await;
    let socket = lab.socket(&client);
    for number in 0..500 {
        lab.handle().emit(&socket, numbered(number, Class::Reliable, KB)).expect("room in the inbox");
    }
    let trickle = async {
        let mut byte = [0];
        while client.socket.get_mut().read_exact(&mut byte).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let reason = tokio::select! {
        () = trickle => lab.disconnected().await,
        reason = lab.disconnected() => reason,
    };
    assert_eq!(reason, DisconnectReason::SlowReader);
}
