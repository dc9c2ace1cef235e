//! What is lost, and comes after all.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::network::{CLEAR, Weather};
use super::world::{Part, World};
use super::{BOTH, LAYERS, PICTURE, seeds};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn what_publishers_lose_is_restored() {
    for (seed, wish) in seeds(4).flat_map(|seed| [(seed, PICTURE), (seed, LAYERS)]) {
        let mut world = World::new(seed);
        let publisher = world.publish(wish);
        world.until(5 * SECOND, |world| world.ends[publisher].connected);
        let viewer = world.watch(PICTURE);
        world.ends[publisher].up = CLEAR.losing(50);
        world.pass(10 * SECOND);
        world.ends[publisher].up = CLEAR;
        world.pass(SECOND);
        let (lost, resent) = (world.ends[publisher].lost, world.ends[publisher].publisher().resent);
        println!("{} layers: {lost} lost, {resent} sent again", wish.layers);
        assert!(lost > 3 && resent <= 2 * lost, "{lost} lost, {resent} sent again");
        let counted = world.sfu.counters.lost_in.load(Ordering::Relaxed);
        assert!((1..=lost).contains(&counted), "{counted} of {lost} are counted");
        assert_eq!(world.ends[viewer].viewer().gaps(), Vec::<u64>::new());
        assert!(world.ends[viewer].viewer().got.len() > 200);
        world.check();
    }
}

#[test]
fn what_a_viewer_loses_is_sent_again() {
    for seed in seeds(4) {
        let mut world = World::new(seed);
        let publisher = world.publish(PICTURE);
        world.until(5 * SECOND, |world| world.ends[publisher].connected);
        let (bad, good) = (world.watch(PICTURE), world.watch(PICTURE));
        world.until(5 * SECOND, |world| world.ends[bad].connected && world.ends[good].connected);
        world.ends[bad].down = CLEAR.losing(50);
        world.pass(8 * SECOND);
        world.ends[bad].down = CLEAR;
        world.pass(SECOND);
        let viewer = world.ends[bad].viewer();
        let never = (*viewer.got.keys().next().unwrap()..=*viewer.got.keys().next_back().unwrap())
            .filter(|number| !viewer.got.contains_key(number));
        assert_eq!(never.collect::<Vec<_>>(), Vec::<u64>::new(), "{} lost", viewer.lost.len());
        assert!(
            viewer.repairs <= 2 * viewer.lost.len() as u64 + 5,
            "{} for {}",
            viewer.repairs,
            viewer.lost.len()
        );
        let counted = world.sfu.counters.lost_out.load(Ordering::Relaxed);
        assert!(counted > 0, "none of {} is counted", viewer.lost.len());
        assert_eq!(world.ends[good].viewer().repairs, 0);
        assert_eq!(world.ends[good].viewer().gaps(), Vec::<u64>::new());
        world.check();
    }
}

/// It asks every 20 ms until it has what it misses, and a repair is under way for longer.
#[test]
fn an_impatient_viewer_is_sent_a_packet_once() {
    for seed in seeds(2) {
        let mut world = World::new(seed);
        let publisher = world.publish(PICTURE);
        world.until(5 * SECOND, |world| world.ends[publisher].connected);
        let viewer = world.watch(PICTURE);
        world.until(5 * SECOND, |world| world.ends[viewer].connected);
        let far = Weather { delay: (38, 42), ..CLEAR };
        world.ends[viewer].up = far;
        world.ends[viewer].down = far;
        if let Part::Viewer(viewer) = &mut world.ends[viewer].part {
            viewer.is_impatient = true;
        }
        // As its reports tell.
        let viewers = world.sfu.peers.iter_mut().filter_map(|(_, peer)| peer.viewer());
        viewers.for_each(|viewer| viewer.lately.measured(Duration::from_millis(80)));
        world.pass(SECOND);
        world.ends[viewer].down = Weather { loss: 30, ..far };
        world.pass(8 * SECOND);
        world.ends[viewer].down = far;
        world.pass(SECOND);
        let viewer = world.ends[viewer].viewer();
        println!("{} lost, {} repaired, {} twice", viewer.lost.len(), viewer.repairs, viewer.repaired_twice);
        // Without a memory it is three times for each.
        let lost = viewer.lost.len() as u64;
        assert!(lost > 3 && viewer.repaired_twice <= lost, "{} for {lost}", viewer.repaired_twice);
        assert_eq!(viewer.gaps(), Vec::<u64>::new());
    }
}

#[test]
fn a_voice_that_loses_packets_keeps_nobody_busy() {
    let mut world = World::new(1);
    let publisher = world.publish(BOTH);
    world.until(5 * SECOND, |world| world.ends[publisher].connected);
    let viewer = world.watch(BOTH);
    world.ends[publisher].up = CLEAR.losing(100);
    world.pass(5 * SECOND);
    assert!(world.ends[viewer].viewer().voices.len() > 150);
    world.check();
}

#[test]
fn rough_weather_on_all_sides() {
    for (seed, wish) in
        seeds(6).flat_map(|seed| [(seed, BOTH), (seed, super::Wish { audio: true, ..LAYERS })])
    {
        let mut world = World::new(seed);
        let publisher = world.publish(wish);
        world.until(5 * SECOND, |world| world.ends[publisher].connected);
        let viewers: Vec<_> = (0..3).map(|_| world.watch(BOTH)).collect();
        world.until(5 * SECOND, |world| world.ends.iter().all(|end| end.connected));
        world.pass(SECOND);
        world.ends[publisher].up = Weather { loss: 20, double: 20, delay: (5, 25) };
        for viewer in &viewers {
            world.ends[*viewer].up = CLEAR.losing(20);
            world.ends[*viewer].down = Weather { loss: 20, double: 20, delay: (5, 25) };
        }
        world.pass(8 * SECOND);
        for end in &mut world.ends {
            (end.up, end.down) = (CLEAR, CLEAR);
        }
        world.pass(2 * SECOND);
        for viewer in viewers {
            let viewer = world.ends[viewer].viewer();
            assert!(viewer.got.len() > 200, "{}", viewer.got.len());
            assert_eq!(viewer.gaps(), Vec::<u64>::new());
        }
        world.check();
    }
}
