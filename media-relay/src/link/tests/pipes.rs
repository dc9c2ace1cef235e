use std::time::{Duration, Instant};

use turnpike_wire::UserId;

use super::house::{BROKEN, Node, live, packet, until};
use super::proxy::Proxy;
use crate::carry::{Blocked, CarriedStream, Delivered, Down, Up};
use crate::link::{LinkTarget, NotAttached};

/// A packet that waits for more than 150 ms is not sent.
#[tokio::test]
async fn alone_words_go_both_ways_and_packets_down() {
    let (upper, mut lower) = (Node::start(1), Node::start(2));
    let pipe = lower.links.attach(&live(), upper.target()).await.unwrap();
    let stream = CarriedStream { path: vec![1], ..CarriedStream::default() };
    assert_eq!(
        lower.next().await,
        (pipe, Delivered::Down(Down::Stream(stream))),
        "with the one it came through"
    );
    for number in 0..200 {
        upper.say(&packet(number, 1_000));
    }
    for number in 0..200 {
        assert_eq!(lower.next().await, (pipe, Delivered::Down(packet(number, 1_000))));
    }
    // A second stream over the same connection, and one the other way.
    let other = "other".parse().unwrap();
    upper.relay.state().here.insert(other);
    let second = lower.links.attach(&"other".parse().unwrap(), upper.target()).await.unwrap();
    assert_ne!(second, pipe);
    let back = upper.links.attach(&live(), lower.target()).await.unwrap();
    assert_eq!((upper.metric("connections"), lower.metric("connections")), (1, 1));
    // The end that was asked counts its pipe when the answer is on its way.
    until(|| upper.metric("pipes") == 3 && lower.metric("pipes") == 3).await;
    assert!(matches!(lower.next().await, (to, Delivered::Down(Down::Stream(_))) if to == second));

    let mut upper = upper;
    assert!(matches!(upper.next().await, (to, Delivered::Down(Down::Stream(_))) if to == back));
    let words = [
        Up::Want(vec![(1, 7)]),
        Up::Keyframe { track: 1, layer: 2 },
        Up::Again { track: 1, layer: 2, sequences: vec![1, 2, 3] },
        Up::Audience { viewers: 5, named: vec!["alice".parse::<UserId>().unwrap()] },
    ];
    for word in &words {
        lower.relay.state().feeds[&pipe].put(word.clone()).unwrap();
    }
    let mut branch = None;
    for word in words {
        let (from, heard) = upper.next().await;
        assert_eq!((heard, *branch.get_or_insert(from)), (Delivered::Up(word), from));
    }
    assert_eq!(upper.metric("asked_again_total"), 3);
    assert_eq!(upper.metric("sent_packets_total"), 200);
    assert_eq!(lower.metric("received_bytes_total"), upper.metric("sent_bytes_total"));

    // Not wanted any more.
    lower.links.detach(&live(), pipe).await;
    until(|| upper.relay.state().unpiped.contains(&branch.unwrap())).await;
    until(|| upper.metric("pipes") == 2 && lower.metric("pipes") == 2).await;
    assert!(lower.delivered.try_recv().is_err(), "who did not want it is not told that it is over");
    // The stream is over.
    upper.say(&Down::Over);
    assert_eq!(lower.next().await, (second, Delivered::Down(Down::Over)));
    until(|| lower.metric("pipes") == 1 && upper.metric("pipes") == 1).await;
}

#[tokio::test]
async fn who_cannot_have_it_is_told_why() {
    let (upper, lower, third) = (Node::start(1), Node::start(2), Node::start(3));
    let unknown = "unknown".parse().unwrap();
    assert_eq!(lower.links.attach(&unknown, upper.target()).await, Err(NotAttached::NoSuchStream));
    assert_eq!(lower.links.attach(&live(), lower.target()).await, Err(NotAttached::Loop));
    upper.relay.state().path = vec![9, 2];
    assert_eq!(
        lower.links.attach(&live(), upper.target()).await,
        Err(NotAttached::Loop),
        "it comes from here"
    );
    assert!(upper.relay.state().branches.is_empty());
    upper.relay.state().path = vec![9];
    upper.relay.state().branches_max = 1;
    third.links.attach(&live(), upper.target()).await.unwrap();
    assert_eq!(lower.links.attach(&live(), upper.target()).await, Err(NotAttached::Elsewhere(vec![3])));
    drop(third);
    until(|| upper.relay.state().branches.is_empty()).await;
    lower.links.attach(&live(), upper.target()).await.unwrap();
    assert_eq!(upper.metric("refused_total"), 3);

    let nobody = LinkTarget { incarnation: 4, address: "127.0.0.1:9".parse().unwrap() };
    assert_eq!(lower.links.attach(&live(), nobody).await, Err(NotAttached::Unreachable));
}

/// It re-attached below its own child, and the stream came back to it.
#[tokio::test]
async fn a_loop_that_comes_about_later_ends_the_pipe() {
    let (upper, mut lower) = (Node::start(1), Node::start(2));
    let pipe = lower.links.attach(&live(), upper.target()).await.unwrap();
    lower.next().await;
    upper.say(&Down::Stream(CarriedStream { path: vec![2, 5], ..CarriedStream::default() }));
    assert_eq!(lower.next().await, (pipe, Delivered::Down(Down::Over)));
    until(|| upper.relay.state().branches.is_empty()).await;
}

#[tokio::test]
async fn both_dial_at_once() {
    let (mut one, mut other) = (Node::start(1), Node::start(2));
    let (to_one, to_other) = (one.target(), other.target());
    let stream = live();
    let (first, second) =
        tokio::join!(one.links.attach(&stream, to_other), other.links.attach(&stream, to_one));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!((1..=2).contains(&one.metric("connections")));
    one.next().await;
    other.next().await;
    one.say(&packet(1, 100));
    other.say(&packet(2, 100));
    assert_eq!(one.next().await, (first, Delivered::Down(packet(2, 100))));
    assert_eq!(other.next().await, (second, Delivered::Down(packet(1, 100))));
    assert_eq!(one.links.lost().try_recv().ok(), None);
}

#[tokio::test]
async fn packets_that_fit_into_no_datagram_come_as_well() {
    let (upper, mut lower) = (Node::start(1), Node::start(2));
    let pipe = lower.links.attach(&live(), upper.target()).await.unwrap();
    lower.next().await;
    for number in 0..20 {
        upper.say(&packet(number, 9_000));
    }
    let mut come = Vec::new();
    for _ in 0..20 {
        let (to, Delivered::Down(Down::Packet(packet))) = lower.next().await else { panic!("packets alone") };
        assert_eq!((to, packet.payload.len()), (pipe, 9_000));
        come.push(packet.sequence);
    }
    come.sort_unstable();
    assert_eq!(come, (0..20).collect::<Vec<_>>());
    assert_eq!(lower.metric("large_packets_total"), 20);
    assert_eq!(upper.metric("large_packets_total"), 20);
}

#[tokio::test]
async fn alone_who_leaves_says_goodbye_and_who_falls_silent_is_lost() {
    let (one, two, mut three) = (Node::start(1), Node::start(2), Node::start(3));
    let mut lost = three.links.lost();
    let proxy = Proxy::start(two.links.local_addr(), 1, 0).await;
    let behind = LinkTarget { incarnation: 2, address: proxy.address };
    let from_one = three.links.attach(&live(), one.target()).await.unwrap();
    let from_two = three.links.attach(&live(), behind).await.unwrap();
    three.links.watch(&[one.target(), behind]);
    three.next().await;
    three.next().await;
    // Nothing goes over it for longer than it may be silent.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(three.metric("connections"), 2, "signs of life keep it");

    one.links.leave().await;
    assert_eq!(three.next().await, (from_one, Delivered::Down(Down::Over)));
    assert_eq!(one.links.attach(&live(), three.target()).await, Err(NotAttached::Unreachable));
    proxy.cut(true);
    let since = Instant::now();
    let dead = tokio::time::timeout(BROKEN, lost.recv()).await.unwrap();
    let took = since.elapsed();
    assert_eq!(dead, Some(2), "who said goodbye is not lost");
    println!("known after {took:?}");
    // 1.25 s, and what a busy machine adds.
    assert!(took < Duration::from_millis(2_500), "known after {took:?}");
    assert_eq!(three.next().await, (from_two, Delivered::Down(Down::Over)));
    assert_eq!(three.metric("lost_relays_total"), 1);
    // It is still watched, and found again.
    proxy.cut(false);
    until(|| three.metric("connections") == 1).await;
    three.links.watch(&[]);
}

/// Whoever says more than the other side reads is cut off, and keeps nothing of it.
#[tokio::test]
async fn a_shard_that_takes_nothing_ends_its_pipes() {
    let (upper, mut lower) = (Node::start(1), Node::start(2));
    let pipe = lower.links.attach(&live(), upper.target()).await.unwrap();
    lower.next().await;
    lower.relay.state().is_full = true;
    upper.say(&Down::Stream(CarriedStream::default()));
    until(|| upper.relay.state().branches.is_empty()).await;
    lower.relay.state().is_full = false;
    assert_eq!(lower.next().await, (pipe, Delivered::Down(Down::Over)), "told as soon as there is room");
    until(|| lower.metric("pipes_blocked_total") == 1).await;
    let gone = &lower.relay.state().feeds[&pipe];
    assert_eq!(gone.put(Up::Keyframe { track: 1, layer: 0 }), Err(Blocked::Closed));
}
