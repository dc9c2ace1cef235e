//! The estimate over a simulated link: what it finds, what waits in the queue meanwhile, and what happens when the
//! link changes.

use crate::link::Shape;
use crate::seed::with_seeds;
use crate::viewer::World;
use std::cell::RefCell;
use turnpike_congestion::estimator::{Config, Demand};

const CONFIG: Config = Config { start_bps: 300_000, min_bps: 50_000, max_bps: 10_000_000 };

/// A link with a queue of so many milliseconds.
fn shape(bps: f64, queue_ms: f64) -> Shape {
    Shape { bps, queue_bytes: (bps / 8.0 * queue_ms / 1e3) as usize, ..Shape::default() }
}

fn world(shape: Shape, seed: u64) -> World {
    World::new(shape, &[CONFIG], seed)
}

#[track_caller]
fn within(value: f64, low: f64, high: f64, what: &str) {
    assert!((low..=high).contains(&value), "{what}: {value:.3} is not within {low} and {high}");
}

#[test]
fn finds_the_bottleneck_within_three_seconds_and_stays() {
    with_seeds(3, |seed| {
        for bps in [0.4e6, 1e6, 2.5e6, 6e6] {
            let mut world = world(shape(bps, 300.0), seed);
            world.run(3.0);
            let seen = world.run(20.0);
            println!("{bps:.0}: {seen:.0?}");
            within(seen.arrived[0] / bps, 0.8, 1.01, "share of the link");
            within(seen.target_min[0] / bps, 0.5, 1.05, "lowest target");
            within(seen.wait_mean_ms, 0.0, 60.0, "mean wait");
            within(seen.wait_p95_ms, 0.0, 150.0, "p95 of the wait");
            assert_eq!(seen.dropped, 0);
        }
    });
}

#[test]
fn a_short_queue_is_not_overrun() {
    with_seeds(3, |seed| {
        let mut world = world(shape(2e6, 60.0), seed);
        world.run(3.0);
        let seen = world.run(20.0);
        println!("{seen:.0?}");
        within(seen.arrived[0] / 2e6, 0.75, 1.01, "share of the link");
        // Of about 4,000 packets.
        within(seen.dropped as f64, 0.0, 80.0, "dropped");
    });
}

#[test]
fn jitter_is_not_congestion() {
    with_seeds(3, |seed| {
        let mut world = world(Shape { jitter_us: 15_000, ..shape(2e6, 300.0) }, seed);
        world.run(4.0);
        let seen = world.run(20.0);
        println!("{seen:.0?}");
        within(seen.arrived[0] / 2e6, 0.75, 1.01, "share of the link");
        within(seen.wait_p95_ms, 0.0, 150.0, "p95 of the wait");
    });
}

#[test]
fn a_drop_of_capacity_is_followed_within_two_seconds() {
    with_seeds(3, |seed| {
        let mut world = world(shape(2.5e6, 300.0), seed);
        world.run(10.0);
        world.link.shape.bps = 0.8e6;
        let fall = world.run(2.0);
        println!("fall {fall:.0?}");
        within(fall.target_min[0] / 0.8e6, 0.4, 1.0, "lowest target");
        // The queue holds almost a second of the new rate, and drains.
        world.run(1.0);
        let after = world.run(5.0);
        println!("after {after:.0?}");
        within(after.arrived[0] / 0.8e6, 0.75, 1.01, "share of the link");
        within(after.wait_mean_ms, 0.0, 100.0, "mean wait");
        within(after.dropped as f64, 0.0, 0.0, "dropped");
    });
}

#[test]
fn capacity_that_comes_back_is_found_by_a_probe() {
    with_seeds(3, |seed| {
        let mut world = world(shape(2.5e6, 300.0), seed);
        world.run(5.0);
        world.link.shape.bps = 0.8e6;
        world.run(10.0);
        world.link.shape.bps = 2.5e6;
        world.run(15.0);
        let seen = world.run(5.0);
        println!("{seen:.0?}");
        within(seen.arrived[0] / 2.5e6, 0.75, 1.01, "share of the link");
    });
}

/// As a relay's viewers are: what is sent is a layer, far below what the path carries.
#[test]
fn a_higher_layer_is_found_by_probes_alone_and_costs_little() {
    with_seeds(3, |seed| {
        let mut world = world(shape(5e6, 300.0), seed);
        world.viewers[0].source_max_bps = 400_000.0;
        world.viewers[0].demand = Some(Demand { next_bps: 450_000, most_bps: 450_000 });
        let before = world.run(15.0);
        println!("{before:.0?}");
        within(before.target_mean[0], 400e3, 1.8e6, "target without demand");
        let padding_before = world.viewers[0].padding_bytes;
        world.viewers[0].demand = Some(Demand { next_bps: 1_800_000, most_bps: 2_500_000 });
        world.run(5.0);
        within(world.viewers[0].target_bps(world.now_us), 1.8e6, 4e6, "target with demand");
        let padding = world.viewers[0].padding_bytes - padding_before;
        within(padding as f64, 1000.0, 30_000.0, "padding");
    });
}

#[test]
fn a_layer_that_does_not_fit_is_not_believed() {
    with_seeds(3, |seed| {
        let mut world = world(shape(1e6, 300.0), seed);
        world.viewers[0].source_max_bps = 400_000.0;
        world.viewers[0].demand = Some(Demand { next_bps: 2_000_000, most_bps: 2_000_000 });
        let seen = world.run(60.0);
        println!("{seen:.0?}, padding {}", world.viewers[0].padding_bytes);
        within(seen.target_mean[0], 500e3, 1.1e6, "target");
        within(seen.wait_p95_ms, 0.0, 60.0, "p95 of the wait");
        // 400 kb/s for a minute are 3 MB.
        within(world.viewers[0].padding_bytes as f64, 0.0, 150_000.0, "padding");
    });
}

#[test]
fn loss_at_random_does_not_bring_it_down() {
    with_seeds(3, |seed| {
        for (loss, share) in [(0.02, 0.75), (0.05, 0.7), (0.10, 0.55), (0.18, 0.5)] {
            let mut world = world(Shape { loss, ..shape(2e6, 300.0) }, seed);
            world.run(5.0);
            let seen = world.run(40.0);
            println!("{loss}: {seen:.0?}");
            within(seen.target_mean[0] / 2e6, share, 1.05, "share of the link");
            within(seen.target_min[0] / 2e6, 0.1, 1.05, "lowest target");
        }
    });
}

/// Equal in the long run and in the mean; one that came late may have to wait long for its share.
#[test]
fn two_viewers_share_a_link() {
    let shares = RefCell::new(Vec::new());
    with_seeds(8, |seed| {
        let mut world = World::new(shape(3e6, 300.0), &[CONFIG, CONFIG], seed);
        // The second comes when the first has it all.
        world.viewers[1].source_max_bps = 30_000.0;
        world.run(10.0);
        world.viewers[1].source_max_bps = f64::INFINITY;
        world.run(30.0);
        let seen = world.run(60.0);
        println!("{seen:.0?}");
        let (one, two) = (seen.arrived[0], seen.arrived[1]);
        within((one + two) / 3e6, 0.75, 1.01, "share of both");
        within(one.min(two) / one.max(two), 0.1, 1.0, "the lesser to the greater");
        within(seen.wait_mean_ms, 0.0, 100.0, "mean wait");
        shares.borrow_mut().push(one.min(two) / one.max(two));
    });
    let mut shares = shares.into_inner();
    shares.sort_unstable_by(f64::total_cmp);
    // With one seed there is no median.
    let least = if shares.len() > 1 { 0.45 } else { 0.12 };
    within(shares[shares.len() / 2], least, 1.0, "the lesser to the greater, in the median");
}

#[test]
fn traffic_that_asks_nobody_comes_and_goes() {
    with_seeds(3, |seed| {
        let mut world = world(shape(3e6, 300.0), seed);
        world.run(10.0);
        world.cross_bps = 1.5e6;
        let fall = world.run(2.0);
        within(fall.target_min[0], 0.5e6, 3e6, "lowest target");
        let beside = world.run(10.0);
        println!("beside {beside:.0?}");
        within(beside.arrived[0] / 1.5e6, 0.6, 1.05, "share of what is left");
        within(beside.wait_mean_ms, 0.0, 120.0, "mean wait");
        world.cross_bps = 0.0;
        world.run(8.0);
        let alone = world.run(5.0);
        println!("alone {alone:.0?}");
        within(alone.arrived[0] / 3e6, 0.75, 1.01, "share of the link");
    });
}

#[test]
fn feedback_may_be_lost_and_may_stop() {
    with_seeds(3, |seed| {
        let mut world = world(shape(2e6, 300.0), seed);
        world.viewers[0].feedback_loss = 0.15;
        world.run(5.0);
        let seen = world.run(10.0);
        println!("{seen:.0?}");
        within(seen.arrived[0] / 2e6, 0.3, 1.01, "share of the link");
        world.viewers[0].mute_feedback = true;
        world.run(6.0);
        within(world.viewers[0].target_bps(world.now_us), 50e3, 200e3, "target in silence");
        world.viewers[0].mute_feedback = false;
        world.viewers[0].feedback_loss = 0.0;
        world.run(10.0);
        let seen = world.run(5.0);
        println!("{seen:.0?}");
        within(seen.arrived[0] / 2e6, 0.7, 1.01, "share of the link");
    });
}
