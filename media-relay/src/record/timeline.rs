//! When a frame is to be shown: its timestamp, on one line of time for all tracks of a recording.
//!
//! At first a track lies where its first frame came. As soon as the publisher's reports say how its clocks lie against each
//! other, tracks move to where they belong, too slowly to be noticed.

use std::collections::HashMap;

use turnpike_rtp::{ClockMapping, NtpTime};

/// Reports that would move a track farther are not believed.
const SHIFT_US_MAX: i64 = 2_000_000;
/// A track moves by one in so many: 5 %.
const SLEW_PARTS: i64 = 20;
/// A timestamp that is so far from when it came begins anew.
const JUMP_US: i64 = 5_000_000;
/// Publishers whose clocks are known. One more has no reports.
const ANCHORS_MAX: usize = 64;

/// One instant of a publisher's wall clock, on our line.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    ntp: NtpTime,
    us: i64,
}

/// What tracks of one publisher have in common.
#[derive(Debug, Default)]
pub(super) struct Anchors {
    of: HashMap<usize, Anchor>,
}

impl Anchors {
    /// Where that instant of a publisher's clock lies. The first that is asked for makes it so.
    fn place(&mut self, publisher: usize, ntp: NtpTime, us: i64) -> Option<i64> {
        if self.of.len() >= ANCHORS_MAX && !self.of.contains_key(&publisher) {
            return None;
        }
        let anchor = self.of.entry(publisher).or_insert(Anchor { ntp, us });
        let since = (i128::from(ntp.since(anchor.ntp)) * 1_000_000 + (1 << 31)) >> 32;
        let placed = anchor.us + since as i64;
        // A publisher with another clock, as after a reload on another machine.
        if (placed - us).abs() > SHIFT_US_MAX {
            *anchor = Anchor { ntp, us };
            return None;
        }
        Some(placed)
    }
}

/// Where the frames of one track lie.
#[derive(Debug)]
pub(super) struct Timeline {
    clock_hz: u32,
    /// None before the first.
    line: Option<Line>,
    /// What was given last: times do not go back.
    given_us: i64,
}

#[derive(Debug, Clone, Copy)]
struct Line {
    /// The latest timestamp.
    latest: u32,
    /// Counted on from the first through all wraps.
    ticks: i64,
    /// Where tick nought lies.
    base_us: i64,
}

impl Timeline {
    pub(super) fn new(clock_hz: u32) -> Self {
        Self { clock_hz: clock_hz.max(1), line: None, given_us: 0 }
    }

    /// Timestamps are of another source from now on.
    pub(super) fn restart(&mut self) {
        self.line = None;
    }

    /// In milliseconds. `came_us` is when it came, and `clock` what its publisher reported of this source.
    pub(super) fn place(
        &mut self,
        timestamp: u32,
        came_us: i64,
        clock: Option<ClockMapping>,
        publisher: usize,
        anchors: &mut Anchors,
    ) -> u64 {
        let hz = i64::from(self.clock_hz);
        let us_of = |ticks: i64| (ticks * 1_000_000 + hz / 2) / hz;
        let went_on = self.line.map(|line| {
            let step = i64::from(timestamp.wrapping_sub(line.latest).cast_signed());
            (Line { latest: timestamp, ticks: line.ticks + step, ..line }, us_of(step.abs()) / SLEW_PARTS)
        });
        let went_on =
            went_on.filter(|(line, _)| (line.base_us + us_of(line.ticks) - came_us).abs() <= JUMP_US);
        let anew = Line { latest: timestamp, ticks: 0, base_us: came_us };
        let (mut line, shift_max) = went_on.unwrap_or((anew, SHIFT_US_MAX));
        let us = line.base_us + us_of(line.ticks);
        if let Some(placed) =
            clock.and_then(|clock| anchors.place(publisher, clock.ntp_at(timestamp, self.clock_hz), us))
        {
            line.base_us += (placed - us).clamp(-shift_max, shift_max);
        }
        let us = line.base_us + us_of(line.ticks);
        self.line = Some(line);
        self.given_us = self.given_us.max(us);
        ((self.given_us + 500) / 1_000) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn clock(ntp_ms: u64, rtp: u32) -> ClockMapping {
        ClockMapping { ntp: NtpTime(1 << 40).plus(Duration::from_millis(ntp_ms)), rtp }
    }

    #[test]
    fn sound_and_picture_come_together() {
        let mut anchors = Anchors::default();
        let (mut sound, mut picture) = (Timeline::new(48_000), Timeline::new(90_000));
        // Both begin at the same moment; the pictures come 120 ms later, and their timestamps wrap.
        let (sound_at, picture_at) = (7_u32, u32::MAX - 90_000);
        let clocks = |ms: u64| ms >= 1_000;
        let mut apart = Vec::new();
        let mut sounds = HashMap::new();
        for ms in (0..20_000_u64).step_by(20) {
            let reported = clocks(ms).then(|| clock(500, sound_at + 24_000));
            let timestamp = sound_at.wrapping_add(ms as u32 * 48);
            let came = (ms.cast_signed() + 30) * 1_000;
            sounds.insert(ms, sound.place(timestamp, came, reported, 1, &mut anchors));
            let reported = clocks(ms).then(|| clock(800, picture_at.wrapping_add(72_000)));
            let timestamp = picture_at.wrapping_add(ms as u32 * 90);
            let placed = picture.place(timestamp, came + 120_000, reported, 1, &mut anchors);
            apart.push(placed.abs_diff(sounds[&ms]));
        }
        assert_eq!(apart[0], 120, "as they came");
        assert!(apart.windows(2).all(|pair| pair[1] <= pair[0] + 1), "never farther apart");
        assert!(apart[4_000 / 20..].iter().all(|ms| *ms <= 1), "together within three seconds of a report");
    }

    #[test]
    fn with_reports_from_the_start_they_are_right_at_once() {
        let mut anchors = Anchors::default();
        let (mut sound, mut picture) = (Timeline::new(48_000), Timeline::new(90_000));
        let first = sound.place(48_000, 1_000_000, Some(clock(0, 0)), 1, &mut anchors);
        let second = picture.place(90_000, 1_080_000, Some(clock(0, 0)), 1, &mut anchors);
        assert_eq!((first, second), (1_000, 1_000));
    }

    #[test]
    fn nothing_goes_back_or_far_off() {
        let (mut anchors, mut line) = (Anchors::default(), Timeline::new(90_000));
        let mut at =
            |timestamp, came_ms: i64, clock| line.place(timestamp, came_ms * 1_000, clock, 1, &mut anchors);
        assert_eq!(at(1_000, 10, None), 10);
        assert_eq!(at(1_000 + 9_000, 120, None), 110);
        assert_eq!(at(1_000 + 4_500, 125, None), 110, "it does not go back");
        assert_eq!(at(3_000_000_000, 20_000, None), 20_000, "another source");
        // A report that cannot be.
        assert_eq!(at(3_000_009_000, 20_100, Some(clock(0, 0))), 20_100);
    }
}
