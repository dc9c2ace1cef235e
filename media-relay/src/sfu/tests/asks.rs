//! Asks in any order, with anything in them.

use std::time::Duration;

use turnpike_transport::Credentials;
use turnpike_wire::media::{LayerWish, MediaSession, Mute};
use turnpike_wire::{RoomId, UserId};

use super::description::{self, Wish};
use super::world::World;
use super::{consistency, seeds};
use crate::{Ask, Most, Told};

const SECOND: Duration = Duration::from_secs(1);

/// A word, cut or with something else in it.
fn spoilt(world: &mut World, text: String) -> String {
    let mut bytes = text.into_bytes();
    match world.wire.below(8) {
        0 => bytes.truncate(world.wire.below(bytes.len() as u64) as usize),
        1 | 2 => {
            for _ in 0..=world.wire.below(4) {
                let at = world.wire.below(bytes.len() as u64) as usize;
                bytes[at] = (world.wire.below(96) + 32) as u8;
            }
        }
        _ => {}
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn some_offer(world: &mut World, publishes: bool) -> String {
    let random = world.wire.below(8);
    let wish = Wish { publishes, audio: random & 1 == 1, layers: (random / 2) as usize };
    let wish = if wish.audio || wish.layers > 0 { wish } else { Wish { layers: 1, ..wish } };
    let ours = Credentials::from_random(&world.wire.bytes());
    let certificate = turnpike_transport::Certificate::generate("other").unwrap();
    let offer = description::offer(wish, &ours, &certificate, random + 2);
    // Sections of other names.
    let mid = world.wire.below(200);
    let offer = if mid < 50 {
        offer.replace("a=mid:0", &format!("a=mid:{mid}")).replace("BUNDLE 0", &format!("BUNDLE {mid}"))
    } else {
        offer
    };
    spoilt(world, offer)
}

#[test]
fn whatever_is_asked_nothing_breaks_and_nothing_stays() {
    for seed in seeds(3) {
        let mut world = World::new(seed);
        let user: UserId = "somebody".parse().unwrap();
        let streams: [RoomId; 2] = ["one".parse().unwrap(), "two".parse().unwrap()];
        let mut refused = 0;
        let mut opened = 0;
        for _ in 0..600 {
            let session = MediaSession { relay: 1, key: u128::from(world.wire.below(12)) };
            let stream = streams[world.wire.below(2) as usize].clone();
            let most = if world.wire.below(2) == 0 { Most::All } else { Most::OneOfEach };
            let publishes = world.wire.below(2) == 0;
            let user = user.clone();
            let muted = world.wire.below(2) == 0;
            let ask = match world.wire.below(14) {
                0 | 1 => Ask::Publish { session, stream, user, offer: some_offer(&mut world, true), most },
                2 | 3 => {
                    let offer = (world.wire.below(2) == 0).then(|| some_offer(&mut world, false));
                    Ask::Watch { session, stream, user, offer, most }
                }
                4 => Ask::Answer { session, sdp: some_offer(&mut world, publishes) },
                5..=7 => Ask::Offer { session, sdp: some_offer(&mut world, publishes) },
                8 => {
                    let fragment = "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 1 UDP 9 192.0.2.1 3020 typ host\r\n";
                    Ask::Trickle { session, fragment: spoilt(&mut world, fragment.to_owned()) }
                }
                9 => {
                    let fragment = "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n";
                    Ask::Restart { session, fragment: spoilt(&mut world, fragment.to_owned()) }
                }
                10 => Ask::Layer {
                    session,
                    wish: LayerWish { spatial: Some(world.wire.below(9) as u8), ..LayerWish::default() },
                },
                11 => Ask::Mute { session, mute: Mute { kind: None, mid: None, muted } },
                12 => Ask::Stop { session },
                _ if world.wire.below(8) == 0 => Ask::End { stream },
                _ => Ask::Streams,
            };
            match world.ask(ask) {
                Ok(Told::Opened(_)) => opened += 1,
                Ok(_) => {}
                Err(_) => refused += 1,
            }
            let step = Duration::from_millis(world.wire.below(30));
            world.pass(step);
        }
        println!("{opened} sessions, {refused} refused");
        assert!(opened > 20);
        // Nobody of them ever comes.
        world.pass(31 * SECOND);
        assert!(consistency::is_empty(&world.sfu));
        assert_eq!(world.sfu.due(), None);
    }
}

#[test]
fn offers_again_and_again_take_no_more_room() {
    let mut world = World::new(5);
    let publisher = world.publish(super::BOTH);
    let viewer = world.watch(super::BOTH);
    world.pass(SECOND);
    for round in 0..300 {
        for end in [publisher, viewer] {
            let session = world.ends[end].session;
            let ours = Credentials::from_random(&world.wire.bytes());
            let certificate = turnpike_transport::Certificate::generate("other").unwrap();
            let wish = Wish { publishes: end == publisher, ..super::BOTH };
            let sdp = description::offer(wish, &ours, &certificate, round + 3);
            let sdp = sdp.replace("BUNDLE 0 1", &format!("BUNDLE a{round} b{round}"));
            let sdp = sdp
                .replace("a=mid:0", &format!("a=mid:a{round}"))
                .replace("a=mid:1", &format!("a=mid:b{round}"));
            world.ask(Ask::Offer { session, sdp }).unwrap();
        }
    }
    let key = world.sfu.sessions[&world.ends[viewer].session];
    let forwarders = world.sfu.peers[key].viewer().unwrap().forwarders.len();
    assert!(forwarders <= 32, "{forwarders} tracks of one viewer");
    assert_eq!(world.sfu.tracks.len(), 2);
}
