//! A server that leaves: what was asked is answered, what is under way is finished, and nobody goes faster than they may.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use turnpike_engine::packet::Encoded;
use turnpike_engine::{Close, Departure, EngineConfig};

use super::lab::Lab;

fn farewell(number: u32) -> Close {
    Close::new(3001, "drain", true).farewell(Encoded::event("/", "closing").arg(&number).build())
}

fn departure(window: Duration) -> Departure {
    Departure { answers_max: Duration::from_secs(10), ..Departure::new(window, farewell(0)) }
}

#[tokio::test]
async fn what_was_asked_before_is_answered_first() {
    let lab = Lab::start(Lab::config());
    let mut client = lab.client().await;
    let (before, mut bytes) = (lab.handle().counters().bytes_in, 0);
    for id in 0..5 {
        let asked = format!("42{id}{}", json!(["slow", {"n": id, "ms": 100}]));
        bytes += asked.len() as u64;
        client.send(&asked).await;
    }
    lab.until("they have arrived", |counters| counters.bytes_in > before + bytes).await;
    let handle = lab.handle().clone();
    let gone = tokio::spawn(async move { handle.depart(departure(Duration::ZERO)).await });
    let mut answers = 0;
    loop {
        let text = client.text().await;
        if text.starts_with("43") {
            answers += 1;
        } else if text.contains("closing") {
            break;
        }
    }
    assert_eq!(answers, 5, "all of them before the farewell");
    assert_eq!(client.next_text().await, None);
    assert_eq!(gone.await.expect("no panic"), 1);
}

#[tokio::test]
async fn an_answer_that_never_comes_is_waited_for_no_longer_than_said() {
    let lab = Lab::start(Lab::config());
    let mut client = lab.client().await;
    client.send(&format!("427{}", json!(["slow", {"n": 1, "ms": 600_000}]))).await;
    lab.until("it has arrived", |counters| counters.events_in == 1).await;
    let begun = Instant::now();
    let departure = Departure { answers_max: Duration::from_millis(300), ..departure(Duration::ZERO) };
    let handle = lab.handle().clone();
    let gone = tokio::spawn(async move { handle.depart(departure).await });
    assert!(client.text().await.contains("closing"));
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    drop(client);
    drop(lab);
    gone.abort();
}

#[tokio::test]
async fn each_is_told_something_else_and_no_more_go_than_may() {
    let lab = Lab::start(EngineConfig { shards: 1, ..Lab::config() });
    let mut clients = Vec::new();
    for _ in 0..40 {
        clients.push(lab.client().await);
    }
    // So many may go until somebody says more.
    let places = Arc::new(AtomicUsize::new(10));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (left, wanted) = (Arc::clone(&places), Arc::clone(&asked));
    let pace = move |want: usize| {
        wanted.lock().unwrap().push(want);
        let grant = left.load(Ordering::Relaxed).min(want);
        left.fetch_sub(grant, Ordering::Relaxed);
        grant
    };
    let window = Duration::from_secs(10);
    let departure =
        Departure { closes: (0..4).map(farewell).collect(), pace: Some(Box::new(pace)), ..departure(window) };
    let handle = lab.handle().clone();
    let gone = tokio::spawn(async move { handle.depart(departure).await });
    lab.until("the first have gone", |counters| counters.connections_now == 30).await;
    // Several waves, in which nobody has a place.
    let waves = asked.lock().unwrap().len();
    lab.until("nobody else", |_| asked.lock().unwrap().len() >= waves + 2).await;
    assert_eq!(lab.handle().counters().connections_now, 30);
    let mut told = std::collections::BTreeSet::new();
    for client in &mut clients[..10] {
        told.insert(client.received().await.1.as_u64().expect("what it was told"));
    }
    assert_eq!(told.len(), 4, "{told:?}");
    gone.abort();
}
