//! What a source is called, and that it leaves (RFC 3550, 6.5 and 6.6).

use crate::bytes::be32;

const CNAME: u8 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SdesChunk<'a> {
    pub ssrc: u32,
    pub cname: Option<&'a [u8]>,
}

/// The chunks of a source description; only the canonical name of each is read.
#[derive(Debug, Clone)]
pub struct Sdes<'a> {
    count: u8,
    bytes: &'a [u8],
}

impl<'a> Sdes<'a> {
    pub(super) fn read(count: u8, body: &'a [u8]) -> Option<Self> {
        let sdes = Self { count, bytes: body };
        // Walked once here, so that whoever iterates need not ask whether it ended early.
        (sdes.clone().count() == usize::from(count)).then_some(sdes)
    }

    fn chunk(&self) -> Option<(SdesChunk<'a>, &'a [u8])> {
        let ssrc = be32(self.bytes, 0)?;
        let mut at = 4;
        let mut cname = None;
        loop {
            let kind = *self.bytes.get(at)?;
            if kind == 0 {
                // One to four zeros end a chunk at a word.
                let rest = self.bytes.get((at + 1).next_multiple_of(4)..)?;
                return Some((SdesChunk { ssrc, cname }, rest));
            }
            let len = usize::from(*self.bytes.get(at + 1)?);
            let text = self.bytes.get(at + 2..at + 2 + len)?;
            if kind == CNAME {
                cname = Some(text);
            }
            at += 2 + len;
        }
    }
}

impl<'a> Iterator for Sdes<'a> {
    type Item = SdesChunk<'a>;

    fn next(&mut self) -> Option<SdesChunk<'a>> {
        self.count = self.count.checked_sub(1)?;
        let (chunk, rest) = self.chunk()?;
        self.bytes = rest;
        Some(chunk)
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Bye<'a> {
    ssrcs: &'a [u8],
    pub reason: Option<&'a [u8]>,
}

impl<'a> Bye<'a> {
    pub(super) fn read(count: u8, body: &'a [u8]) -> Option<Self> {
        let (ssrcs, rest) = body.split_at_checked(4 * usize::from(count))?;
        let reason = match rest.split_first() {
            Some((len, text)) => Some(text.get(..usize::from(*len))?),
            None => None,
        };
        Some(Self { ssrcs, reason })
    }

    pub fn ssrcs(&self) -> impl Iterator<Item = u32> + 'a {
        let ssrcs = self.ssrcs;
        (0..ssrcs.len() / 4).filter_map(move |index| be32(ssrcs, 4 * index))
    }
}
