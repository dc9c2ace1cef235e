//! The rewriter between publishers on a bad network and a viewer who checks everything.
//!
//! Simulcast layers with temporal layers, loss, repair, reordering, duplicates, switches between layers and publishers,
//! pauses, restarts; all numbers begin near their wrap. What the viewer got is held against laws at the end.

mod laws;
mod publisher;
mod viewer;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use turnpike_rtp::Codec;

use crate::chance::{Chance, seeds};
use publisher::{Device, Packet};
use viewer::Viewer;

const FRAME_MS: u64 = 33;
const SECONDS: u64 = 25;
/// The higher layers wait longer in the publisher's pacer, so that a switch up finds a keyframe older than what was seen.
const PACER_MS: [u64; publisher::LAYERS] = [0, 50, 130];

/// How bad it is, of a thousand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    pub(crate) lost: u64,
    /// Of those lost: come again later.
    pub(crate) repaired: u64,
    pub(crate) doubled: u64,
    /// How late a packet may be on its own.
    pub(crate) jitter_ms: u64,
}

const FAIR: Weather = Weather { lost: 0, repaired: 0, doubled: 0, jitter_ms: 0 };
const FOUL: Weather = Weather { lost: 50, repaired: 700, doubled: 20, jitter_ms: 25 };

/// What happens besides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Life {
    pub(crate) switches: bool,
    pub(crate) temporal: bool,
    pub(crate) pauses: bool,
    pub(crate) restarts: bool,
    pub(crate) reports: bool,
    /// The layer that the viewer wants at first.
    pub(crate) layer: usize,
}

const QUIET: Life =
    Life { switches: false, temporal: false, pauses: false, restarts: false, reports: true, layer: 0 };
const ONE_DEVICE: Life = Life { switches: true, temporal: true, pauses: true, ..QUIET };
const EVERYTHING: Life = Life { restarts: true, ..ONE_DEVICE };

fn run(seed: u64, codec: Codec, weather: Weather, life: Life) {
    let mut chance = Chance::new(seed);
    let mut device = Device::new(&mut chance, codec, 0, 0);
    let mut devices = 1;
    let mut viewer = Viewer::new(&mut chance, codec);
    viewer.want(life.layer);
    // By arrival, then as they were sent.
    let mut network: BinaryHeap<Reverse<(u64, u64, Packet)>> = BinaryHeap::new();
    let mut sent = 0;

    for now_ms in 0..SECONDS * 1_000 {
        if now_ms % FRAME_MS == 0 {
            for packet in device.frame(&mut chance, now_ms) {
                for arrival in arrivals(&mut chance, weather, now_ms + PACER_MS[packet.layer]) {
                    sent += 1;
                    network.push(Reverse((arrival, sent, packet)));
                }
            }
        }
        while let Some(Reverse((arrival, _, packet))) = network.peek().copied()
            && arrival <= now_ms
        {
            network.pop();
            viewer.receive(&mut chance, &device, &packet, now_ms);
        }
        viewer.must_be_alive(now_ms);
        viewer.look_back(&mut chance);
        if life.switches && chance.of_thousand(2) {
            viewer.want(chance.below(3) as usize);
        }
        if life.temporal && chance.of_thousand(3) {
            viewer.limit_temporal(chance.below(3) as u8);
        }
        if life.pauses && chance.of_thousand(1) {
            viewer.toggle_pause();
        }
        if life.restarts && chance.of_thousand(1) && now_ms % 4 == 0 {
            if chance.of_thousand(500) {
                device.restart_in_place(&mut chance, now_ms + 1);
            } else {
                device = Device::new(&mut chance, codec, devices, now_ms);
                devices += 1;
            }
        }
        if let Some(layer) = viewer.keyframe_wanted(&device) {
            device.request_keyframe(layer);
        }
        device.reports = life.reports;
    }
    laws::hold(seed, &viewer, weather, life);
}

/// When a packet comes: never, once, or twice.
fn arrivals(chance: &mut Chance, weather: Weather, sent_ms: u64) -> Vec<u64> {
    let first = sent_ms + 20 + chance.below(weather.jitter_ms + 1);
    if chance.of_thousand(weather.lost) {
        return if chance.of_thousand(weather.repaired) {
            vec![first + 40 + chance.below(250)]
        } else {
            Vec::new()
        };
    }
    if chance.of_thousand(weather.doubled) {
        return vec![first, first + chance.below(200)];
    }
    vec![first]
}

#[test]
fn one_layer_goes_through_as_it_is() {
    for seed in seeds("quiet", 3) {
        run(seed, Codec::Vp8, FAIR, QUIET);
    }
}

#[test]
fn a_quiet_stream_in_foul_weather() {
    for seed in seeds("foul", 6) {
        run(seed, Codec::Vp8, FOUL, Life { layer: 2, ..QUIET });
        run(seed, Codec::Vp9, FOUL, QUIET);
    }
}

#[test]
fn the_layers_of_one_device_lie_on_one_line_of_time() {
    for seed in seeds("one device", 8) {
        run(seed, Codec::Vp8, FAIR, ONE_DEVICE);
        run(seed, Codec::Vp8, FOUL, ONE_DEVICE);
    }
}

#[test]
fn everything_happens_in_fair_weather() {
    for seed in seeds("fair", 12) {
        run(seed, Codec::Vp8, FAIR, EVERYTHING);
    }
}

#[test]
fn everything_happens_in_foul_weather() {
    for seed in seeds("everything", 24) {
        run(seed, Codec::Vp8, FOUL, EVERYTHING);
    }
    for seed in seeds("everything, VP9", 8) {
        run(seed, Codec::Vp9, FOUL, EVERYTHING);
    }
}

#[test]
fn without_sender_reports_time_goes_on_by_the_clock() {
    for seed in seeds("no reports", 8) {
        run(seed, Codec::Vp8, FOUL, Life { reports: false, ..EVERYTHING });
    }
}
