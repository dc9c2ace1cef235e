//! Other rules for a router that serves.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use turnpike_guard::limit::Rate;
use turnpike_shard_router::{Handshakes, Rules, Strategy};

use crate::stand::{BEGIN, BROKEN, Stand, rules};

#[tokio::test]
async fn limits_hold_at_once() {
    let stand = Stand::start(1);
    assert!(stand.exchange(BEGIN).await.starts_with("HTTP/1.1 200"));
    let one = NonZeroU32::MIN;
    let handshakes =
        Handshakes { in_sum: NonZeroU32::new(1_000).unwrap(), per_address: Rate::per_second(one, one) };
    stand.serving.replace_rules(Rules { handshakes, ..rules(1_000, 1) });
    let mut answers = Vec::new();
    for _ in 0..5 {
        let mut client = stand.client().await;
        client.send(BEGIN).await;
        answers.push(String::from_utf8(client.until(b"\r\n\r\n").await).unwrap());
    }
    let told = answers.iter().filter(|head| head.starts_with("HTTP/1.1 429")).count();
    assert!(told >= 3, "{answers:?}");
}

/// With round robin both have some; with all the weight at one of them, or by the address, one has all.
#[tokio::test]
async fn new_sessions_go_by_another_strategy() {
    let stand = Stand::start(2);
    let seen = || stand.nodes.iter().map(|node| node.seen().len()).collect::<Vec<_>>();
    let begin = async |count: usize| {
        for _ in 0..count {
            let mut client = stand.client().await;
            client.send(BEGIN).await;
            client.until(b"\r\n\r\n").await;
        }
    };
    begin(4).await;
    assert_eq!(seen(), [2, 2]);
    stand.serving.replace_rules(Rules { strategy: Strategy::IpHash, ..rules(100_000, 100_000) });
    // It is made anew by the task that follows the membership.
    let begun = Instant::now();
    let before = loop {
        let before = seen();
        begin(2).await;
        let after = seen();
        if after.iter().zip(&before).any(|(after, before)| after - before == 2) {
            break after;
        }
        assert!(begun.elapsed() < BROKEN, "it goes on as before: {after:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    begin(10).await;
    let got: Vec<usize> = seen().iter().zip(&before).map(|(after, before)| after - before).collect();
    assert!(got == [10, 0] || got == [0, 10], "{got:?}");
}
