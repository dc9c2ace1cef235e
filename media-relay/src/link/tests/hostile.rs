use std::time::Duration;

use bytes::Bytes;
use quinn::{Connection, RecvStream, SendStream};
use turnpike_fuzz::fuzz;

use super::house::{BROKEN, Node, SECRET, live, packet, until};
use super::proxy::Proxy;
use super::trust::dial;
use crate::carry::{CarriedStream, Delivered, Down, read_down, read_packet, read_up};
use crate::link::LinkTarget;
use crate::link::trust::Trust;
use crate::link::words::{Answer, Open};

/// A relay of the cluster that has lost its mind.
async fn mad(one: &Node) -> Connection {
    dial(one.target(), Trust::new(&SECRET, 66).unwrap().client).await.unwrap()
}

async fn opened(mad: &Connection) -> (SendStream, RecvStream) {
    let (mut send, mut receive) = mad.open_bi().await.unwrap();
    send.write_all(b"\0\0\0\x06\x01\x04live").await.unwrap();
    let mut answer = [9; 5];
    receive.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, [0, 0, 0, 1, 0], "accepted");
    (send, receive)
}

#[tokio::test]
async fn garbage_ends_its_pipe_and_nothing_else() {
    let one = Node::start(1);
    let mad = mad(&one).await;
    let (mut good, _good) = opened(&mad).await;
    let (mut bad, mut bad_receive) = opened(&mad).await;
    until(|| one.relay.state().branches.len() == 2).await;
    // A word of four gigabytes.
    bad.write_all(&[0xff; 64]).await.unwrap();
    until(|| one.relay.state().branches.len() == 1).await;
    let mut rest = Vec::new();
    while let Ok(Some(chunk)) = bad_receive.read_chunk(1_024, true).await {
        rest.extend_from_slice(&chunk.bytes);
        assert!(rest.len() < 10_000);
    }
    let (mut short, _short) = opened(&mad).await;
    short.write_all(&[0, 0, 0, 2, 2, 0]).await.unwrap();
    until(|| one.metric("pipes_unreadable_total") == 2).await;
    // Nonsense in place of a question, and none at all.
    for question in [&b"\0\0\0\x03\x07\x07\x07"[..], b"\xff\xff\xff\xff", b""] {
        let (mut send, mut receive) = mad.open_bi().await.unwrap();
        send.write_all(question).await.unwrap();
        send.finish().unwrap();
        let answer = tokio::time::timeout(BROKEN, receive.read_chunk(10, true)).await.unwrap();
        assert!(!matches!(answer, Ok(Some(_))), "{question:?}");
    }
    for length in [0, 1, 30, 900] {
        mad.send_datagram(Bytes::from(vec![0xff; length])).unwrap();
        let mut stream = mad.open_uni().await.unwrap();
        stream.write_all(&vec![0xff; length]).await.unwrap();
        stream.finish().unwrap();
    }
    until(|| one.metric("dropped_packets_total") == 8).await;
    // The other pipe never noticed.
    good.write_all(&[0, 0, 0, 1, 99, 0, 0, 0, 4, 1, 0, 1, 2]).await.unwrap();
    let mut one = one;
    let (_, word) = one.next().await;
    assert_eq!(format!("{word:?}"), "Up(Keyframe { track: 1, layer: 2 })");
    assert_eq!(one.metric("connections"), 1);
}

/// Whatever strangers send: nobody answers them much, and nobody minds.
#[tokio::test]
async fn noise_is_not_heard() {
    let (one, mut two) = (Node::start(1), Node::start(2));
    let pipe = two.links.attach(&live(), one.target()).await.unwrap();
    two.next().await;
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(one.links.local_addr()).await.unwrap();
    let mut state = 9_u64;
    for round in 0..20_000_usize {
        let mut datagram: Vec<u8> = (0..round % 1_300)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .collect();
        // Half of them begin as a handshake does: its form, the version, an id of eight bytes.
        if round % 2 == 0 && datagram.len() > 20 {
            datagram[..6].copy_from_slice(&[0xc3, 0, 0, 0, 1, 8]);
        }
        let _ = socket.send(&datagram).await;
    }
    one.say(&packet(1, 500));
    assert_eq!(two.next().await, (pipe, Delivered::Down(packet(1, 500))));
    assert_eq!(one.metric("connections"), 1);
}

/// One relay cannot take the places of all others.
#[tokio::test]
async fn a_relay_has_few_connections() {
    let one = Node::start(1);
    let mut kept = Vec::new();
    for _ in 0..4 {
        kept.push(mad(&one).await);
    }
    let trust = Trust::new(&SECRET, 66).unwrap();
    assert!(dial(one.target(), trust.client).await.is_err());
    assert_eq!(one.metric("connections"), 4);
    let two = Node::start(2);
    two.links.attach(&live(), one.target()).await.unwrap();
}

#[tokio::test]
async fn who_does_not_read_costs_no_memory() {
    let one = Node::start(1);
    let mad = mad(&one).await;
    let (_send, _receive) = opened(&mad).await;
    until(|| one.relay.state().branches.len() == 1).await;
    // Words that nobody reads: a tenth of a megabyte each.
    let user = "u".repeat(64);
    let track = |number| crate::carry::CarriedTrack {
        number,
        publisher: 1,
        user: user.parse().unwrap(),
        mid: "m".repeat(32),
        kind: turnpike_wire::media::Kind::Audio,
        codec: turnpike_sdp::Codec::Opus(turnpike_sdp::Opus::default()),
        muted: false,
        layers: Vec::new(),
    };
    let tracks = (0..512).map(track).collect();
    let word = Down::Stream(CarriedStream { tracks, ..CarriedStream::default() });
    let mut said = 0;
    let since = std::time::Instant::now();
    while !one.relay.state().branches.is_empty() && since.elapsed() < BROKEN {
        one.say(&word);
        said += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(said < 500, "given up after {said} words");
    assert_eq!(one.metric("pipes_blocked_total"), 1);
    assert_eq!(one.metric("connections"), 1, "the connection is still good for others");
}

/// Packets for somebody who is there and whose path is not: what waits is bounded, and what goes is counted.
#[tokio::test]
async fn packets_that_nobody_takes_are_dropped_and_counted() {
    let (upper, lower) = (Node::start(1), Node::start(2));
    let proxy = Proxy::start(upper.links.local_addr(), 1, 0).await;
    let behind = LinkTarget { incarnation: 1, address: proxy.address };
    lower.links.attach(&live(), behind).await.unwrap();
    until(|| upper.relay.state().branches.len() == 1).await;
    proxy.cut(true);
    for number in 0..30_000_u32 {
        upper.say(&packet(number as u16, 1_000));
    }
    // Of thirty megabytes a window is on its way and two queues wait.
    until(|| upper.metric("dropped_packets_total") > 10_000).await;
    until(|| upper.relay.state().branches.is_empty()).await;
}

/// Handshakes that nobody goes on with, from addresses at which nobody hears. Others are let in nevertheless.
#[tokio::test]
async fn a_flood_of_handshakes_keeps_nobody_out() {
    let (one, two) = (Node::start(1), Node::start(2));
    let proxy = Proxy::start(one.links.local_addr(), 1, 0).await;
    proxy.cut_back();
    let to = LinkTarget { address: proxy.address, ..one.target() };
    let flood: Vec<_> = (0..100)
        .map(|number| {
            let trust = Trust::new(&SECRET, 100 + number).unwrap();
            tokio::spawn(async move { dial(to, trust.client).await.map(drop) })
        })
        .collect();
    until(|| one.metric("retries_total") >= 50).await;
    two.links.attach(&live(), one.target()).await.unwrap();
    assert_eq!(one.metric("connections"), 1);
    for dialling in flood {
        assert!(dialling.await.unwrap().is_err(), "nobody answered");
    }
}

/// A packet, a word of each direction, a question and an answer.
#[test]
fn fuzz_link() {
    fuzz!("link", |bytes: &[u8]| {
        let bytes = Bytes::copy_from_slice(bytes);
        if let Ok(packet) = read_packet(bytes.clone()) {
            assert!(packet.payload.len() + packet.extensions.len() < bytes.len());
        }
        let _ = (read_down(bytes.clone()), read_up(bytes.clone()));
        let _ = (Open::read(bytes.clone()), Answer::read(bytes));
    });
}
