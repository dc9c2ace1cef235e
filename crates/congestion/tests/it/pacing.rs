//! What leaves when, and what becomes of what does not.

use crate::seed::{Random, with_seeds};
use std::collections::HashSet;
use std::time::{Duration, Instant};
use turnpike_congestion::Class;
use turnpike_congestion::pacer::{Config, Pacer, Release, Verdict};

const TARGET_BPS: u64 = 2_400_000;

fn pacer(now: Instant) -> Pacer<u32> {
    Pacer::new(now, TARGET_BPS, Config::default())
}

/// Runs until nothing waits, as a shard does: only when something is due. Gives when each thing left, in milliseconds.
fn drain(pacer: &mut Pacer<u32>, epoch: Instant, mut now: Instant) -> Vec<(u64, Release<u32>)> {
    let mut released = Vec::new();
    while let Some(due) = pacer.next_due() {
        now = now.max(due);
        let before = released.len();
        while let Some(release) = pacer.poll(now) {
            released.push((now.duration_since(epoch).as_millis() as u64, release));
        }
        assert!(released.len() > before || pacer.next_due() != Some(due), "due and nothing comes");
    }
    released
}

#[test]
fn an_ordinary_frame_passes_at_once() {
    let epoch = Instant::now();
    let mut pacer = pacer(epoch);
    for frame in 0..300_u64 {
        let now = epoch + Duration::from_micros(frame * 33_333);
        // 10,000 bytes are 2.4 Mb/s at 30 frames a second.
        for packet in 0..10 {
            assert_eq!(
                pacer.admit(now, Class::Video, 1000, packet),
                Verdict::Send { probe: None },
                "{frame}"
            );
        }
    }
    assert!(pacer.memory_bytes() <= size_of::<Pacer<u32>>());
}

#[test]
fn a_keyframe_is_spread_and_audio_overtakes_it() {
    let epoch = Instant::now();
    let mut pacer = pacer(epoch);
    let at_once =
        (0..100).filter(|&packet| pacer.admit(epoch, Class::Video, 1000, packet) != Verdict::Queued).count();
    // 15 ms of 6 Mb/s, and the packet that goes over.
    assert_eq!(at_once, 12);
    assert_eq!(pacer.admit(epoch, Class::Audio, 100, 1000), Verdict::Send { probe: None });
    assert_eq!(pacer.admit(epoch, Class::Retransmission, 1000, 1001), Verdict::Queued);
    let released = drain(&mut pacer, epoch, epoch);
    let handles: Vec<u32> = released
        .iter()
        .map(|(_, release)| match release {
            Release::Packet { handle, .. } => *handle,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(handles[0], 1001, "the retransmission first");
    assert!(handles[1..].is_sorted(), "and the rest in its order");
    // 89 kB at 6 Mb/s.
    let last_ms = released[released.len() - 1].0;
    assert!((100..=122).contains(&last_ms), "{last_ms}");
    // In batches, not one by one.
    let times: HashSet<u64> = released.iter().map(|(at_ms, _)| *at_ms).collect();
    assert!(times.len() <= 30, "{} wake-ups", times.len());
}

#[test]
fn never_faster_than_it_may() {
    with_seeds(5, |seed| {
        let mut random = Random::new(seed);
        let epoch = Instant::now();
        let mut pacer = pacer(epoch);
        let mut left: Vec<(u64, usize)> = Vec::new();
        for step in 0..20_000_u64 {
            let now = epoch + Duration::from_micros(step * 500);
            let now_us = step * 500;
            for _ in 0..random.below(4) {
                let bytes = 60 + random.below(1200) as usize;
                if random.one_in(0.5)
                    && matches!(pacer.admit(now, Class::Video, bytes, 0), Verdict::Send { .. })
                {
                    left.push((now_us, bytes));
                }
            }
            while let Some(release) = pacer.poll(now) {
                if let Release::Packet { bytes, .. } = release {
                    left.push((now_us, bytes));
                }
            }
        }
        let bytes_a_us = TARGET_BPS as f64 * 2.5 / 8e6;
        for window in left.windows(200) {
            let bytes: usize = window.iter().map(|(_, bytes)| bytes).sum();
            let span_us = (window[window.len() - 1].0 - window[0].0) as f64;
            let allowed = bytes_a_us * (span_us + 15_000.0) + 2600.0;
            assert!(bytes as f64 <= allowed, "{bytes} bytes in {span_us} us");
        }
        let total: usize = left.iter().map(|(_, bytes)| bytes).sum();
        assert!(total as f64 > bytes_a_us * 10e6 * 0.9, "what may leave does: {total}");
    });
}

#[test]
fn everything_is_accounted_for_and_nothing_grows() {
    with_seeds(10, |seed| {
        let mut random = Random::new(seed);
        let epoch = Instant::now();
        let config = Config::default();
        let mut pacer = pacer(epoch);
        let mut now = epoch;
        let mut waiting = HashSet::new();
        let mut told = [0_u64; 2];
        for handle in 0..20_000_u32 {
            let pause_us = if random.one_in(0.001) { 2_000_000 } else { 1500 };
            now += Duration::from_micros(random.below(pause_us));
            pacer.set_target(50_000 + random.below(4_000_000));
            let class =
                [Class::Audio, Class::Retransmission, Class::Video, Class::Video][random.below(4) as usize];
            match pacer.admit(now, class, 100 + random.below(1400) as usize, handle) {
                Verdict::Send { .. } => {}
                Verdict::Queued => assert!(waiting.insert(handle)),
                Verdict::Dropped => told[0] += 1,
            }
            if random.one_in(0.7) {
                while let Some(release) = pacer.poll(now) {
                    match release {
                        Release::Packet { handle, .. } => assert!(waiting.remove(&handle)),
                        Release::Expired { handle, .. } => {
                            told[1] += 1;
                            assert!(waiting.remove(&handle));
                        }
                        Release::Padding { .. } => panic!("nobody asked for padding"),
                    }
                }
            }
            assert_eq!(pacer.queued_packets(), waiting.len());
            assert!(pacer.queued_packets() <= config.queued_packets_max);
            assert!(pacer.queued_bytes() <= config.queued_bytes_max);
            assert!(pacer.memory_bytes() < 40 * 1024, "{}", pacer.memory_bytes());
        }
        let counts = pacer.counts();
        assert_eq!([counts.full.iter().sum::<u64>(), counts.expired.iter().sum()], told);
        assert!(told[0] > 0 && told[1] > 0, "the test does not reach what it is about: {told:?}");
        pacer.clear(|handle, _| assert!(waiting.remove(&handle)));
        assert!(waiting.is_empty() && pacer.next_due().is_none());
    });
}
