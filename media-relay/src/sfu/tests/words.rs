//! Whatever comes through pipes, in any order.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use turnpike_rtp::{ClockMapping, NtpTime};
use turnpike_sdp::Codec;
use turnpike_wire::media::{Kind, MediaSession, Mute, Rid};

use super::world::World;
use super::{BOTH, LAYERS, consistency, seeds};
use crate::Ask;
use crate::carry::{
    Blocked, Carried, CarriedLayer, CarriedStream, CarriedTrack, Delivered, Down, Pipe, PipeId, Sink, Up,
};
use crate::sfu::track::Origin;

const SECOND: Duration = Duration::from_secs(1);
const PIPES: u64 = 8;

/// Takes some, and refuses others.
#[derive(Default)]
struct Fickle(Mutex<u32>);

impl Fickle {
    fn take(&self) -> Result<(), Blocked> {
        let mut count = self.0.lock().unwrap();
        *count += 1;
        match *count % 97 {
            50 => Err(Blocked::Full),
            96 => Err(Blocked::Closed),
            _ => Ok(()),
        }
    }
}

impl Sink<Down> for Fickle {
    fn put(&self, _: Down) -> Result<(), Blocked> {
        self.take()
    }
}

impl Sink<Up> for Fickle {
    fn put(&self, _: Up) -> Result<(), Blocked> {
        self.take()
    }
}

fn packet(world: &mut World) -> Carried {
    let len = world.wire.below(40) as usize;
    let mut payload: Vec<u8> = (0..len).map(|_| world.wire.below(256) as u8).collect();
    if let [first, .., last] = &mut payload[..] {
        // Now and then a keyframe of VP8.
        (*first, *last) = (0x10, 0);
        if len > 4 {
            payload[1] = 0;
        }
    }
    let extensions: Vec<u8> = (0..world.wire.below(8)).map(|_| world.wire.below(16) as u8).collect();
    Carried {
        track: world.wire.below(4) as u16,
        layer: world.wire.below(5) as u8,
        life: if world.wire.below(4) == 0 { world.wire.below(256) as u8 } else { 0 },
        is_again: world.wire.below(3) == 0,
        marker: world.wire.below(3) == 0,
        sequence: if world.wire.below(8) == 0 { world.wire.below(65_536) } else { world.wire.below(64) }
            as u16,
        timestamp: world.wire.below(1 << 32) as u32,
        extensions: extensions.into(),
        payload: Bytes::from(payload),
    }
}

fn stream(world: &mut World) -> CarriedStream {
    let rids = [None, Some("q"), Some("h"), Some("f")];
    let tracks = (0..world.wire.below(4)).map(|_| {
        let is_video = world.wire.below(3) > 0;
        let codec = match world.wire.below(4) {
            0 if is_video => Codec::Vp9 { profile: 0 },
            1 => Codec::Opus(turnpike_sdp::Opus::default()),
            _ => Codec::Vp8,
        };
        let layer = |world: &mut World, index: usize| CarriedLayer {
            rid: rids[index % 4].and_then(|rid| Rid::parse(rid).ok()),
            life: if world.wire.below(8) == 0 { world.wire.below(256) as u8 } else { 0 },
            is_active: world.wire.below(2) == 0,
            rungs: (0..world.wire.below(40)).map(|n| (n as u8, n as u8, n << world.wire.below(60))).collect(),
            size: None,
        };
        let count = [0, 1, 1, 3, 3, 200][world.wire.below(6) as usize];
        CarriedTrack {
            number: world.wire.below(4) as u16,
            publisher: world.wire.below(2) as u32,
            user: "somebody".parse().unwrap(),
            mid: "0".to_owned(),
            kind: if is_video { Kind::Video } else { Kind::Audio },
            codec,
            muted: world.wire.below(4) == 0,
            layers: (0..count).map(|index| layer(world, index)).collect(),
        }
    });
    CarriedStream {
        path: vec![1, 2],
        tracks: tracks.collect(),
        viewers: world.wire.below(u64::MAX),
        is_recorded: false,
    }
}

fn word(world: &mut World) -> Delivered {
    let (track, layer) = (world.wire.below(4) as u16, world.wire.below(10) as u8);
    match world.wire.below(24) {
        0..12 => Delivered::Down(Down::Packet(packet(world))),
        12..15 => Delivered::Down(Down::Stream(stream(world))),
        15 => {
            let clock = ClockMapping { ntp: NtpTime(world.wire.below(u64::MAX)), rtp: 7 };
            Delivered::Down(Down::Clock { track, layer, clock, age_ms: world.wire.below(1 << 32) as u32 })
        }
        16 if world.wire.below(6) == 0 => Delivered::Down(Down::Over),
        17 => Delivered::Up(Up::Keyframe { track, layer }),
        18 => {
            let sequences = (0..world.wire.below(5_000)).map(|n| n as u16).collect();
            Delivered::Up(Up::Again { track, layer, sequences })
        }
        19 => {
            let named = (0..world.wire.below(300)).map(|n| format!("u{n}").parse().unwrap()).collect();
            Delivered::Up(Up::Audience { viewers: world.wire.below(u64::MAX), named })
        }
        _ => {
            let wants = (0..world.wire.below(6)).map(|n| (n as u16, world.wire.below(256) as u8));
            Delivered::Up(Up::Want(wants.collect()))
        }
    }
}

#[test]
fn whatever_comes_through_pipes_nothing_breaks_and_nothing_stays() {
    for seed in seeds(4) {
        let mut world = World::new(seed);
        let sinks = Arc::new(Fickle::default());
        let name = || "live".parse().unwrap();
        let publisher = (seed % 2 == 0).then(|| world.publish(LAYERS));
        let (mut words, mut fed, mut watched) = (0, 0, 0);
        for _ in 0..3_000 {
            let id = PipeId(world.wire.below(PIPES));
            match world.wire.below(40) {
                0 => drop(world.ask(Ask::Feed { stream: name(), pipe: Pipe::new(id, sinks.clone()) })),
                1 => drop(world.ask(Ask::Branch { stream: name(), pipe: Pipe::new(id, sinks.clone()) })),
                2 if world.wire.below(4) == 0 => drop(world.ask(Ask::Unpipe { pipe: id })),
                3 if world.ends.len() < 12 => drop(world.join(BOTH)),
                4 => {
                    let session = MediaSession { relay: 1, key: u128::from(world.wire.below(12)) };
                    let muted = world.wire.below(2) == 0;
                    drop(world.ask(Ask::Mute { session, mute: Mute { kind: None, mid: None, muted } }));
                }
                5 if world.wire.below(10) == 0 => drop(world.ask(Ask::End { stream: name() })),
                _ => {
                    let (now, word) = (world.now, word(&mut world));
                    world.sfu.deliver(now, id, word);
                    words += 1;
                    fed += world.sfu.tracks.iter().filter(|(_, track)| track.origin == Origin::Feed).count();
                    watched += world.sfu.tracks.iter().filter(|(_, track)| !track.viewers.is_empty()).count();
                    if world.wire.below(4) == 0 {
                        world.step();
                    }
                }
            }
        }
        println!("{words} words, {fed} times a track of a feed, {watched} times one that is watched");
        assert!(fed > 100, "nothing came of it");
        for end in publisher.into_iter().chain(0..world.ends.len()) {
            world.ends[end].dead = true;
        }
        for pipe in 0..PIPES {
            world.ask(Ask::Unpipe { pipe: PipeId(pipe) }).unwrap();
        }
        // Nobody of them is heard any more.
        world.pass(60 * SECOND);
        assert!(consistency::is_empty(&world.sfu));
        assert_eq!(world.sfu.due(), None);
    }
}
