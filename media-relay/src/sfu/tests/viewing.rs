//! Who comes and goes, and what they see.

use std::sync::atomic::Ordering;
use std::time::Duration;

use turnpike_rtp::rtcp::Writer;
use turnpike_wire::media::{LayerWish, MediaSession, Mute, Quality, Rid};

use super::world::World;
use super::{BOTH, LAYERS, PICTURE, consistency, description, seeds};
use crate::{Ask, Ended, Most, Notice, Told};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

#[test]
fn who_comes_late_gets_a_picture_at_once() {
    for seed in seeds(4) {
        let mut world = World::new(seed);
        let publisher = world.publish(BOTH);
        // From half a second to four after the only keyframe.
        world.until(5 * SECOND, |world| world.ends[publisher].connected);
        world.ends[publisher].publisher().obeys = false;
        world.pass((seed as u32) * 900 * MS);
        let viewer = world.watch(BOTH);
        world.until(5 * SECOND, |world| world.ends[viewer].connected);
        let connected = world.now;
        world.until(100 * MS, |world| !world.ends[viewer].viewer().got.is_empty());
        println!("a picture {:?} after the path", world.now - connected);
        let got = world.ends[viewer].viewer().got.values().next().unwrap().mark.unwrap();
        assert!(got.keyframe && got.index == 0);
        world.ends[publisher].publisher().obeys = true;
        world.pass(3 * SECOND);
        assert_eq!(world.ends[viewer].viewer().gaps(), Vec::<u64>::new());
        world.check();
    }
}

#[test]
fn many_who_join_are_at_most_one_request_a_second() {
    let mut world = World::new(2);
    let publisher = world.publish(PICTURE);
    world.until(5 * SECOND, |world| world.ends[publisher].connected);
    world.pass(2 * SECOND);
    let (before, from) = (world.keyframes_asked(publisher), world.now);
    for _ in 0..12 {
        world.watch(PICTURE);
        world.pass(160 * MS);
    }
    // And each of them asks.
    for _ in 0..20 {
        for index in 1..world.ends.len() {
            let ssrc = world.ends[index].viewer().video.0;
            let mut buffer = [0; 64];
            let mut writer = Writer::new(&mut buffer);
            writer.pli(1, ssrc).unwrap();
            let (now, wire) = (world.now, &mut world.wire);
            world.ends[index].tell(now, writer.written().to_vec(), wire);
        }
        world.pass(50 * MS);
    }
    world.pass(SECOND);
    let asked = world.keyframes_asked(publisher) - before;
    let seconds = (world.now - from).as_secs() as usize;
    println!("{asked} requests in {seconds} s");
    assert!((1..=seconds + 1).contains(&asked), "{asked} in {seconds} s");
    let times: Vec<_> = world.ends[publisher].publisher().asked.iter().map(|(at, _)| *at).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 999 * MS), "{times:?}");
    world.check();
}

fn mute(world: &mut World, end: usize, muted: bool) {
    let session = world.ends[end].session;
    world.ask(Ask::Mute { session, mute: Mute { kind: None, mid: None, muted } }).unwrap();
}

#[test]
fn a_muted_publisher_is_neither_seen_nor_asked() {
    for seed in seeds(2) {
        let mut world = World::new(seed);
        let publisher = world.publish(BOTH);
        world.until(5 * SECOND, |world| world.ends[publisher].connected);
        let viewer = world.watch(BOTH);
        world.pass(3 * SECOND);
        mute(&mut world, publisher, true);
        world.pass(100 * MS);
        let count = |world: &World| {
            let viewer = world.ends[viewer].viewer();
            (viewer.got.len(), viewer.voices.len())
        };
        let (seen, asked, frame) = (count(&world), world.keyframes_asked(publisher), world.now);
        // What it shows meanwhile is nobody's business, also not later.
        world.ends[publisher].publisher().want_keyframe();
        world.pass(2 * SECOND);
        world.ends[publisher].publisher().want_keyframe();
        let late = world.watch(BOTH);
        world.pass(400 * MS);
        assert_eq!(count(&world), seen);
        assert_eq!(world.keyframes_asked(publisher), asked, "a muted publisher was asked");
        mute(&mut world, publisher, false);
        let unmuted = world.now;
        world.pass(SECOND);
        for end in [viewer, late] {
            let viewer = world.ends[end].viewer();
            let first = viewer.got.values().find(|got| got.at > frame && !got.repaired).unwrap();
            assert!(first.mark.unwrap().keyframe);
            assert!(first.at - unmuted < 300 * MS, "{:?}", first.at - unmuted);
            assert_eq!(viewer.gaps(), Vec::<u64>::new());
            assert!(viewer.voices.values().any(|at| *at > unmuted));
        }
        // Of what came while it was muted nothing was sent.
        let sent_while_muted = |world: &World| {
            let frames: Vec<_> =
                world.ends[late].viewer().got.values().filter_map(|got| Some(got.mark?.frame)).collect();
            *frames.iter().min().unwrap()
        };
        let first_frame = sent_while_muted(&world);
        let frames_until_unmuted = ((unmuted - world.start).as_millis() / 33) as u32;
        assert!(first_frame + 20 > frames_until_unmuted, "{first_frame} of {frames_until_unmuted}");
        world.check();
    }
}

#[test]
fn a_publisher_that_begins_anew_is_seen_again() {
    for (seed, is_other) in seeds(2).flat_map(|seed| [(seed, false), (seed, true)]) {
        let mut world = World::new(seed);
        let publisher = world.publish(PICTURE);
        world.until(5 * SECOND, |world| world.ends[publisher].connected);
        let viewer = world.watch(PICTURE);
        world.pass(3 * SECOND);
        world.ends[publisher].publisher().restart(is_other);
        let restarted = world.now;
        world.pass(3 * SECOND);
        let viewer = world.ends[viewer].viewer();
        let after = viewer.got.values().filter(|got| got.at > restarted + SECOND).count();
        assert!(after > 30, "{after} packets after a restart, another source: {is_other}");
        assert_eq!(viewer.gaps(), Vec::<u64>::new());
        world.check();
    }
}

#[test]
fn a_page_that_is_reloaded_goes_on_in_the_same_track() {
    for (seed, says_goodbye) in seeds(2).flat_map(|seed| [(seed, false), (seed, true)]) {
        let mut world = World::new(seed);
        let first = world.publish(BOTH);
        world.until(5 * SECOND, |world| world.ends[first].connected);
        let viewer = world.watch(BOTH);
        world.pass(3 * SECOND);
        world.ends[first].dead = !says_goodbye;
        let second = world.publish(BOTH);
        world.until(5 * SECOND, |world| world.ends[second].connected);
        if says_goodbye {
            // Only when the other is there.
            world.pass(200 * MS);
            let session = world.ends[first].session;
            world.ask(Ask::Stop { session }).unwrap();
            world.ends[first].dead = true;
        }
        world.pass(4 * SECOND);
        let seen = world.ends[viewer].viewer();
        let of_second =
            seen.got.values().filter(|got| got.mark.is_some_and(|mark| mark.publisher == second as u8));
        assert!(of_second.count() > 40, "goodbye: {says_goodbye}");
        assert!(seen.voices.len() > 150);
        assert_eq!(seen.gaps(), Vec::<u64>::new());
        world.check();
        // The dead one is missed in the end.
        world.pass(40 * SECOND);
        assert_eq!(world.sfu.peers.len(), 2);
    }
}

#[test]
fn a_viewer_that_moves_goes_on() {
    for seed in seeds(4) {
        let mut world = World::new(seed);
        let publisher = world.publish(PICTURE);
        world.until(5 * SECOND, |world| world.ends[publisher].connected);
        let viewer = world.watch(PICTURE);
        world.pass(2 * SECOND);
        world.restart(viewer, None);
        world.pass(2 * SECOND);
        world.restart(viewer, Some("192.0.2.77:7000".parse().unwrap()));
        let moved = world.now;
        world.pass(4 * SECOND);
        let got = &world.ends[viewer].viewer().got;
        let after = got.values().filter(|got| got.at > moved + SECOND).count();
        assert!(after > 80, "{after}");
        // On the way to where it was something is lost, and comes again.
        assert_eq!(world.ends[viewer].viewer().gaps(), Vec::<u64>::new());
        world.check();
    }
}

#[test]
fn a_layer_that_the_publisher_turns_off_keeps_nobody_busy() {
    let mut world = World::new(1);
    let publisher = world.publish(LAYERS);
    world.until(5 * SECOND, |world| world.ends[publisher].connected);
    let viewer = world.watch(PICTURE);
    world.pass(3 * SECOND);
    assert!(world.ends[viewer].viewer().got.values().any(|got| got.mark.is_some_and(|mark| mark.layer == 2)));
    world.ends[publisher].publisher().obeys = false;
    world.ends[publisher].publisher().layers[2].is_on = false;
    world.pass(300 * MS);
    // Somebody asks for what does not come.
    let other = world.watch(PICTURE);
    world.pass(5 * SECOND);
    world.ends[publisher].publisher().obeys = true;
    world.pass(3 * SECOND);
    for end in [viewer, other] {
        let last = world.ends[end].viewer().got.values().next_back().unwrap();
        assert!(world.now - last.at < 100 * MS, "{last:?}");
        assert_eq!(last.mark.unwrap().layer, 1);
        assert_eq!(world.ends[end].viewer().gaps(), Vec::<u64>::new());
    }
    world.check();
}

#[test]
fn layers_are_chosen_as_wished() {
    for seed in seeds(2) {
        let mut world = World::new(seed);
        let publisher = world.publish(LAYERS);
        world.until(5 * SECOND, |world| world.ends[publisher].connected);
        let viewer = world.watch(PICTURE);
        world.pass(3 * SECOND);
        let session = world.ends[viewer].session;
        let qualities = [
            (Quality::Low, Some(0)),
            (Quality::High, Some(2)),
            (Quality::Off, None),
            (Quality::Medium, Some(1)),
        ];
        for (quality, layer) in qualities {
            let wish = LayerWish { quality: Some(quality), ..LayerWish::default() };
            world.ask(Ask::Layer { session, wish }).unwrap();
            world.pass(2500 * MS);
            let last = world.ends[viewer].viewer().got.values().next_back().unwrap();
            let seen = (world.now - last.at < 100 * MS).then(|| last.mark.unwrap().layer);
            assert_eq!(seen, layer, "{quality:?}");
        }
        // Down, up, and after the pause at another.
        let switches = world.sfu.counters.layer_switches.load(Ordering::Relaxed);
        assert!((2..20).contains(&switches), "{switches} are counted");
        assert_eq!(world.sfu.counters.tracks_now.load(Ordering::Relaxed), 1);
        assert_eq!(world.ends[viewer].viewer().gaps(), Vec::<u64>::new());
        world.check();
    }
}

/// Browsers leave out the largest layers of a small camera, and layers begin one after the other.
#[test]
fn the_least_is_something_that_is_sent() {
    for (seed, is_sized) in seeds(2).flat_map(|seed| [(seed, true), (seed, false)]) {
        let mut world = World::new(seed);
        let publisher = world.publish(LAYERS);
        let layers = &mut world.ends[publisher].publisher().layers;
        for layer in layers.iter_mut() {
            layer.is_vp9 = !is_sized;
        }
        (layers[1].is_on, layers[2].is_on) = (false, false);
        world.until(5 * SECOND, |world| world.ends[publisher].connected);
        world.pass(2 * SECOND);
        // It begins with less than the smaller one has by then.
        world.ends[publisher].publisher().layers[1].is_on = true;
        world.pass(2 * SECOND);
        let viewer = world.watch(PICTURE);
        world.pass(2 * SECOND);
        let session = world.ends[viewer].session;
        let wish = LayerWish { quality: Some(Quality::Low), ..LayerWish::default() };
        world.ask(Ask::Layer { session, wish }).unwrap();
        let seen = |world: &World| {
            let last = world.ends[viewer].viewer().got.values().next_back().unwrap();
            (world.now - last.at < 100 * MS).then(|| last.mark.unwrap().layer)
        };
        world.pass(2500 * MS);
        let least = seen(&world);
        assert!(if is_sized { least == Some(0) } else { least.is_some() }, "{least:?}");
        // Another one is the least.
        world.ends[publisher].publisher().layers[0].is_on = false;
        world.pass(4 * SECOND);
        assert_eq!(seen(&world), Some(1));
    }
}

#[test]
fn a_layer_that_is_wanted_by_its_name_stays_that_one() {
    let mut world = World::new(1);
    let publisher = world.publish(LAYERS);
    for layer in &mut world.ends[publisher].publisher().layers {
        layer.is_vp9 = true;
    }
    world.until(5 * SECOND, |world| world.ends[publisher].connected);
    let viewer = world.watch(PICTURE);
    world.pass(3 * SECOND);
    let session = world.ends[viewer].session;
    let middle = Rid::parse(description::RIDS[1]).unwrap();
    let wish = LayerWish { rid: Some(middle), ..LayerWish::default() };
    world.ask(Ask::Layer { session, wish }).unwrap();
    world.pass(3 * SECOND);
    let seen = |world: &World| {
        let last = world.ends[viewer].viewer().got.values().next_back().unwrap();
        last.mark.unwrap().layer
    };
    assert_eq!(seen(&world), 1);
    // Now another one is the least.
    world.ends[publisher].publisher().layers[0].packets = 16;
    world.pass(4 * SECOND);
    assert_eq!(seen(&world), 1);
    let order = &world.sfu.tracks.iter().next().unwrap().1.order;
    assert_eq!(order[..], [1, 2, 0], "and its rank is another");
}

#[test]
fn a_publisher_that_takes_another_codec_is_seen_in_it() {
    let mut world = World::new(1);
    let publisher = world.publish(PICTURE);
    world.until(5 * SECOND, |world| world.ends[publisher].connected);
    let viewer = world.watch(PICTURE);
    world.pass(2 * SECOND);
    world.ends[publisher].publisher().layers[0].is_vp9 = true;
    world.ends[publisher].publisher().want_keyframe();
    let changed = world.now;
    world.pass(2 * SECOND);
    let viewer = world.ends[viewer].viewer();
    let after: Vec<_> = viewer.got.values().filter(|got| got.at > changed + 200 * MS).collect();
    assert!(after.len() > 40, "{}", after.len());
    assert!(after.iter().all(|got| got.payload_type == description::VP9), "{:?}", after[0]);
    assert_eq!(viewer.gaps(), Vec::<u64>::new());
}

#[test]
fn a_picture_that_stands_still_is_seen_by_who_comes_late() {
    let mut world = World::new(1);
    let publisher = world.publish(PICTURE);
    world.until(5 * SECOND, |world| world.ends[publisher].connected);
    let early = world.watch(PICTURE);
    world.pass(2 * SECOND);
    world.ends[publisher].publisher().is_silent = true;
    world.pass(3 * SECOND);
    let late = world.watch(PICTURE);
    world.pass(SECOND);
    assert!(world.ends[late].viewer().got.values().any(|got| got.mark.is_some_and(|mark| mark.keyframe)));
    // It moves again, and who has seen it all the time needs no keyframe for that.
    world.ends[publisher].publisher().obeys = false;
    world.ends[publisher].publisher().is_silent = false;
    let moved = world.now;
    world.pass(500 * MS);
    assert!(world.ends[early].viewer().got.values().filter(|got| got.at > moved).count() > 8);
    world.check();
}

#[test]
fn what_comes_while_an_offer_waits_is_offered_behind_it() {
    let mut world = World::new(1);
    world.publish(PICTURE);
    let session = MediaSession { relay: 1, key: 99 };
    let (stream, user) = ("live".parse().unwrap(), "somebody".parse().unwrap());
    let watch = Ask::Watch { session, stream, user, offer: None, most: Most::All };
    let Told::Opened(opened) = world.ask(watch).unwrap() else { panic!("another answer") };
    world.publish(BOTH);
    let offers = |world: &World| {
        let is_offer =
            |told: &&(MediaSession, Notice)| told.0 == session && matches!(told.1, Notice::Offer(_));
        world.notices.iter().filter(is_offer).count()
    };
    assert_eq!(offers(&world), 0);
    let sdp = description::accept(&opened.sdp, "a=recvonly");
    world.ask(Ask::Answer { session, sdp }).unwrap();
    assert_eq!(offers(&world), 1);
    // Who wants none of it is not asked again.
    let Some(Notice::Offer(offer)) =
        world.notices.iter().rev().map(|(_, notice)| notice).find(|n| matches!(n, Notice::Offer(_)))
    else {
        panic!("no offer")
    };
    let sdp = description::accept(offer, "a=inactive");
    world.ask(Ask::Answer { session, sdp }).unwrap();
    assert_eq!(offers(&world), 1);
}

#[test]
fn who_has_to_do_with_less_does_not_wait_for_a_keyframe_that_has_just_come() {
    for seed in seeds(4) {
        for (age, waits) in [(100 * MS, false), (300 * MS, false), (900 * MS, true)] {
            let mut world = World::new(seed);
            let publisher = world.publish(LAYERS);
            world.until(5 * SECOND, |world| world.ends[publisher].connected);
            let viewer = world.watch(LAYERS);
            world.pass(4 * SECOND);
            let layer = |world: &World| {
                world.ends[viewer].viewer().got.values().next_back().unwrap().mark.unwrap().layer
            };
            assert_eq!(layer(&world), 2);
            world.ends[publisher].publisher().want_keyframe();
            world.ends[publisher].publisher().obeys = false;
            world.pass(age);
            let (session, asked) = (world.ends[viewer].session, world.keyframes_asked(publisher));
            let wish = LayerWish { quality: Some(Quality::Low), ..LayerWish::default() };
            world.ask(Ask::Layer { session, wish }).unwrap();
            world.pass(300 * MS);
            assert_eq!(layer(&world) == 2, waits, "after {age:?}");
            assert_eq!(world.keyframes_asked(publisher) > asked, waits);
            world.ends[publisher].publisher().obeys = true;
            world.pass(3 * SECOND);
            assert_eq!(layer(&world), 0);
            assert_eq!(world.ends[viewer].viewer().gaps(), Vec::<u64>::new());
            world.check();
        }
    }
}

#[test]
fn a_fault_in_one_viewer_ends_that_one() {
    for seed in seeds(4) {
        let mut world = World::new(seed);
        let publisher = world.publish(BOTH);
        world.until(5 * SECOND, |world| world.ends[publisher].connected);
        let viewers: Vec<_> = (0..3).map(|_| world.watch(BOTH)).collect();
        world.pass(2 * SECOND);
        // While packets are forwarded, while its reports are sent, and while it is welcomed.
        let late = world.watch(BOTH);
        let bad = [viewers[1], late];
        for bad in bad {
            world.batch.fault = Some(world.ends[bad].address);
            world.pass(2 * SECOND);
            let session = world.ends[bad].session;
            assert!(world.notices.contains(&(session, Notice::Ended(Ended::Refused))), "seed {seed}");
        }
        assert_eq!(world.faults, 2, "one each");
        world.pass(SECOND);
        for good in [viewers[0], viewers[2]] {
            let session = world.ends[good].session;
            assert!(!world.notices.contains(&(session, Notice::Ended(Ended::Refused))));
            // Behind it in the round, they lost what had just come.
            assert!(world.ends[good].viewer().gaps().len() <= 2);
            let last = world.ends[good].viewer().got.values().next_back().unwrap().at;
            assert!(world.now - last < 200 * MS, "it goes on");
        }
        world.check();
    }
}

#[test]
fn when_all_have_left_nothing_is_left() {
    let mut world = World::new(3);
    let publisher = world.publish(BOTH);
    world.until(5 * SECOND, |world| world.ends[publisher].connected);
    let viewers: Vec<_> = (0..3).map(|_| world.watch(BOTH)).collect();
    world.pass(2 * SECOND);
    world.notices.clear();
    world.ask(Ask::End { stream: "live".parse().unwrap() }).unwrap();
    for end in viewers.into_iter().chain([publisher]) {
        let session = world.ends[end].session;
        assert!(world.notices.contains(&(session, Notice::Ended(Ended::StreamEnded))));
    }
    assert!(consistency::is_empty(&world.sfu));
    assert_eq!(world.sfu.due(), None);
}
