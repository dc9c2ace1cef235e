//! The rewriter, case by case.

use turnpike_rtp::rewriter::{Clocks, GAP_PACKETS_MAX, Incoming, Output, Refused, Rewriter, Seeds, Source};
use turnpike_rtp::{ClockMapping, Codec, NtpTime, Picture};

const SEEDS: Seeds = Seeds { sequence: 100, timestamp: 1_000_000, picture_id: 50, tl0: 5 };
const A: Source = Source(1);
const B: Source = Source(2);

/// Frames of one packet, thirty a second.
fn packet(source: Source, number: u16) -> Incoming {
    Incoming {
        source,
        sequence: number,
        timestamp: u32::from(number) * 3_000,
        picture: Some(Picture { id: number, bits: 15, tl0: Some(3) }),
        arrival_ms: u64::from(number) * 100 / 3,
    }
}

fn started(codec: Codec) -> Rewriter {
    let mut rewriter = Rewriter::new(codec, &SEEDS);
    let output = rewriter.start(&packet(A, 1_000), None).expect("the first");
    assert_eq!(output, Output { sequence: 100, timestamp: 1_000_000, picture_id: 50, tl0: 5 });
    rewriter
}

#[test]
fn nothing_goes_before_the_start() {
    let mut rewriter = Rewriter::new(Codec::Vp8, &SEEDS);
    assert_eq!(rewriter.source(), None);
    assert_eq!(rewriter.forward(&packet(A, 1)), Err(Refused::NotForwarded));
    assert_eq!(rewriter.skip(&packet(A, 1)), None);
    assert_eq!((rewriter.origin(100), rewriter.timestamp_offset(A)), (None, None));
}

#[test]
fn what_is_left_out_closes_up_and_what_is_lost_does_not() {
    let mut rewriter = started(Codec::Vp8);
    assert_eq!(rewriter.forward(&packet(A, 1_001)).unwrap().sequence, 101);
    assert_eq!(rewriter.skip(&packet(A, 1_002)), None);
    let output = rewriter.forward(&packet(A, 1_003)).unwrap();
    assert_eq!((output.sequence, output.picture_id, output.timestamp), (102, 52, 1_009_000));
    // 1004 is missing.
    assert_eq!(rewriter.forward(&packet(A, 1_005)).unwrap().sequence, 104);
    let origin = rewriter.origin(103).unwrap();
    assert_eq!((origin.source, origin.sequence, origin.sent), (A, 1_004, false));
    let output = rewriter.forward(&packet(A, 1_004)).unwrap();
    assert_eq!((output.sequence, output.picture_id, output.timestamp), (103, 53, 1_012_000));
    assert_eq!(rewriter.forward(&packet(A, 1_004)), Err(Refused::Duplicate));
    // What was skipped has no place any more.
    assert_eq!(rewriter.forward(&packet(A, 1_002)), Err(Refused::Late));
    assert_eq!(rewriter.skip(&packet(A, 1_002)), None);
}

#[test]
fn a_place_that_was_kept_for_nothing_is_filled() {
    let mut rewriter = started(Codec::Vp8);
    rewriter.forward(&packet(A, 1_003)).unwrap();
    let filler = rewriter.skip(&packet(A, 1_001)).unwrap();
    assert_eq!((filler.sequence, filler.timestamp), (101, 1_003_000));
    assert_eq!(rewriter.skip(&packet(A, 1_001)), None);
    assert!(rewriter.origin(101).unwrap().sent);
}

#[test]
fn other_codecs_keep_the_steps_of_their_numbers() {
    let mut rewriter = started(Codec::Vp9);
    assert_eq!(rewriter.skip(&packet(A, 1_001)), None);
    let output = rewriter.forward(&packet(A, 1_002)).unwrap();
    assert_eq!((output.sequence, output.picture_id), (101, 52));
}

#[test]
fn late_packets_of_the_source_before_fill_their_places() {
    let mut rewriter = started(Codec::Vp8);
    rewriter.forward(&packet(A, 1_002)).unwrap();
    let next = Incoming { arrival_ms: packet(A, 1_003).arrival_ms, ..packet(B, 7) };
    let output = rewriter.start(&next, None).unwrap();
    assert_eq!((output.sequence, output.picture_id, output.timestamp), (103, 53, 1_006_000 + 33 * 90));
    assert_eq!(rewriter.forward(&packet(A, 1_001)).unwrap().sequence, 101);
    // Its numbers behind the switch belong to the other.
    assert_eq!(rewriter.forward(&packet(A, 1_003)), Err(Refused::NotForwarded));
    // What the other sent before it was started is not for this viewer.
    assert_eq!(rewriter.forward(&packet(B, 6)), Err(Refused::Late));
    assert_eq!(rewriter.origin(102).unwrap().sequence, 1_002);
    let origin = rewriter.origin(103).unwrap();
    assert_eq!((origin.source, origin.sequence, origin.sent), (B, 7, true));
    assert_eq!(origin.output(next.timestamp, next.picture), output);
}

#[test]
fn layers_meet_by_their_reports() {
    let clocks = |ahead: u32| Clocks {
        from: ClockMapping { ntp: NtpTime(5 << 32), rtp: 3_000_000 },
        // Frame 7 of B is of the instant of A's 1001, and earlier by `ahead`.
        to: ClockMapping { ntp: NtpTime(5 << 32), rtp: 21_000 - 3_000 + ahead },
    };
    for (ahead, timestamp) in [(0, 1_003_000), (2_000, 1_001_000), (3_000, 1_000_001), (6_000, 1_000_001)] {
        let mut rewriter = started(Codec::Vp8);
        let next = Incoming { arrival_ms: packet(A, 1_001).arrival_ms, ..packet(B, 7) };
        assert_eq!(rewriter.start(&next, Some(&clocks(ahead))).unwrap().timestamp, timestamp, "{ahead}");
        // Reports are right at once, and what time could not go back by is gone after some frames.
        let right = 1_003_000 - 21_000 - ahead;
        assert_eq!(rewriter.timestamp_offset(B), Some(right));
        let mut last = timestamp;
        for number in 8..12 {
            let output = rewriter.forward(&packet(B, number)).unwrap();
            assert!(output.timestamp > last);
            last = output.timestamp;
        }
        assert_eq!(last, (11_u32 * 3_000).wrapping_add(right), "{ahead}");
    }
}

#[test]
fn reports_that_contradict_the_clock_are_not_believed() {
    let mut rewriter = started(Codec::Vp8);
    let next = Incoming { arrival_ms: packet(A, 1_001).arrival_ms, ..packet(B, 7) };
    let wild = Clocks {
        from: ClockMapping { ntp: NtpTime(5 << 32), rtp: 0 },
        to: ClockMapping { ntp: NtpTime(90 << 32), rtp: 0 },
    };
    let elapsed = (next.arrival_ms - packet(A, 1_000).arrival_ms) as u32 * 90;
    assert_eq!(rewriter.start(&next, Some(&wild)).unwrap().timestamp, 1_000_000 + elapsed);
}

#[test]
fn a_pause_closes_and_time_has_passed() {
    let mut rewriter = started(Codec::Vp8);
    rewriter.pause();
    assert_eq!(rewriter.source(), None);
    assert_eq!(rewriter.forward(&packet(A, 1_001)), Err(Refused::NotForwarded));
    let output = rewriter.start(&packet(A, 1_200), None).unwrap();
    assert_eq!((output.sequence, output.picture_id), (101, 51));
    assert_eq!(output.timestamp, 1_000_000 + 200 * 3_000);
    // Something that went by in the pause, and something from before.
    assert_eq!(rewriter.forward(&packet(A, 1_199)), Err(Refused::Late));
    assert_eq!(rewriter.forward(&packet(A, 1_000)), Err(Refused::Duplicate));
}

#[test]
fn an_old_keyframe_starts_nothing() {
    let mut rewriter = started(Codec::Vp8);
    rewriter.forward(&packet(A, 1_005)).unwrap();
    rewriter.pause();
    for number in [1_000, 1_003, 1_005] {
        assert_eq!(rewriter.start(&packet(A, number), None), Err(Refused::Late), "{number}");
    }
    assert_eq!(rewriter.start(&packet(A, 1_006), None).unwrap().sequence, 106);
    // Nor one of a source that comes back.
    rewriter.start(&packet(B, 1_010), None).unwrap();
    for number in [990, 1_006] {
        assert_eq!(rewriter.start(&packet(A, number), None), Err(Refused::Late), "{number}");
    }
    assert!(rewriter.start(&packet(A, 1_007), None).is_ok());
}

#[test]
fn two_in_a_row_from_elsewhere_are_a_restart() {
    let mut rewriter = started(Codec::Vp8);
    let far = |number: u16| Incoming { timestamp: 77_000, ..packet(A, number) };
    assert_eq!(rewriter.forward(&far(30_000)), Err(Refused::Stray));
    assert_eq!(rewriter.forward(&packet(A, 1_001)).unwrap().sequence, 101);
    assert_eq!(rewriter.forward(&far(30_000)), Err(Refused::Stray));
    assert_eq!(rewriter.forward(&far(30_001)), Err(Refused::Restarted));
    assert_eq!(rewriter.source(), None);
    let again = Incoming { arrival_ms: packet(A, 1_010).arrival_ms, ..far(30_002) };
    let output = rewriter.start(&again, None).unwrap();
    assert_eq!((output.sequence, output.picture_id), (102, 52));
    assert_eq!(output.timestamp, 1_003_000 + (again.arrival_ms - packet(A, 1_001).arrival_ms) as u32 * 90);
}

#[test]
fn a_restart_right_where_the_source_was_is_one_too() {
    let mut rewriter = started(Codec::Vp8);
    let far = |number: u16| Incoming { timestamp: 77_000, ..packet(A, number) };
    assert_eq!(rewriter.forward(&far(1_000)), Err(Refused::Stray));
    assert_eq!(rewriter.forward(&far(1_001)), Err(Refused::Restarted));
}

#[test]
fn a_gap_has_an_end() {
    let mut rewriter = started(Codec::Vp8);
    assert_eq!(rewriter.forward(&packet(A, 1_000 + GAP_PACKETS_MAX + 1)), Err(Refused::Stray));
    let output = rewriter.forward(&packet(A, 1_000 + GAP_PACKETS_MAX)).unwrap();
    assert_eq!(output.sequence, 100 + GAP_PACKETS_MAX);
    assert_eq!(rewriter.origin(101).unwrap().sequence, 1_001);
}

#[test]
fn time_that_jumps_is_taken_as_it_passes() {
    let mut rewriter = started(Codec::Vp8);
    let jumped = Incoming { timestamp: 5, ..packet(A, 1_001) };
    let output = rewriter.forward(&jumped).unwrap();
    let elapsed = (jumped.arrival_ms - packet(A, 1_000).arrival_ms) as u32 * 90;
    assert_eq!((output.sequence, output.timestamp), (101, 1_000_000 + elapsed));
    // Frames that are only shown in another order stay as they are.
    let earlier = Incoming { timestamp: 0_u32.wrapping_sub(3_000), ..packet(A, 1_002) };
    assert_eq!(rewriter.forward(&earlier).unwrap().timestamp, output.timestamp - 3_005);
}

#[test]
fn padding_has_a_number_of_its_own() {
    let mut rewriter = started(Codec::Vp8);
    let padding = rewriter.pad();
    assert_eq!((padding.sequence, padding.timestamp), (101, 1_000_000));
    assert_eq!(rewriter.origin(101), None);
    assert_eq!(rewriter.forward(&packet(A, 1_001)).unwrap().sequence, 102);
    assert_eq!(rewriter.origin(102).unwrap().sequence, 1_001);
    assert_eq!(rewriter.newest_output(), (102, 1_003_000));
}

#[test]
fn numbers_are_known_for_a_window_and_no_longer() {
    let mut rewriter = started(Codec::Vp8);
    // Thirty packets a frame.
    let packet = |source, number: u16| Incoming {
        timestamp: 3_000_000 + u32::from(number) * 100,
        ..packet(source, number)
    };
    for step in 1..5_000_u16 {
        let output = rewriter.forward(&packet(A, 1_000 + step)).unwrap();
        assert_eq!(output.sequence, 100 + step);
    }
    let newest = 100 + 4_999;
    assert_eq!(rewriter.origin(newest - 2_047).unwrap().sequence, 1_000 + 4_999 - 2_047);
    for unknown in [newest - 2_048, newest + 1, newest.wrapping_add(0x8000)] {
        assert_eq!(rewriter.origin(unknown), None, "{unknown}");
    }
    assert_eq!(rewriter.forward(&packet(A, 1_000 + 4_999 - 2_047)), Err(Refused::Duplicate));
}

#[test]
fn what_is_forgotten_does_not_come_back_with_the_wrap() {
    let mut rewriter = started(Codec::Vp8);
    let packet = |number: u32| Incoming {
        source: A,
        sequence: number as u16,
        timestamp: number * 3_000,
        picture: None,
        arrival_ms: u64::from(number) * 100 / 3,
    };
    let mut dropped = 0;
    for number in 1_001..200_000_u32 {
        // For a while every other is left out, then none.
        if number < 1_300 && number % 2 == 0 {
            assert_eq!(rewriter.skip(&packet(number)), None);
            dropped += 1;
            continue;
        }
        let output = rewriter.forward(&packet(number)).unwrap();
        assert_eq!(output.sequence, (100 + number - 1_000 - dropped) as u16);
        if number > 1_600 && number % 37 == 0 {
            for back in [1, 150] {
                let origin = rewriter.origin(output.sequence.wrapping_sub(back)).unwrap();
                assert_eq!(origin.sequence, (number as u16).wrapping_sub(back));
            }
        }
    }
}

#[test]
fn another_codec_goes_on_where_the_first_ended() {
    let mut rewriter = started(Codec::Vp8);
    rewriter.pause();
    rewriter.set_codec(Codec::Vp9);
    assert_eq!(rewriter.start(&packet(B, 7), None).unwrap().picture_id, 51);
    assert_eq!(rewriter.skip(&packet(B, 8)), None);
    let output = rewriter.forward(&packet(B, 9)).unwrap();
    assert_eq!((output.sequence, output.picture_id), (102, 53));
}

#[test]
fn a_viewer_track_is_small() {
    assert!(size_of::<Rewriter>() <= 4_096, "{}", size_of::<Rewriter>());
}
