//! Peers that do not acknowledge packets one by one: what they report, and what they estimate themselves.

use std::time::{Duration, Instant};
use turnpike_congestion::Class;
use turnpike_congestion::estimator::{Config, Estimator};
use turnpike_congestion::history::{PACKETS_MAX_DEFAULT, Sent};

const CONFIG: Config = Config { start_bps: 500_000, min_bps: 50_000, max_bps: 4_000_000 };

#[test]
fn remb_is_the_measure_until_it_is_old() {
    let epoch = Instant::now();
    let at = |seconds| epoch + Duration::from_secs(seconds);
    let mut estimator = Estimator::new(epoch, CONFIG);
    estimator.on_remb(at(1), 1_500_000);
    assert_eq!(estimator.target_bps(at(1)), 1_500_000);
    estimator.on_remb(at(2), 900_000_000);
    assert_eq!(estimator.target_bps(at(2)), CONFIG.max_bps);
    estimator.on_remb(at(3), 1);
    assert_eq!(estimator.target_bps(at(3)), CONFIG.min_bps);
    estimator.on_remb(at(4), 800_000);
    for second in 5..60 {
        estimator.on_loss_report(at(second), 0);
    }
    assert!(estimator.target_bps(at(60)) > 2_000_000, "with nothing lost it grows by itself");
}

#[test]
fn reports_of_loss_bring_it_down_and_their_end_up() {
    let epoch = Instant::now();
    let mut estimator = Estimator::new(epoch, CONFIG);
    let mut now = epoch;
    for _ in 0..20 {
        now += Duration::from_secs(1);
        estimator.on_loss_report(now, 100);
    }
    let low = estimator.target_bps(now);
    assert!(low < 100_000, "{low}");
    for _ in 0..60 {
        now += Duration::from_secs(1);
        estimator.on_loss_report(now, 0);
    }
    let high = estimator.target_bps(now);
    assert!(high > 5 * low, "{low} {high}");
}

#[test]
fn a_change_is_told_once_and_little_ones_are_not() {
    let epoch = Instant::now();
    let mut estimator = Estimator::new(epoch, CONFIG);
    assert_eq!(estimator.take_change(epoch).map(|estimate| estimate.target_bps), Some(500_000));
    assert_eq!(estimator.take_change(epoch), None);
    estimator.on_remb(epoch, 495_000);
    assert_eq!(estimator.take_change(epoch), None);
    estimator.on_remb(epoch, 400_000);
    assert_eq!(estimator.take_change(epoch).map(|estimate| estimate.target_bps), Some(400_000));
}

#[test]
fn limits_in_the_wrong_order_are_put_right() {
    let epoch = Instant::now();
    for (start_bps, min_bps, max_bps) in [(0, 0, 0), (u64::MAX, u64::MAX, 0), (5, 1_000_000, 10)] {
        let estimator = Estimator::new(epoch, Config { start_bps, min_bps, max_bps });
        assert!(estimator.target_bps(epoch) >= 1_000);
    }
}

/// A path on which nothing comes back is not sent to at full rate for ever; an idle one is left alone.
#[test]
fn silence_halves_and_idleness_does_not() {
    let epoch = Instant::now();
    let mut sent = Sent::new(epoch, 0, PACKETS_MAX_DEFAULT);
    let mut estimator = Estimator::new(epoch, CONFIG);
    let mut reports = Vec::new();
    let sequence = sent.send(epoch, 1000, Class::Video, None);
    sent.acknowledge(epoch + Duration::from_millis(50), 0, [(sequence, Some(0))], &mut reports);
    estimator.on_reports(epoch + Duration::from_millis(50), &reports);
    let mut now = epoch + Duration::from_secs(20);
    estimator.poll(now, sent.unanswered(now));
    assert_eq!(estimator.target_bps(now), CONFIG.start_bps, "nothing was sent");
    for _ in 0..200 {
        now += Duration::from_millis(20);
        sent.send(now, 1000, Class::Video, None);
        estimator.poll(now, sent.unanswered(now));
    }
    let target = estimator.target_bps(now);
    assert!((50_000..130_000).contains(&target), "{target}");
}
