//! Sender and receiver reports (RFC 3550, 6.4).

use crate::bytes::{be32, be64};
use crate::ntp::{ClockMapping, NtpTime};

const SENDER_BYTES: usize = 24;
pub(super) const BLOCK_BYTES: usize = 24;

/// What a sender says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderInfo {
    pub ssrc: u32,
    pub ntp: NtpTime,
    pub rtp: u32,
    pub packets: u32,
    /// Of payload.
    pub octets: u32,
}

impl SenderInfo {
    pub fn mapping(&self) -> ClockMapping {
        ClockMapping { ntp: self.ntp, rtp: self.rtp }
    }
}

/// How one source is received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReportBlock {
    pub ssrc: u32,
    /// Of 256, since the last report.
    pub fraction_lost: u8,
    /// Since the beginning; negative when more came than was sent. 24 bits.
    pub lost: i32,
    /// The highest sequence number, its cycles in the upper half.
    pub highest: u32,
    /// In units of the timestamp.
    pub jitter: u32,
    /// The middle of the NTP time of the last sender report, zero if there was none.
    pub last_report: u32,
    /// In 1/65536 seconds.
    pub since_last_report: u32,
}

impl ReportBlock {
    fn read(bytes: &[u8; BLOCK_BYTES]) -> Self {
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Self {
            ssrc: word(0),
            fraction_lost: bytes[4],
            lost: (word(4) << 8).cast_signed() >> 8,
            highest: word(8),
            jitter: word(12),
            last_report: word(16),
            since_last_report: word(20),
        }
    }
}

/// At most 31.
#[derive(Debug, Clone)]
pub struct ReportBlocks<'a> {
    bytes: &'a [u8],
}

impl<'a> ReportBlocks<'a> {
    /// What stands behind the blocks is an extension of a profile, and none of ours.
    fn read(count: u8, bytes: &'a [u8]) -> Option<Self> {
        Some(Self { bytes: bytes.get(..usize::from(count) * BLOCK_BYTES)? })
    }
}

impl Iterator for ReportBlocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (block, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(ReportBlock::read(block))
    }
}

#[derive(Debug, Clone)]
pub struct SenderReport<'a> {
    pub info: SenderInfo,
    pub blocks: ReportBlocks<'a>,
}

impl<'a> SenderReport<'a> {
    pub(super) fn read(count: u8, body: &'a [u8]) -> Option<Self> {
        let info = SenderInfo {
            ssrc: be32(body, 0)?,
            ntp: NtpTime(be64(body, 4)?),
            rtp: be32(body, 12)?,
            packets: be32(body, 16)?,
            octets: be32(body, 20)?,
        };
        Some(Self { info, blocks: ReportBlocks::read(count, &body[SENDER_BYTES..])? })
    }
}

#[derive(Debug, Clone)]
pub struct ReceiverReport<'a> {
    pub ssrc: u32,
    pub blocks: ReportBlocks<'a>,
}

impl<'a> ReceiverReport<'a> {
    pub(super) fn read(count: u8, body: &'a [u8]) -> Option<Self> {
        Some(Self { ssrc: be32(body, 0)?, blocks: ReportBlocks::read(count, &body[4..])? })
    }
}
