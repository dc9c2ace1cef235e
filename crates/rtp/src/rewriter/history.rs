//! Which number of the viewer's stream was which packet of which source, for as long as somebody may ask.
//!
//! Numbers run in parallel for long stretches, so what is kept is stretches: a stretch ends where something was left out or
//! another source (or another relation of timestamps) begins. What was sent is a bit a number.

use super::{Incoming, Source};
use crate::sequence::timestamp_distance;

/// How far back a number is known: eight seconds of a 2.5 Mb/s stream. Browsers ask for a second.
pub(super) const WINDOW_PACKETS: u16 = 2_048;
/// A stretch ends with each frame that is left out: at 30 dropped frames a second these are six seconds.
const STRETCHES: usize = 192;
/// An epoch begins with a switch, and for some frames after one while timestamps find to the right place.
const EPOCHS: usize = 32;
const WORDS: usize = WINDOW_PACKETS as usize / 64;
/// A packet whose time is so far from its epoch's newest was numbered in another life of its source. Ten seconds of video.
const EPOCH_TICKS_MAX: u32 = 900_000;

/// What is the same for all packets of a source since it was started.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Epoch {
    pub(super) source: Source,
    pub(super) timestamp_offset: u32,
    /// Of the source.
    pub(super) newest_timestamp: u32,
    pub(super) tl0_offset: u8,
}

#[derive(Debug, Clone, Copy, Default)]
struct Stretch {
    /// The last number, at the source and for the viewer.
    input: u16,
    output: u16,
    len: u16,
    picture_offset: u16,
    /// Counted round. No two epochs of one number are remembered: each has a stretch, and there are fewer stretches.
    epoch: u8,
}

/// Where a packet stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) input: u16,
    pub(super) output: u16,
    pub(super) picture_offset: u16,
    pub(super) epoch: Epoch,
}

#[derive(Debug, Clone)]
pub(super) struct History {
    /// The viewer's newest number.
    newest: u16,
    epoch: u8,
    epochs: [Epoch; EPOCHS],
    /// A ring: the newest stretch is the one before `next`.
    stretches: [Stretch; STRETCHES],
    next: usize,
    count: usize,
    /// Whether the newest stretch may grow.
    open: bool,
    sent: [u64; WORDS],
}

impl History {
    pub(super) fn new(first: u16) -> Self {
        Self {
            newest: first.wrapping_sub(1),
            epoch: 0,
            epochs: [Epoch::default(); EPOCHS],
            stretches: [Stretch::default(); STRETCHES],
            next: 0,
            count: 0,
            open: false,
            sent: [0; WORDS],
        }
    }

    pub(super) fn newest(&self) -> u16 {
        self.newest
    }

    pub(super) fn begin_epoch(&mut self, epoch: Epoch) {
        self.epoch = self.epoch.wrapping_add(1);
        self.epochs[usize::from(self.epoch) % EPOCHS] = epoch;
        self.open = false;
    }

    fn current(&self) -> &Epoch {
        &self.epochs[usize::from(self.epoch) % EPOCHS]
    }

    pub(super) fn set_newest_timestamp(&mut self, timestamp: u32) {
        self.epochs[usize::from(self.epoch) % EPOCHS].newest_timestamp = timestamp;
    }

    /// What comes next does not follow on what was.
    pub(super) fn close(&mut self) {
        self.open = false;
    }

    /// `count` packets of the source behind `input` get the viewer's next numbers.
    pub(super) fn extend(&mut self, input: u16, count: u16, picture_offset: u16) {
        if !self.open {
            let (output, epoch) = (self.newest, self.epoch);
            self.stretches[self.next] = Stretch { input, output, len: 0, picture_offset, epoch };
            self.next = (self.next + 1) % STRETCHES;
            self.count = (self.count + 1).min(STRETCHES);
            self.open = true;
        }
        self.advance(count);
        let stretch = &mut self.stretches[(self.next + STRETCHES - 1) % STRETCHES];
        stretch.input = stretch.input.wrapping_add(count);
        stretch.output = self.newest;
        stretch.len = (stretch.len + count).min(WINDOW_PACKETS);
        self.forget();
    }

    /// A number that was no packet.
    pub(super) fn pad(&mut self) -> u16 {
        self.open = false;
        self.advance(1);
        self.mark(self.newest);
        self.forget();
        self.newest
    }

    fn advance(&mut self, count: u16) {
        // What these bits said is a whole window ago.
        let mut at = usize::from(self.newest.wrapping_add(1) % WINDOW_PACKETS);
        let mut left = usize::from(count.min(WINDOW_PACKETS));
        while left > 0 {
            let run = left.min(64 - at % 64);
            self.sent[at / 64] &= !(u64::MAX >> (64 - run) << (at % 64));
            at = (at + run) % usize::from(WINDOW_PACKETS);
            left -= run;
        }
        self.newest = self.newest.wrapping_add(count);
    }

    /// Stretches beyond the window go before their distance could be mistaken.
    fn forget(&mut self) {
        while self.count > 0 {
            let oldest = (self.next + STRETCHES - self.count) % STRETCHES;
            if self.newest.wrapping_sub(self.stretches[oldest].output) < WINDOW_PACKETS {
                break;
            }
            self.count -= 1;
        }
    }

    /// Notes that a number was sent and says whether it had been.
    pub(super) fn mark(&mut self, output: u16) -> bool {
        let (word, bit) = bit_of(output);
        let marked = self.sent[word] & bit != 0;
        self.sent[word] |= bit;
        marked
    }

    pub(super) fn is_marked(&self, output: u16) -> bool {
        let (word, bit) = bit_of(output);
        self.sent[word] & bit != 0
    }

    /// The newest stretch is the zeroth.
    fn stretch(&self, age: usize) -> &Stretch {
        &self.stretches[(self.next + 2 * STRETCHES - 1 - age) % STRETCHES]
    }

    fn place(&self, stretch: &Stretch, back: u16) -> Option<Place> {
        let output = stretch.output.wrapping_sub(back);
        let known = self.newest.wrapping_sub(output) < WINDOW_PACKETS
            && usize::from(self.epoch.wrapping_sub(stretch.epoch)) < EPOCHS;
        known.then(|| Place {
            input: stretch.input.wrapping_sub(back),
            output,
            picture_offset: stretch.picture_offset,
            epoch: self.epochs[usize::from(stretch.epoch) % EPOCHS],
        })
    }

    /// Late packets are few, and most are found, or known to be nowhere, within the first stretches.
    pub(super) fn find_input(&self, packet: &Incoming) -> Option<Place> {
        for age in 0..self.count {
            let stretch = self.stretch(age);
            let back = stretch.input.wrapping_sub(packet.sequence);
            if back >= stretch.len {
                let own = stretch.epoch == self.epoch && self.current().source == packet.source;
                if own && back.cast_signed() < 0 {
                    // Between this stretch and the one behind it, where something was left out.
                    return None;
                }
                continue;
            }
            let Some(place) = self.place(stretch, back) else { continue };
            if is_of(packet, &place.epoch) {
                return Some(place);
            }
        }
        None
    }

    /// Whether the viewer has been shown what comes behind this packet at its source.
    pub(super) fn is_passed(&self, packet: &Incoming) -> bool {
        let mut places = (0..self.count).filter_map(|age| self.place(self.stretch(age), 0));
        let newest = places.find(|place| place.epoch.source == packet.source);
        newest.is_some_and(|place| {
            place.input.wrapping_sub(packet.sequence) < WINDOW_PACKETS && is_of(packet, &place.epoch)
        })
    }

    pub(super) fn find_output(&self, output: u16) -> Option<Place> {
        let age = self.newest.wrapping_sub(output);
        if age >= WINDOW_PACKETS {
            return None;
        }
        // The first stretch that ends before the number, less one: it ends at the number or behind.
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.newest.wrapping_sub(self.stretch(middle).output) <= age {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let stretch = self.stretch(low.checked_sub(1)?);
        let back = stretch.output.wrapping_sub(output);
        (back < stretch.len).then(|| self.place(stretch, back))?
    }
}

fn bit_of(output: u16) -> (usize, u64) {
    let at = usize::from(output % WINDOW_PACKETS);
    (at / 64, 1 << (at % 64))
}

fn is_of(packet: &Incoming, epoch: &Epoch) -> bool {
    let apart = timestamp_distance(packet.timestamp, epoch.newest_timestamp);
    epoch.source == packet.source && apart.unsigned_abs() <= EPOCH_TICKS_MAX
}
