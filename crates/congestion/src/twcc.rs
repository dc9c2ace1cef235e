//! What a publisher must be told about the arrival of its packets (transport-wide congestion control feedback).
//!
//! It owns the arrival times of one path and decides when feedback is due and what it says. It must not know how
//! feedback is written, nor what its packets hold.

use std::time::{Duration, Instant};

/// How far back arrivals are known. 4 KB; at 50 ms between feedbacks that is 20,000 packets a second.
const WINDOW: usize = 1024;
/// One feedback fits a packet of 1,200 bytes even if each arrival takes two bytes and each symbol two bits.
const STATUSES_MAX: u64 = 480;
/// So many missing packets are told before the first that has arrived.
const LEADING_GAP_MAX: u64 = STATUSES_MAX / 2;
/// Feedback goes out so often at the least while packets arrive ...
const INTERVAL_MAX: Duration = Duration::from_millis(100);
/// ... so often when many do, so that a fast sender learns sooner of a queue that it fills ...
const INTERVAL_BUSY: Duration = Duration::from_millis(50);
const BUSY_PACKETS: u64 = 24;
/// ... and never more often than this, however fast packets come.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

/// Of feedback's clock: 250 us, and 64 ms make a unit of the reference time.
const TICK_US: u64 = 250;
const REFERENCE_TICKS: i64 = 256;

/// What was not told, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Arrived again.
    pub repeated: u64,
    /// Arrived too late to be told.
    pub late: u64,
    /// Numbers that a jump went over, or that came faster than feedback could be sent; nothing is said of them.
    pub skipped: u64,
}

/// One a publisher's path.
#[derive(Debug)]
pub struct Arrivals {
    epoch: Instant,
    /// Tick of the arrival by number, zero for none; the epoch counts as tick one. 250 us in 32 bits last twelve days,
    /// after which arrivals wrap like everything else on this path.
    ticks: Box<[u32]>,
    /// Unwrapped numbers: the first that is to be told next, and one past the highest that has arrived.
    start: u64,
    end: u64,
    /// Of the packets from `start` on, how many arrived. Zero means that nothing is due.
    fresh: u64,
    fresh_since: Instant,
    last: Instant,
    feedback_count: u8,
    counts: Counts,
}

/// One feedback: what to write into the packet.
#[derive(Clone, Copy, Debug)]
pub struct Feedback<'a> {
    pub base_sequence: u16,
    pub packet_count: u16,
    /// 24 bits, in units of 64 ms.
    pub reference_time: u32,
    pub feedback_count: u8,
    ticks: &'a [u32],
    start: u64,
}

impl Arrivals {
    pub fn new(now: Instant) -> Self {
        Self {
            epoch: now,
            ticks: vec![0; WINDOW].into_boxed_slice(),
            start: 0,
            end: 0,
            fresh: 0,
            fresh_since: now,
            last: now,
            feedback_count: 0,
            counts: Counts::default(),
        }
    }

    /// A packet with this transport-wide sequence number has arrived.
    pub fn record(&mut self, sequence: u16, now: Instant) {
        let number = self.unwrap(sequence);
        if number + (WINDOW as u64) < self.end {
            self.counts.late += 1;
            return;
        }
        if number >= self.end {
            self.advance(number);
        } else if self.ticks[slot(number)] != 0 {
            self.counts.repeated += 1;
            return;
        }
        self.ticks[slot(number)] = self.tick(now);
        if self.fresh == 0 {
            self.fresh_since = now;
        }
        self.fresh += 1;
        // It was told as lost: say it again from here, with what is known of those behind it.
        self.start = self.start.min(number);
    }

    /// When [`poll`](Self::poll) will have something to say; changes with each packet.
    pub fn next_due(&self) -> Option<Instant> {
        if self.fresh == 0 {
            return None;
        }
        let interval = if self.end - self.start >= STATUSES_MAX {
            INTERVAL_MIN
        } else if self.fresh >= BUSY_PACKETS {
            INTERVAL_BUSY
        } else {
            INTERVAL_MAX
        };
        // After a pause the first packets wait no longer than the others.
        Some((self.last + interval).max(self.fresh_since + interval.min(INTERVAL_BUSY)))
    }

    /// The feedback that is due, if one is. After a burst there may be several.
    pub fn poll(&mut self, now: Instant) -> Option<Feedback<'_>> {
        if self.next_due().is_none_or(|due| now < due) {
            return None;
        }
        let arrived = (self.start..self.end).find(|&number| self.ticks[slot(number)] != 0);
        let Some(arrived) = arrived else {
            self.fresh = 0;
            return None;
        };
        // After a jump most of the gap is not worth its bytes.
        self.skip_to(arrived.saturating_sub(LEADING_GAP_MAX));
        let start = self.start;
        let reference = i64::from(self.ticks[slot(arrived)]) / REFERENCE_TICKS * REFERENCE_TICKS;
        let mut before = reference;
        let mut end = arrived;
        for number in arrived..self.end.min(start + STATUSES_MAX) {
            let tick = i64::from(self.ticks[slot(number)]);
            if tick == 0 {
                continue;
            }
            if i16::try_from(tick - before).is_err() {
                // Too far apart for one feedback. The next one begins here.
                break;
            }
            before = tick;
            end = number + 1;
        }
        self.start = end;
        self.fresh = (end..self.end).filter(|&number| self.ticks[slot(number)] != 0).count() as u64;
        self.fresh_since = now;
        self.last = now;
        let feedback_count = self.feedback_count;
        self.feedback_count = feedback_count.wrapping_add(1);
        Some(Feedback {
            base_sequence: start as u16,
            packet_count: (end - start) as u16,
            reference_time: (reference / REFERENCE_TICKS) as u32 & 0x00ff_ffff,
            feedback_count,
            ticks: &self.ticks,
            start,
        })
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn skip_to(&mut self, number: u64) {
        let number = number.min(self.end);
        self.counts.skipped += number.saturating_sub(self.start);
        self.start = self.start.max(number);
    }

    /// The number nearest to the highest so far.
    fn unwrap(&mut self, sequence: u16) -> u64 {
        if self.end == 0 {
            // One round up, so that packets from before the first one have numbers too.
            let number = 0x1_0000 + u64::from(sequence);
            self.start = number;
            self.end = number;
            return number;
        }
        let ahead = i64::from(sequence.wrapping_sub(self.end as u16).cast_signed());
        self.end.saturating_add_signed(ahead)
    }

    /// Makes `number` the highest. What falls out of the window untold is skipped.
    fn advance(&mut self, number: u64) {
        let blank_from = self.end.max(number.saturating_sub(WINDOW as u64 - 1));
        let oldest = (number + 1).saturating_sub(WINDOW as u64);
        if self.start < oldest {
            let fallen = (self.start..oldest.min(self.end)).filter(|&at| self.ticks[slot(at)] != 0).count();
            self.fresh -= (fallen as u64).min(self.fresh);
            self.counts.skipped += oldest - self.start;
            self.start = oldest;
        }
        for at in blank_from..=number {
            self.ticks[slot(at)] = 0;
        }
        self.end = number + 1;
    }

    fn tick(&self, now: Instant) -> u32 {
        let micros = now.saturating_duration_since(self.epoch).as_micros() as u64;
        ((micros / TICK_US) as u32).wrapping_add(1).max(1)
    }
}

impl Feedback<'_> {
    /// Each sequence number with the difference to the arrival before it, in 250 us, or `None` if it has not arrived.
    /// The first difference is to the reference time. The last one has arrived.
    pub fn iter(&self) -> impl Iterator<Item = (u16, Option<i16>)> + '_ {
        let mut before: Option<i64> = None;
        (self.start..self.start + u64::from(self.packet_count)).map(move |number| {
            let tick = i64::from(self.ticks[slot(number)]);
            if tick == 0 {
                return (number as u16, None);
            }
            let since = before.unwrap_or(tick / REFERENCE_TICKS * REFERENCE_TICKS);
            before = Some(tick);
            (number as u16, i16::try_from(tick - since).ok())
        })
    }
}

fn slot(number: u64) -> usize {
    number as usize % WINDOW
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: Instant, millis: u64) -> Instant {
        epoch + Duration::from_millis(millis)
    }

    fn told(arrivals: &mut Arrivals, now: Instant) -> Option<Vec<(u16, Option<i16>)>> {
        arrivals.poll(now).map(|feedback| {
            assert_eq!(feedback.iter().count(), usize::from(feedback.packet_count));
            feedback.iter().collect()
        })
    }

    #[test]
    fn says_arrivals_and_gaps_after_a_while() {
        let epoch = Instant::now();
        let mut arrivals = Arrivals::new(epoch);
        assert_eq!(arrivals.next_due(), None);
        arrivals.record(65_534, at(epoch, 64));
        arrivals.record(1, at(epoch, 70));
        assert!(arrivals.poll(at(epoch, 99)).is_none());
        let due = arrivals.next_due().expect("packets have arrived");
        assert_eq!(due, at(epoch, 114));
        let feedback = arrivals.poll(due).expect("it is due");
        assert_eq!(
            (feedback.base_sequence, feedback.reference_time, feedback.feedback_count),
            (65_534, 1, 0)
        );
        let said: Vec<_> = feedback.iter().collect();
        assert_eq!(said, [(65_534, Some(1)), (65_535, None), (0, None), (1, Some(24))]);
        assert_eq!(arrivals.next_due(), None);

        // The one that was told as lost comes late, and is told with those behind it.
        arrivals.record(0, at(epoch, 150));
        let due = arrivals.next_due().expect("a packet has arrived");
        assert_eq!(told(&mut arrivals, due).expect("due")[..], [(0, Some(89)), (1, Some(-320))]);
    }

    #[test]
    fn is_due_sooner_when_more_arrives() {
        let epoch = Instant::now();
        let mut arrivals = Arrivals::new(epoch);
        for sequence in 0..10 {
            arrivals.record(sequence, epoch);
        }
        assert_eq!(arrivals.next_due(), Some(at(epoch, 100)));
        for sequence in 10..40 {
            arrivals.record(sequence, epoch);
        }
        assert_eq!(arrivals.next_due(), Some(at(epoch, 50)));
        for sequence in 40..1000 {
            arrivals.record(sequence, epoch);
        }
        assert_eq!(arrivals.next_due(), Some(at(epoch, 10)));
        let mut now = at(epoch, 10);
        let mut packets = 0;
        while let Some(said) = told(&mut arrivals, now) {
            packets += said.len();
            now = arrivals.next_due().unwrap_or(now);
        }
        assert_eq!(packets, 1000);
    }

    #[test]
    fn a_jump_costs_the_numbers_that_nobody_can_be_told() {
        let epoch = Instant::now();
        let mut arrivals = Arrivals::new(epoch);
        arrivals.record(0, epoch);
        arrivals.record(30_000, at(epoch, 1));
        let mut told_of = Vec::new();
        for step in 1..100 {
            if let Some(feedback) = arrivals.poll(at(epoch, step * 10)) {
                told_of.extend(
                    feedback.iter().filter(|(_, delta)| delta.is_some()).map(|(sequence, _)| sequence),
                );
            }
        }
        assert_eq!(told_of, [30_000]);
        assert!(arrivals.counts().skipped > 28_000);
        // Far behind is not believed.
        arrivals.record(28_000, at(epoch, 1000));
        assert_eq!(arrivals.counts().late, 1);
    }

    #[test]
    fn arrivals_far_apart_go_into_two_feedbacks() {
        let epoch = Instant::now();
        let mut arrivals = Arrivals::new(epoch);
        arrivals.record(1, epoch);
        arrivals.record(2, at(epoch, 20_000));
        let now = at(epoch, 20_100);
        assert_eq!(told(&mut arrivals, now), Some(vec![(1, Some(1))]));
        assert_eq!(told(&mut arrivals, at(epoch, 20_200)).map(|said| said.len()), Some(1));
    }
}
