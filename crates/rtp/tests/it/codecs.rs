//! What payloads say about their frames.

use turnpike_rtp::codec::{Codec, Frame, Picture, opus};

/// What most rows of the tables share.
const NOTHING: Frame = Frame {
    starts_frame: false,
    ends_frame: false,
    keyframe: false,
    spatial: 0,
    temporal: 0,
    switch_up: false,
    discardable: false,
    picture: None,
};

#[test]
fn codecs_are_found_by_name_in_any_case() {
    for codec in [Codec::Opus, Codec::Red, Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1] {
        assert_eq!(Codec::parse(&codec.name().to_lowercase()), Some(codec));
        assert_eq!(Codec::parse(&codec.name().to_uppercase()), Some(codec));
        assert_eq!(codec.clock_hz(), if codec.is_video() { 90_000 } else { 48_000 });
    }
    assert_eq!(Codec::parse("rtx"), None);
}

#[test]
fn vp8() {
    let picture = |id, bits, tl0| Some(Picture { id, bits, tl0 });
    let table: [(&str, &[u8], Option<Frame>); 9] = [
        ("empty", &[], None),
        ("descriptor alone", &[0x10], None),
        (
            "keyframe without numbers",
            &[0x10, 0x00],
            Some(Frame { starts_frame: true, keyframe: true, switch_up: true, ..NOTHING }),
        ),
        ("delta, reference", &[0x10, 0x01], Some(Frame { starts_frame: true, switch_up: true, ..NOTHING })),
        ("second partition", &[0x11, 0x00], Some(Frame { switch_up: true, ..NOTHING })),
        (
            "short id",
            &[0x90, 0x80, 0x7f, 0x01],
            Some(Frame { starts_frame: true, switch_up: true, picture: picture(127, 7, None), ..NOTHING }),
        ),
        (
            "long id, tl0, highest layer, not a reference",
            &[0xb0, 0xe0, 0x92, 0x34, 0x56, 0x80, 0x01],
            Some(Frame {
                starts_frame: true,
                temporal: 2,
                discardable: true,
                picture: picture(0x1234, 15, Some(0x56)),
                ..NOTHING
            }),
        ),
        (
            "layer sync, key index only beside",
            &[0x90, 0xf0, 0x92, 0x34, 0x56, 0x7f, 0x01],
            Some(Frame {
                starts_frame: true,
                temporal: 1,
                switch_up: true,
                picture: picture(0x1234, 15, Some(0x56)),
                ..NOTHING
            }),
        ),
        ("breaks off in the id", &[0x90, 0x80, 0x92], None),
    ];
    for (name, payload, frame) in table {
        assert_eq!(Codec::Vp8.frame(payload, false), frame, "{name}");
        assert_eq!(
            Codec::Vp8.frame(payload, true).map(|frame| frame.ends_frame),
            frame.map(|_| true),
            "{name}"
        );
    }
}

#[test]
fn vp9() {
    let table: [(&str, &[u8], Option<Frame>); 8] = [
        ("empty", &[], None),
        ("descriptor alone", &[0x08], None),
        (
            "one whole keyframe",
            &[0x0c, 0xff],
            Some(Frame { starts_frame: true, ends_frame: true, keyframe: true, switch_up: true, ..NOTHING }),
        ),
        (
            "key picture, second spatial layer: no beginning for anybody",
            &[0xa9, 0x05, 0x03, 0x07, 0xff],
            Some(Frame {
                starts_frame: true,
                spatial: 1,
                switch_up: true,
                picture: Some(Picture { id: 5, bits: 7, tl0: Some(7) }),
                ..NOTHING
            }),
        ),
        (
            "predicted, highest temporal layer",
            &[0xe8, 0x92, 0x34, 0x40, 0x07, 0xff],
            Some(Frame {
                starts_frame: true,
                temporal: 2,
                picture: Some(Picture { id: 0x1234, bits: 15, tl0: Some(7) }),
                ..NOTHING
            }),
        ),
        (
            "the same as a switching point",
            &[0xe8, 0x92, 0x34, 0x50, 0x07, 0xff],
            Some(Frame {
                starts_frame: true,
                temporal: 2,
                switch_up: true,
                picture: Some(Picture { id: 0x1234, bits: 15, tl0: Some(7) }),
                ..NOTHING
            }),
        ),
        (
            "flexible: no tl0",
            &[0xf4, 0x05, 0x20, 0x02, 0xff],
            Some(Frame {
                ends_frame: true,
                temporal: 1,
                picture: Some(Picture { id: 5, bits: 7, tl0: None }),
                ..NOTHING
            }),
        ),
        ("breaks off in the layers", &[0xa8, 0x05], None),
    ];
    for (name, payload, frame) in table {
        assert_eq!(Codec::Vp9.frame(payload, true), frame, "{name}");
    }
}

#[test]
fn h264() {
    let key = Frame { starts_frame: true, keyframe: true, switch_up: true, ..NOTHING };
    let delta = Frame { starts_frame: true, ..NOTHING };
    let table: [(&str, &[u8], Option<Frame>); 14] = [
        ("empty", &[], None),
        ("sequence parameters", &[0x67, 0x42], Some(key)),
        ("picture parameters", &[0x68, 0xce], Some(NOTHING)),
        ("first slice of a keyframe", &[0x65, 0x88], Some(key)),
        ("another slice of a keyframe", &[0x65, 0x48], Some(NOTHING)),
        ("first slice", &[0x61, 0x9a], Some(delta)),
        ("first slice of what nobody needs", &[0x01, 0x9a], Some(Frame { discardable: true, ..delta })),
        ("delimiter", &[0x09, 0xf0], Some(Frame { discardable: true, ..delta })),
        ("parameters together", &[0x78, 0, 2, 0x67, 0x42, 0, 2, 0x68, 0xce], Some(key)),
        ("an aggregate that breaks off", &[0x78, 0, 2, 0x67], None),
        ("a fragment that begins a keyframe", &[0x7c, 0x85, 0x88], Some(key)),
        ("its middle", &[0x7c, 0x05, 0x88], Some(NOTHING)),
        ("its end", &[0x7c, 0x45, 0x88], Some(NOTHING)),
        ("a fragment without its head", &[0x7c], None),
    ];
    for (name, payload, frame) in table {
        assert_eq!(Codec::H264.frame(payload, false), frame, "{name}");
        assert_eq!(
            Codec::H264.frame(payload, true).map(|frame| frame.ends_frame),
            frame.map(|_| true),
            "{name}"
        );
    }
}

#[test]
fn av1_without_descriptor() {
    let key = Frame { starts_frame: true, keyframe: true, switch_up: true, ..NOTHING };
    let plain = Frame { starts_frame: true, switch_up: true, ..NOTHING };
    let table: [(&str, &[u8], Option<Frame>); 10] = [
        ("empty", &[], None),
        ("header alone", &[0x10], None),
        ("one frame", &[0x10, 0x30, 1, 2], Some(plain)),
        ("its continuation", &[0x90, 1, 2], Some(Frame { starts_frame: false, ..plain })),
        ("a new sequence", &[0x28, 1, 0x08, 0x30, 1], Some(key)),
        ("a sequence header without the flag", &[0x20, 1, 0x08, 0x30, 1], Some(key)),
        ("a sequence cannot begin in the middle", &[0x98, 1, 2], None),
        (
            "layers",
            &[0x10, 0x34, 0b0100_1000, 1],
            Some(Frame { temporal: 2, spatial: 1, switch_up: false, ..plain }),
        ),
        ("each with its length", &[0x00, 1, 0x10, 2, 0x30, 1], Some(plain)),
        ("an element longer than the packet", &[0x00, 9, 0x10], None),
    ];
    for (name, payload, frame) in table {
        assert_eq!(Codec::Av1.frame(payload, false), frame, "{name}");
    }
}

#[test]
fn opus_is_always_a_beginning() {
    let frame = Codec::Opus.frame(&[0x78, 1, 2], false).unwrap();
    assert!(frame.starts_frame && frame.ends_frame && frame.keyframe);
    assert_eq!(Codec::Opus.frame(&[], false), None);
    assert!(opus::is_dtx(&[0x78]) && opus::is_dtx(&[0x78, 0]) && !opus::is_dtx(&[0x78, 1, 2]));
}

#[test]
fn opus_durations() {
    let table: [(&[u8], Option<u32>); 9] = [
        (&[], None),
        (&[0x78], Some(960)),
        (&[0x79], Some(1_920)),
        (&[0x7b, 3], Some(2_880)),
        (&[0x7b], None),
        (&[0x7b, 63], None),
        (&[0x18], Some(2_880)),
        (&[0x80], Some(120)),
        (&[0x60], Some(480)),
    ];
    for (payload, ticks) in table {
        assert_eq!(opus::duration(payload), ticks, "{payload:?}");
    }
}

#[test]
fn numbers_are_rewritten_in_their_width() {
    let rewritten = |codec: Codec, payload: &[u8], id, tl0| {
        let mut payload = payload.to_vec();
        codec.rewrite_picture(&mut payload, id, tl0);
        payload
    };
    let short = [0x90, 0xc0, 0x05, 0x06, 0x01];
    assert_eq!(rewritten(Codec::Vp8, &short, 0x1ff, 9), [0x90, 0xc0, 0x7f, 9, 0x01]);
    let long = [0x90, 0xc0, 0x85, 0x06, 0x07, 0x01];
    assert_eq!(rewritten(Codec::Vp8, &long, 0x7fff, 9), [0x90, 0xc0, 0xff, 0xff, 9, 0x01]);
    assert_eq!(rewritten(Codec::Vp8, &long, 0, 9), [0x90, 0xc0, 0x80, 0, 9, 0x01]);
    let without = [0x10, 0x01];
    assert_eq!(rewritten(Codec::Vp8, &without, 5, 9), without);
    let vp9 = [0xa8, 0x85, 0x06, 0x00, 0x07, 0xff];
    assert_eq!(rewritten(Codec::Vp9, &vp9, 0x1234, 9), [0xa8, 0x92, 0x34, 0x00, 9, 0xff]);
    assert_eq!(rewritten(Codec::H264, &vp9, 0x1234, 9), vp9);
    assert_eq!(rewritten(Codec::Vp8, &[0x90], 5, 9), [0x90]);
}
