//! Transport-wide feedback: when each packet arrived (draft-holmer-rmcat-transport-wide-cc-extensions-01, 3.1).

use super::RtcpError;
use crate::bytes::{be16, be32};

/// A run of 8,191 packets takes two bytes, so a datagram could name more than anybody should walk through. At the longest
/// interval of a quarter second this allows 16,000 packets a second.
pub const TWCC_PACKETS_MAX: u16 = 4_096;

const HEAD_BYTES: usize = 16;
const MALFORMED: RtcpError = RtcpError::Malformed(super::TRANSPORT_FEEDBACK);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Symbol {
    Lost,
    Small,
    Large,
}

impl Symbol {
    fn of(bits: u16) -> Self {
        match bits & 3 {
            1 => Self::Small,
            2 => Self::Large,
            // The fourth value is reserved; some mean "arrived, without a delta" by it. Nobody can use that.
            _ => Self::Lost,
        }
    }

    fn delta_bytes(self) -> usize {
        match self {
            Self::Lost => 0,
            Self::Small => 1,
            Self::Large => 2,
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Twcc<'a> {
    pub sender: u32,
    pub media: u32,
    /// The number of the first packet.
    pub base: u16,
    /// How many packets are spoken of, arrived or not.
    pub packets: u16,
    /// In 64 ms; 24 bits, signed. The first delta counts from here.
    pub reference: i32,
    /// Counts the feedbacks, so that lost ones are seen.
    pub number: u8,
    chunks: &'a [u8],
    deltas: &'a [u8],
}

impl<'a> Twcc<'a> {
    pub(super) fn read(body: &'a [u8]) -> Result<Self, RtcpError> {
        let rest = body.get(HEAD_BYTES..).ok_or(MALFORMED)?;
        let word = be32(body, 12).ok_or(MALFORMED)?;
        let mut twcc = Self {
            sender: be32(body, 0).ok_or(MALFORMED)?,
            media: be32(body, 4).ok_or(MALFORMED)?,
            base: be16(body, 8).ok_or(MALFORMED)?,
            packets: be16(body, 10).ok_or(MALFORMED)?,
            reference: word.cast_signed() >> 8,
            number: word as u8,
            chunks: rest,
            deltas: &[],
        };
        if twcc.packets > TWCC_PACKETS_MAX {
            return Err(RtcpError::TooMany);
        }

        let mut named = 0;
        let mut delta_bytes = 0;
        let mut at = 0;
        while named < twcc.packets {
            let chunk = Chunk(be16(rest, at).ok_or(MALFORMED)?);
            let len = chunk.len().min(twcc.packets - named);
            delta_bytes += chunk.delta_bytes(len);
            named += len;
            at += 2;
            // A run of none says nothing; a datagram of them is walked once, and is no feedback.
            if len == 0 {
                return Err(MALFORMED);
            }
        }
        let (chunks, deltas) = rest.split_at(at);
        twcc.chunks = chunks;
        twcc.deltas = deltas.get(..delta_bytes).ok_or(MALFORMED)?;
        Ok(twcc)
    }

    /// Every packet in order: its number and, if it arrived, how long after the one before that arrived, in 250 us
    /// (the first: after the reference time).
    pub fn arrivals(&self) -> Arrivals<'a> {
        Arrivals {
            next: self.base,
            left: self.packets,
            chunk: Chunk(0),
            index: 0,
            of_chunk: 0,
            chunks: self.chunks,
            deltas: self.deltas,
        }
    }
}

/// Sixteen bits that tell of some packets.
#[derive(Debug, Clone, Copy)]
struct Chunk(u16);

impl Chunk {
    fn len(self) -> u16 {
        match self.0 >> 14 {
            0 | 1 => self.0 & 0x1fff,
            2 => 14,
            _ => 7,
        }
    }

    fn symbol(self, index: u16) -> Symbol {
        match self.0 >> 14 {
            0 | 1 => Symbol::of(self.0 >> 13),
            2 => Symbol::of(self.0 >> (13 - index) & 1),
            _ => Symbol::of(self.0 >> (12 - 2 * index)),
        }
    }

    fn delta_bytes(self, len: u16) -> usize {
        if self.0 >> 15 == 0 {
            return usize::from(len) * self.symbol(0).delta_bytes();
        }
        (0..len).map(|index| self.symbol(index).delta_bytes()).sum()
    }
}

#[derive(Debug, Clone)]
pub struct Arrivals<'a> {
    next: u16,
    left: u16,
    chunk: Chunk,
    index: u16,
    of_chunk: u16,
    chunks: &'a [u8],
    deltas: &'a [u8],
}

impl Arrivals<'_> {
    fn delta(&mut self, symbol: Symbol) -> Option<i16> {
        match symbol {
            Symbol::Lost => None,
            Symbol::Small => {
                let (delta, rest) = self.deltas.split_first()?;
                self.deltas = rest;
                Some(i16::from(*delta))
            }
            Symbol::Large => {
                let (delta, rest) = self.deltas.split_first_chunk()?;
                self.deltas = rest;
                Some(i16::from_be_bytes(*delta))
            }
        }
    }
}

impl Iterator for Arrivals<'_> {
    type Item = (u16, Option<i16>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        if self.index == self.of_chunk {
            let (chunk, rest) = self.chunks.split_first_chunk()?;
            self.chunks = rest;
            self.chunk = Chunk(u16::from_be_bytes(*chunk));
            self.of_chunk = self.chunk.len();
            self.index = 0;
        }
        let symbol = self.chunk.symbol(self.index);
        self.index += 1;
        let number = self.next;
        self.next = number.wrapping_add(1);
        Some((number, self.delta(symbol)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left.into(), Some(self.left.into()))
    }
}
