//! What sessions are told of their stream, and how often.

use std::sync::Arc;
use std::time::Duration;

use turnpike_wire::media::{LayerWish, Mute, Phase, Rid, StreamState};

use super::world::World;
use super::{BOTH, LAYERS};
use crate::record::tap;
use crate::{Ask, Notice, Told};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// What the end was told of its stream, the oldest first.
fn told(world: &World, end: usize) -> Vec<&StreamState> {
    let session = world.ends[end].session;
    let mut told = Vec::new();
    for (of, notice) in &world.notices {
        if let (Notice::State(state), true) = (notice, *of == session) {
            told.push(&**state);
        }
    }
    told
}

fn layers(world: &World, end: usize) -> Vec<(bool, u32, bool)> {
    let state = told(world, end).pop().unwrap();
    state.tracks[0].layers.iter().map(|layer| (layer.active, layer.width, layer.bitrate > 0)).collect()
}

fn wish(world: &mut World, end: usize, rid: &str) {
    let (session, rid) = (world.ends[end].session, Some(Rid::parse(rid).unwrap()));
    world.ask(Ask::Layer { session, wish: LayerWish { rid, ..LayerWish::default() } }).unwrap();
}

#[test]
fn who_is_recorded_knows() {
    let mut world = World::new(3);
    let publisher = world.publish(BOTH);
    let viewer = world.watch(BOTH);
    world.pass(SECOND);
    let (tap, intake) = tap(Arc::default());
    let ask = |tap| Ask::Tap { stream: "live".parse().unwrap(), tap };
    for (tap, recording) in [(Some(tap.clone()), true), (None, false), (Some(tap), true)] {
        world.ask(ask(tap)).unwrap();
        world.pass(SECOND);
        for end in [publisher, viewer] {
            assert_eq!(told(&world, end).last().unwrap().recording, recording);
        }
    }
    // The disk is full.
    drop(intake);
    world.pass(SECOND);
    assert!(!told(&world, viewer).last().unwrap().recording);
}

#[test]
fn layers_that_come_and_go_are_told() {
    let mut world = World::new(4);
    let publisher = world.publish(LAYERS);
    let viewer = world.watch(LAYERS);
    world.until(5 * SECOND, |world| world.ends[publisher].connected);
    world.pass(2 * SECOND);
    for end in [publisher, viewer] {
        assert_eq!(layers(&world, end), [(true, 320, true), (true, 640, true), (true, 1_280, true)]);
    }
    world.ends[publisher].publisher().layers[2].is_on = false;
    world.pass(3 * SECOND);
    assert_eq!(layers(&world, publisher)[2], (false, 1_280, false));
    world.ends[publisher].publisher().layers[2].is_on = true;
    world.pass(SECOND);
    assert!(layers(&world, publisher)[2].0);
    // And when nothing changes nothing is told.
    world.pass(3 * SECOND);
    world.notices.clear();
    world.pass(5 * SECOND);
    assert_eq!(world.notices, []);
}

#[test]
fn an_operator_sees_tracks_with_their_layers() {
    let mut world = World::new(4);
    let look = |world: &mut World| match world.ask(Ask::Look { stream: "live".parse().unwrap() }) {
        Ok(Told::Look(look)) => Some(look),
        Ok(_) => panic!("another answer"),
        Err(_) => None,
    };
    assert_eq!(look(&mut world), None, "nobody has to do with it");
    let publisher = world.publish(LAYERS);
    world.watch(LAYERS);
    world.watch(LAYERS);
    world.until(5 * SECOND, |world| world.ends[publisher].connected);
    world.pass(2 * SECOND);
    world.ends[publisher].publisher().layers[2].is_on = false;
    world.pass(3 * SECOND);
    let seen = look(&mut world).unwrap();
    assert_eq!((seen.phase, seen.viewers, seen.is_fed, seen.gives_to), (Phase::Live, 2, false, 0));
    let layers: Vec<_> = seen.tracks[0]
        .layers
        .iter()
        .map(|layer| (layer.rid.is_some(), layer.active, layer.bits_per_second > 0, layer.size.unwrap().0))
        .collect();
    assert_eq!(layers, [(true, true, true, 320), (true, true, true, 640), (true, false, false, 1_280)]);
    assert_eq!((seen.tracks.len(), seen.more, seen.tracks[0].user.as_str()), (1, 0, "user-0"));
}

#[test]
fn who_is_heard_loudest_is_told() {
    let mut world = World::new(5);
    let (one, other) = (world.publish(BOTH), world.publish(BOTH));
    let viewer = world.watch(BOTH);
    world.pass(3 * SECOND);
    let speaker = |world: &World| told(world, viewer).pop().unwrap().speaker.clone();
    assert_eq!(speaker(&world), None, "silence");
    world.ends[one].publisher().level = 20;
    world.ends[other].publisher().level = 50;
    world.pass(SECOND);
    assert_eq!(speaker(&world).as_deref(), Some("user-0"));
    world.ends[one].publisher().level = 90;
    world.ends[other].publisher().level = 20;
    world.pass(3 * SECOND);
    assert_eq!(speaker(&world).as_deref(), Some("user-1"));
    // Told by what happened alone, and to nobody more often than twice a second.
    world.notices.clear();
    world.pass(5 * SECOND);
    assert_eq!(world.notices, []);
    let session = world.ends[other].session;
    world.ask(Ask::Stop { session }).unwrap();
    world.pass(3 * SECOND);
    assert_eq!(speaker(&world), None);
}

#[test]
fn what_one_viewer_sees_is_told_to_that_one() {
    let mut world = World::new(6);
    let publisher = world.publish(LAYERS);
    world.until(5 * SECOND, |world| world.ends[publisher].connected);
    let viewers: Vec<usize> = (0..10).map(|_| world.watch(LAYERS)).collect();
    world.pass(8 * SECOND);
    let current = |world: &World, end| told(world, end).pop().unwrap().tracks[0].current.clone();
    assert!(viewers.iter().all(|viewer| current(&world, *viewer).as_deref() == Some("f")));
    world.notices.clear();
    for turn in 0..10 {
        wish(&mut world, viewers[0], if turn % 2 == 0 { "q" } else { "h" });
        world.pass(2 * SECOND);
    }
    let others = world.notices.iter().filter(|(session, _)| *session != world.ends[viewers[0]].session);
    assert_eq!(others.count(), 0);
    let own = told(&world, viewers[0]);
    println!("{} states for ten changes", own.len());
    assert!((10..=20).contains(&own.len()), "{}", own.len());
    assert_eq!(current(&world, viewers[0]).as_deref(), Some("h"));
    // What it wants is its own business as well.
    world.notices.clear();
    wish(&mut world, viewers[1], "f");
    assert_eq!(world.notices, [], "it has that already");
}

#[test]
fn many_who_come_are_told_together_and_of_the_same() {
    const VIEWERS: usize = 60;
    let mut world = World::new(7);
    let publisher = world.publish(LAYERS);
    world.until(5 * SECOND, |world| world.ends[publisher].connected);
    world.pass(2 * SECOND);
    world.notices.clear();
    let begun = world.now;
    for _ in 0..VIEWERS {
        world.watch(LAYERS);
        world.pass(25 * MS);
    }
    world.pass(SECOND);
    let rounds = (world.now - begun).as_millis() / 500 + 1;
    let states = world.notices.iter().filter(|(_, notice)| matches!(notice, Notice::State(_))).count();
    let each_time: usize = (0..rounds as usize).map(|round| (round * 20 + 2).min(VIEWERS + 1)).sum();
    println!("{states} states for {VIEWERS} who came in {:?}: {rounds} rounds", world.now - begun);
    // All of them each time, and each of them once more for what it sees itself.
    assert!(states <= each_time + 3 * VIEWERS, "{states}");
    // The last round was made once for all of a kind.
    world.pass(8 * SECOND);
    world.notices.clear();
    let session = world.ends[publisher].session;
    let mute = Mute { kind: None, mid: None, muted: true };
    world.ask(Ask::Mute { session, mute }).unwrap();
    world.pass(SECOND);
    let mut made: Vec<*const StreamState> = Vec::new();
    let mut count = 0;
    for (_, notice) in &world.notices {
        let Notice::State(state) = notice else { continue };
        count += 1;
        if !made.contains(&Arc::as_ptr(state)) {
            made.push(Arc::as_ptr(state));
        }
    }
    println!("{count} states, {} of them made", made.len());
    assert!(count > VIEWERS && made.len() <= count / 10, "{} of {count}", made.len());
}
