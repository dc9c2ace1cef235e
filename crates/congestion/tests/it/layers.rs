//! Estimate, probes and allocation together: a viewer of three simulcast layers behind a link that changes.

use crate::link::Shape;
use crate::seed::with_seeds;
use crate::viewer::World;
use turnpike_congestion::allocation::{Choice, Layer, LayerId};
use turnpike_congestion::estimator::Config;

const BITRATES_BPS: [u64; 3] = [150_000, 500_000, 1_500_000];

fn world(bps: f64, seed: u64) -> World {
    let shape = Shape { bps, queue_bytes: (bps / 8.0 * 0.3) as usize, ..Shape::default() };
    let mut world = World::new(shape, &[Config::default()], seed);
    world.viewers[0].layers = (0..)
        .zip(BITRATES_BPS)
        .map(|(spatial, bitrate_bps)| Layer {
            id: LayerId { spatial, temporal: 0 },
            bitrate_bps,
            height: 180 << spatial,
        })
        .collect();
    world
}

fn spatial(world: &World) -> Option<u8> {
    match world.viewers[0].choices.last() {
        Some((_, Choice::Layer(id))) => Some(id.spatial),
        _ => None,
    }
}

fn changes_since(world: &World, since_us: u64) -> usize {
    world.viewers[0].choices.iter().filter(|(at_us, _)| *at_us > since_us).count()
}

#[test]
fn a_wide_link_shows_the_highest_layer_within_a_second() {
    with_seeds(5, |seed| {
        let mut world = world(5e6, seed);
        world.run(1.0);
        assert_eq!(spatial(&world), Some(2), "{:?}", world.viewers[0].choices);
        world.run(60.0);
        assert_eq!(changes_since(&world, 1_000_000), 0, "{:?}", world.viewers[0].choices);
    });
}

#[test]
fn a_layer_that_does_not_fit_is_not_tried() {
    with_seeds(5, |seed| {
        let mut world = world(1e6, seed);
        world.run(5.0);
        assert_eq!(spatial(&world), Some(1), "{:?}", world.viewers[0].choices);
        let seen = world.run(120.0);
        assert_eq!(changes_since(&world, 5_000_000), 0, "{:?}", world.viewers[0].choices);
        assert!(seen.wait_p95_ms < 60.0, "{seen:?}");
    });
}

#[test]
fn a_link_that_narrows_and_widens_is_followed() {
    with_seeds(5, |seed| {
        let mut world = world(4e6, seed);
        world.run(5.0);
        assert_eq!(spatial(&world), Some(2));
        world.link.shape.bps = 0.9e6;
        world.run(2.0);
        assert!(spatial(&world).is_some_and(|spatial| spatial < 2), "{:?}", world.viewers[0].choices);
        world.run(13.0);
        assert_eq!(spatial(&world), Some(1), "{:?}", world.viewers[0].choices);
        world.link.shape.bps = 4e6;
        world.run(15.0);
        assert_eq!(spatial(&world), Some(2), "{:?}", world.viewers[0].choices);
        assert!(changes_since(&world, 0) < 12, "{:?}", world.viewers[0].choices);
    });
}

/// A machine that is too busy for three seconds is no narrow path.
#[test]
fn a_viewer_that_stood_still_sees_what_it_saw_before() {
    with_seeds(5, |seed| {
        for stamps_late in [false, true] {
            let mut world = world(3e6, seed);
            world.run(10.0);
            assert_eq!(spatial(&world), Some(2), "{:?}", world.viewers[0].choices);
            let viewer = &mut world.viewers[0];
            (viewer.stands_still, viewer.stamps_late) = (true, stamps_late);
            world.run(3.5);
            world.viewers[0].stands_still = false;
            world.run(1.5);
            assert_eq!(spatial(&world), Some(2), "{:?}", world.viewers[0].choices);
        }
    });
}

/// But one whose path was away for as long begins with little.
#[test]
fn a_path_that_was_away_is_not_trusted_at_once() {
    with_seeds(5, |seed| {
        let mut world = world(3e6, seed);
        world.run(10.0);
        let before = world.viewers[0].target_bps(world.now_us);
        world.link.shape.loss = 1.0;
        world.run(3.5);
        world.link.shape.loss = 0.0;
        world.run(0.5);
        let after = world.viewers[0].target_bps(world.now_us);
        assert!(after < before / 2.0, "{after} of {before}");
    });
}

/// Just as much as a layer and its margin: where the eagerness to rise and the care not to fall meet.
#[test]
fn a_link_at_the_boundary_of_a_layer_does_not_flap() {
    with_seeds(3, |seed| {
        for bps in [1.5e6, 1.65e6, 1.7e6, 1.75e6, 1.9e6] {
            let mut world = world(bps, seed);
            world.run(150.0);
            let late = changes_since(&world, 30_000_000);
            println!("{bps}: {late} changes in 120 s, {:?}", spatial(&world));
            assert!(late <= 4, "{:?}", world.viewers[0].choices);
        }
    });
}
