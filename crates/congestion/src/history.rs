//! What was sent to a peer and is not yet forgotten, in eight bytes a packet.
//!
//! It owns the transport-wide sequence numbers of one path and says, when feedback comes, which packets arrived and
//! when. It must not know what a bitrate is.

use crate::Class;
use crate::probe::ProbeId;
use std::num::NonZeroU8;
use std::time::{Duration, Instant};

/// 8 KB: a second of 10 Mb/s in packets of 1,200 bytes, three of an ordinary stream.
pub const PACKETS_MAX_DEFAULT: usize = 1024;
/// A ring starts so small, and grows when it would forget what feedback may still speak of.
const PACKETS_MIN: usize = 128;
/// Above that a sequence number could mean two packets.
const PACKETS_MAX_LIMIT: usize = 1 << 15;
/// Feedback that is later than this is of no use any more.
const KEPT: Duration = Duration::from_secs(2);

/// What has become of a packet. A packet that was reported lost and then arrived is reported twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    pub sequence: u16,
    pub bytes: u16,
    pub class: Class,
    pub probe: Option<ProbeId>,
    pub sent_at: Instant,
    /// In microseconds on the receiver's clock, whose zero means nothing. `None` is lost.
    pub arrival_us: Option<i64>,
    /// An earlier feedback has said that it was lost.
    pub late: bool,
}

/// What feedback said that could not be believed, and what it said too late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sequence numbers that were never sent or are long forgotten.
    pub unknown: u64,
    /// Said again, as happens when feedback is repeated.
    pub repeated: u64,
    /// Packets that were forgotten before anything was heard of them.
    pub unanswered: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The low 32 bits of the time, so ages up to 71 minutes can be told.
    sent_us: u32,
    bytes: u16,
    mark: Mark,
    probe: Option<NonZeroU8>,
}

/// Class and state in one byte, which is what makes an entry eight bytes long.
#[derive(Clone, Copy, Debug)]
struct Mark(u8);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Underway,
    Lost,
    Arrived,
}

impl Mark {
    fn new(class: Class, state: State) -> Self {
        Self(class.index() as u8 | (state as u8) << 2)
    }

    fn class(self) -> Class {
        Class::ALL[usize::from(self.0 & 3)]
    }

    fn state(self) -> State {
        match self.0 >> 2 {
            0 => State::Underway,
            1 => State::Lost,
            _ => State::Arrived,
        }
    }
}

/// One a path. Memory: eight bytes a packet, from 1 KB up to what `packets_max` says.
#[derive(Debug)]
pub struct Sent {
    epoch: Instant,
    ring: Vec<Entry>,
    packets_max: usize,
    /// Sequence numbers, unwrapped: the first that was used, the next to be used, the first that no feedback covers.
    first: u64,
    next: u64,
    covered: u64,
    reference: Reference,
    counts: Counts,
}

impl Sent {
    /// Numbers start at `first`. `packets_max` is rounded up to a power of two.
    pub fn new(now: Instant, first: u16, packets_max: usize) -> Self {
        Self {
            epoch: now,
            ring: Vec::new(),
            packets_max: packets_max.clamp(PACKETS_MIN, PACKETS_MAX_LIMIT).next_power_of_two(),
            first: u64::from(first),
            next: u64::from(first),
            covered: u64::from(first),
            reference: Reference::default(),
            counts: Counts::default(),
        }
    }

    /// Remembers a packet and gives the sequence number that it must carry. `bytes` is what the path feels: the
    /// datagram with its headers.
    pub fn send(&mut self, now: Instant, bytes: usize, class: Class, probe: Option<ProbeId>) -> u16 {
        let sent_us = self.micros(now) as u32;
        let entry = Entry {
            sent_us,
            bytes: bytes.min(usize::from(u16::MAX)) as u16,
            mark: Mark::new(class, State::Underway),
            probe: probe.map(|id| id.0),
        };
        if self.covered < self.next && self.age(now, self.next - 1) >= KEPT {
            // Nothing followed what was sent before this, so nobody could say that the last of it is lost.
            self.covered = self.next;
        }
        let kept = (self.next - self.first).min(self.ring.len() as u64);
        if kept == self.ring.len() as u64 {
            self.make_room(sent_us);
        }
        let slot = self.slot(self.next);
        if self.next - self.first >= self.ring.len() as u64 && self.ring[slot].mark.state() == State::Underway
        {
            self.counts.unanswered += 1;
        }
        self.ring[slot] = entry;
        let sequence = self.next as u16;
        self.next += 1;
        sequence
    }

    /// Takes a feedback: the reference time (24 bits, units of 64 ms) and for each sequence number the difference to
    /// the arrival before it (units of 250 us), or `None` for a packet that has not arrived. `reports` is emptied and
    /// gets one entry for each packet of which something new was said, so never more than the ring is long.
    pub fn acknowledge(
        &mut self,
        now: Instant,
        reference_time: u32,
        statuses: impl IntoIterator<Item = (u16, Option<i16>)>,
        reports: &mut Vec<Report>,
    ) {
        reports.clear();
        let now_us = self.micros(now);
        let mut arrival_us = self.reference.unwrap_us(reference_time);
        let kept = (self.next - self.first).min(self.ring.len() as u64);
        for (sequence, delta) in statuses {
            if let Some(delta) = delta {
                arrival_us += i64::from(delta) * 250;
            }
            // One is the newest. As the ring is shorter than half of the numbers, what was not sent yet is out of it.
            let age = u64::from((self.next as u16).wrapping_sub(sequence));
            if age == 0 || age > kept {
                self.counts.unknown += 1;
                continue;
            }
            let number = self.next - age;
            let slot = self.slot(number);
            let entry = &mut self.ring[slot];
            let state = entry.mark.state();
            let late = state == State::Lost;
            if state == State::Arrived || (late && delta.is_none()) {
                self.counts.repeated += 1;
                continue;
            }
            let class = entry.mark.class();
            entry.mark = Mark::new(class, if delta.is_some() { State::Arrived } else { State::Lost });
            let age_us = u64::from((now_us as u32).wrapping_sub(entry.sent_us));
            reports.push(Report {
                sequence,
                bytes: entry.bytes,
                class,
                probe: entry.probe.map(ProbeId),
                sent_at: self.epoch + Duration::from_micros(now_us.saturating_sub(age_us)),
                arrival_us: delta.map(|_| arrival_us),
                late,
            });
            self.covered = self.covered.max(number + 1);
        }
    }

    /// For how long the oldest packet has waited that no feedback covers yet. Of one that is lost nobody hears before something
    /// follows it.
    pub fn unanswered(&self, now: Instant) -> Option<Duration> {
        if self.covered == self.next {
            return None;
        }
        let oldest = self.covered.max(self.next.saturating_sub(self.ring.len() as u64)).max(self.first);
        (self.age(now, self.next - 1) < KEPT).then(|| self.age(now, oldest))
    }

    fn age(&self, now: Instant, number: u64) -> Duration {
        let age_us = (self.micros(now) as u32).wrapping_sub(self.ring[self.slot(number)].sent_us);
        Duration::from_micros(u64::from(age_us))
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.ring.capacity() * size_of::<Entry>()
    }

    /// Doubles the ring when the packet that would be overwritten is young and it may be longer.
    fn make_room(&mut self, sent_us: u32) {
        let length = self.ring.len();
        let blank = Entry { sent_us, bytes: 0, mark: Mark::new(Class::Padding, State::Arrived), probe: None };
        if length == 0 {
            self.ring.reserve_exact(PACKETS_MIN);
            self.ring.resize(PACKETS_MIN, blank);
            return;
        }
        let oldest = self.ring[self.slot(self.next)];
        let age_us = sent_us.wrapping_sub(oldest.sent_us);
        if length >= self.packets_max || u128::from(age_us) > KEPT.as_micros() {
            return;
        }
        let mut wider = Vec::with_capacity(length * 2);
        wider.resize(length * 2, blank);
        let mask = wider.len() as u64 - 1;
        for number in self.next - length as u64..self.next {
            wider[(number & mask) as usize] = self.ring[self.slot(number)];
        }
        // What lies further back than the old ring was long is not known: it may not be looked for.
        self.first = self.next - length as u64;
        self.ring = wider;
    }

    fn slot(&self, number: u64) -> usize {
        (number & (self.ring.len() as u64 - 1)) as usize
    }

    fn micros(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_micros() as u64
    }
}

/// Unwraps the 24 bits of a feedback's reference time; a round takes twelve days.
#[derive(Debug, Default)]
struct Reference {
    last: Option<i64>,
}

impl Reference {
    /// Only hostile feedback gets so far. It starts over there, long before multiplication could overflow.
    const FAR: i64 = 1 << 40;

    fn unwrap_us(&mut self, raw: u32) -> i64 {
        let raw = i64::from(raw & 0x00ff_ffff);
        let mut value = match self.last {
            // The difference in 24 bits, with its sign.
            Some(last) => last + i64::from((((raw - last) as i32) << 8) >> 8),
            None => raw,
        };
        if value.abs() > Self::FAR {
            value = raw;
        }
        self.last = Some(value);
        value * 64_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: Instant, millis: u64) -> Instant {
        epoch + Duration::from_millis(millis)
    }

    #[test]
    fn an_entry_is_eight_bytes() {
        assert_eq!(size_of::<Entry>(), 8);
    }

    #[test]
    fn says_what_arrived_and_what_was_lost() {
        let epoch = Instant::now();
        let mut sent = Sent::new(epoch, 65_534, PACKETS_MAX_DEFAULT);
        let mut reports = Vec::new();
        for step in 0..4 {
            let sequence = sent.send(at(epoch, step * 10), 1000 + step as usize, Class::Video, None);
            assert_eq!(sequence, 65_534_u16.wrapping_add(step as u16));
        }
        assert_eq!(sent.unanswered(at(epoch, 60)), Some(Duration::from_millis(60)));
        sent.acknowledge(at(epoch, 60), 5, [(65_534, Some(4)), (65_535, None), (0, Some(40))], &mut reports);
        let arrivals: Vec<_> = reports.iter().map(|report| (report.sequence, report.arrival_us)).collect();
        assert_eq!(arrivals, [(65_534, Some(321_000)), (65_535, None), (0, Some(331_000))]);
        assert_eq!(reports[2].sent_at, at(epoch, 20));
        assert_eq!(reports[2].bytes, 1002);
        assert_eq!(sent.unanswered(at(epoch, 60)), Some(Duration::from_millis(30)));

        // The lost one came late; the others are said again, and a number is named that was never sent.
        sent.acknowledge(
            at(epoch, 80),
            5,
            [(65_534, Some(4)), (65_535, Some(80)), (0, Some(0)), (1, Some(1)), (2, Some(1))],
            &mut reports,
        );
        let again: Vec<_> = reports.iter().map(|report| (report.sequence, report.late)).collect();
        assert_eq!(again, [(65_535, true), (1, false)]);
        assert_eq!(sent.counts(), Counts { unknown: 1, repeated: 2, unanswered: 0 });
        assert_eq!(sent.unanswered(at(epoch, 80)), None);

        // The last before a pause is lost: that is no silence.
        sent.send(at(epoch, 100), 1000, Class::Video, None);
        assert_eq!(sent.unanswered(at(epoch, 1_500)), Some(Duration::from_millis(1_400)));
        assert_eq!(sent.unanswered(at(epoch, 60_000)), None);
        sent.send(at(epoch, 60_000), 1000, Class::Video, None);
        assert_eq!(sent.unanswered(at(epoch, 60_010)), Some(Duration::from_millis(10)));
    }

    #[test]
    fn grows_only_while_packets_are_young() {
        let epoch = Instant::now();
        let mut slow = Sent::new(epoch, 0, PACKETS_MAX_DEFAULT);
        for step in 0..10_000 {
            slow.send(at(epoch, step * 20), 100, Class::Audio, None);
        }
        assert_eq!(slow.ring.len(), PACKETS_MIN);
        let mut fast = Sent::new(epoch, 0, PACKETS_MAX_DEFAULT);
        for step in 0..10_000_u64 {
            fast.send(epoch + Duration::from_micros(step * 500), 1200, Class::Video, None);
        }
        assert_eq!(fast.ring.len(), PACKETS_MAX_DEFAULT);
        assert!(fast.memory_bytes() < 8 * 1024 + 256, "{}", fast.memory_bytes());
        assert_eq!(fast.counts().unanswered, 10_000 - PACKETS_MAX_DEFAULT as u64);
    }

    #[test]
    fn what_the_ring_holds_survives_growing() {
        let epoch = Instant::now();
        let mut sent = Sent::new(epoch, 60_000, 1024);
        let mut reports = Vec::new();
        for step in 0..900_u64 {
            sent.send(epoch + Duration::from_micros(step * 100), step as usize + 1, Class::Video, None);
        }
        let statuses = (0..900_u16).map(|step| (60_000_u16.wrapping_add(step), Some(1)));
        sent.acknowledge(at(epoch, 200), 1, statuses, &mut reports);
        assert_eq!(reports.len(), 900);
        for (step, report) in reports.iter().enumerate() {
            assert_eq!(usize::from(report.bytes), step + 1);
            assert_eq!(report.sent_at, epoch + Duration::from_micros(step as u64 * 100));
        }
    }

    #[test]
    fn the_reference_time_goes_round() {
        let mut reference = Reference::default();
        let before = reference.unwrap_us(0x00ff_fffe);
        assert_eq!(reference.unwrap_us(1) - before, 3 * 64_000);
        assert_eq!(reference.unwrap_us(0x00ff_ffff) - before, 64_000);
    }
}
