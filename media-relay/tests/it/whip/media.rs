//! Statements that show only where media flows: a real peer beside the requests.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use reqwest::Method;
use turnpike_media_relay::Ask;
use turnpike_rtp::{Element, Fields, Packet, write_header};
use turnpike_sdp::Fragment;
use turnpike_transport::Credentials;
use turnpike_wire::RoomId;

use super::house::{CANDIDATE, CHROMIUM, FRAGMENT, House, OBS, PATIENCE, header};
use crate::honest::{VOICE, packet};
use crate::peer::{Peer, plain_watch};

/// Half a second is many times what a packet takes.
const A_WHILE: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_nothing_more_is_taken_of_what_the_server_ended() {
    let house = House::build().await;
    let (mut publisher, session) = house.begins("/whip/live:a", OBS).await;
    let (mut viewer, watching) = house.begins("/whep/live:a", &plain_watch()).await;
    let spoken = speak(&mut publisher, &mut viewer, 0);
    house.relay.ask(Ask::End { stream: RoomId::parse("live:a").unwrap() }).await.unwrap();
    for session in [session, watching] {
        house.ends(&session).await;
    }
    viewer.run(A_WHILE);
    let (received, sent) = (house.metric("rtp_received_packets_total"), house.metric("datagrams_sent_total"));
    viewer.rtp.clear();
    // Consent is gone at once: neither media nor a check is answered.
    for number in spoken + 1..spoken + 20 {
        publisher.send_rtp_unasked(&packet(VOICE, number));
        publisher.knock();
        viewer.knock();
    }
    viewer.run(A_WHILE);
    assert_eq!(house.metric("rtp_received_packets_total"), received);
    assert_eq!(house.metric("datagrams_sent_total"), sent);
    assert_eq!(viewer.rtp.len(), 0);
}

/// Two waits in one test: each is of half a minute, as it stands in the standards, and nobody works meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s15_s63_who_is_silent_for_half_a_minute_is_gone() {
    let house = House::build().await;
    let (silent, session) = house.begins("/whip/live:a", OBS).await;
    let (mut alive, kept) = house.begins("/whip/live:b", OBS).await;
    let response = house.ask(Method::POST, "/whep/live:b").send().await.unwrap();
    assert_eq!(response.status(), 406);
    let (offered, etag) = (header(&response, "location"), header(&response, "etag"));
    let offer = response.text().await.unwrap();
    // It keeps its socket, and answers nothing.
    let start = Instant::now();
    let status = async |path: &str| house.ask(Method::GET, path).send().await.unwrap().status().as_u16();
    while start.elapsed() < Duration::from_secs(24) {
        alive.turn();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((status(&session).await, status(&offered).await), (200, 200), "not before its time");
    let end = start + Duration::from_secs(45);
    while (status(&session).await, status(&offered).await) != (404, 404) {
        assert!(Instant::now() < end, "{} {}", status(&session).await, status(&offered).await);
        alive.turn();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(start.elapsed() > Duration::from_secs(25), "{:?}", start.elapsed());
    let answer = house.ask(Method::PATCH, &offered).header("content-type", "application/sdp").body(offer);
    assert_eq!(answer.send().await.unwrap().status(), 404);
    assert_eq!(house.patch(&offered, &etag, &super::house::fragment("abcd", CANDIDATE)).await.status(), 404);
    assert_eq!(status(&kept).await, 200, "who is heard stays");
    house.settles_at((1, 0)).await;
    drop(silent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s16_close_notify_ends_the_session() {
    let house = House::build().await;
    let (mut publisher, session) = house.begins("/whip/live:a", OBS).await;
    let (mut viewer, watching) = house.begins("/whep/live:a", &plain_watch()).await;
    house.settles_at((1, 1)).await;
    viewer.close();
    house.ends(&watching).await;
    house.settles_at((1, 0)).await;
    publisher.close();
    house.ends(&session).await;
    house.settles_at((0, 0)).await;
}

/// Speaks until it is heard. Gives how often.
fn speak(publisher: &mut Peer, viewer: &mut Peer, mut number: u32) -> u32 {
    let end = Instant::now() + PATIENCE;
    viewer.rtp.clear();
    while viewer.rtp.is_empty() {
        assert!(Instant::now() < end, "nothing is heard");
        number += 1;
        publisher.send_rtp(&packet(VOICE, number));
        publisher.turn();
        viewer.run(Duration::from_millis(20));
    }
    number
}

/// Begins ICE anew with other credentials, and from another socket.
async fn restart(house: &House, session: &str, peer: &mut Peer) -> UdpSocket {
    let before = std::mem::replace(&mut peer.socket, UdpSocket::bind("127.0.0.1:0").unwrap());
    peer.socket.set_nonblocking(true).unwrap();
    let ours = peer.restart();
    let port = peer.socket.local_addr().unwrap().port();
    let fragment = format!(
        "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
         a=candidate:1 1 udp 2113937151 127.0.0.1 {port} typ host\r\n",
        ours.ufrag(),
        ours.pwd(),
    );
    let request = house.ask(Method::PATCH, session).header("if-match", "\"*\"");
    let response = request.header("content-type", FRAGMENT).body(fragment).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let theirs = Fragment::parse(&response.text().await.unwrap()).unwrap().credentials;
    peer.restarted(Credentials::new(theirs.ufrag(), theirs.pwd()).unwrap());
    before
}

/// What has come to a socket that nobody reads from.
fn come_to(socket: &UdpSocket) -> usize {
    let mut buffer = [0; 2_048];
    std::iter::from_fn(|| socket.recv(&mut buffer).ok()).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s27_a_restart_leaves_nothing_of_the_old_candidates() {
    let house = House::build().await;
    let (mut publisher, _) = house.begins("/whip/live:a", OBS).await;
    let (mut viewer, session) = house.begins("/whep/live:a", &plain_watch()).await;
    let number = speak(&mut publisher, &mut viewer, 0);
    let old_check = viewer.check();
    let old = restart(&house, &session, &mut viewer).await;
    // Media goes where it went until the new path is found, and then there.
    let mut number = speak(&mut publisher, &mut viewer, number);
    viewer.run(A_WHILE);
    come_to(&old);
    viewer.rtp.clear();
    // A check of the old session from the old address is a stranger's, and gets nothing, whatever was agreed once.
    for _ in 0..20 {
        number += 1;
        old.send_to(&old_check, viewer.relay).unwrap();
        publisher.send_rtp(&packet(VOICE, number));
        publisher.turn();
        viewer.run(Duration::from_millis(20));
    }
    viewer.run(A_WHILE);
    viewer.until("all of it has come", |viewer| viewer.rtp.len() >= 20);
    assert_eq!(come_to(&old), 0, "neither media nor checks");
    assert_eq!(viewer.rtp.len(), 20);
}

/// Of the offer of Chromium, with VP8 first.
const LAYERS: [(&str, u32); 3] = [("q", 0x51), ("h", 0x52), ("f", 0x53)];
const MID: u8 = 4;
const RID: u8 = 10;

/// A frame of one packet that needs no other, marked with its layer.
fn layer(rid: &str, ssrc: u32, number: u16) -> Vec<u8> {
    let index = LAYERS.iter().position(|(known, _)| *known == rid).unwrap() as u8;
    let fields = Fields {
        marker: true,
        payload_type: 96,
        sequence: number,
        timestamp: u32::from(number) * 3_000,
        ssrc,
    };
    let mut bytes = vec![0; 600];
    let extensions = [Element { id: MID, value: b"1" }, Element { id: RID, value: rid.as_bytes() }];
    let start = write_header(&mut bytes, &fields, &extensions).unwrap();
    let [high, low] = number.to_be_bytes();
    let side = 90_u16 << index;
    let mut payload = vec![0x90, 0x80, high | 0x80, low, 0x10, 0, 0, 0x9d, 0x01, 0x2a];
    payload.extend_from_slice(&(side * 16 / 9).to_le_bytes());
    payload.extend_from_slice(&side.to_le_bytes());
    payload.push(index);
    payload.resize(100 << index, 7);
    bytes[start..start + payload.len()].copy_from_slice(&payload);
    bytes.truncate(start + payload.len());
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s45_layers_appear_downstream() {
    let house = House::build().await;
    let (mut publisher, _) = house.begins("/whip/live:a", CHROMIUM).await;
    let (mut viewer, session) = house.begins("/whep/live:a", &plain_watch()).await;
    let mut number = 0;
    // Sends all layers until nothing but this one has come for a while.
    let mut shows = |wanted: usize| {
        let (end, mut alone) = (Instant::now() + PATIENCE, 0);
        while alone < 10 {
            assert!(Instant::now() < end, "layer {wanted} does not come");
            number += 1;
            for (rid, ssrc) in LAYERS {
                publisher.send_rtp(&layer(rid, ssrc, number));
            }
            publisher.turn();
            viewer.run(Duration::from_millis(30));
            let seen: BTreeSet<usize> = std::mem::take(&mut viewer.rtp)
                .iter()
                .filter_map(|bytes| {
                    Packet::parse(bytes).ok()?.payload().get(14).map(|layer| usize::from(*layer))
                })
                .collect();
            alone = if seen == BTreeSet::from([wanted]) { alone + 1 } else { 0 };
        }
    };
    let choose = async |body: String| {
        let request = house.ask(Method::POST, &format!("{session}/layer"));
        let response = request.header("content-type", "application/json").body(body).send().await.unwrap();
        assert_eq!(response.status(), 200);
    };
    // By itself the best that there is.
    shows(2);
    for index in [0, 1, 2] {
        choose(format!("{{\"mediaId\":\"1\",\"rid\":\"{}\"}}", LAYERS[index].0)).await;
        shows(index);
    }
}
