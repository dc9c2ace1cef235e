//! Who watches: keeps what it gets, asks again for what is missing, and judges it all.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use turnpike_rtp::Packet;
use turnpike_rtp::rtcp::{NackEntry, TwccBuilder, Writer};

use super::description::{RTX, TWCC, VP8, VP9};
use super::publisher::Mark;

const ASK_AFTER: Duration = Duration::from_millis(20);
const ASKS_MAX: u8 = 10;

/// A packet of the picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Got {
    pub(super) at: Instant,
    pub(super) timestamp: u32,
    pub(super) picture: u16,
    /// None: padding in place of what it is not to get.
    pub(super) mark: Option<Mark>,
    pub(super) repaired: bool,
    pub(super) payload_type: u8,
}

#[derive(Default)]
pub(super) struct Viewer {
    pub(super) video: (u32, u32),
    pub(super) audio: u32,
    /// By number, counted on.
    pub(super) got: BTreeMap<u64, Got>,
    newest: Option<u64>,
    missing: BTreeMap<u64, (u8, Instant)>,
    pub(super) repeated: u64,
    pub(super) repairs: u64,
    /// Repairs of what had been repaired.
    pub(super) repaired_twice: u64,
    pub(super) asks: bool,
    /// It asks again before an answer can have come.
    pub(super) is_impatient: bool,
    pub(super) voices: BTreeMap<u64, Instant>,
    voice_newest: Option<u64>,
    feedback: TwccBuilder,
    feedback_at: Option<Instant>,
    feedback_number: u8,
    /// What the network took of its path, by number.
    pub(super) lost: HashSet<u16>,
}

fn count_on(newest: &mut Option<u64>, sequence: u16) -> u64 {
    let known = newest.get_or_insert(u64::from(sequence) + (1 << 16));
    let ahead = i64::from(sequence.wrapping_sub(*known as u16).cast_signed());
    let number = known.saturating_add_signed(ahead);
    *known = number.max(*known);
    number
}

impl Viewer {
    pub(super) fn new(video: Option<(u32, u32)>, audio: Option<u32>) -> Self {
        Self {
            video: video.unwrap_or_default(),
            audio: audio.unwrap_or_default(),
            asks: true,
            ..Self::default()
        }
    }

    pub(super) fn packet(&mut self, now: Instant, start: Instant, bytes: &[u8]) {
        let packet = Packet::parse(bytes).expect("what a relay sends is RTP");
        let header = packet.header;
        if let Some(number) = packet.extension(TWCC) {
            let number = u16::from_be_bytes(number.try_into().unwrap());
            let time = (now.saturating_duration_since(start).as_micros() / 250) as i64;
            if self.feedback.is_empty() {
                self.feedback.begin(number, time);
            }
            // What does not fit is not told.
            let _ = self.feedback.push(number, time);
        }
        if header.ssrc == self.audio {
            let number = count_on(&mut self.voice_newest, header.sequence);
            if self.voices.insert(number, now).is_some() {
                self.repeated += 1;
            }
            return;
        }
        let is_repair = header.ssrc == self.video.1;
        assert!(is_repair || header.ssrc == self.video.0, "another source: {:x}", header.ssrc);
        let expected = if is_repair { &[RTX][..] } else { &[VP8, VP9] };
        assert!(expected.contains(&header.payload_type), "payload type {}", header.payload_type);
        let (sequence, payload) = if is_repair {
            let Some((sequence, payload)) = turnpike_rtp::rtx::unwrap(packet.payload()) else { return };
            (sequence, payload)
        } else {
            (header.sequence, packet.payload())
        };
        let before = self.newest;
        let number = count_on(&mut self.newest, sequence);
        for missing in before.map_or(number, |before| before + 1)..number {
            self.missing.insert(missing, (0, now + ASK_AFTER));
        }
        self.missing.remove(&number);
        let picture = payload.get(2..4).map_or(0, |id| u16::from_be_bytes([id[0] & 0x7f, id[1]]));
        let mark = Mark::read(payload);
        let got = Got {
            at: now,
            timestamp: header.timestamp,
            picture,
            mark,
            repaired: is_repair,
            payload_type: header.payload_type,
        };
        if let Some(before) = self.got.get(&number) {
            assert_eq!(before.mark, mark, "two packets of one number");
            if !is_repair && !before.repaired {
                self.repeated += 1;
            }
            self.repaired_twice += u64::from(is_repair && before.repaired);
            return;
        }
        self.repairs += u64::from(is_repair);
        self.got.insert(number, got);
    }

    /// Compounds that are due.
    pub(super) fn tell(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        let mut buffer = [0; 1_200];
        if self.asks {
            let mut entries = Vec::new();
            for (number, (asks, next)) in &mut self.missing {
                if *asks < ASKS_MAX && now >= *next && entries.len() < 64 {
                    let wait = if self.is_impatient { 1 } else { 4 };
                    (*asks, *next) = (*asks + 1, now + wait * ASK_AFTER);
                    entries.push(NackEntry { first: *number as u16, behind: 0 });
                }
            }
            if !entries.is_empty() {
                let mut writer = Writer::new(&mut buffer);
                writer.nack(1, self.video.0, entries).unwrap();
                out.push(writer.written().to_vec());
            }
        }
        if !self.feedback.is_empty() && self.feedback_at.is_none_or(|at| now >= at) {
            self.feedback_at = Some(now + Duration::from_millis(100));
            let mut writer = Writer::new(&mut buffer);
            self.feedback.finish(&mut writer, 1, self.video.0, self.feedback_number).unwrap();
            self.feedback_number = self.feedback_number.wrapping_add(1);
            out.push(writer.written().to_vec());
        }
        out
    }

    /// Numbers that it never had, between the first and the newest, without those that its own path lost.
    pub(super) fn gaps(&self) -> Vec<u64> {
        let (Some(first), Some(last)) = (self.got.keys().next(), self.got.keys().next_back()) else {
            return Vec::new();
        };
        let is_gap = |number: &u64| !self.got.contains_key(number) && !self.lost.contains(&(*number as u16));
        (*first..=*last).filter(is_gap).collect()
    }

    /// What holds of every viewer at any time.
    pub(super) fn check(&self) {
        assert_eq!(self.repeated, 0, "packets came twice");
        let marked: Vec<_> =
            self.got.iter().filter_map(|(number, got)| Some((*number, *got, got.mark?))).collect();
        if let Some((_, _, first)) = marked.first() {
            assert!(first.keyframe && first.index == 0, "it begins with {first:?}");
        }
        for pair in marked.windows(2) {
            let [(before, was, old), (number, is, new)] = [pair[0], pair[1]];
            let step = is.timestamp.wrapping_sub(was.timestamp).cast_signed();
            let is_same = (old.publisher, old.layer, old.frame) == (new.publisher, new.layer, new.frame);
            assert!(if is_same { step == 0 } else { step > 0 }, "times: {before} {was:?}, {number} {is:?}");
            assert_eq!(is_same, was.picture == is.picture, "pictures: {was:?} {is:?}");
            if number == before + 1 && !is_same {
                let ahead = is.picture.wrapping_sub(was.picture) & 0x7fff;
                assert_eq!(ahead, 1, "pictures: {was:?} {is:?}");
                // Where another layer begins, the rest of the frame before may still have been under way; nobody needs it.
                let is_whole = old.index + 1 == old.count || (old.layer != new.layer && new.keyframe);
                assert!(is_whole && new.index == 0, "half a frame: {was:?} {is:?}");
            }
            if (old.publisher, old.layer) != (new.publisher, new.layer) && number == before + 1 {
                assert!(new.keyframe && new.index == 0, "a layer begins with {new:?}");
            }
        }
    }
}
