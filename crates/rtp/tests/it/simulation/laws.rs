//! What must be true of a viewer's stream, whatever happened to its sources.

use std::collections::{BTreeMap, HashSet};

use turnpike_rtp::rewriter::Output;
use turnpike_rtp::sequence::timestamp_distance;

use super::publisher::{Packet, ntp};
use super::viewer::{Sent, Viewer};
use super::{Life, Weather};

/// One frame as the viewer got it.
struct Frame {
    first_at: u64,
    last_at: u64,
    first: Packet,
    last: Packet,
    output: Output,
}

pub(crate) fn hold(seed: u64, viewer: &Viewer, weather: Weather, life: Life) {
    let frames = frames(seed, viewer);
    assert!(frames.len() > 50, "SEED={seed}: only {} frames", frames.len());
    every_number_is_accounted_for(seed, viewer, weather, life);
    time_goes_on(seed, viewer, &frames);
    frames_are_whole(seed, viewer, &frames);
    pictures_follow(seed, viewer, &frames);
    if life.reports {
        sound_and_picture_stay_together(seed, viewer, &frames, life);
    }
}

fn ordered(viewer: &Viewer) -> BTreeMap<u64, Sent> {
    viewer.sent.iter().map(|(at, sent)| (*at, *sent)).collect()
}

/// Also: the packets of a frame are together and in their order, and bear one timestamp and one picture id.
fn frames(seed: u64, viewer: &Viewer) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::new();
    let mut seen = HashSet::new();
    for (at, sent) in ordered(viewer) {
        let Sent::Packet(packet, output) = sent else { continue };
        if let Some(frame) = frames.last_mut()
            && frame.first.frame == packet.frame
        {
            let apart = at - frame.first_at;
            assert_eq!(apart, u64::from(packet.index - frame.first.index), "{packet:?}");
            assert_eq!(
                (output.timestamp, output.picture_id, output.tl0),
                (frame.output.timestamp, frame.output.picture_id, frame.output.tl0),
                "{packet:?}"
            );
            (frame.last_at, frame.last) = (at, packet);
            continue;
        }
        assert!(seen.insert(packet.frame), "SEED={seed}: torn apart: {packet:?}");
        frames.push(Frame { first_at: at, last_at: at, first: packet, last: packet, output });
    }
    frames
}

fn every_number_is_accounted_for(seed: u64, viewer: &Viewer, weather: Weather, life: Life) {
    let first = *viewer.sent.keys().min().expect("something was sent");
    let last = *viewer.sent.keys().max().expect("something was sent");
    let missing: Vec<_> = (first..=last).filter(|at| !viewer.sent.contains_key(at)).collect();
    for at in &missing {
        let hole = viewer.holes.get(at);
        assert!(hole.is_some(), "SEED={seed}: number {at} is neither sent nor known to be missing");
    }
    if weather.lost == 0 && weather.jitter_ms == 0 {
        assert!(missing.is_empty(), "SEED={seed}: holes without loss: {missing:?}");
        let fillers = viewer.sent.values().filter(|sent| matches!(sent, Sent::Filler)).count();
        assert_eq!(fillers, 0, "SEED={seed}");
    }
    if !life.restarts {
        assert_eq!(viewer.refused_restarts, 0, "SEED={seed}");
    }
}

fn time_goes_on(seed: u64, viewer: &Viewer, frames: &[Frame]) {
    for pair in frames.windows(2) {
        let [before, after] = pair else { continue };
        let step = timestamp_distance(after.output.timestamp, before.output.timestamp);
        assert!(step > 0, "SEED={seed}: {step} from {:?} to {:?}", before.last, after.first);
        // Nothing waits longer than a pause can be, which is as long as the run.
        assert!(step < 90_000 * 30, "SEED={seed}: {step} from {:?} to {:?}", before.last, after.first);
        let started = viewer.starts.iter().any(|(at, ..)| *at == after.first_at);
        if !started
            && before.first.source == after.first.source
            && before.first.captured_ms + 1_000 > after.first.captured_ms
        {
            let captured = 90 * (after.first.captured_ms - before.first.captured_ms) as i32;
            // Only what was ahead is taken back, half a frame at most.
            assert!(
                step <= captured + 90_000 && step >= captured / 2,
                "SEED={seed}: {step} instead of {captured} at {:?}",
                after.first
            );
        }
    }
}

/// A frame misses what is a hole, and the rest of one that a switch, a pause or a restart cut off; nothing else.
fn frames_are_whole(seed: u64, viewer: &Viewer, frames: &[Frame]) {
    for (index, frame) in frames.iter().enumerate() {
        let cut = index + 1 == frames.len()
            || viewer.starts.iter().any(|(at, ..)| (frame.last_at..=frame.last_at + 20).contains(at));
        let before_is_hole = viewer.holes.contains_key(&(frame.first_at - 1));
        assert!(frame.first.starts() || before_is_hole, "SEED={seed}: no beginning: {:?}", frame.first);
        let after_is_hole = viewer.holes.contains_key(&(frame.last_at + 1));
        assert!(frame.last.ends() || after_is_hole || cut, "SEED={seed}: no end: {:?}", frame.last);
    }
}

fn pictures_follow(seed: u64, viewer: &Viewer, frames: &[Frame]) {
    for pair in frames.windows(2) {
        let [before, after] = pair else { continue };
        let all = u16::MAX >> (16 - after.first.picture_bits);
        let step = after.output.picture_id.wrapping_sub(before.output.picture_id) & all;
        let started = viewer.starts.iter().any(|(at, ..)| *at == after.first_at);
        let between = before.last_at + 1..after.first_at;
        // Each number between can have been a frame of its own.
        let room = between
            .filter(|at| !matches!(viewer.sent.get(at), Some(Sent::Packet(..) | Sent::Padding)))
            .count();
        let tl0_step = after.output.tl0.wrapping_sub(before.output.tl0);
        if viewer.codec == turnpike_rtp::Codec::Vp8 {
            let most = 1 + room as u16;
            assert!((1..=most).contains(&step), "SEED={seed}: {step} of {most} to {:?}", after.first);
        } else if !started && before.first.source == after.first.source && viewer.refused_restarts == 0 {
            let own = after.first.picture_id.wrapping_sub(before.first.picture_id) & all;
            assert_eq!(step, own, "SEED={seed}: {:?}", after.first);
        } else if started && room == 0 {
            assert!(step >= 1, "SEED={seed}: {step} to {:?}", after.first);
        }
        if room == 0 && (started || before.first.source == after.first.source) {
            let lowest = u8::from(after.first.temporal == 0);
            assert_eq!(tl0_step, lowest, "SEED={seed}: {:?} to {:?}", before.first, after.first);
        }
    }
}

/// Our reports say when a frame was captured, and layers of one device lie on one line of time.
fn sound_and_picture_stay_together(seed: u64, viewer: &Viewer, frames: &[Frame], life: Life) {
    if life.restarts {
        // In-place restarts change what a device's report means, which the simulated clock does not follow.
        return;
    }
    assert!(!viewer.mappings.is_empty(), "SEED={seed}");
    for (at, mapping, device) in &viewer.mappings {
        for frame in frames.iter().filter(|frame| frame.first.device == *device) {
            let settled = frame.first_at < *at
                && viewer.starts.iter().all(|(start, ..)| *start > *at || *start + 800 < frame.first_at);
            if !settled {
                continue;
            }
            let said = mapping.ntp_at(frame.output.timestamp, 90_000);
            let wrong_us = said.since(ntp(frame.first.captured_ms)) / 4_295;
            assert!(wrong_us.abs() < 500, "SEED={seed}: {wrong_us} us off at {:?}", frame.first);
        }
    }
    // All the stream lies on one line: after a switch it is found again within a second.
    let Some(zero) = frames.first() else { return };
    let line = |frame: &Frame| {
        let own = timestamp_distance(frame.output.timestamp, zero.output.timestamp);
        own - 90 * (frame.first.captured_ms - zero.first.captured_ms) as i32
    };
    for frame in frames {
        let recent = viewer.starts.iter().any(|(start, ..)| (*start..*start + 800).contains(&frame.first_at));
        let ticks = line(frame).abs();
        let most = if recent { 90 * 450 } else { 2 * i32::try_from(viewer.starts.len()).expect("few") };
        assert!(ticks <= most, "SEED={seed}: {ticks} ticks off at {:?}", frame.first);
    }
}
