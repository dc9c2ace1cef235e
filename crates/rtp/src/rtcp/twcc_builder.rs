//! Putting a transport-wide feedback together, packet by packet.

use super::twcc::{Symbol, TWCC_PACKETS_MAX};
use super::write::{NoRoom, Writer};

/// Statuses and deltas of one feedback: with its head it fits into a datagram beside a report.
const STATUS_BYTES_MAX: usize = 400;
const DELTA_BYTES_MAX: usize = 700;
const RUN_MAX: u16 = 0x1fff;
const ONE_BIT: usize = 14;
const TWO_BITS: usize = 7;

/// Takes arrivals in the order of their numbers and gives the feedback. Reused: after [`TwccBuilder::finish`] it is empty.
/// Allocates nothing.
#[derive(Debug, Clone)]
pub struct TwccBuilder {
    base: u16,
    packets: u16,
    /// In 250 us: what the next delta counts from, and the reference time that is written.
    last: i64,
    reference: i64,
    pending: [Symbol; ONE_BIT],
    pending_len: usize,
    /// A run of equal symbols longer than `pending` holds.
    run: u16,
    statuses: [u8; STATUS_BYTES_MAX],
    status_bytes: usize,
    deltas: [u8; DELTA_BYTES_MAX],
    delta_bytes: usize,
}

/// The packet does not fit into this feedback any more: finish it and push again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the feedback is full")]
pub struct Full;

impl Default for TwccBuilder {
    fn default() -> Self {
        Self {
            base: 0,
            packets: 0,
            last: 0,
            reference: 0,
            pending: [Symbol::Lost; ONE_BIT],
            pending_len: 0,
            run: 0,
            statuses: [0; STATUS_BYTES_MAX],
            status_bytes: 0,
            deltas: [0; DELTA_BYTES_MAX],
            delta_bytes: 0,
        }
    }
}

impl TwccBuilder {
    pub fn is_empty(&self) -> bool {
        self.packets == 0
    }

    /// The number behind the last that is spoken of.
    pub fn end(&self) -> u16 {
        self.base.wrapping_add(self.packets)
    }

    /// Begins a feedback at `base`, which need not have arrived, so that losses before the first arrival are told.
    /// `around` is the time of the first arrival, in 250 us from any moment that stays the same.
    pub fn begin(&mut self, base: u16, around: i64) {
        *self = Self::default();
        self.base = base;
        // In steps of 64 ms, rounded down.
        self.reference = around & !0xff;
        self.last = self.reference;
    }

    /// A packet that arrived at `time` (250 us). Those between the last and this one are told as lost. Numbers must grow;
    /// one that does not, or is too far, is refused like one that does not fit.
    pub fn push(&mut self, number: u16, time: i64) -> Result<(), Full> {
        let missing = number.wrapping_sub(self.end());
        if missing >= TWCC_PACKETS_MAX - self.packets.min(TWCC_PACKETS_MAX) {
            return Err(Full);
        }
        let delta = i16::try_from(time.saturating_sub(self.last)).map_err(|_| Full)?;
        let symbol = if u8::try_from(delta).is_ok() { Symbol::Small } else { Symbol::Large };
        // No push and no finish writes more than two chunks for what is pending, runs for the gap, and as much again.
        let statuses = 2 * (8 + usize::from(missing / RUN_MAX));
        if self.status_bytes + statuses > STATUS_BYTES_MAX || self.delta_bytes + 2 > DELTA_BYTES_MAX {
            return Err(Full);
        }
        for _ in 0..missing {
            self.status(Symbol::Lost);
        }
        self.status(symbol);
        match symbol {
            Symbol::Small => self.put_delta(&[delta as u8]),
            _ => self.put_delta(&delta.to_be_bytes()),
        }
        self.packets += missing + 1;
        self.last = time;
        Ok(())
    }

    fn put_delta(&mut self, bytes: &[u8]) {
        self.deltas[self.delta_bytes..self.delta_bytes + bytes.len()].copy_from_slice(bytes);
        self.delta_bytes += bytes.len();
    }

    fn put_chunk(&mut self, chunk: u16) {
        self.statuses[self.status_bytes..self.status_bytes + 2].copy_from_slice(&chunk.to_be_bytes());
        self.status_bytes += 2;
    }

    fn status(&mut self, symbol: Symbol) {
        if self.run > 0 {
            if self.pending[0] == symbol && self.run < RUN_MAX {
                self.run += 1;
                return;
            }
            self.put_run();
        }
        self.pending[self.pending_len] = symbol;
        self.pending_len += 1;
        let pending = &self.pending[..self.pending_len];
        let equal = pending.iter().all(|s| *s == pending[0]);
        let large = pending.contains(&Symbol::Large);
        if self.pending_len == ONE_BIT && equal {
            self.run = ONE_BIT as u16;
            self.pending_len = 0;
        } else if self.pending_len == ONE_BIT || (large && !equal && self.pending_len >= TWO_BITS) {
            self.put_vector();
        }
    }

    fn put_run(&mut self) {
        self.put_chunk((self.pending[0] as u16) << 13 | self.run);
        self.run = 0;
    }

    /// Writes as many pending symbols as one chunk takes, and keeps the rest.
    fn put_vector(&mut self) {
        let len = self.pending_len;
        let large = self.pending[..len].contains(&Symbol::Large);
        let (kind, width, count) = if large { (0xc000, 2, len.min(TWO_BITS)) } else { (0x8000, 1, len) };
        let mut chunk = kind;
        for (index, symbol) in self.pending[..count].iter().enumerate() {
            chunk |= (*symbol as u16) << (14 - width * (index + 1));
        }
        self.put_chunk(chunk);
        self.pending.copy_within(count..len, 0);
        self.pending_len -= count;
    }

    /// Writes the feedback and empties the builder. Nothing is written when nothing was pushed.
    pub fn finish(
        &mut self,
        out: &mut Writer<'_>,
        sender: u32,
        media: u32,
        number: u8,
    ) -> Result<(), NoRoom> {
        if self.is_empty() {
            return Ok(());
        }
        if self.run > 0 {
            self.put_run();
        }
        while self.pending_len > 0 {
            self.put_vector();
        }
        let reference = (self.reference >> 8) as u32;
        let mut head = [0; 8];
        head[..2].copy_from_slice(&self.base.to_be_bytes());
        head[2..4].copy_from_slice(&self.packets.to_be_bytes());
        head[4..].copy_from_slice(&(reference << 8 | u32::from(number)).to_be_bytes());
        let statuses = &self.statuses[..self.status_bytes];
        let written = out.twcc(sender, media, head, statuses, &self.deltas[..self.delta_bytes]);
        self.packets = 0;
        written
    }
}
