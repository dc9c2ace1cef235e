//! What sessions are told of their stream, and how often.

use std::sync::Arc;
use std::time::Duration;

use turnpike_wire::media::StreamState;

use super::BOTH;
use super::world::World;
use crate::record::tap;
use crate::{Ask, Notice};

const SECOND: Duration = Duration::from_secs(1);

/// What the end was told of its stream, the oldest first.
fn told(world: &World, end: usize) -> Vec<&StreamState> {
    let session = world.ends[end].session;
    let mut told = Vec::new();
    for (of, notice) in &world.notices {
        if let (Notice::State(state), true) = (notice, *of == session) {
            told.push(state);
        }
    }
    told
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
