use std::time::{Duration, Instant};

use super::house::{BROKEN, Node, live, packet};
use super::proxy::Proxy;
use crate::carry::{Delivered, Down};
use crate::link::LinkTarget;

/// 8 Mbit/s, a packet a millisecond.
const PACKETS: u16 = 3_000;
const PAYLOAD_BYTES: usize = 1_000;

/// What random loss takes is what the path loses, and nothing more: no controller holds the rest back.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn alone_loss_by_chance_does_not_slow_a_link() {
    let (upper, mut lower) = (Node::start(1), Node::start(2));
    let seed = std::env::var("TURNPIKE_LINK_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let proxy = Proxy::slow(upper.links.local_addr(), seed, 20, Duration::from_millis(10)).await;
    let behind = LinkTarget { incarnation: 1, address: proxy.address };
    lower.links.attach(&live(), behind).await.unwrap();
    lower.next().await;
    let since = Instant::now();
    for number in 0..PACKETS {
        tokio::time::sleep_until((since + Duration::from_millis(u64::from(number))).into()).await;
        upper.say(&packet(number, PAYLOAD_BYTES));
    }
    let mut come = 0;
    while come < PACKETS / 100 * 95 {
        let (_, Delivered::Down(Down::Packet(_))) = lower.next().await else { panic!("packets alone") };
        come += 1;
    }
    let late = since.elapsed().saturating_sub(Duration::from_millis(u64::from(PACKETS)));
    println!("{come} of {PACKETS} within {late:?} of the last");
    assert!(late < BROKEN / 4, "{late:?}");
    assert_eq!(upper.metric("dropped_packets_total"), 0);
    assert!(upper.metric("lost_packets_total") > 0);
}

/// What a link adds. The goals are those of a quiet machine with a release build; here it only must not be absurd.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn alone_what_a_link_adds() {
    let (upper, mut lower) = (Node::start(1), Node::start(2));
    lower.links.attach(&live(), upper.target()).await.unwrap();
    lower.next().await;
    let mut took = Vec::new();
    for number in 0..1_000 {
        let since = Instant::now();
        upper.say(&packet(number, PAYLOAD_BYTES));
        // Whoever is behind the link would be a thread that waits, too.
        lower.next().await;
        took.push(since.elapsed());
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    took.sort_unstable();
    let (half, most) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    println!("a link adds {half:?} (p50), {most:?} (p99)");
    assert!(half < Duration::from_millis(20), "{half:?}");
}
