//! The streams of one direction by SSRC, each with its window of indices, and the 48-bit index of an RTP packet
//! from its 16 bits (RFC 3711 3.3.1).

use super::window::{Stale, Window};

/// A handful of streams; a linear search of their SSRCs stays within one or two cache lines.
#[derive(Debug)]
pub(super) struct Streams {
    ssrcs: Vec<u32>,
    windows: Vec<Window>,
    max: usize,
}

/// Why a packet has no index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoIndex {
    Stale(Stale),
    /// The table is full.
    TooMany,
}

/// Where a packet's index is noted once the packet has proved genuine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    at: Option<usize>,
    ssrc: u32,
    pub(super) index: u64,
}

impl Streams {
    pub(super) fn new(max: usize) -> Self {
        Self { ssrcs: Vec::new(), windows: Vec::new(), max }
    }

    /// The index of the RTP packet with this sequence number: the one nearest to the highest seen. A stream that is
    /// not known yet starts with the roll-over counter at zero.
    pub(super) fn extend(&self, ssrc: u32, sequence: u16) -> Result<Slot, NoIndex> {
        let Some(at) = self.find(ssrc) else { return self.unknown(ssrc, u64::from(sequence)) };
        let highest = self.windows[at].highest();
        // Wrapping difference as a signed number: the closer of the two ways around.
        let step = i64::from(sequence.wrapping_sub(highest as u16).cast_signed());
        let Some(index) = highest.checked_add_signed(step) else {
            return Err(NoIndex::Stale(Stale::Old));
        };
        self.at(at, ssrc, index)
    }

    /// The slot of an index that stands in the packet itself, as with SRTCP.
    pub(super) fn explicit(&self, ssrc: u32, index: u64) -> Result<Slot, NoIndex> {
        match self.find(ssrc) {
            Some(at) => self.at(at, ssrc, index),
            None => self.unknown(ssrc, index),
        }
    }

    /// Notes that the index was used. Only now does an unknown stream take a place in the table, so that forged
    /// packets cannot fill it.
    pub(super) fn mark(&mut self, slot: Slot) {
        if let Some(at) = slot.at {
            self.windows[at].mark(slot.index);
        } else {
            self.ssrcs.push(slot.ssrc);
            self.windows.push(Window::starting_at(slot.index));
        }
    }

    fn find(&self, ssrc: u32) -> Option<usize> {
        self.ssrcs.iter().position(|known| *known == ssrc)
    }

    fn at(&self, at: usize, ssrc: u32, index: u64) -> Result<Slot, NoIndex> {
        self.windows[at].check(index).map_err(NoIndex::Stale)?;
        Ok(Slot { at: Some(at), ssrc, index })
    }

    fn unknown(&self, ssrc: u32, index: u64) -> Result<Slot, NoIndex> {
        if self.ssrcs.len() >= self.max { Err(NoIndex::TooMany) } else { Ok(Slot { at: None, ssrc, index }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roll_over_counter_follows_the_sequence_both_ways() {
        let mut streams = Streams::new(1);
        let mut seen = 65_500u64;
        for step in [0i64, 1, 20, 30, -5, 40, -60, 70_000 % 30_000, 30_000, 30_000, -900, 65] {
            seen = seen.checked_add_signed(step).unwrap();
            let slot = streams.extend(7, seen as u16).unwrap();
            assert_eq!(slot.index, seen, "step {step}");
            streams.mark(slot);
            seen = seen.max(streams.windows[0].highest());
        }
        assert!(streams.windows[0].highest() > 2 * 65_536);
    }

    #[test]
    fn nothing_lies_before_the_first_packet_of_all() {
        let mut streams = Streams::new(1);
        streams.mark(streams.extend(7, 3).unwrap());
        assert_eq!(streams.extend(7, 65_535).unwrap_err(), NoIndex::Stale(Stale::Old));
        assert_eq!(streams.extend(7, 3).unwrap_err(), NoIndex::Stale(Stale::Repeated));
        assert_eq!(streams.extend(7, 1).unwrap().index, 1);
    }

    #[test]
    fn the_table_is_bounded_and_only_genuine_packets_take_a_place() {
        let mut streams = Streams::new(2);
        for ssrc in 0..50 {
            assert!(streams.extend(ssrc, 1).is_ok());
        }
        for ssrc in 0..2 {
            streams.mark(streams.explicit(ssrc, 1).unwrap());
        }
        assert_eq!(streams.extend(2, 1).unwrap_err(), NoIndex::TooMany);
        assert!(streams.extend(1, 2).is_ok());
    }
}
