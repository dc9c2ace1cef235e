//! What a peer may say against all sense: nothing may panic, grow, or leave its limits.

use crate::seed::{Random, with_seeds};
use std::time::{Duration, Instant};
use turnpike_congestion::Class;
use turnpike_congestion::estimator::{Config, Demand, Estimator};
use turnpike_congestion::history::{PACKETS_MAX_DEFAULT, Sent};
use turnpike_congestion::pacer::{self, Pacer, Release};
use turnpike_congestion::twcc::Arrivals;

const FEEDBACKS: u32 = 3_000;

fn delta(random: &mut Random) -> Option<i16> {
    match random.below(8) {
        0 => None,
        1 => Some(i16::MIN),
        2 => Some(i16::MAX),
        3 => Some(random.next() as i16),
        4 => Some(0),
        _ => Some(random.below(200) as i16),
    }
}

#[test]
fn feedback_of_any_kind_leaves_the_target_within_its_limits() {
    with_seeds(4, |seed| {
        let mut random = Random::new(seed);
        let epoch = Instant::now();
        let config = Config { start_bps: 300_000, min_bps: 40_000, max_bps: 5_000_000 };
        let mut estimator = Estimator::new(epoch, config);
        let mut sent = Sent::new(epoch, random.next() as u16, PACKETS_MAX_DEFAULT);
        let mut pacer: Pacer<u32> = Pacer::new(epoch, config.start_bps, pacer::Config::default());
        let mut reports = Vec::new();
        let mut now = epoch;
        let mut newest = 0_u16;
        for _ in 0..FEEDBACKS {
            now += Duration::from_micros(random.below(200_000));
            if random.one_in(0.001) {
                // Asleep for longer than 32 bits of microseconds last.
                now += Duration::from_secs(5000);
            }
            for _ in 0..random.below(50) {
                newest = sent.send(now, random.below(70_000) as usize, Class::Video, None);
            }
            let base = match random.below(3) {
                0 => random.next() as u16,
                1 => newest.wrapping_sub(random.below(2000) as u16),
                _ => newest.wrapping_add(random.below(10) as u16),
            };
            let reference = if random.one_in(0.5) { random.next() as u32 } else { 0x00ff_ffff };
            let count = if random.one_in(0.002) { 65_535 } else { random.below(120) as u16 };
            let statuses: Vec<_> =
                (0..count).map(|step| (base.wrapping_add(step), delta(&mut random))).collect();
            sent.acknowledge(now, reference, statuses, &mut reports);
            assert!(reports.len() <= PACKETS_MAX_DEFAULT);
            estimator.on_reports(now, &reports);
            match random.below(20) {
                0 => estimator.on_remb(now, random.next()),
                1 => estimator.on_remb(now, 0),
                2 => estimator.on_loss_report(now, random.next() as u8),
                3 => estimator.on_rtt(Duration::from_micros(random.next())),
                4 => estimator.set_demand(Demand { next_bps: random.next(), most_bps: random.next() }),
                _ => {}
            }
            let target = estimator.target_bps(now);
            assert!((config.min_bps..=config.max_bps).contains(&target), "{target}");
            let estimate = estimator.estimate(now);
            assert!((0.0..=1.0).contains(&estimate.loss), "{estimate:?}");
            if let Some(probe) = estimator.poll(now, sent.unanswered(now)) {
                assert!(probe.bitrate_bps <= 40_000_000, "{probe:?}");
                pacer.probe(now, probe);
            }
            pacer.set_target(target);
            for handle in 0..random.below(20) as u32 {
                let class = Class::ALL[random.below(4) as usize];
                pacer.admit(now, class, random.below(70_000) as usize, handle);
            }
            let mut released = 0;
            while let Some(release) = pacer.poll(now) {
                released += 1;
                assert!(released < 10_000, "the pacer does not end");
                if let Release::Padding { bytes, .. } = release {
                    assert!(bytes <= 1200);
                }
            }
            assert!(sent.memory_bytes() < 8 * 1024 + 256);
            assert!(pacer.memory_bytes() < 64 * 1024, "{}", pacer.memory_bytes());
        }
    });
}

#[test]
fn a_publisher_may_number_its_packets_as_it_likes() {
    with_seeds(4, |seed| {
        let mut random = Random::new(seed);
        let epoch = Instant::now();
        let mut arrivals = Arrivals::new(epoch);
        let mut now = epoch;
        let mut sequence = 0_u16;
        let mut feedbacks = 0_u32;
        for _ in 0..30_000 {
            now += Duration::from_micros(random.below(3_000));
            if random.one_in(0.0005) {
                now += Duration::from_secs(random.below(100_000));
            }
            sequence = match random.below(10) {
                0 => random.next() as u16,
                1 => sequence.wrapping_sub(random.below(2000) as u16),
                2 => sequence.wrapping_add(random.below(2000) as u16),
                _ => sequence.wrapping_add(1),
            };
            arrivals.record(sequence, now);
            let due = arrivals.next_due();
            let feedback = arrivals.poll(now);
            if let Some(due) = due {
                assert_eq!(feedback.is_some(), due <= now, "what is due is said, and nothing else");
            }
            if let Some(feedback) = feedback {
                feedbacks += 1;
                let said: Vec<_> = feedback.iter().collect();
                assert!((1..=480).contains(&said.len()));
                assert_eq!(said[0].0, feedback.base_sequence);
                assert!(said.last().is_some_and(|(_, delta)| delta.is_some()));
            }
        }
        // At least 10 ms apart.
        assert!(u128::from(feedbacks) <= (now - epoch).as_millis() / 10);
        assert!(feedbacks > 100);
    });
}

/// What is said about packets in order is what was seen, whatever is lost.
#[test]
fn both_halves_agree() {
    with_seeds(8, |seed| {
        let mut random = Random::new(seed);
        let epoch = Instant::now();
        let mut sent = Sent::new(epoch, random.next() as u16, PACKETS_MAX_DEFAULT);
        let mut arrivals = Arrivals::new(epoch);
        let mut truth = Vec::new();
        let mut heard = Vec::new();
        let mut reports = Vec::new();
        let mut now = epoch;
        for step in 0..5_000_u64 {
            now += Duration::from_micros(random.below(8_000));
            let sequence = sent.send(now, 100 + step as usize % 1000, Class::Video, None);
            // The first has to arrive, or nobody knows where to begin.
            let arrives = step == 0 || !random.one_in(0.2);
            if arrives {
                arrivals.record(sequence, now);
            }
            truth.push((100 + step as usize % 1000, arrives.then(|| now.duration_since(epoch))));
            let Some(feedback) = arrivals.poll(now) else { continue };
            let statuses: Vec<_> = feedback.iter().collect();
            let reference = feedback.reference_time;
            sent.acknowledge(now, reference, statuses, &mut reports);
            heard.extend_from_slice(&reports);
        }
        assert!(heard.len() > 4_000);
        let base_us = heard[0].arrival_us.unwrap_or(0) - truth[0].1.map_or(0, |at| at.as_micros() as i64);
        for (report, (bytes, arrived)) in heard.iter().zip(&truth) {
            assert_eq!(usize::from(report.bytes), *bytes);
            let off_us =
                report.arrival_us.zip(*arrived).map(|(said, was)| said - base_us - was.as_micros() as i64);
            assert_eq!(report.arrival_us.is_some(), arrived.is_some());
            assert!(off_us.is_none_or(|off_us| off_us.abs() <= 500), "{off_us:?}");
        }
    });
}
