//! Who is heard loudest. Publishers write into each packet how loud it is (RFC 6464); no sound is decoded.
//!
//! A name that changes with every cough is of no use to anybody: loudness is smoothed, whoever speaks keeps the floor through
//! the pauses between words, and another takes it only by being clearly louder for a while.

use std::time::{Duration, Instant};

/// Quieter than this is the room, not a voice.
const ROOM_BELOW_FULL_DB: u8 = 55;
/// Above it, smoothed: somebody speaks.
const HEARD_DB: f32 = 4.0;
/// By so much another must be louder than who has the floor, and for so long.
const LOUDER_DB: f32 = 4.0;
const LOUDER_FOR: Duration = Duration::from_millis(900);
/// A pause that is longer gives the floor up.
const PAUSE_MAX: Duration = Duration::from_millis(1_900);
/// A word is heard soon, and fades slowly.
const RISE_SECONDS: f32 = 0.15;
const FALL_SECONDS: f32 = 0.6;
/// One packet counts for no more time, whatever was missing before it.
const PACKET_SECONDS_MAX: f32 = 0.1;

/// How loud a source is.
#[derive(Debug, Default)]
pub(crate) struct Voice {
    /// Decibels above the room, smoothed.
    loudness: f32,
    latest: Option<Instant>,
}

/// Who has the floor among the sources of a stream.
#[derive(Debug)]
pub(crate) struct Speaker<K> {
    floor: Option<K>,
    heard: Option<Instant>,
    rival: Option<(K, Instant)>,
}

impl Voice {
    /// A packet has come that is so many decibels below the loudest.
    pub(crate) fn heard(&mut self, now: Instant, below_full_db: u8) {
        let above = f32::from(ROOM_BELOW_FULL_DB.saturating_sub(below_full_db));
        let seconds = self.latest.map_or(PACKET_SECONDS_MAX, |latest| {
            now.saturating_duration_since(latest).as_secs_f32().min(PACKET_SECONDS_MAX)
        });
        self.loudness = self.loudness(now);
        let constant = if above > self.loudness { RISE_SECONDS } else { FALL_SECONDS };
        self.loudness += (above - self.loudness) * (1.0 - (-seconds / constant).exp());
        self.latest = Some(now);
    }

    /// Decibels above the room. What nothing is heard of any more fades.
    pub(crate) fn loudness(&self, now: Instant) -> f32 {
        let Some(latest) = self.latest else { return 0.0 };
        let missing = now.saturating_duration_since(latest).as_secs_f32() - PACKET_SECONDS_MAX;
        self.loudness * (-missing.max(0.0) / FALL_SECONDS).exp()
    }
}

impl<K> Default for Speaker<K> {
    fn default() -> Self {
        Self { floor: None, heard: None, rival: None }
    }
}

impl<K: Copy + PartialEq> Speaker<K> {
    pub(crate) fn now(&self) -> Option<K> {
        self.floor
    }

    /// Looks at all sources that there are, and how loud they are. True if another speaks than before, or nobody.
    pub(crate) fn look(&mut self, now: Instant, voices: impl Iterator<Item = (K, f32)>) -> bool {
        let (mut own, mut best) = (None, None::<(K, f32)>);
        for (key, loudness) in voices {
            if self.floor == Some(key) {
                own = Some(loudness);
            }
            if loudness >= HEARD_DB && best.is_none_or(|(_, most)| loudness > most) {
                best = Some((key, loudness));
            }
        }
        let before = self.floor;
        let Some(own) = own else {
            // Nobody has it, or whoever had it is gone.
            self.take(now, best.map(|(key, _)| key));
            return self.floor != before;
        };
        if own >= HEARD_DB {
            self.heard = Some(now);
        }
        let is_pausing = self.heard.is_none_or(|heard| now.saturating_duration_since(heard) > PAUSE_MAX);
        match best.filter(|(key, loudness)| Some(*key) != before && *loudness > own + LOUDER_DB) {
            None if is_pausing => self.take(now, None),
            None => self.rival = None,
            Some((rival, _)) => {
                let since = self.rival.filter(|(known, _)| *known == rival).map_or(now, |(_, since)| since);
                self.rival = Some((rival, since));
                if is_pausing || now.saturating_duration_since(since) >= LOUDER_FOR {
                    self.take(now, Some(rival));
                }
            }
        }
        self.floor != before
    }

    fn take(&mut self, now: Instant, floor: Option<K>) {
        *self = Self { floor, heard: floor.map(|_| now), rival: None };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK_MS: u64 = 500;

    /// Plays levels of two sources, a packet each 20 ms, and looks twice a second. Gives what was told, and when.
    fn play(seconds: u64, level: impl Fn(u64, usize) -> Option<u8>) -> Vec<(u64, Option<usize>)> {
        let (start, mut voices, mut speaker) =
            (Instant::now(), [Voice::default(), Voice::default()], Speaker::default());
        let mut told = Vec::new();
        for ms in (0..seconds * 1_000).step_by(20) {
            let now = start + Duration::from_millis(ms);
            for (index, voice) in voices.iter_mut().enumerate() {
                if let Some(level) = level(ms, index) {
                    voice.heard(now, level);
                }
            }
            if ms % LOOK_MS == 0 {
                let all = voices.iter().enumerate().map(|(index, voice)| (index, voice.loudness(now)));
                if speaker.look(now, all) {
                    told.push((ms, speaker.now()));
                }
            }
        }
        told
    }

    #[test]
    fn silence_is_nobody() {
        assert_eq!(play(10, |_, _| Some(127)), []);
        assert_eq!(play(10, |_, index| Some(70 - index as u8)), [], "a room that hums");
        assert_eq!(play(10, |_, _| None), []);
    }

    #[test]
    fn somebody_speaks_with_pauses_and_then_no_more() {
        // Words of 300 ms with as much between them, for six seconds.
        let told =
            play(12, |ms, index| Some(if index == 0 && ms < 6_000 && ms / 300 % 2 == 0 { 25 } else { 90 }));
        assert_eq!(told.iter().map(|(_, who)| *who).collect::<Vec<_>>(), [Some(0), None], "{told:?}");
        assert!(told[0].0 <= 500 && (7_500..=10_000).contains(&told[1].0), "{told:?}");
    }

    #[test]
    fn the_floor_goes_over_once() {
        let told = play(12, |ms, index| {
            let speaks = usize::from(ms >= 5_000);
            Some(if index == speaks { 30 } else { 80 })
        });
        assert_eq!(told.iter().map(|(_, who)| *who).collect::<Vec<_>>(), [Some(0), Some(1)], "{told:?}");
        assert!((5_500..=7_500).contains(&told[1].0), "{told:?}");
    }

    #[test]
    fn a_cough_takes_nothing_and_two_as_loud_as_each_other_do_not_flicker() {
        let cough =
            |ms, index| Some(if index == 1 { if (3_000..3_300).contains(&ms) { 5 } else { 90 } } else { 30 });
        assert_eq!(play(10, cough).len(), 1);
        let both = |ms: u64, index: usize| Some(28 + ((ms / 20 * 7 + index as u64 * 11) % 9) as u8);
        assert_eq!(play(20, both).len(), 1);
        // By turns, a word each: nobody could follow.
        let turns = play(20, |ms, index| Some(if ms / 400 % 2 == index as u64 { 25 } else { 90 }));
        assert!(turns.len() <= 5, "{turns:?}");
    }

    #[test]
    fn who_stops_sending_is_not_heard() {
        let told = play(8, |ms, index| (index == 0 && ms < 2_000).then_some(20));
        assert_eq!(told.iter().map(|(_, who)| *who).collect::<Vec<_>>(), [Some(0), None], "{told:?}");
        assert!(told[1].0 < 7_000, "{told:?}");
    }

    #[test]
    fn who_is_gone_has_no_floor() {
        let (now, mut speaker) = (Instant::now(), Speaker::default());
        assert!(speaker.look(now, [(1, 20.0), (2, 10.0)].into_iter()));
        assert_eq!(speaker.now(), Some(1));
        assert!(speaker.look(now, [(2, 10.0)].into_iter()));
        assert_eq!(speaker.now(), Some(2));
        assert!(speaker.look(now, std::iter::empty()));
        assert_eq!(speaker.now(), None);
    }
}
