//! What arrives of one published layer, from its publisher or through a pipe: its numbers counted on, what is missing and
//! when to ask for it again, and what the publisher is told in reports.
//!
//! It sees numbers and times, no payload.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A packet that comes a little late has only been overtaken.
const REORDERING: Duration = Duration::from_millis(5);
/// How long somebody who watches can wait for a packet.
const WORTH_ASKING: Duration = Duration::from_secs(1);
const ASKS_MAX: u8 = 6;
/// Of a longer gap nothing is asked for: a keyframe costs less.
const MISSING_MAX: usize = 512;
/// Between relays a gap may be as long as the way was broken: the whole window of the other end's cache.
const MISSING_OF_PIPE_MAX: usize = 2_048;
/// A jump of more is a publisher that began anew (RFC 3550 A.1).
const JUMP_MAX: u64 = 3_000;
/// A packet that is older than this is a publisher that began anew, if a second one like it follows.
const MISORDER_MAX: u64 = 1_000;
/// How long a repair takes, before one came; and the least that is believed.
const REPAIR_TIME_FIRST: Duration = Duration::from_millis(100);
const REPAIR_TIME_MIN: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(crate) struct Receiver {
    clock_rate: u32,
    /// Whether anybody asks for what is missing.
    asks: bool,
    /// It comes through a pipe, where what is sent again comes among the rest.
    is_piped: bool,
    /// The next packet that is not sent again may be any distance ahead.
    leaps: bool,
    numbers: Option<Numbers>,
    missing: VecDeque<Missing>,
    report: Reporting,
    /// From asking to the repair, smoothed.
    repair_time: Option<Duration>,
    /// Of packets that were asked for, how many came.
    pub(crate) recovered: u64,
    pub(crate) lost: u64,
    /// What had not come at the last report, of what was due since the one before.
    pub(crate) lost_lately: u64,
}

#[derive(Debug)]
struct Numbers {
    first: u64,
    highest: u64,
    /// What the next packet of a restarted publisher would be.
    restarted_at: Option<u16>,
}

#[derive(Debug)]
struct Missing {
    seq: u64,
    asks: u8,
    noticed: Instant,
    asked: Instant,
    next_ask: Instant,
}

#[derive(Debug, Default)]
struct Reporting {
    received: u64,
    received_before: u64,
    expected_before: u64,
    jitter: f64,
    transit: Option<f64>,
    begun: Option<Instant>,
    sender_report: Option<(u32, Instant)>,
}

/// What a number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placed {
    /// The newest so far.
    Newest(u64),
    /// It fills a gap, or came twice.
    Late(u64),
    /// The publisher's numbers begin anew with this one.
    Restarted(u64),
    /// Too far from everything to be believed yet.
    Doubtful,
}

/// What a receiver report says of this layer (RFC 3550 6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) fraction_lost: u8,
    pub(crate) lost: i32,
    pub(crate) highest: u32,
    pub(crate) jitter: u32,
    pub(crate) heard: u32,
    /// In 1/65,536 s.
    pub(crate) delay: u32,
}

impl Receiver {
    pub(crate) fn new(clock_rate: u32, asks: bool) -> Self {
        Self {
            clock_rate: clock_rate.max(1),
            asks,
            is_piped: false,
            leaps: false,
            numbers: None,
            missing: VecDeque::new(),
            report: Reporting::default(),
            repair_time: None,
            recovered: 0,
            lost: 0,
            lost_lately: 0,
        }
    }

    pub(crate) fn of_pipe(clock_rate: u32, asks: bool) -> Self {
        Self { is_piped: true, ..Self::new(clock_rate, asks) }
    }

    /// What comes next follows upon a pause, of which nothing is missed.
    pub(crate) fn leap(&mut self) {
        self.leaps = self.numbers.is_some();
        self.missing.clear();
    }

    /// Whether what is sent again is all that there is for the moment.
    pub(crate) fn leaps(&self) -> bool {
        self.leaps
    }

    /// A packet, in its first sending or in a later one.
    pub(crate) fn packet(&mut self, now: Instant, seq: u16, timestamp: u32, is_repair: bool) -> Placed {
        let placed = self.place(now, seq, is_repair);
        // Repairs come in a stream of their own, of which nothing is reported here.
        if !matches!(placed, Placed::Doubtful) && !is_repair {
            self.report.received += 1;
            self.report.arrived(now, timestamp, self.clock_rate);
        }
        placed
    }

    /// A sender report came, with these middle 32 bits of its NTP time.
    pub(crate) fn sender_report(&mut self, now: Instant, ntp_middle: u32) {
        self.report.sender_report = Some((ntp_middle, now));
    }

    /// Puts the numbers that are to be asked for now behind those in the list. True if so much is missing that only a
    /// keyframe helps.
    pub(crate) fn nacks(&mut self, now: Instant, list: &mut Vec<u16>) -> bool {
        let repair_time = self.repair_time.unwrap_or(REPAIR_TIME_FIRST).max(REPAIR_TIME_MIN);
        let again = repair_time + repair_time / 2;
        let mut is_given_up = false;
        let mut lost = 0;
        self.missing.retain_mut(|missing| {
            if missing.asks >= ASKS_MAX && now >= missing.next_ask
                || now.saturating_duration_since(missing.noticed) > WORTH_ASKING
            {
                is_given_up = true;
                lost += 1;
                return false;
            }
            if now >= missing.next_ask {
                missing.asks += 1;
                missing.asked = now;
                // Each time a little later: a path that loses much is not helped by asking more.
                missing.next_ask = now + again * u32::from(missing.asks);
                list.push(missing.seq as u16);
            }
            true
        });
        self.lost += lost;
        is_given_up
    }

    /// When something is to be asked for.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.missing.iter().map(|missing| missing.next_ask).min()
    }

    pub(crate) fn report(&mut self, now: Instant) -> Option<Report> {
        let numbers = self.numbers.as_ref()?;
        let expected = numbers.highest - numbers.first + 1;
        let report = &mut self.report;
        let (expected_lately, received_lately) =
            (expected.saturating_sub(report.expected_before), report.received - report.received_before);
        (report.expected_before, report.received_before) = (expected, report.received);
        let lost_lately = expected_lately.saturating_sub(received_lately);
        self.lost_lately = lost_lately;
        let fraction = (lost_lately * 256).checked_div(expected_lately).unwrap_or(0).min(255);
        let lost = expected.cast_signed() - report.received.cast_signed();
        let delay = |(_, came): (u32, Instant)| {
            let delay = now.saturating_duration_since(came).as_secs_f64() * 65_536.0;
            delay.min(f64::from(u32::MAX)) as u32
        };
        Some(Report {
            fraction_lost: fraction as u8,
            lost: lost.clamp(-(1 << 23), (1 << 23) - 1) as i32,
            highest: numbers.highest as u32,
            jitter: report.jitter as u32,
            heard: report.sender_report.map_or(0, |(ntp, _)| ntp),
            delay: report.sender_report.map_or(0, delay),
        })
    }

    fn place(&mut self, now: Instant, seq: u16, is_repair: bool) -> Placed {
        let Some(numbers) = &mut self.numbers else {
            if is_repair && !self.is_piped {
                return Placed::Doubtful;
            }
            self.leaps = is_repair;
            // Room below the first, so that one that was overtaken by it has a number as well.
            let first = u64::from(seq) + (1 << 16);
            self.numbers = Some(Numbers { first, highest: first, restarted_at: None });
            return Placed::Newest(first);
        };
        let ahead = i64::from(seq.wrapping_sub(numbers.highest as u16).cast_signed());
        if self.leaps && !is_repair {
            self.leaps = false;
            // It is newer than all before, however it looks in 16 bits.
            let ahead = match seq.wrapping_sub(numbers.highest as u16) {
                0 => 1 << 16,
                ahead => u64::from(ahead),
            };
            numbers.highest += ahead;
            numbers.restarted_at = None;
            self.missing.clear();
            return Placed::Newest(numbers.highest);
        }
        let number = numbers.highest.saturating_add_signed(ahead);
        if ahead > 0 && number - numbers.highest <= JUMP_MAX && (!is_repair || self.is_piped) {
            numbers.restarted_at = None;
            let gap = numbers.highest + 1..number;
            numbers.highest = number;
            self.miss(now, gap);
            return Placed::Newest(number);
        }
        if ahead <= 0 && numbers.highest - number <= MISORDER_MAX {
            if number < numbers.first {
                numbers.first = number;
            }
            self.found(now, number);
            return Placed::Late(number);
        }
        if is_repair {
            return Placed::Doubtful;
        }
        // RFC 3550 A.1: two in a row are a sender that began anew.
        if numbers.restarted_at == Some(seq) {
            // Far enough on that no number of before is met again.
            let first = (numbers.highest / (1 << 16) + 2) * (1 << 16) + u64::from(seq);
            self.numbers = Some(Numbers { first, highest: first, restarted_at: None });
            self.missing.clear();
            let sender_report = self.report.sender_report.take();
            self.report = Reporting { sender_report, ..Reporting::default() };
            return Placed::Restarted(first);
        }
        numbers.restarted_at = Some(seq.wrapping_add(1));
        Placed::Doubtful
    }

    fn miss(&mut self, now: Instant, gap: std::ops::Range<u64>) {
        if !self.asks {
            return;
        }
        let most = if self.is_piped { MISSING_OF_PIPE_MAX } else { MISSING_MAX };
        for seq in gap {
            if self.missing.len() >= most {
                self.missing.pop_front();
                self.lost += 1;
            }
            self.missing.push_back(Missing {
                seq,
                asks: 0,
                noticed: now,
                asked: now,
                next_ask: now + REORDERING,
            });
        }
    }

    fn found(&mut self, now: Instant, seq: u64) {
        let Ok(index) = self.missing.binary_search_by_key(&seq, |missing| missing.seq) else { return };
        let Some(missing) = self.missing.remove(index) else { return };
        if missing.asks > 0 {
            self.recovered += 1;
        }
        // After a second asking nobody knows which was answered.
        if missing.asks == 1 {
            let took = now.saturating_duration_since(missing.asked);
            self.repair_time = Some(self.repair_time.map_or(took, |known| (known * 7 + took) / 8));
        }
    }
}

impl Reporting {
    /// RFC 3550 A.8.
    fn arrived(&mut self, now: Instant, timestamp: u32, clock_rate: u32) {
        let begun = *self.begun.get_or_insert(now);
        let arrival = now.saturating_duration_since(begun).as_secs_f64() * f64::from(clock_rate);
        let transit = arrival - f64::from(timestamp);
        if let Some(before) = self.transit.replace(transit) {
            let difference = (transit - before).abs();
            // A timestamp that wrapped or jumped says nothing of the path.
            if difference < f64::from(clock_rate) * 10.0 {
                self.jitter += (difference - self.jitter) / 16.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn numbers_are_counted_on_through_the_wrap() {
        let (mut receiver, now) = (Receiver::new(90_000, true), Instant::now());
        let placed: Vec<_> =
            [65_534, 65_535, 0, 1, 65_533].map(|seq| receiver.packet(now, seq, 0, false)).to_vec();
        let base = 65_534 + (1 << 16);
        let newest = |n| Placed::Newest(base + n);
        assert_eq!(placed, [newest(0), newest(1), newest(2), newest(3), Placed::Late(base - 1)]);
    }

    #[test]
    fn what_is_missing_is_asked_for_after_a_moment_and_again_after_the_round_trip() {
        let (mut receiver, start) = (Receiver::new(90_000, true), Instant::now());
        for seq in [10, 11, 14, 13] {
            receiver.packet(start, seq, 0, false);
        }
        let mut ask = |at: u64| {
            let mut list = Vec::new();
            assert!(!receiver.nacks(start + ms(at), &mut list));
            list
        };
        assert_eq!(ask(1), Vec::<u16>::new());
        assert_eq!(ask(6), [12]);
        assert_eq!(ask(140), Vec::<u16>::new());
        assert_eq!(ask(157), [12]);
        assert_eq!(receiver.packet(start + ms(170), 12, 0, true), Placed::Late(12 + (1 << 16)));
        assert_eq!((receiver.due(), receiver.recovered), (None, 1));
        // What was repaired at the first asking tells how long that takes.
        receiver.packet(start + ms(200), 16, 0, false);
        assert!(!receiver.nacks(start + ms(205), &mut Vec::new()));
        receiver.packet(start + ms(245), 15, 0, true);
        assert_eq!(receiver.repair_time, Some(ms(40)));
    }

    #[test]
    fn what_never_comes_is_given_up_and_said() {
        let (mut receiver, start) = (Receiver::new(90_000, true), Instant::now());
        receiver.packet(start, 1, 0, false);
        receiver.packet(start, 3, 0, false);
        let (mut asked, mut given_up_at) = (Vec::new(), None);
        for at in 0..3_000 {
            if receiver.nacks(start + ms(at), &mut asked) {
                given_up_at = Some(at);
                break;
            }
        }
        assert!(given_up_at.is_some_and(|at| at <= 1_001), "{given_up_at:?}");
        assert!((3..=usize::from(ASKS_MAX)).contains(&asked.len()), "{asked:?}");
        assert_eq!(receiver.lost, 1);
    }

    #[test]
    fn who_does_not_ask_remembers_nothing() {
        let (mut receiver, start) = (Receiver::new(48_000, false), Instant::now());
        receiver.packet(start, 1, 0, false);
        receiver.packet(start, 9, 0, false);
        assert_eq!((receiver.due(), receiver.missing.len()), (None, 0));
        assert_eq!(receiver.report(start).unwrap().lost, 7);
    }

    #[test]
    fn a_long_gap_is_bounded() {
        let (mut receiver, start) = (Receiver::new(90_000, true), Instant::now());
        receiver.packet(start, 1, 0, false);
        receiver.packet(start, 2_900, 0, false);
        assert_eq!(receiver.missing.len(), MISSING_MAX);
    }

    #[test]
    fn a_publisher_that_begins_anew_is_known_by_two_in_a_row() {
        let (mut receiver, now) = (Receiver::new(90_000, true), Instant::now());
        receiver.packet(now, 100, 0, false);
        assert_eq!(receiver.packet(now, 30_000, 0, false), Placed::Doubtful);
        assert_eq!(receiver.packet(now, 101, 0, false), Placed::Newest(101 + (1 << 16)));
        assert_eq!(receiver.packet(now, 40_000, 0, false), Placed::Doubtful);
        assert_eq!(receiver.packet(now, 40_001, 0, false), Placed::Restarted(40_001 + 3 * (1 << 16)));
        assert_eq!(receiver.packet(now, 40_002, 0, false), Placed::Newest(40_002 + 3 * (1 << 16)));
    }

    #[test]
    fn a_picture_of_before_is_no_gap_to_what_follows() {
        let (mut receiver, now) = (Receiver::of_pipe(90_000, true), Instant::now());
        let base = 1 << 16;
        assert_eq!(receiver.packet(now, 60_000, 0, true), Placed::Newest(base + 60_000));
        assert!(receiver.leaps());
        assert_eq!(receiver.packet(now, 60_002, 0, true), Placed::Newest(base + 60_002));
        assert!(receiver.due().is_some());
        // Half the numbers on, which alone looks like something old.
        assert_eq!(receiver.packet(now, 100, 0, false), Placed::Newest(2 * base + 100));
        assert_eq!((receiver.leaps(), receiver.due()), (false, None));
        assert_eq!(receiver.packet(now, 99, 0, false), Placed::Late(2 * base + 99));
        // What is sent again may be the newest of all.
        assert_eq!(receiver.packet(now, 102, 0, true), Placed::Newest(2 * base + 102));
        receiver.leap();
        assert_eq!(receiver.packet(now, 102, 0, false), Placed::Newest(3 * base + 102));
    }

    #[test]
    fn reports_count_what_was_lost() {
        let (mut receiver, start) = (Receiver::new(90_000, true), Instant::now());
        assert_eq!(receiver.report(start), None);
        receiver.sender_report(start, 0x1234_5678);
        for seq in (0..100).filter(|seq| seq % 4 != 3) {
            receiver.packet(start + ms(u64::from(seq)), seq, u32::from(seq) * 90, false);
        }
        let report = receiver.report(start + ms(500)).unwrap();
        assert_eq!((report.lost, report.highest as u16, report.jitter), (24, 98, 0));
        assert_eq!((report.fraction_lost, report.heard), (62, 0x1234_5678));
        assert_eq!(report.delay, 32_768);
        assert_eq!(receiver.report(start + ms(501)).unwrap().fraction_lost, 0);
    }

    #[test]
    fn jitter_is_that_of_the_specification() {
        let (mut receiver, start) = (Receiver::new(1_000, true), Instant::now());
        for n in 0..2_000_u64 {
            receiver.packet(start + ms(10 * n + (n % 2) * 4), n as u16, 10 * n as u32, false);
        }
        let jitter = receiver.report(start).unwrap().jitter;
        assert!((3..=4).contains(&jitter), "{jitter}");
    }
}
