use super::*;

fn frames(codec: Codec, packets: &[(u32, bool, Vec<u8>)]) -> Vec<Frame> {
    let mut assembler = Assembler::new();
    let mut frames = Vec::new();
    for (timestamp, marker, payload) in packets {
        let piece = Piece { codec, timestamp: *timestamp, marker: *marker, payload: payload.clone() };
        assembler.packet(&piece, |frame| frames.push(frame));
    }
    frames
}

#[test]
fn sound_is_what_a_packet_has_without_what_it_repeats() {
    assert_eq!(frames(Codec::Opus, &[(5, false, vec![1, 2, 3])])[0].bytes, [1, 2, 3]);
    // One redundant block of two bytes, then its own.
    let red = vec![0xef, 0x0f, 0x00, 0x02, 111, 8, 8, 1, 2, 3];
    let found = frames(Codec::Red, &[(5, false, red)]);
    assert_eq!((found[0].bytes.as_slice(), &found[0].format), (&[1, 2, 3][..], &Format::Opus));
}

#[test]
fn vp8_begins_with_a_keyframe_and_says_its_size() {
    let keyframe = vec![0x90, 0x80, 0x81, 0x23, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x41];
    let found = frames(
        Codec::Vp8,
        &[
            (1, true, vec![0x10, 0x11, 9]),
            (2, false, keyframe.clone()),
            (2, true, vec![0x80, 0x80, 0x81, 0x23, 7, 7]),
            (3, true, vec![0x10, 0x11, 9]),
        ],
    );
    assert_eq!(found.len(), 2, "nobody can begin with the first");
    assert_eq!(found[0].format, Format::Vp8 { width: 640, height: 360 });
    assert!(found[0].is_keyframe && !found[1].is_keyframe);
    assert_eq!(found[0].bytes, [&keyframe[4..], &[7, 7]].concat());
    assert_eq!(found[1].bytes, [0x11, 9]);
}

/// A keyframe's header of profile 0: 1280x720.
const VP9_KEYFRAME: [u8; 10] = [0x82, 0x49, 0x83, 0x42, 0x00, 0x4f, 0xf0, 0x2c, 0xf0, 0x00];

#[test]
fn vp9_layers_of_a_picture_are_one_frame_with_an_index() {
    // Flexible mode; the first packet says the sizes of two layers.
    let structure = [0x30, 0x02, 0x80, 0x01, 0x68, 0x05, 0x00, 0x02, 0xd0];
    let base = [&[0xbe, 0x80, 0x01, 0x00][..], &structure, &VP9_KEYFRAME].concat();
    // Of the second, one that is predicted from the layer below.
    let upper = [&[0xbc, 0x80, 0x01, 0x03][..], &[0xa5; 5]].concat();
    let delta = [&[0xfc, 0x80, 0x02, 0x00, 0x02][..], &[0x86, 1]].concat();
    let found = frames(Codec::Vp9, &[(1, false, base), (1, true, upper), (2, true, delta)]);
    assert_eq!(found[0].format, Format::Vp9 { width: 1_280, height: 720 });
    let (frame, index) = found[0].bytes.split_at(15);
    assert_eq!(frame, [&VP9_KEYFRAME[..], &[0xa5; 5]].concat());
    assert_eq!(index, [0xd9, 10, 0, 0, 0, 5, 0, 0, 0, 0xd9]);
    assert_eq!(found[1].bytes, [0x86, 1], "one layer needs no index");
    assert!(!found[1].is_keyframe);
}

/// Constrained baseline of level 3.1, 1280x720; and one of high profile, 1920x1080, cut by eight lines.
const SPS: [u8; 11] = [0x67, 0x42, 0xc0, 0x1f, 0xda, 0x01, 0x40, 0x16, 0xe8, 0x06, 0xd0];
const SPS_HIGH: [u8; 25] = [
    0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00,
    0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60,
];
const PPS: [u8; 4] = [0x68, 0xce, 0x3c, 0x80];

fn sets(sps: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x78];
    for unit in [sps, &PPS] {
        packet.extend_from_slice(&(unit.len() as u16).to_be_bytes());
        packet.extend_from_slice(unit);
    }
    packet
}

#[test]
fn h264_fragments_are_whole_units_and_parameter_sets_stand_apart() {
    let found = frames(
        Codec::H264,
        &[
            (1, false, sets(&SPS)),
            (1, false, vec![0x7c, 0x85, 0x88, 1, 2]),
            (1, false, vec![0x7c, 0x05, 3, 4]),
            (1, true, vec![0x7c, 0x45, 5]),
            (2, false, vec![0x09, 0xf0]),
            (2, true, vec![0x41, 0x9a, 7]),
        ],
    );
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].bytes, [0, 0, 0, 7, 0x65, 0x88, 1, 2, 3, 4, 5]);
    assert_eq!(found[1].bytes, [0, 0, 0, 3, 0x41, 0x9a, 7], "without the delimiter");
    assert!(found[0].is_keyframe && !found[1].is_keyframe);
    let Format::H264 { width, height, avcc } = &found[0].format else { panic!("{:?}", found[0].format) };
    assert_eq!((*width, *height), (1_280, 720));
    let expected = [&[1, 0x42, 0xc0, 0x1f, 0xff, 0xe1, 0, 11][..], &SPS, &[1, 0, 4], &PPS].concat();
    assert_eq!(*avcc, expected);
}

#[test]
fn h264_of_high_profile_says_its_size_and_colors() {
    let packets = [(1, false, sets(&SPS_HIGH)), (1, true, vec![0x65, 0x88, 1])];
    let Format::H264 { width, height, avcc } = frames(Codec::H264, &packets)[0].format.clone() else {
        panic!("it is of H.264")
    };
    assert_eq!((width, height), (1_920, 1_080));
    assert_eq!(avcc[avcc.len() - 4..], [0xfd, 0xf8, 0xf8, 0]);
}

#[test]
fn a_fragment_without_its_end_is_a_hole() {
    let packets = [
        (1, false, sets(&SPS)),
        (1, false, vec![0x7c, 0x85, 0x88, 1, 2]),
        // The next picture comes, and the unit is not whole.
        (2, true, vec![0x41, 0x9a, 7]),
        (3, true, vec![0x41, 0x9a, 8]),
    ];
    assert!(frames(Codec::H264, &packets).is_empty());
}

/// A sequence header of main profile, level 4.0, 640x360, as encoders of browsers write it, without its size.
fn av1_header() -> Vec<u8> {
    let mut bits: Vec<bool> = Vec::new();
    let mut put = |value: u64, count: u32| bits.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
    put(0, 3); // profile
    put(0, 2); // neither a still picture nor reduced
    put(0, 1); // no timing
    put(0, 1); // no delay
    put(0, 5); // one operating point
    put(0, 12);
    put(8, 5);
    put(0, 1); // main tier
    put(9, 4);
    put(8, 4);
    put(639, 10);
    put(359, 9);
    put(0, 1); // no frame ids
    put(0, 3);
    put(0, 4);
    put(1, 1); // order hints
    put(0, 2);
    put(1, 1); // screen content is the frame's matter
    put(1, 1);
    put(6, 3);
    put(0, 3);
    put(0, 1); // eight bits
    put(0, 1); // colors
    put(0, 1); // not described
    put(0, 1); // limited range
    put(2, 2); // position
    put(0, 1);
    put(0, 1);
    put(1, 1); // trailing
    let mut bytes = vec![0x08];
    for eight in bits.chunks(8) {
        let byte = eight.iter().enumerate().fold(0, |byte, (at, bit)| byte | u8::from(*bit) << (7 - at));
        bytes.push(byte);
    }
    bytes
}

#[test]
fn av1_units_get_their_sizes_and_what_separates_goes() {
    let header = av1_header();
    // A delimiter, the header, and the first part of a frame.
    let mut first = vec![0x78, 2, 0x12, 0, header.len() as u8];
    first[0] = 0x48 | 3 << 4;
    first.extend_from_slice(&header);
    first.extend_from_slice(&[0x30, 1, 2]);
    let packets = [(1, false, first), (1, true, vec![0x90, 3, 4]), (2, true, vec![0x10, 0x30, 9])];
    let found = frames(Codec::Av1, &packets);
    assert_eq!(found.len(), 2);
    let mut whole = vec![0x0a, header.len() as u8 - 1];
    whole.extend_from_slice(&header[1..]);
    let sized = whole.clone();
    whole.extend_from_slice(&[0x32, 4, 1, 2, 3, 4]);
    assert_eq!(found[0].bytes, whole);
    assert_eq!(found[1].bytes, [0x32, 1, 9]);
    let Format::Av1 { width, height, av1c } = &found[0].format else { panic!("{:?}", found[0].format) };
    assert_eq!((*width, *height), (640, 360));
    assert_eq!(av1c[..4], [0x81, 8, 0x0e, 0]);
    assert_eq!(av1c[4..], sized);
}
