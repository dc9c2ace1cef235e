use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use turnpike_rtp::{ClockMapping, NtpTime};
use turnpike_sdp::{Av1, Codec, H264, Opus};
use turnpike_wire::media::Rid;

use super::*;

fn bytes(len_max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..=len_max).prop_map(Bytes::from)
}

fn user_id() -> impl Strategy<Value = UserId> {
    "[A-Za-z0-9._:@-]{1,64}".prop_map(|text| text.parse().unwrap())
}

fn packet() -> impl Strategy<Value = Carried> {
    (any::<(u16, u8, u8, bool, bool, u16, u32)>(), bytes(64), bytes(2_000)).prop_map(
        |((track, layer, life, is_again, marker, sequence, timestamp), extensions, payload)| Carried {
            track,
            layer,
            life,
            is_again,
            marker,
            sequence,
            timestamp,
            extensions,
            payload,
        },
    )
}

fn codec() -> impl Strategy<Value = Codec> {
    let opus = (any::<[bool; 4]>(), any::<Option<u8>>(), any::<Option<u32>>()).prop_map(
        |([stereo, sends_stereo, dtx, fec], min_packet_ms, bits_per_second_max)| {
            Codec::Opus(Opus { stereo, sends_stereo, dtx, fec, min_packet_ms, bits_per_second_max })
        },
    );
    let h264 =
        any::<(u8, u8, u8, u8, bool)>().prop_map(|(profile, constraints, level, mode, level_asymmetry)| {
            Codec::H264(H264 { profile, constraints, level, packetization_mode: mode, level_asymmetry })
        });
    let av1 =
        any::<(u8, u8, u8)>().prop_map(|(profile, level, tier)| Codec::Av1(Av1 { profile, level, tier }));
    prop_oneof![opus, Just(Codec::Vp8), any::<u8>().prop_map(|profile| Codec::Vp9 { profile }), h264, av1]
}

fn layer() -> impl Strategy<Value = CarriedLayer> {
    let rid = option::of("[a-z0-9]{0,32}".prop_map(|text| rid(&text)));
    (rid, any::<(u8, bool)>(), vec(any::<(u8, u8, u64)>(), 0..=RUNGS_MAX), any::<Option<(u16, u16)>>())
        .prop_map(|(rid, (life, is_active), rungs, size)| CarriedLayer { rid, life, is_active, rungs, size })
}

fn rid(text: &str) -> Rid {
    Rid::parse(text).unwrap()
}

fn track() -> impl Strategy<Value = CarriedTrack> {
    (any::<(u16, u32, bool)>(), user_id(), "[a-zA-Z0-9~ü]{0,16}", codec(), vec(layer(), 0..4)).prop_map(
        |((number, publisher, muted), user, mid, codec, layers)| CarriedTrack {
            number,
            publisher,
            user,
            mid,
            kind: if codec.kind() == turnpike_sdp::Kind::Video { Kind::Video } else { Kind::Audio },
            codec,
            muted,
            layers,
        },
    )
}

fn down() -> impl Strategy<Value = Down> {
    prop_oneof![
        packet().prop_map(Down::Packet),
        (vec(any::<u64>(), 0..=PATH_MAX), vec(track(), 0..8), any::<u64>(), any::<bool>()).prop_map(
            |(path, tracks, viewers, is_recorded)| {
                Down::Stream(CarriedStream { path, tracks, viewers, is_recorded })
            }
        ),
        any::<(u16, u8, u64, u32, u32)>().prop_map(|(track, layer, ntp, rtp, age_ms)| Down::Clock {
            track,
            layer,
            clock: ClockMapping { ntp: NtpTime(ntp), rtp },
            age_ms,
        }),
        Just(Down::Over),
    ]
}

fn up() -> impl Strategy<Value = Up> {
    prop_oneof![
        vec(any::<(u16, u8)>(), 0..=TRACKS_MAX).prop_map(Up::Want),
        any::<(u16, u8)>().prop_map(|(track, layer)| Up::Keyframe { track, layer }),
        (any::<(u16, u8)>(), vec(any::<u16>(), 0..=AGAIN_MAX))
            .prop_map(|((track, layer), sequences)| Up::Again { track, layer, sequences }),
        (any::<u64>(), vec(user_id(), 0..=VIEWERS_NAMED_MAX))
            .prop_map(|(viewers, named)| Up::Audience { viewers, named }),
    ]
}

fn written(write: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    write(&mut out);
    out.freeze()
}

proptest! {
    #[test]
    fn what_is_written_is_read(word in down(), other in up(), packet in packet()) {
        let bytes = written(|out| write_down(&word, out));
        prop_assert!(bytes.len() <= WORD_BYTES_MAX);
        prop_assert_eq!(read_down(bytes), Ok(Some(word)));
        let bytes = written(|out| write_up(&other, out));
        prop_assert_eq!(read_up(bytes), Ok(Some(other)));
        let bytes = written(|out| write_packet(&packet, out));
        prop_assert_eq!(bytes.len(), packet_bytes(&packet));
        prop_assert_eq!(read_packet(bytes), Ok(packet));
    }

    /// A later version may say more.
    #[test]
    fn what_stands_behind_is_left_out(word in up(), more in bytes(20)) {
        let bytes = written(|out| {
            write_up(&word, out);
            out.put_slice(&more);
        });
        prop_assert_eq!(read_up(bytes), Ok(Some(word)));
    }

    #[test]
    fn no_beginning_of_a_word_is_taken_for_it(word in down(), other in up(), at in any::<prop::sample::Index>()) {
        let bytes = written(|out| write_down(&word, out));
        // The payload of a packet ends where the packet does.
        if !matches!(word, Down::Packet(_)) {
            let read = read_down(bytes.slice(..at.index(bytes.len())));
            prop_assert_eq!(read, Err(Unreadable::Short));
        }
        let bytes = written(|out| write_up(&other, out));
        let read = read_up(bytes.slice(..at.index(bytes.len())));
        prop_assert_eq!(read, Err(Unreadable::Short));
    }

    #[test]
    fn garbage_is_refused_or_read_again_as_it_was(bytes in bytes(512)) {
        if let Ok(Some(word)) = read_down(bytes.clone()) {
            let again = written(|out| write_down(&word, out));
            prop_assert_eq!(read_down(again), Ok(Some(word)));
        }
        if let Ok(Some(word)) = read_up(bytes.clone()) {
            let again = written(|out| write_up(&word, out));
            prop_assert_eq!(read_up(again), Ok(Some(word)));
        }
        if let Ok(packet) = read_packet(bytes.clone()) {
            prop_assert_eq!(written(|out| write_packet(&packet, out)).len() <= bytes.len(), true);
        }
    }
}

#[test]
fn words_and_codecs_of_a_later_version_are_left_out() {
    assert_eq!(read_down(Bytes::from_static(&[77, 1, 2, 3])), Ok(None));
    assert_eq!(read_up(Bytes::from_static(&[77])), Ok(None));
    assert_eq!(read_up(Bytes::new()), Err(Unreadable::Short));
    assert_eq!(
        read_packet(Bytes::from_static(&[8; 20])),
        Err(Unreadable::Odd("the form of a packet")),
        "what a packet means cannot be guessed"
    );
    let track = |number, codec| CarriedTrack {
        number,
        publisher: 1,
        user: "alice".parse().unwrap(),
        mid: "0".into(),
        kind: Kind::Video,
        codec,
        muted: false,
        layers: Vec::new(),
    };
    let tracks = vec![track(1, Codec::Vp8), track(2, Codec::Vp9 { profile: 0 })];
    let stream = CarriedStream { path: vec![5], tracks, viewers: 3, is_recorded: true };
    let mut bytes = BytesMut::from(&written(|out| write_down(&Down::Stream(stream), out))[..]);
    // Behind kind, viewers, path, count, length, number, publisher and flags.
    let at = 1 + 8 + 2 + 8 + 2 + 2 + 2 + 4 + 1;
    assert_eq!(bytes[at], 1, "VP8 stands there");
    bytes[at] = 200;
    let Ok(Some(Down::Stream(read))) = read_down(bytes.freeze()) else { panic!("it is read") };
    assert_eq!(read.tracks, [track(2, Codec::Vp9 { profile: 0 })]);
}

/// Lists that announce more than there is, and more than there may be.
#[test]
fn nothing_is_allocated_that_has_not_come() {
    for count in [3_u16, 500, u16::MAX] {
        let want = written(|out| {
            out.put_u8(UP_WANT);
            out.put_u16(count);
        });
        assert!(read_up(want).is_err(), "{count}");
    }
    let long = Up::Again { track: 1, layer: 0, sequences: vec![7; AGAIN_MAX + 9] };
    let read = read_up(written(|out| write_up(&long, out)));
    assert_eq!(read, Ok(Some(Up::Again { track: 1, layer: 0, sequences: vec![7; AGAIN_MAX] })), "clipped");
    // As large as a stream can be.
    let layer = CarriedLayer {
        rid: Some(rid(&"r".repeat(32))),
        life: 255,
        is_active: true,
        rungs: vec![(7, 7, u64::MAX); RUNGS_MAX],
        size: Some((1, 1)),
    };
    let track = CarriedTrack {
        number: 1,
        publisher: 1,
        user: "u".repeat(64).parse().unwrap(),
        mid: "m".repeat(32),
        kind: Kind::Video,
        codec: Codec::Vp8,
        muted: true,
        layers: vec![layer; LAYERS_MAX],
    };
    let stream = CarriedStream {
        path: vec![1; PATH_MAX],
        tracks: vec![track; 20],
        viewers: u64::MAX,
        is_recorded: true,
    };
    let bytes = written(|out| write_down(&Down::Stream(stream.clone()), out));
    assert!(bytes.len() < WORD_BYTES_MAX, "{}", bytes.len());
    assert_eq!(read_down(bytes), Ok(Some(Down::Stream(stream))));
}
