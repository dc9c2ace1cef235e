//! Writing RTCP, one message behind the other, into a buffer that is somebody else's.

use super::feedback::{FirEntry, NackEntry};
use super::remb;
use super::report::{ReportBlock, SenderInfo};

/// Five bits say how many.
const COUNT_MAX: usize = 31;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message does not fit")]
pub struct NoRoom;

/// A compound packet in the making. What does not fit is not written at all, and what stands before it stays.
#[derive(Debug)]
pub struct Writer<'a> {
    buf: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    pub fn new(buf: &'a mut [u8]) -> Self {
        Self { buf, len: 0 }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn written(&self) -> &[u8] {
        &self.buf[..self.len]
    }

    /// At most 31 blocks; more do not fit into one report.
    pub fn sender_report(&mut self, info: &SenderInfo, blocks: &[ReportBlock]) -> Result<(), NoRoom> {
        self.message(super::SENDER_REPORT, blocks.len(), |out| {
            out.word(info.ssrc)?;
            out.put(&info.ntp.0.to_be_bytes())?;
            out.word(info.rtp)?;
            out.word(info.packets)?;
            out.word(info.octets)?;
            out.blocks(blocks)
        })
    }

    pub fn receiver_report(&mut self, ssrc: u32, blocks: &[ReportBlock]) -> Result<(), NoRoom> {
        self.message(super::RECEIVER_REPORT, blocks.len(), |out| {
            out.word(ssrc)?;
            out.blocks(blocks)
        })
    }

    /// One source and its canonical name of at most 255 bytes.
    pub fn cname(&mut self, ssrc: u32, cname: &[u8]) -> Result<(), NoRoom> {
        let len = u8::try_from(cname.len()).map_err(|_| NoRoom)?;
        self.message(super::SOURCE_DESCRIPTION, 1, |out| {
            out.word(ssrc)?;
            out.put(&[1, len])?;
            out.put(cname)?;
            // At least one zero ends the items.
            out.put(&[0])
        })
    }

    pub fn bye(&mut self, ssrcs: &[u32]) -> Result<(), NoRoom> {
        self.message(super::GOODBYE, ssrcs.len(), |out| ssrcs.iter().try_for_each(|ssrc| out.word(*ssrc)))
    }

    /// Writes as many entries as fit and says how many did. None at all is an error, and no entries are no message.
    pub fn nack(
        &mut self,
        sender: u32,
        media: u32,
        entries: impl IntoIterator<Item = NackEntry>,
    ) -> Result<usize, NoRoom> {
        let mut entries = entries.into_iter().peekable();
        if entries.peek().is_none() {
            return Ok(0);
        }
        let mut count = 0;
        self.message(super::TRANSPORT_FEEDBACK, super::NACK.into(), |out| {
            out.word(sender)?;
            out.word(media)?;
            for entry in entries {
                let word = u32::from(entry.first) << 16 | u32::from(entry.behind);
                if out.word(word).is_err() {
                    break;
                }
                count += 1;
            }
            if count == 0 { Err(NoRoom) } else { Ok(()) }
        })?;
        Ok(count)
    }

    pub fn pli(&mut self, sender: u32, media: u32) -> Result<(), NoRoom> {
        self.message(super::PAYLOAD_FEEDBACK, super::PLI.into(), |out| {
            out.word(sender)?;
            out.word(media)
        })
    }

    pub fn fir(&mut self, sender: u32, entries: &[FirEntry]) -> Result<(), NoRoom> {
        self.message(super::PAYLOAD_FEEDBACK, super::FIR.into(), |out| {
            out.word(sender)?;
            out.word(0)?;
            entries.iter().try_for_each(|entry| {
                out.word(entry.ssrc)?;
                out.word(u32::from(entry.number) << 24)
            })
        })
    }

    /// At most 255 streams.
    pub fn remb(&mut self, sender: u32, bits_per_second: u64, ssrcs: &[u32]) -> Result<(), NoRoom> {
        let count = u8::try_from(ssrcs.len()).map_err(|_| NoRoom)?;
        self.message(super::PAYLOAD_FEEDBACK, super::APPLICATION.into(), |out| {
            out.word(sender)?;
            out.word(0)?;
            out.put(&remb::NAME)?;
            out.word(u32::from(count) << 24 | remb::rate(bits_per_second))?;
            ssrcs.iter().try_for_each(|ssrc| out.word(*ssrc))
        })
    }

    pub(super) fn twcc(
        &mut self,
        sender: u32,
        media: u32,
        head: [u8; 8],
        statuses: &[u8],
        deltas: &[u8],
    ) -> Result<(), NoRoom> {
        self.message(super::TRANSPORT_FEEDBACK, super::TWCC.into(), |out| {
            out.word(sender)?;
            out.word(media)?;
            out.put(&head)?;
            out.put(statuses)?;
            out.put(deltas)
        })
    }

    /// The common head, then what `body` writes, filled up to words. Takes everything back if it does not fit.
    fn message(
        &mut self,
        packet_type: u8,
        count: usize,
        body: impl FnOnce(&mut Self) -> Result<(), NoRoom>,
    ) -> Result<(), NoRoom> {
        let start = self.len;
        let written = self.try_message(start, packet_type, count, body);
        if written.is_err() {
            self.len = start;
        }
        written
    }

    fn try_message(
        &mut self,
        start: usize,
        packet_type: u8,
        count: usize,
        body: impl FnOnce(&mut Self) -> Result<(), NoRoom>,
    ) -> Result<(), NoRoom> {
        if count > COUNT_MAX {
            return Err(NoRoom);
        }
        self.put(&[2 << 6 | count as u8, packet_type, 0, 0])?;
        body(self)?;
        let bytes = (self.len - start).next_multiple_of(4);
        self.put(&[0; 3][..start + bytes - self.len])?;
        let words = u16::try_from(bytes / 4 - 1).map_err(|_| NoRoom)?;
        self.buf[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        let end = self.len + bytes.len();
        self.buf.get_mut(self.len..end).ok_or(NoRoom)?.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    fn word(&mut self, word: u32) -> Result<(), NoRoom> {
        self.put(&word.to_be_bytes())
    }

    fn blocks(&mut self, blocks: &[ReportBlock]) -> Result<(), NoRoom> {
        blocks.iter().try_for_each(|block| {
            self.word(block.ssrc)?;
            let lost = block.lost.clamp(-0x80_0000, 0x7f_ffff).cast_unsigned() & 0xff_ffff;
            self.word(u32::from(block.fraction_lost) << 24 | lost)?;
            self.word(block.highest)?;
            self.word(block.jitter)?;
            self.word(block.last_report)?;
            self.word(block.since_last_report)
        })
    }
}
