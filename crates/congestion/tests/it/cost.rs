//! What a packet costs, in nanoseconds of this machine.

use crate::seed::Random;
use std::time::{Duration, Instant};
use turnpike_congestion::Class;
use turnpike_congestion::estimator::{Config, Estimator};
use turnpike_congestion::history::{PACKETS_MAX_DEFAULT, Sent};
use turnpike_congestion::pacer::{self, Pacer, Verdict};

const PACKETS: u64 = 2_000_000;

#[test]
#[ignore = "a measurement: cargo test --release -p turnpike-congestion --test it cost -- --ignored --nocapture"]
fn nanoseconds_a_packet() {
    let epoch = Instant::now();
    let mut random = Random::new(1);
    let mut pacer: Pacer<u32> = Pacer::new(epoch, 3_000_000, pacer::Config::default());
    let mut sent = Sent::new(epoch, 0, PACKETS_MAX_DEFAULT);
    let mut estimator =
        Estimator::new(epoch, Config { start_bps: 3_000_000, max_bps: 3_000_000, ..Config::default() });
    let mut reports = Vec::new();
    let mut spent = [Duration::ZERO; 4];
    let mut statuses = Vec::new();
    let mut passed = 0_u64;
    // Batches of ten packets, a frame; feedback each third frame.
    for frame in 0..PACKETS / 10 {
        let now = epoch + Duration::from_micros(frame * 33_333);
        let begun = Instant::now();
        for packet in 0..10 {
            passed += u64::from(matches!(pacer.admit(now, Class::Video, 1200, packet), Verdict::Send { .. }));
        }
        spent[0] += begun.elapsed();
        let begun = Instant::now();
        for packet in 0..10_u64 {
            let sequence = sent.send(now, 1200, Class::Video, None);
            statuses.push((sequence, Some(if packet == 0 { 80 } else { 5 + random.below(2) as i16 })));
        }
        spent[1] += begun.elapsed();
        if frame % 3 == 2 {
            let now = now + Duration::from_millis(30);
            let reference = ((frame - 2) * 33_333 / 64_000) as u32;
            let begun = Instant::now();
            sent.acknowledge(now, reference, statuses.drain(..), &mut reports);
            spent[2] += begun.elapsed();
            let begun = Instant::now();
            estimator.on_reports(now, &reports);
            pacer.set_target(estimator.target_bps(now));
            spent[3] += begun.elapsed();
        }
    }
    let nanos = spent.map(|spent| spent.as_nanos() as f64 / PACKETS as f64);
    println!(
        "ns a packet: pacer {:.1}, history {:.1} + {:.1}, estimator {:.1}; {passed} of {PACKETS} passed at once",
        nanos[0], nanos[1], nanos[2], nanos[3],
    );
    println!(
        "bytes a viewer: history {}, estimator {}, pacer {}",
        sent.memory_bytes(),
        size_of::<Estimator>(),
        pacer.memory_bytes(),
    );
    assert_eq!(sent.counts().unknown, 0);
}
