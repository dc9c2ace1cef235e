//! Fuzz targets: whatever comes as media or as a report, nothing panics, and what is read of it stays in bounds.
//!
//! Their corpus stands in `corpus/<target>/`; the form of an input is told at each target.

use turnpike_fuzz::fuzz;
use turnpike_rtp::codec::dependency::{Descriptor, Structure, TARGETS_MAX, set_frame_number};
use turnpike_rtp::rewriter::{Rewriter, Seeds};
use turnpike_rtp::rtcp::{Compound, Message, TWCC_PACKETS_MAX};
use turnpike_rtp::{Codec, rtx};

use crate::mutation::{CODECS, look_into, take};

#[test]
fn packets_hold() {
    fuzz!("rtp", packet);
}

#[test]
fn reports_hold() {
    fuzz!("rtcp", report);
}

#[test]
fn payloads_hold() {
    fuzz!("payload", payload);
}

#[test]
fn dependency_descriptors_hold() {
    fuzz!("dependency_descriptor", dependency_descriptor);
}

/// A packet, or a compound.
fn packet(data: &[u8]) {
    let numbers = Seeds { sequence: 1, timestamp: 2, picture_id: 3, tl0: 4 };
    let mut rewriters: Vec<_> = CODECS.iter().map(|codec| Rewriter::new(*codec, &numbers)).collect();
    take(data, &mut Structure::default(), &mut rewriters);
}

/// A compound.
fn report(data: &[u8]) {
    let mut messages = 0;
    for message in Compound::new(data) {
        messages += 1;
        let Ok(message) = message else { continue };
        look_into(&message);
        if let Message::Twcc(twcc) = &message {
            assert!(twcc.packets <= TWCC_PACKETS_MAX);
            let mut next = twcc.base;
            for (number, _) in twcc.arrivals() {
                assert_eq!(number, next, "every packet in order");
                next = next.wrapping_add(1);
            }
        }
    }
    // A message has at least its head.
    assert!(messages <= data.len() / 4 + 1, "{messages} messages");
}

/// Codec and marker in the first byte, then a payload.
fn payload(data: &[u8]) {
    let [head, payload @ ..] = data else { return };
    let codec = CODECS[usize::from(*head) % CODECS.len()];
    let frame = codec.frame(payload, head & 0x80 != 0);
    let mut copy = payload.to_vec();
    codec.rewrite_picture(&mut copy, 0x1234, 77);
    if let Some(frame) = frame {
        let again = codec.frame(&copy, head & 0x80 != 0).expect("other numbers in the same places");
        assert_eq!(again.picture.is_some(), frame.picture.is_some());
        let facts = |frame: &turnpike_rtp::Frame| {
            (frame.starts_frame, frame.ends_frame, frame.keyframe, frame.spatial, frame.temporal)
        };
        assert_eq!(facts(&again), facts(&frame), "{codec:?}");
    }
    if let Some((_, rest)) = rtx::unwrap(payload) {
        assert_eq!(rest.len() + 2, payload.len());
    }
    if matches!(codec, Codec::Opus | Codec::Red) {
        assert!(frame.is_none_or(|frame| frame.picture.is_none()));
    }
}

/// Descriptors of one stream, each behind its length.
fn dependency_descriptor(mut data: &[u8]) {
    let mut structure = Structure::default();
    while let [len, rest @ ..] = data {
        let (one, rest) = rest.split_at(rest.len().min(usize::from(*len)));
        data = rest;
        if let Some(descriptor) = Descriptor::parse(one, &mut structure) {
            let frame = descriptor.frame();
            assert!(frame.spatial <= 3 && frame.temporal <= 7, "{frame:?}");
            let mut copy = one.to_vec();
            set_frame_number(&mut copy, 0xabcd);
            // It says the same, but for the number.
            let again = Descriptor::parse(&copy, &mut structure.clone()).expect("as it was");
            let again = again.frame();
            assert_eq!((again.spatial, again.temporal), (frame.spatial, frame.temporal));
            assert_eq!((again.keyframe, again.discardable), (frame.keyframe, frame.discardable));
        }
        for spatial in 0..4 {
            let target = structure.target(spatial, 7);
            assert!(target.is_none_or(|target| usize::from(target) < TARGETS_MAX));
        }
    }
}
