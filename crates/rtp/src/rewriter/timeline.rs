//! The viewer's timestamps: one line of time over all sources.

use super::{Clocks, Incoming};
use crate::sequence::timestamp_distance;

/// Where a sender report puts a frame is believed when it is this near to where the clock of arrival would. It allows
/// for a keyframe that waited in the publisher's pacer behind a second of its own bytes.
const REPORT_APART_MS_MAX: u32 = 2_000;
/// A source's time that runs ahead of ours by more, or back by so much, has jumped. Encoders that reorder frames go back
/// by half a second at most.
const JUMP_AHEAD_MS: u32 = 5_000;
const JUMP_BACK_MS: u32 = 1_000;
/// A late packet is no older than this. Sources jump by more, but for one time in a thousand.
const LATE_MS_MAX: u32 = 10_000;
/// A pause longer than a quarter circle is shown as one, so that the order of timestamps stays plain.
const STEP_TICKS_MAX: u32 = 1 << 30;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The offset is what it was.
    On,
    /// There is another offset from this packet on.
    Moved,
}

#[derive(Debug, Clone)]
pub(super) struct Timeline {
    clock_hz: u32,
    started: bool,
    /// From the source's timestamps to the viewer's.
    offset: u32,
    /// By how much `offset` is more than the clocks of the sources say, because time could not go back. Taken away over the
    /// next frames.
    ahead: u32,
    /// Of the current source, and what the viewer got for it.
    newest: u32,
    newest_output: u32,
    newest_arrival_ms: u64,
}

impl Timeline {
    pub(super) fn new(clock_hz: u32, first: u32) -> Self {
        Self {
            clock_hz,
            started: false,
            offset: 0,
            ahead: 0,
            newest: 0,
            newest_output: first,
            newest_arrival_ms: 0,
        }
    }

    pub(super) fn set_clock(&mut self, clock_hz: u32) {
        self.clock_hz = clock_hz;
    }

    pub(super) fn newest(&self) -> u32 {
        self.newest
    }

    pub(super) fn newest_output(&self) -> u32 {
        self.newest_output
    }

    pub(super) fn offset(&self) -> u32 {
        self.offset
    }

    pub(super) fn report_offset(&self) -> u32 {
        self.offset.wrapping_sub(self.ahead)
    }

    pub(super) fn output(&self, timestamp: u32) -> u32 {
        timestamp.wrapping_add(self.offset)
    }

    /// Another source, or the same one again, goes on behind what the viewer has.
    pub(super) fn start(&mut self, packet: &Incoming, same: bool, clocks: Option<&Clocks>) {
        let mut output = self.newest_output;
        self.ahead = if self.started { self.ahead } else { 0 };
        if self.started {
            // In the time of the source before.
            let before = match clocks {
                _ if same => Some(packet.timestamp),
                Some(clocks) => Some(clocks.to.translate(packet.timestamp, &clocks.from, self.clock_hz)),
                None => None,
            };
            let right = before.map(|timestamp| timestamp.wrapping_add(self.report_offset()));
            let by_arrival = self.newest_output.wrapping_add(self.elapsed(packet.arrival_ms).max(1));
            let near = |right: &u32| {
                timestamp_distance(*right, by_arrival).unsigned_abs() <= self.ticks(REPORT_APART_MS_MAX)
            };
            (output, self.ahead) = match right.filter(near) {
                Some(right) if timestamp_distance(right, self.newest_output) > 0 => (right, 0),
                Some(right) => {
                    let output = self.newest_output.wrapping_add(1);
                    (output, output.wrapping_sub(right))
                }
                None => (by_arrival, 0),
            };
        }
        self.started = true;
        self.set(packet, output.wrapping_sub(packet.timestamp));
    }

    /// The newest packet has a timestamp that is not the newest. `follows`: nothing is missing before it.
    pub(super) fn step(&mut self, packet: &Incoming, follows: bool) -> Step {
        let step = timestamp_distance(packet.timestamp, self.newest);
        if self.jumps(packet) {
            self.ahead = 0;
            let output = self.newest_output.wrapping_add(self.elapsed(packet.arrival_ms).max(1));
            self.set(packet, output.wrapping_sub(packet.timestamp));
            return Step::Moved;
        }
        if step < 0 {
            return Step::On;
        }
        // Where something is missing, so may be frames that would then stand behind this one.
        let taken = if follows { self.ahead.min(step.unsigned_abs() / 2) } else { 0 };
        self.ahead -= taken;
        self.set(packet, self.offset.wrapping_sub(taken));
        if taken == 0 { Step::On } else { Step::Moved }
    }

    /// Time passes with a packet that the viewer does not get.
    pub(super) fn pass(&mut self, packet: &Incoming) {
        if timestamp_distance(packet.timestamp, self.newest) > 0 {
            self.set(packet, self.offset);
        }
    }

    /// Whether the newest packet's time is not where a source that goes on can be.
    pub(super) fn jumps(&self, packet: &Incoming) -> bool {
        let step = timestamp_distance(packet.timestamp, self.newest);
        let most = if step < 0 {
            self.ticks(JUMP_BACK_MS)
        } else {
            self.elapsed(packet.arrival_ms).saturating_add(self.ticks(JUMP_AHEAD_MS))
        };
        step.unsigned_abs() > most
    }

    /// Whether a late packet can be of the same life of its source.
    pub(super) fn is_near(&self, timestamp: u32) -> bool {
        timestamp_distance(timestamp, self.newest).unsigned_abs() <= self.ticks(LATE_MS_MAX)
    }

    fn set(&mut self, packet: &Incoming, offset: u32) {
        self.offset = offset;
        self.newest = packet.timestamp;
        self.newest_output = packet.timestamp.wrapping_add(offset);
        self.newest_arrival_ms = packet.arrival_ms;
    }

    fn elapsed(&self, now_ms: u64) -> u32 {
        let ticks =
            now_ms.saturating_sub(self.newest_arrival_ms).saturating_mul(self.clock_hz.into()) / 1_000;
        u32::try_from(ticks).unwrap_or(u32::MAX).min(STEP_TICKS_MAX)
    }

    fn ticks(&self, ms: u32) -> u32 {
        ms * (self.clock_hz / 1_000)
    }
}
