use turnpike_rtp::{ClockMapping, Codec, NtpTime};

use super::super::ebml::reading::{elements, find};
use super::super::frames::Piece;
use super::*;

#[derive(Default)]
struct Files(Vec<(&'static str, Vec<u8>)>);

impl Sink for Files {
    fn begin(&mut self, extension: &'static str, head: &[u8]) {
        self.0.push((extension, head.to_vec()));
    }

    fn append(&mut self, bytes: &[u8]) {
        self.0.last_mut().expect("a file was begun").1.extend_from_slice(bytes);
    }

    fn patch(&mut self, at: u64, bytes: &[u8]) {
        let file = &mut self.0.last_mut().expect("a file was begun").1;
        file[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
    }
}

/// Of each block: track, milliseconds, whether it is a keyframe.
fn blocks(file: &[u8]) -> Vec<(u8, i64, bool)> {
    let segment = find(file, &[0x1853_8067]).unwrap();
    let mut blocks = Vec::new();
    for cluster in elements(segment.body).into_iter().filter(|element| element.id == 0x1f43_b675) {
        let begins = find(cluster.body, &[0xe7]).unwrap().number().cast_signed();
        for block in elements(cluster.body).into_iter().filter(|element| element.id == 0xa3) {
            let after = i16::from_be_bytes([block.body[1], block.body[2]]);
            blocks.push((block.body[0] & 0x7f, begins + i64::from(after), block.body[3] & 0x80 != 0));
        }
    }
    blocks
}

fn duration_of(file: &[u8]) -> f64 {
    find(file, &[0x1853_8067, 0x1549_a966, 0x4489]).unwrap().real()
}

const SOUND: usize = 3;
const PICTURE: usize = 4;

/// A publisher of one microphone and one camera.
struct Studio {
    start: Instant,
    take: Take<Files>,
    picture_seq: u64,
    tracks: usize,
}

impl Studio {
    fn new(file_bytes_max: u64) -> Self {
        let take = Take::new(Files::default(), file_bytes_max);
        Self { start: Instant::now(), take, picture_seq: 100, tracks: 2 }
    }

    fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    fn sound(&mut self, ms: u64) {
        let piece = Piece {
            codec: Codec::Opus,
            timestamp: (ms * 48) as u32,
            marker: false,
            payload: vec![0xfc, 1, 2, 3],
        };
        let fed = self.fed(SOUND, 48_000, ms / 20, ms, piece);
        let now = self.at(ms);
        assert!(self.take.packet(now, fed));
        self.take.tick(now);
    }

    /// A picture of three packets; those that are named in `lost` do not come.
    fn picture(&mut self, ms: u64, is_keyframe: bool, lost: &[u64]) {
        for part in 0..3 {
            self.picture_seq += 1;
            let mut payload = vec![if part == 0 { 0x10 } else { 0 }];
            payload.extend_from_slice(&match (part, is_keyframe) {
                (0, true) => vec![0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 2, 0x68, 1],
                (0, false) => vec![0x11, 0, 0],
                _ => vec![part as u8; 900],
            });
            if lost.contains(&part) {
                continue;
            }
            let piece = Piece { codec: Codec::Vp8, timestamp: (ms * 90) as u32, marker: part == 2, payload };
            let fed = self.fed(PICTURE, 90_000, self.picture_seq, ms, piece);
            let now = self.at(ms);
            self.take.packet(now, fed);
        }
    }

    fn fed(&self, track: usize, clock_hz: u32, seq: u64, ms: u64, piece: Piece) -> Fed {
        let clock = Some(ClockMapping { ntp: NtpTime(1 << 40), rtp: 0 });
        let arrived = self.at(ms);
        Fed { track, source: 1, publisher: 9, tracks: self.tracks, clock_hz, clock, seq, arrived, piece }
    }

    fn end(mut self, ms: u64) -> Vec<(&'static str, Vec<u8>)> {
        let now = self.at(ms);
        self.take.end(now);
        self.take.sink.0
    }
}

#[test]
fn a_stream_becomes_a_file_with_both_of_its_tracks() {
    let mut studio = Studio::new(u64::MAX);
    for ms in (0..10_000).step_by(20) {
        studio.sound(ms);
        if ms % 40 == 0 {
            studio.picture(ms, ms % 2_000 == 0, &[]);
        }
    }
    let files = studio.end(10_000);
    assert_eq!(files.len(), 1);
    let (extension, file) = &files[0];
    assert_eq!(*extension, "webm");
    let blocks = blocks(file);
    let of = |track| blocks.iter().filter(move |(of, ..)| *of == track).map(|(_, ms, _)| *ms);
    // The picture is the first track.
    assert_eq!(of(1).collect::<Vec<_>>(), (0..10_000).step_by(40).collect::<Vec<i64>>());
    assert_eq!(of(2).collect::<Vec<_>>(), (0..10_000).step_by(20).collect::<Vec<i64>>());
    assert_eq!(blocks.iter().filter(|(track, _, key)| *track == 1 && *key).count(), 5);
    assert!((duration_of(file) - 9_980.0).abs() < 1.0);
}

#[test]
fn at_any_moment_at_most_a_second_is_not_written() {
    let mut studio = Studio::new(u64::MAX);
    for ms in (0..5_000_u64).step_by(20) {
        studio.sound(ms);
        if ms % 40 == 0 {
            studio.picture(ms, ms == 0, &[]);
        }
        // What a process that is killed now leaves.
        if let Some((_, file)) = studio.take.sink.0.last()
            && ms > 1_000
        {
            let written = blocks(file).into_iter().map(|(_, ms, _)| ms).max().unwrap();
            assert!(ms.cast_signed() - written <= 600, "at {ms} only {written} is written");
            assert!((duration_of(file) - written as f64).abs() < 1.0);
        }
    }
}

#[test]
fn a_picture_with_a_hole_is_left_out_until_the_next_that_stands_alone() {
    let mut studio = Studio::new(u64::MAX);
    let mut wished = None;
    for ms in (0..4_000).step_by(20) {
        studio.sound(ms);
        if ms % 40 == 0 {
            studio.picture(ms, ms == 0 || ms == 2_000, if ms == 1_000 { &[1] } else { &[] });
        }
        if ms > 200 && wished.is_none() && studio.take.wishes().any(|track| track == PICTURE) {
            wished = Some(ms);
        }
    }
    let wished = wished.expect("a keyframe is asked for");
    assert!((1_000..=1_400).contains(&wished), "{wished}");
    let files = studio.end(4_000);
    let blocks = blocks(&files[0].1);
    let pictures: Vec<i64> = blocks.iter().filter(|(of, ..)| *of == 1).map(|(_, ms, _)| *ms).collect();
    let expected: Vec<i64> = (0..1_000).step_by(40).chain((2_000..4_000).step_by(40)).collect();
    assert_eq!(pictures, expected);
    assert_eq!(blocks.iter().filter(|(of, ..)| *of == 2).count(), 200, "sound goes on");
}

#[test]
fn a_file_that_is_full_is_followed_by_another_that_begins_with_a_keyframe() {
    let mut studio = Studio::new(200_000);
    let mut keyframe_due = true;
    let mut keyframes = 0;
    for ms in (0..20_000).step_by(20) {
        studio.sound(ms);
        if ms % 40 == 0 {
            keyframes += u64::from(keyframe_due);
            studio.picture(ms, std::mem::take(&mut keyframe_due), &[]);
            keyframe_due = studio.take.wishes().any(|track| track == PICTURE);
        }
    }
    let files = studio.end(20_000);
    assert!((4..=8).contains(&files.len()), "{} files", files.len());
    assert!(keyframes <= 2 * files.len() as u64, "{keyframes} keyframes were asked for");
    let mut pictures = 0;
    for (_, file) in &files {
        assert!(file.len() < 300_000, "{}", file.len());
        let blocks = blocks(file);
        let of_pictures: Vec<_> = blocks.iter().filter(|(of, ..)| *of == 1).collect();
        assert!(of_pictures[0].2, "it begins with a keyframe");
        assert!(of_pictures[0].1 < 100, "and at its beginning");
        pictures += of_pictures.len();
    }
    assert_eq!(pictures, 500, "nothing is lost between them");
}

#[test]
fn a_track_that_never_comes_is_not_waited_for() {
    let mut studio = Studio::new(u64::MAX);
    for ms in (0..3_000).step_by(20) {
        studio.sound(ms);
    }
    // A camera that is switched on later makes another file.
    for ms in (3_000..5_000).step_by(20) {
        studio.sound(ms);
        studio.picture(ms, ms == 3_000, &[]);
    }
    let files = studio.end(5_000);
    assert_eq!(files.len(), 2);
    assert_eq!(blocks(&files[0].1).len(), 151);
    let second = blocks(&files[1].1);
    assert_eq!(second.iter().filter(|(of, ..)| *of == 1).count(), 100);
    assert_eq!(second.iter().filter(|(of, ..)| *of == 2).count(), 99);
}

#[test]
fn another_source_begins_with_a_keyframe_of_its_own() {
    let mut studio = Studio::new(u64::MAX);
    studio.tracks = 1;
    studio.picture(0, true, &[]);
    studio.picture(40, false, &[]);
    let other = |seq, ms: u64, is_keyframe: bool, studio: &Studio| {
        let keyframe = || vec![0x10, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 2, 0x68, 1];
        let payload = if is_keyframe { keyframe() } else { vec![0x10, 0x11, 0, 0] };
        let piece =
            Piece { codec: Codec::Vp8, timestamp: 7_000_000 + (ms * 90) as u32, marker: true, payload };
        let clock = Some(ClockMapping { ntp: NtpTime(1 << 40), rtp: 7_000_000 });
        Fed { source: 2, clock, ..studio.fed(PICTURE, 90_000, seq, ms, piece) }
    };
    for (seq, ms, is_keyframe) in [(7, 80, false), (8, 120, true), (9, 160, false)] {
        let (now, fed) = (studio.at(ms), other(seq, ms, is_keyframe, &studio));
        studio.take.packet(now, fed);
    }
    let files = studio.end(200);
    let times: Vec<i64> = blocks(&files[0].1).into_iter().map(|(_, ms, _)| ms).collect();
    assert_eq!(times, [0, 40, 120, 160]);
}

const FRAME_MOST: usize = 8 * 1024 * 1024;
const CODECS: [Codec; 6] = [Codec::Opus, Codec::Red, Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1];

#[test]
fn whatever_comes_nothing_panics_or_grows() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x51ee_d007_u64);
    println!("SEED={seed}");
    let mut state = seed;
    let mut draw = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut studio = Studio::new(100_000);
    for step in 0..60_000_u64 {
        let track = draw(8) as usize;
        let mut payload: Vec<u8> = (0..draw(60)).map(|_| draw(256) as u8).collect();
        // Something that looks like a beginning, so that what is behind is reached.
        if draw(3) == 0 && payload.len() > 12 {
            match track % 6 {
                2 => payload[..11].copy_from_slice(&[0x10, 0x10, 0, 0, 0x9d, 1, 0x2a, 0x80, 2, 0x68, 1]),
                3 => payload[..5].copy_from_slice(&[0x0c, 0x82, 0x49, 0x83, 0x42]),
                4 => payload[..2].copy_from_slice(&[0x67, 0x64]),
                5 => payload[..2].copy_from_slice(&[0x18, 0x0a]),
                _ => {}
            }
        }
        let piece = Piece {
            codec: CODECS[track % 6],
            timestamp: draw(1 << 20) as u32,
            marker: draw(2) == 0,
            payload,
        };
        let mut fed = studio.fed(track, 90_000, step / 2 + draw(40), step, piece);
        fed.source = 1 + u32::from(draw(500) == 0);
        let now = studio.at(step);
        studio.take.packet(now, fed);
        studio.take.tick(now);
        assert!(studio.take.pending_bytes <= PENDING_BYTES_MAX + FRAME_MOST);
        studio.take.sink.0.clear();
        studio.take.sink.0.push(("webm", vec![0; 4_096]));
    }
}
