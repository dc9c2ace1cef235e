use super::*;

fn what(recorder: &Recorder) -> Vec<(u64, Happened, u32)> {
    recorder.entries().iter().map(|entry| (entry.at_ms, entry.what, entry.number)).collect()
}

#[test]
fn it_takes_no_more_than_it_may() {
    assert!(size_of::<Recorder>() <= FLIGHT_BYTES_MAX, "{} bytes", size_of::<Recorder>());
    assert_eq!(size_of::<Option<Box<Recorder>>>(), 8, "a connection to which nothing has happened");
}

#[test]
fn both_rings_make_one_story() {
    let mut recorder = Recorder::default();
    recorder.note(3, 7, Some(9), 1_000);
    recorder.asked(12, 1_500);
    recorder.answered(1_504);
    recorder.delivered(41, 1_510);
    recorder.refused(106, 2_000);
    recorder.delivered(42, 2_500);
    recorder.delivered(43, 2_600);
    let asked = Happened::Asked { code: 12, answered_after_ms: Some(4) };
    assert_eq!(
        what(&recorder),
        [
            (1_000, Happened::Noted(3), 7),
            (1_500, asked, 0x050C),
            (1_510, Happened::Delivered, 41),
            (2_000, Happened::Refused, 106),
            (2_600, Happened::DeliveredThrough, 43),
        ],
        "a run of deliveries is its first and its last"
    );
    assert_eq!(recorder.entries()[0].more, Some(9));
    assert_eq!((recorder.delivered_count(), recorder.asked_count()), (3, 1));
}

#[test]
fn traffic_does_not_wipe_out_what_is_rare() {
    let mut recorder = Recorder::default();
    recorder.note(1, 5, None, 10);
    for turn in 0..10_000 {
        recorder.asked(1, 100 + turn);
        recorder.delivered(turn as u32, 100 + turn);
    }
    let entries = recorder.entries();
    assert_eq!((entries[0].what, entries[0].at_ms), (Happened::Noted(1), 10));
    assert_eq!(entries.len(), 1 + BUSY_ENTRIES);
}

#[test]
fn what_happens_again_and_again_takes_one_place() {
    let mut recorder = Recorder::default();
    recorder.note(1, 1, None, 0);
    for time in 1..1_000 {
        recorder.refused(108, time * 10);
    }
    for time in 1_000..2_000 {
        recorder.note(2, 77, Some(106), time * 10);
    }
    for time in 2_000..3_000 {
        recorder.dropped(time * 10);
    }
    let (refused, dropped) = (Happened::Refused, Happened::Dropped);
    assert_eq!(
        what(&recorder),
        [
            (0, Happened::Noted(1), 1),
            (9_990, refused, 108),
            (10_000, Happened::Noted(2), 77),
            (29_990, dropped, 1_000)
        ]
    );
}

/// What was overwritten in part must not be taken for something else.
#[test]
fn a_second_number_without_its_first_says_nothing() {
    let mut recorder = Recorder::default();
    for number in 0..20 {
        recorder.note(1, number, Some(number), u64::from(number));
        recorder.behind(number as usize, u64::from(number));
    }
    for entry in recorder.entries() {
        match entry.what {
            Happened::Noted(1) => assert_eq!(entry.more, Some(entry.number)),
            Happened::Behind => assert_eq!(entry.more, None),
            other => panic!("{other:?} was never written"),
        }
    }
}

#[test]
fn long_silences_are_kept_to_the_second_and_the_newest_to_the_millisecond() {
    const WEEK_MS: u64 = 7 * 24 * 3_600 * 1_000;
    let mut recorder = Recorder::default();
    recorder.refused(1, 123);
    recorder.refused(2, WEEK_MS + 4_567);
    recorder.refused(3, WEEK_MS + 4_600);
    let at: Vec<u64> = recorder.entries().iter().map(|entry| entry.at_ms).collect();
    assert_eq!(at[1..], [WEEK_MS + 4_567, WEEK_MS + 4_600]);
    assert!(at[0].abs_diff(123) < 1_000, "{}", at[0]);
}

#[test]
fn a_clock_that_is_a_little_behind_does_no_harm() {
    let mut recorder = Recorder::default();
    recorder.asked(1, 1_000);
    recorder.delivered(5, 990);
    recorder.delivered(6, 980);
    recorder.delivered(7, 970);
    let at: Vec<u64> = recorder.entries().iter().map(|entry| entry.at_ms).collect();
    assert_eq!(at, [1_000, 1_000, 1_000]);
}

/// Answers come in the order in which was asked, mostly; which answer is whose is not written down.
#[test]
fn an_answer_is_that_of_the_oldest_who_waits() {
    let mut recorder = Recorder::default();
    recorder.answered(0);
    recorder.asked(1, 100);
    recorder.asked(2, 200);
    recorder.answered(70_000_000);
    recorder.answered(70_000_000);
    recorder.answered(70_000_001);
    let of = |index: usize| recorder.entries()[index].what;
    let late = Some(u16::MAX - 1);
    assert_eq!(of(0), Happened::Asked { code: 1, answered_after_ms: late });
    assert_eq!(of(1), Happened::Asked { code: 2, answered_after_ms: late });
}

/// Whatever is written in whatever order: nothing panics, and what is read is in order and no newer than the newest.
#[test]
fn any_story_can_be_read() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x00F1_1687_u64);
    println!("SEED={seed}");
    let mut state = seed;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for _ in 0..200 {
        let (mut recorder, mut now) = (Recorder::default(), random(1_000_000));
        for _ in 0..random(200) {
            now += [0, 1, 50, 10_000, 9_000_000, 100_000_000_000][random(6) as usize];
            let number = random(5) as u32;
            match random(9) {
                0 => recorder.delivered(number, now),
                1 => recorder.asked(number as u8, now),
                2 => recorder.answered(now),
                3 => recorder.refused(number, now),
                4 => recorder.behind(usize::MAX, now),
                5 => recorder.note(number as u8, number, Some(number), now),
                6 => recorder.note(127, number, None, now),
                7 => recorder.dropped(now),
                _ => recorder.blocked(number as usize, now),
            }
        }
        let entries = recorder.entries();
        assert!(entries.len() <= RARE_ENTRIES + BUSY_ENTRIES);
        assert!(entries.is_sorted_by_key(|entry| entry.at_ms));
        assert!(entries.iter().all(|entry| entry.at_ms <= now));
    }
}

/// `cargo test -p turnpike-engine --release --lib -- --ignored --nocapture costs_of_the_recorder`
#[test]
#[ignore = "prints figures"]
fn costs_of_the_recorder() {
    const TURNS: u32 = 50_000_000;
    let mut recorder = Box::new(Recorder::default());
    let begun = std::time::Instant::now();
    for turn in 0..TURNS {
        std::hint::black_box(&mut recorder).delivered(turn, u64::from(turn >> 10));
    }
    let delivered = begun.elapsed();
    let begun = std::time::Instant::now();
    for turn in 0..TURNS / 10 {
        let recorder = std::hint::black_box(&mut recorder);
        recorder.asked(3, u64::from(turn >> 10));
        recorder.answered(u64::from(turn >> 10));
    }
    let asked = begun.elapsed();
    let nanos = |total: std::time::Duration, count: u32| total.as_nanos() as f64 / f64::from(count);
    println!(
        "delivered {:.2} ns; asked and answered {:.2} ns",
        nanos(delivered, TURNS),
        nanos(asked, TURNS / 10)
    );
}
