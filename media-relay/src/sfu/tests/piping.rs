//! Streams that go through several relays: what holds of viewers further down, and of what flows between.

use std::time::Duration;

use turnpike_wire::media::{LayerWish, MediaSession, Mute, Quality};

use super::links::{NEAR, pipe};
use super::network::{CLEAR, Weather};
use super::world::World;
use super::{BOTH, LAYERS, PICTURE, Wish, consistency, description, seeds};
use crate::carry::FeedNews;
use crate::{Ask, Notice, Told};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const HOME: usize = 0;
const MIDDLE: usize = 1;
const LEAF: usize = 2;

/// A publisher at home whose stream is at the middle and from there at the leaf.
fn chain(seed: u64, wish: Wish) -> (World, usize) {
    let mut world = World::of(seed, 3);
    let publisher = world.publish(wish);
    world.until(5 * SECOND, |world| world.ends[publisher].connected);
    world.pass(100 * MS);
    world.attach(HOME, MIDDLE).unwrap();
    world.attach(MIDDLE, LEAF).unwrap();
    (world, publisher)
}

fn connected(world: &mut World, end: usize) {
    world.until(5 * SECOND, |world| world.ends[end].connected);
}

fn all_connected(world: &mut World, ends: &[usize]) {
    for end in ends {
        connected(world, *end);
    }
}

/// Since then the viewer has got so many packets of the picture.
fn got_since(world: &World, end: usize, since: std::time::Instant) -> usize {
    world.ends[end].viewer().got.values().filter(|got| got.at > since).count()
}

/// The longest time without a packet of the picture.
fn frozen(world: &World, end: usize, since: std::time::Instant) -> Duration {
    let got = &world.ends[end].viewer().got;
    let mut times: Vec<_> = got.values().map(|got| got.at).filter(|at| *at >= since).collect();
    times.push(world.now);
    times.sort_unstable();
    times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(world.now - since)
}

#[test]
fn viewers_of_several_relays_see_the_same() {
    for (seed, wish) in seeds(3).flat_map(|seed| [(seed, BOTH), (seed, Wish { audio: true, ..LAYERS })]) {
        let (mut world, _) = chain(seed, wish);
        let viewers: Vec<_> =
            [HOME, MIDDLE, LEAF, LEAF].into_iter().map(|relay| world.watch_at(relay, BOTH)).collect();
        all_connected(&mut world, &viewers);
        let from = world.now;
        world.pass(6 * SECOND);
        for viewer in &viewers {
            let end = world.ends[*viewer].viewer();
            assert_eq!(end.gaps(), Vec::<u64>::new());
            assert!(end.voices.len() > 250, "{} of the voice", end.voices.len());
            assert!(got_since(&world, *viewer, from) > 150, "{}", got_since(&world, *viewer, from));
            assert!(frozen(&world, *viewer, from + SECOND) < 150 * MS);
        }
        let best =
            |viewer: &usize| world.ends[*viewer].viewer().got.values().next_back().unwrap().mark.unwrap();
        assert!(viewers.iter().all(|viewer| best(viewer).layer as usize == wish.layers - 1));
        world.check();
    }
}

#[test]
fn what_pipes_lose_is_asked_for_again_and_nobody_sees_it() {
    for (seed, wish) in seeds(4).flat_map(|seed| [(seed, PICTURE), (seed, LAYERS)]) {
        let (mut world, publisher) = chain(seed, wish);
        let viewer = world.watch_at(LEAF, PICTURE);
        connected(&mut world, viewer);
        world.pass(2 * SECOND);
        let asked = world.keyframes_asked(publisher);
        for link in &mut world.links.all {
            link.weather = Weather { loss: 30, double: 20, delay: (5, 8) };
        }
        world.pass(8 * SECOND);
        world.links.all.iter_mut().for_each(|link| link.weather = NEAR);
        world.pass(SECOND);
        let end = world.ends[viewer].viewer();
        assert_eq!(end.gaps(), Vec::<u64>::new());
        assert_eq!(world.keyframes_asked(publisher), asked, "a keyframe instead of repairs");
        let lost: u64 = world.links.all.iter().map(|link| link.lost).sum();
        let again: u64 = world.links.all.iter().map(|link| link.asked).sum();
        println!("{} layers: {lost} lost, {again} asked for", wish.layers);
        assert!(lost > 5 && again <= 2 * lost + 10, "{lost} lost, {again} asked for");
        assert_eq!(world.ends[publisher].publisher().resent, 0);
        world.check();
    }
}

#[test]
fn who_comes_late_to_a_leaf_gets_a_picture_at_once() {
    for seed in seeds(4) {
        let (mut world, publisher) = chain(seed, PICTURE);
        let early = world.watch_at(LEAF, PICTURE);
        connected(&mut world, early);
        world.pass(SECOND);
        world.ends[publisher].publisher().want_keyframe();
        world.pass(200 * MS);
        world.ends[publisher].publisher().obeys = false;
        world.pass(seed as u32 * 700 * MS);
        let late = world.watch_at(LEAF, PICTURE);
        connected(&mut world, late);
        let from = world.now;
        world.until(60 * MS, |world| !world.ends[late].viewer().got.is_empty());
        println!("a picture {:?} after the path", world.now - from);
        world.ends[publisher].publisher().obeys = true;
        world.pass(3 * SECOND);
        assert_eq!(world.ends[late].viewer().gaps(), Vec::<u64>::new());
        world.check();
    }
}

#[test]
fn the_first_at_a_leaf_gets_a_picture_that_another_relay_has() {
    for (seed, stands) in seeds(3).flat_map(|seed| [(seed, false), (seed, true)]) {
        let mut world = World::of(seed, 3);
        let publisher = world.publish(PICTURE);
        connected(&mut world, publisher);
        world.pass(2 * SECOND);
        // A picture in which nothing moves, and one whose publisher gives no other.
        world.ends[publisher].publisher().obeys = false;
        world.ends[publisher].publisher().is_silent = stands;
        world.pass(3 * SECOND);
        world.attach(HOME, MIDDLE).unwrap();
        world.attach(MIDDLE, LEAF).unwrap();
        let viewer = world.watch_at(LEAF, PICTURE);
        connected(&mut world, viewer);
        world.pass(400 * MS);
        let first = world.ends[viewer].viewer().got.values().find_map(|got| got.mark).unwrap();
        assert!(first.keyframe && first.frame < 10, "{first:?}");
        // It moves on from a keyframe.
        world.ends[publisher].publisher().obeys = true;
        world.ends[publisher].publisher().is_silent = false;
        let moved = world.now;
        world.pass(3 * SECOND);
        assert!(got_since(&world, viewer, moved) > 40, "{}", got_since(&world, viewer, moved));
        assert_eq!(world.ends[viewer].viewer().gaps(), Vec::<u64>::new());
        world.check();
    }
}

#[test]
fn a_pipe_carries_each_packet_once_and_only_what_is_wanted() {
    let (mut world, publisher) = chain(1, LAYERS);
    let viewers: Vec<_> = (0..6).map(|_| world.watch_at(LEAF, PICTURE)).collect();
    all_connected(&mut world, &viewers);
    world.pass(3 * SECOND);
    let published = |world: &mut World| -> Vec<u16> {
        world.ends[publisher].publisher().layers.iter().map(|layer| layer.sequence).collect()
    };
    let carried = |world: &World| -> Vec<Vec<u64>> {
        let of = |link: &super::links::Link| {
            let mut layers = vec![0; 3];
            link.packets.iter().for_each(|((_, layer), count)| layers[usize::from(*layer)] += count);
            layers
        };
        world.links.all.iter().map(of).collect()
    };
    let (sent, before) = (published(&mut world), carried(&world));
    world.pass(3 * SECOND);
    let flows: Vec<u64> = published(&mut world)
        .iter()
        .zip(&sent)
        .map(|(now, before)| u64::from(now.wrapping_sub(*before)))
        .collect();
    for (after, before) in carried(&world).iter().zip(&before) {
        let all: Vec<u64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
        println!("published {flows:?}, carried {all:?}");
        assert_eq!((all[0], all[1]), (0, 0), "of layers that nobody is shown");
        assert!(all[2].abs_diff(flows[2]) <= 8, "{all:?} of {flows:?}");
    }
    // Somebody wants less, and then nobody wants more.
    for (index, viewer) in viewers.iter().enumerate() {
        let session = world.ends[*viewer].session;
        let wish = LayerWish { quality: Some(Quality::Low), ..LayerWish::default() };
        world.ask_at(LEAF, Ask::Layer { session, wish }).unwrap();
        if index == 0 {
            world.pass(2 * SECOND);
            let last = world.ends[*viewer].viewer().got.values().next_back().unwrap();
            assert!(last.mark.unwrap().layer == 0 && world.now - last.at < 100 * MS, "{last:?}");
        }
    }
    world.pass(6 * SECOND);
    let before = carried(&world);
    world.pass(2 * SECOND);
    for (after, before) in carried(&world).iter().zip(&before) {
        assert!(after[0] > before[0] && after[1..] == before[1..], "{before:?} {after:?}");
    }
    for viewer in viewers {
        assert_eq!(world.ends[viewer].viewer().gaps(), Vec::<u64>::new());
    }
    world.check();
}

#[test]
fn many_who_ask_below_are_one_request_a_second_at_the_publisher() {
    let (mut world, publisher) = chain(2, PICTURE);
    world.pass(SECOND);
    let (before, from) = (world.keyframes_asked(publisher), world.now);
    for index in 0..20 {
        world.watch_at([HOME, MIDDLE, LEAF][index % 3], PICTURE);
        world.pass(100 * MS);
    }
    for _ in 0..20 {
        for index in 1..world.ends.len() {
            let ssrc = world.ends[index].viewer().video.0;
            let mut buffer = [0; 64];
            let mut writer = turnpike_rtp::rtcp::Writer::new(&mut buffer);
            writer.pli(1, ssrc).unwrap();
            let (now, wire) = (world.now, &mut world.wire);
            world.ends[index].tell(now, writer.written().to_vec(), wire);
        }
        world.pass(100 * MS);
    }
    world.pass(SECOND);
    let asked = world.keyframes_asked(publisher) - before;
    let seconds = (world.now - from).as_secs() as usize;
    println!("{asked} requests in {seconds} s");
    assert!((2..=seconds + 1).contains(&asked), "{asked} in {seconds} s");
    let times: Vec<_> = world.ends[publisher].publisher().asked.iter().map(|(at, _)| *at).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 999 * MS), "{times:?}");
    for link in &world.links.all {
        assert!(link.keyframes.windows(2).all(|pair| pair[1] - pair[0] >= 999 * MS), "{:?}", link.keyframes);
    }
    world.check();
}

#[test]
fn a_leaf_whose_middle_dies_goes_on_from_home() {
    for (seed, away) in seeds(4).flat_map(|seed| [(seed, 300), (seed, 1_500)]) {
        let (mut world, publisher) = chain(seed, BOTH);
        let viewer = world.watch_at(LEAF, BOTH);
        connected(&mut world, viewer);
        world.pass(3 * SECOND);
        let asked = world.keyframes_asked(publisher);
        let cut = world.now;
        world.cut(0);
        world.cut(1);
        world.pass(away * MS);
        assert!(world.news.contains(&(LEAF, FeedNews::Over(pipe(1)))));
        world.attach(HOME, LEAF).unwrap();
        let again = world.now;
        world.pass(3 * SECOND);
        let after = world.keyframes_asked(publisher);
        let end = world.ends[viewer].viewer();
        assert_eq!(end.gaps(), Vec::<u64>::new(), "after {away} ms");
        assert_eq!(after, asked, "a keyframe instead of what was missed");
        assert!(frozen(&world, viewer, cut) < (away + 150) * MS);
        // Nothing of it was skipped: each frame that was published has come.
        let mut frames: Vec<u32> = end.got.values().filter_map(|got| Some(got.mark?.frame)).collect();
        frames.dedup();
        assert!(frames.windows(2).all(|pair| pair[1] == pair[0] + 1), "a frame is missing");
        assert!(got_since(&world, viewer, again) > 60);
        world.check();
    }
}

#[test]
fn tracks_that_do_not_come_back_are_gone_after_a_while() {
    let (mut world, publisher) = chain(1, BOTH);
    let viewer = world.watch_at(LEAF, BOTH);
    connected(&mut world, viewer);
    world.pass(SECOND);
    world.cut(1);
    let session = world.ends[publisher].session;
    world.ask(Ask::Stop { session }).unwrap();
    world.ends[publisher].dead = true;
    let other = world.publish(BOTH);
    connected(&mut world, other);
    world.attach(HOME, LEAF).unwrap();
    world.pass(500 * MS);
    assert_eq!(world.relay(LEAF).tracks.len(), 4, "the old ones and the new ones");
    world.pass(3 * SECOND);
    assert_eq!(world.relay(LEAF).tracks.len(), 2);
    let last = world.ends[viewer].viewer().got.values().next_back().unwrap();
    assert_eq!(last.mark.unwrap().publisher, other as u8);
    // Nobody attaches it again.
    world.cut(2);
    world.pass(8 * SECOND);
    assert_eq!(world.relay(LEAF).tracks.len(), 2);
    world.pass(4 * SECOND);
    assert_eq!(world.relay(LEAF).tracks.len(), 0);
    world.check();
}

#[test]
fn a_page_that_is_reloaded_at_home_goes_on_at_the_leaf() {
    for (seed, says_goodbye) in seeds(2).flat_map(|seed| [(seed, false), (seed, true)]) {
        let (mut world, first) = chain(seed, BOTH);
        let viewer = world.watch_at(LEAF, BOTH);
        connected(&mut world, viewer);
        world.pass(2 * SECOND);
        if says_goodbye {
            let session = world.ends[first].session;
            world.ask(Ask::Stop { session }).unwrap();
        }
        world.ends[first].dead = true;
        world.pass(500 * MS);
        let second = world.publish(BOTH);
        connected(&mut world, second);
        world.pass(5 * SECOND);
        let seen = world.ends[viewer].viewer();
        let of_second =
            seen.got.values().filter(|got| got.mark.is_some_and(|mark| mark.publisher == second as u8));
        assert!(of_second.count() > 40, "goodbye: {says_goodbye}");
        assert!(seen.voices.len() > 150);
        assert_eq!(seen.gaps(), Vec::<u64>::new());
        world.check();
    }
}

#[test]
fn a_publisher_that_begins_anew_is_seen_at_the_leaf() {
    for (seed, is_other) in seeds(3).flat_map(|seed| [(seed, false), (seed, true)]) {
        let (mut world, publisher) = chain(seed, PICTURE);
        // Words are slower than packets.
        world.links.all.iter_mut().for_each(|link| link.weather = Weather { delay: (2, 12), ..NEAR });
        let viewer = world.watch_at(LEAF, PICTURE);
        connected(&mut world, viewer);
        world.pass(2 * SECOND);
        let asked = world.keyframes_asked(publisher);
        world.ends[publisher].publisher().restart(is_other);
        let restarted = world.now;
        world.pass(3 * SECOND);
        // With the same source two packets are needed to believe it, and of the first nothing is left.
        let least = if is_other { 60 } else { 30 };
        let got = got_since(&world, viewer, restarted + 500 * MS);
        assert!(got > least, "{got}, another source: {is_other}");
        assert_eq!(world.ends[viewer].viewer().gaps(), Vec::<u64>::new());
        if is_other {
            assert_eq!(world.keyframes_asked(publisher), asked, "its first keyframe was not used");
        }
        // In another codec as well.
        world.ends[publisher].publisher().layers[0].is_vp9 = true;
        world.ends[publisher].publisher().want_keyframe();
        let changed = world.now;
        world.pass(2 * SECOND);
        let got = &world.ends[viewer].viewer().got;
        let after: Vec<_> = got.values().filter(|got| got.at > changed + 200 * MS).collect();
        assert!(after.len() > 40, "{}", after.len());
        assert!(after.iter().all(|got| got.payload_type == description::VP9));
        assert_eq!(world.ends[viewer].viewer().gaps(), Vec::<u64>::new());
    }
}

#[test]
fn a_muted_publisher_is_not_seen_anywhere_and_not_carried() {
    for seed in seeds(3) {
        let (mut world, publisher) = chain(seed, BOTH);
        let viewer = world.watch_at(LEAF, BOTH);
        connected(&mut world, viewer);
        world.pass(2 * SECOND);
        let session = world.ends[publisher].session;
        let mute = |world: &mut World, muted| {
            world.ask(Ask::Mute { session, mute: Mute { kind: None, mid: None, muted } }).unwrap();
        };
        mute(&mut world, true);
        world.pass(100 * MS);
        let carried = |world: &World| -> u64 {
            world.links.all.iter().map(|link| link.packets.values().sum::<u64>() + link.again).sum()
        };
        let (asked, before, muted_at) = (world.keyframes_asked(publisher), carried(&world), world.now);
        world.ends[publisher].publisher().want_keyframe();
        world.pass(1_000 * MS);
        let late = world.watch_at(LEAF, BOTH);
        world.pass(1_000 * MS);
        assert_eq!(carried(&world), before, "what nobody is to see");
        assert_eq!(got_since(&world, viewer, muted_at), 0);
        assert_eq!(world.keyframes_asked(publisher), asked, "a muted publisher was asked");
        mute(&mut world, false);
        let unmuted = world.now;
        world.pass(2 * SECOND);
        for end in [viewer, late] {
            let seen = world.ends[end].viewer();
            let first = seen.got.values().find(|got| got.at > muted_at && !got.repaired).unwrap();
            assert!(
                first.mark.unwrap().keyframe && first.at - unmuted < 400 * MS,
                "{:?}",
                first.at - unmuted
            );
            assert_eq!(seen.gaps(), Vec::<u64>::new());
            let frame = first.mark.unwrap().frame;
            assert!(frame + 20 > ((unmuted - world.start).as_millis() / 33) as u32, "{frame} is of before");
        }
        world.check();
    }
}

#[test]
fn everybody_knows_within_a_second_how_many_watch() {
    for seed in seeds(3) {
        let (mut world, publisher) = chain(seed, BOTH);
        let mut viewers: Vec<(usize, usize)> = Vec::new();
        let told = |world: &World, session: MediaSession| {
            let of = |(to, notice): &(MediaSession, Notice)| match notice {
                Notice::State(state) if *to == session => Some((state.viewers, state.audience.clone())),
                _ => None,
            };
            world.notices.iter().rev().find_map(of)
        };
        for round in 0..30 {
            let relay = world.wire.below(3) as usize;
            if viewers.len() > 8 || (!viewers.is_empty() && world.wire.below(3) == 0) {
                let index = world.wire.below(viewers.len() as u64) as usize;
                let (relay, end) = viewers.swap_remove(index);
                let session = world.ends[end].session;
                world.ask_at(relay, Ask::Stop { session }).unwrap();
                world.ends[end].dead = true;
            } else {
                viewers.push((relay, world.watch_at(relay, BOTH)));
            }
            if round % 3 != 2 {
                let pause = world.wire.below(300) as u32;
                world.pass(pause * MS);
                continue;
            }
            world.pass(SECOND);
            let count = viewers.len() as u64;
            let publisher = world.ends[publisher].session;
            let (told_count, audience) = told(&world, publisher).unwrap();
            assert_eq!(told_count, count, "to the publisher");
            assert_eq!(audience.unwrap().len() as u64, count);
            for (relay, end) in &viewers {
                assert_eq!(told(&world, world.ends[*end].session).unwrap().0, count, "at {relay}");
            }
            let Told::Streams(home) = world.ask(Ask::Streams).unwrap() else { panic!("another answer") };
            assert_eq!((home[0].viewers, home[0].is_fed, home[0].publishers.len()), (count, false, 1));
            let Told::Streams(leaf) = world.ask_at(LEAF, Ask::Streams).unwrap() else { panic!("another") };
            let own = viewers.iter().filter(|(relay, _)| *relay == LEAF).count() as u64;
            assert_eq!((leaf[0].viewers, leaf[0].is_fed, leaf[0].publishers.len()), (own, true, 0));
        }
    }
}

#[test]
fn what_nobody_watches_is_given_up_and_leaves_nothing() {
    let (mut world, publisher) = chain(1, BOTH);
    let viewer = world.watch_at(LEAF, BOTH);
    connected(&mut world, viewer);
    world.pass(SECOND);
    let session = world.ends[viewer].session;
    world.ask_at(LEAF, Ask::Stop { session }).unwrap();
    let left = world.now;
    world.until(6 * SECOND, |world| world.news.contains(&(LEAF, FeedNews::Unwatched(pipe(1)))));
    assert!(world.now - left >= 5 * SECOND);
    assert!(!world.news.contains(&(MIDDLE, FeedNews::Unwatched(pipe(0)))), "it has a branch");
    world.ask_at(LEAF, Ask::Unpipe { pipe: pipe(1) }).unwrap();
    world.ask_at(MIDDLE, Ask::Unpipe { pipe: pipe(1) }).unwrap();
    assert!(consistency::is_empty(world.relay(LEAF)));
    world.until(6 * SECOND, |world| world.news.contains(&(MIDDLE, FeedNews::Unwatched(pipe(0)))));
    world.ask_at(MIDDLE, Ask::Unpipe { pipe: pipe(0) }).unwrap();
    world.ask_at(HOME, Ask::Unpipe { pipe: pipe(0) }).unwrap();
    world.ask_at(HOME, Ask::Unpipe { pipe: pipe(0) }).unwrap();
    assert!(consistency::is_empty(world.relay(MIDDLE)));
    assert_eq!(world.relay(MIDDLE).due(), None);
    let session = world.ends[publisher].session;
    world.ask(Ask::Stop { session }).unwrap();
    assert!(consistency::is_empty(world.relay(HOME)));
}

#[test]
fn what_is_recorded_at_a_leaf_comes_there_without_a_viewer() {
    let (mut world, _) = chain(1, Wish { audio: true, ..LAYERS });
    world.pass(SECOND);
    let (tap, intake) = crate::record::tap(std::sync::Arc::default());
    world.ask_at(LEAF, Ask::Tap { stream: "live".parse().unwrap(), tap: Some(tap) }).unwrap();
    world.pass(8 * SECOND);
    let fed: Vec<_> = intake.fed.try_iter().collect();
    let tracks: std::collections::BTreeSet<_> = fed.iter().map(|fed| fed.track).collect();
    assert_eq!(tracks.len(), 2, "sound and picture");
    for track in tracks {
        let numbers: Vec<u64> = fed.iter().filter(|fed| fed.track == track).map(|fed| fed.seq).collect();
        assert!(numbers.len() > 300, "{}", numbers.len());
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "something is missing");
    }
    // Of the picture only the best.
    assert!(world.links.all[1].packets.keys().all(|(_, layer)| *layer == 0 || *layer == 2));
    assert!(!world.news.contains(&(LEAF, FeedNews::Unwatched(pipe(1)))));
}

#[test]
fn the_end_of_a_stream_is_heard_everywhere() {
    let (mut world, _) = chain(1, BOTH);
    let viewers = [MIDDLE, LEAF].map(|relay| world.watch_at(relay, BOTH));
    world.pass(SECOND);
    world.ask(Ask::End { stream: "live".parse().unwrap() }).unwrap();
    world.pass(100 * MS);
    assert!(consistency::is_empty(world.relay(HOME)));
    assert!(world.news.contains(&(MIDDLE, FeedNews::Over(pipe(0)))));
    for relay in [MIDDLE, LEAF] {
        world.ask_at(relay, Ask::End { stream: "live".parse().unwrap() }).unwrap();
        world.pass(50 * MS);
        assert!(consistency::is_empty(world.relay(relay)));
    }
    for viewer in viewers {
        let ended = Notice::Ended(crate::Ended::StreamEnded);
        assert!(world.notices.contains(&(world.ends[viewer].session, ended)));
    }
}

#[test]
fn a_stream_has_so_many_branches_and_no_more() {
    let mut world = World::of(1, 2);
    assert_eq!(world.attach(HOME, MIDDLE).unwrap_err().code, turnpike_wire::Code::NoSuchStream);
    let publisher = world.publish(PICTURE);
    connected(&mut world, publisher);
    for _ in 0..16 {
        world.attach(HOME, MIDDLE).unwrap();
    }
    assert_eq!(world.attach(HOME, MIDDLE).unwrap_err().code, turnpike_wire::Code::NoRelay);
    world.ask(Ask::Unpipe { pipe: pipe(3) }).unwrap();
    world.attach(HOME, MIDDLE).unwrap();
    // The last one is the one that counts.
    let viewer = world.watch_at(MIDDLE, PICTURE);
    connected(&mut world, viewer);
    world.pass(SECOND);
    assert!(world.ends[viewer].viewer().got.len() > 30);
}

#[test]
fn rough_weather_everywhere() {
    for (seed, wish) in seeds(4).flat_map(|seed| [(seed, BOTH), (seed, Wish { audio: true, ..LAYERS })]) {
        let (mut world, publisher) = chain(seed, wish);
        let viewers: Vec<_> =
            [HOME, MIDDLE, LEAF].into_iter().map(|relay| world.watch_at(relay, BOTH)).collect();
        all_connected(&mut world, &viewers);
        world.pass(SECOND);
        world.ends[publisher].up = Weather { loss: 20, double: 20, delay: (5, 25) };
        for link in &mut world.links.all {
            link.weather = Weather { loss: 10, double: 20, delay: (5, 25) };
        }
        for viewer in &viewers {
            world.ends[*viewer].up = CLEAR.losing(20);
            world.ends[*viewer].down = Weather { loss: 20, double: 20, delay: (5, 25) };
        }
        world.pass(8 * SECOND);
        for end in &mut world.ends {
            (end.up, end.down) = (CLEAR, CLEAR);
        }
        world.links.all.iter_mut().for_each(|link| link.weather = NEAR);
        world.pass(2 * SECOND);
        for viewer in viewers {
            let viewer = world.ends[viewer].viewer();
            assert!(viewer.got.len() > 200, "{}", viewer.got.len());
            assert_eq!(viewer.gaps(), Vec::<u64>::new());
        }
        world.check();
    }
}
