//! What a viewer has got: each packet once, how late, and the feedback that is due for it.

use std::time::Instant;

use turnpike_rtp::{Packet, rtcp::TwccBuilder};

use super::description::Terms;

/// Numbers behind the latest of which it is known whether they came.
const WINDOW: u64 = 64;

#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) feedback: TwccBuilder,
    /// Did not fit into the feedback: the next begins with it.
    pub(crate) left_over: Option<(u16, i64)>,
    /// The relay's name for the stream.
    pub(crate) ssrc: u32,
    /// On the publisher's clock.
    since: u64,
    first: Option<u64>,
    pub(crate) highest: u64,
    /// Of the last numbers, the latest in the lowest bit.
    seen: u64,
    pub(crate) deliveries: u64,
    pub(crate) repeated: u64,
    pub(crate) malformed: u64,
    pub(crate) latencies_us: Vec<u32>,
    /// At the last report: the latest number, and how many had come.
    reported: Option<(u64, u64)>,
    came: u64,
}

impl Tally {
    pub(crate) fn take(&mut self, packet: &Packet<'_>, terms: Terms, start: Instant, came: Instant) {
        let number = terms.twcc.and_then(|id| packet.extension(id));
        if let Some(number) = number.and_then(|value| value.first_chunk()) {
            // What time is counted in there: quarters of a millisecond.
            let time = (came.saturating_duration_since(start).as_micros() / 250) as i64;
            self.feed(u16::from_be_bytes(*number), time);
        }
        // Padding and repairs are nobody's first copy of anything.
        let header = packet.header;
        let sent = packet.payload().get(16..24).filter(|_| header.payload_type == terms.vp8);
        let Some(sent) = sent.and_then(|sent| sent.try_into().ok()) else { return };
        self.ssrc = header.ssrc;
        let sent = u64::from_be_bytes(sent);
        if sent < self.since {
            return;
        }
        if !self.is_new(header.sequence) {
            self.repeated += 1;
            return;
        }
        self.deliveries += 1;
        self.came += 1;
        let came = came.saturating_duration_since(start).as_nanos() as u64;
        let nanos = came.saturating_sub(sent);
        self.latencies_us.push((nanos / 1_000) as u32);
    }

    fn feed(&mut self, number: u16, time: i64) {
        if self.left_over.is_some() {
            return;
        }
        if self.feedback.is_empty() {
            self.feedback.begin(number, time);
        }
        if self.feedback.push(number, time).is_err() {
            self.left_over = Some((number, time));
        }
    }

    fn is_new(&mut self, sequence: u16) -> bool {
        if self.first.is_none() {
            self.first = Some(u64::from(sequence));
            self.highest = u64::from(sequence);
            self.seen = 1;
            return true;
        }
        let step = sequence.wrapping_sub(self.highest as u16).cast_signed();
        if step > 0 {
            let step = u64::from(step.unsigned_abs());
            self.highest += step;
            self.seen = if step < WINDOW { self.seen << step | 1 } else { 1 };
            return true;
        }
        let back = u64::from(step.unsigned_abs());
        if back >= WINDOW || self.seen >> back & 1 == 1 {
            return false;
        }
        self.seen |= 1 << back;
        true
    }

    /// Numbers up to the latest that never came.
    pub(crate) fn missing(&self) -> u64 {
        self.first.map_or(0, |first| (self.highest - first + 1).saturating_sub(self.deliveries))
    }

    /// Of 256, since the last call.
    pub(crate) fn fraction_lost(&mut self) -> u8 {
        let now = (self.highest, self.came);
        let Some((highest, came)) = self.reported.replace(now) else { return 0 };
        let expected = now.0.saturating_sub(highest);
        let lost = expected.saturating_sub(now.1 - came);
        (lost * 256).checked_div(expected).unwrap_or(0).min(255) as u8
    }

    /// Counting begins anew. What was sent before counts no more, however late it comes.
    pub(crate) fn forget(&mut self, since: u64) {
        self.since = since;
        self.first = None;
        self.reported = None;
        self.deliveries = 0;
        self.repeated = 0;
        self.latencies_us.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_lost_is_told_as_such() {
        let mut tally = Tally { highest: 100, came: 50, ..Tally::default() };
        assert_eq!(tally.fraction_lost(), 0, "nothing is known of before");
        (tally.highest, tally.came) = (200, 140);
        assert_eq!(tally.fraction_lost(), 25);
        assert_eq!(tally.fraction_lost(), 0);
    }

    #[test]
    fn each_number_counts_once() {
        let mut tally = Tally::default();
        let numbers = [65_533, 65_535, 65_534, 65_535, 0, 3, 1, 1, 200];
        let new: Vec<bool> = numbers.into_iter().map(|number| tally.is_new(number)).collect();
        assert_eq!(new, [true, true, true, false, true, true, true, false, true]);
        tally.deliveries = new.into_iter().filter(|new| *new).count() as u64;
        // 2, and 4 to 199.
        assert_eq!(tally.missing(), 1 + 196);
    }
}
