//! A client that does not read for a while is not given what does not fit, and gets it later all the same.

use serde_json::json;
use std::time::Duration;

use crate::client::Client;
use crate::house::House;

#[tokio::test]
async fn a_slow_reader_is_refilled_without_a_gap() {
    const MESSAGES: u64 = 2_000;
    let house = House::with(|config| {
        config.engine.queue_soft_bytes = 8 * 1024;
        config.engine.send_buffer_bytes = Some(8 * 1024);
        config.engine.write_deadline = Duration::from_mins(1);
        config.cluster.history.room_messages_max = MESSAGES as usize;
        config.cluster.history.room_bytes_max = 64 * 1024 * 1024;
    });
    let mut slow = Client::enter(&house, "alice").await;
    let mut bob = Client::enter(&house, "bob").await;
    for room in ["chat:a", "chat:b"] {
        slow.join(room).await;
        bob.join(room).await;
    }
    // The kernel's buffers of both ends hold a few megabytes on loopback; this is more.
    for number in 0..MESSAGES {
        let room = if number % 3 == 0 { "chat:b" } else { "chat:a" };
        bob.say(room, json!([number, "x".repeat(4_000)])).await;
        assert_eq!(bob.message().await.1[0], number);
    }
    let deferred = house.metric("turnpike_gateway_deliveries_deferred_total", &[]);
    assert!(deferred > 0, "the slow client was never behind");
    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    for _ in 0..MESSAGES {
        let number = slow.message().await.1[0].as_u64().unwrap();
        if number % 3 == 0 { of_b.push(number) } else { of_a.push(number) }
    }
    assert!(of_a.is_sorted() && of_b.is_sorted());
    of_a.extend(of_b);
    of_a.sort_unstable();
    assert_eq!(of_a, (0..MESSAGES).collect::<Vec<_>>(), "each once");
    slow.has_nothing_more().await;
    assert!(house.metric("turnpike_gateway_refills_total", &[]) > 0);
    bob.say("chat:a", "live").await;
    assert_eq!(slow.message().await.1, "live");
}

#[tokio::test]
async fn a_refill_that_comes_too_late_names_what_is_lost_and_goes_on_behind_it() {
    let house = House::with(|config| {
        config.engine.queue_soft_bytes = 8 * 1024;
        config.engine.send_buffer_bytes = Some(8 * 1024);
        config.engine.write_deadline = Duration::from_mins(1);
        config.cluster.history.room_messages_max = 10;
    });
    let mut slow = Client::enter(&house, "alice").await;
    let mut bob = Client::enter(&house, "bob").await;
    slow.join("chat:a").await;
    bob.join("chat:a").await;
    for number in 0..2_000 {
        bob.say("chat:a", json!([number, "x".repeat(4_000)])).await;
        bob.message().await;
    }
    let mut expected = 1;
    let mut lost = 0;
    while expected <= 2_000 {
        let event = slow.event().await;
        let seq = event.data["seq"].as_u64().unwrap();
        if event.name == "resync" {
            assert!(seq + 1 >= expected, "back to {seq} from {expected}");
            lost += seq + 1 - expected;
            expected = seq + 1;
        } else {
            assert_eq!(seq, expected);
            expected += 1;
        }
    }
    assert!(lost > 0);
    slow.has_nothing_more().await;
}
