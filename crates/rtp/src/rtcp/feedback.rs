//! What a receiver asks for: packets again (RFC 4585, 6.2.1) and pictures that stand alone (6.3.1; RFC 5104, 4.3.1).

use crate::bytes::{be16, be32};

/// Up to seventeen lost packets: one by its number, and those behind it by a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NackEntry {
    pub first: u16,
    pub behind: u16,
}

impl NackEntry {
    pub fn sequences(self) -> impl Iterator<Item = u16> {
        let behind = (0..16).filter(move |bit| self.behind >> bit & 1 == 1);
        std::iter::once(self.first).chain(behind.map(move |bit| self.first.wrapping_add(bit + 1)))
    }
}

/// Packs lost numbers, which come in their order, into as few entries as they fit in.
pub fn nack_entries(lost: impl IntoIterator<Item = u16>) -> impl Iterator<Item = NackEntry> {
    let mut lost = lost.into_iter().peekable();
    std::iter::from_fn(move || {
        let first = lost.next()?;
        let mut behind = 0;
        while let Some(bit) = lost.next_if(|number| matches!(number.wrapping_sub(first), 1..=16)) {
            behind |= 1 << (bit.wrapping_sub(first) - 1);
        }
        Some(NackEntry { first, behind })
    })
}

#[derive(Debug, Clone, Copy)]
pub struct Nack<'a> {
    pub sender: u32,
    pub media: u32,
    entries: &'a [u8],
}

impl<'a> Nack<'a> {
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        let entries = body.get(8..)?;
        Some(Self { sender: be32(body, 0)?, media: be32(body, 4)?, entries })
    }

    pub fn entries(&self) -> impl Iterator<Item = NackEntry> + 'a {
        let entries = self.entries;
        (0..entries.len() / 4).filter_map(move |index| {
            Some(NackEntry { first: be16(entries, 4 * index)?, behind: be16(entries, 4 * index + 2)? })
        })
    }

    /// All numbers that are asked for. A datagram can name six thousand: whoever answers must set a limit of its own.
    pub fn sequences(&self) -> impl Iterator<Item = u16> + 'a {
        self.entries().flat_map(NackEntry::sequences)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pli {
    pub sender: u32,
    pub media: u32,
}

impl Pli {
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        Some(Self { sender: be32(body, 0)?, media: be32(body, 4)? })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirEntry {
    pub ssrc: u32,
    /// A repetition of a request bears the number of the first.
    pub number: u8,
}

#[derive(Debug, Clone, Copy)]
pub struct Fir<'a> {
    pub sender: u32,
    entries: &'a [u8],
}

impl<'a> Fir<'a> {
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        Some(Self { sender: be32(body, 0)?, entries: body.get(8..)? })
    }

    pub fn entries(&self) -> impl Iterator<Item = FirEntry> + 'a {
        let entries = self.entries;
        (0..entries.len() / 8).filter_map(move |index| {
            Some(FirEntry { ssrc: be32(entries, 8 * index)?, number: *entries.get(8 * index + 4)? })
        })
    }
}
