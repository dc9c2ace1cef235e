//! RTCP as it comes and goes: compound packets, read as views and written one after the other (RFC 3550, 4585, 5104,
//! transport-wide feedback, REMB).
//!
//! Reading does not insist that a compound begins with a report, since RFC 5506 lets feedback come alone. What is not
//! known is passed over, extended reports among it.

mod feedback;
mod remb;
mod report;
mod source;
mod twcc;
mod twcc_builder;
mod write;

use crate::bytes::be16;

pub use feedback::{Fir, FirEntry, Nack, NackEntry, Pli, nack_entries};
pub use remb::Remb;
pub use report::{ReceiverReport, ReportBlock, ReportBlocks, SenderInfo, SenderReport};
pub use source::{Bye, Sdes, SdesChunk};
pub use twcc::{Arrivals, TWCC_PACKETS_MAX, Twcc};
pub use twcc_builder::TwccBuilder;
pub use write::{NoRoom, Writer};

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;

const NACK: u8 = 1;
const TWCC: u8 = 15;
const PLI: u8 = 1;
const FIR: u8 = 4;
/// Application layer feedback; REMB says its name inside.
const APPLICATION: u8 = 15;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RtcpError {
    #[error("the packet ends before its length says")]
    Truncated,
    #[error("the packet is not of RTCP version 2")]
    Version,
    #[error("packet type {0} does not hold what it says")]
    Malformed(u8),
    #[error("a feedback names more packets than are looked at")]
    TooMany,
}

#[derive(Debug, Clone)]
pub enum Message<'a> {
    SenderReport(SenderReport<'a>),
    ReceiverReport(ReceiverReport<'a>),
    Sdes(Sdes<'a>),
    Bye(Bye<'a>),
    Nack(Nack<'a>),
    Pli(Pli),
    Fir(Fir<'a>),
    Twcc(Twcc<'a>),
    Remb(Remb<'a>),
}

/// The messages of one datagram. Ends after the first error: what stands behind a broken length means nothing.
#[derive(Debug, Clone)]
pub struct Compound<'a> {
    rest: &'a [u8],
}

impl<'a> Compound<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn step(&mut self) -> Result<Option<Message<'a>>, RtcpError> {
        let &[first, packet_type, ..] = self.rest.first_chunk::<4>().ok_or(RtcpError::Truncated)?;
        if first >> 6 != 2 {
            return Err(RtcpError::Version);
        }
        let words = be16(self.rest, 2).ok_or(RtcpError::Truncated)?;
        let (packet, rest) =
            self.rest.split_at_checked(4 * (usize::from(words) + 1)).ok_or(RtcpError::Truncated)?;
        self.rest = rest;
        let mut body = &packet[4..];
        if first & 0x20 != 0 {
            let padding = usize::from(*body.last().ok_or(RtcpError::Malformed(packet_type))?);
            let end = body.len().checked_sub(padding).filter(|_| padding != 0);
            body = &body[..end.ok_or(RtcpError::Malformed(packet_type))?];
        }
        read(packet_type, first & 0x1f, body)
    }
}

/// `count` is the five bits that say how many, or which kind of feedback.
fn read(packet_type: u8, count: u8, body: &[u8]) -> Result<Option<Message<'_>>, RtcpError> {
    let message = match (packet_type, count) {
        (SENDER_REPORT, _) => SenderReport::read(count, body).map(Message::SenderReport),
        (RECEIVER_REPORT, _) => ReceiverReport::read(count, body).map(Message::ReceiverReport),
        (SOURCE_DESCRIPTION, _) => Sdes::read(count, body).map(Message::Sdes),
        (GOODBYE, _) => Bye::read(count, body).map(Message::Bye),
        (TRANSPORT_FEEDBACK, NACK) => Nack::read(body).map(Message::Nack),
        (TRANSPORT_FEEDBACK, TWCC) => return Twcc::read(body).map(|twcc| Some(Message::Twcc(twcc))),
        (PAYLOAD_FEEDBACK, PLI) => Pli::read(body).map(Message::Pli),
        (PAYLOAD_FEEDBACK, FIR) => Fir::read(body).map(Message::Fir),
        (PAYLOAD_FEEDBACK, APPLICATION) if Remb::is_in(body) => Remb::read(body).map(Message::Remb),
        _ => return Ok(None),
    };
    message.map(Some).ok_or(RtcpError::Malformed(packet_type))
}

impl<'a> Iterator for Compound<'a> {
    type Item = Result<Message<'a>, RtcpError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            match self.step() {
                Ok(None) => {}
                Ok(Some(message)) => return Some(Ok(message)),
                Err(error) => {
                    self.rest = &[];
                    return Some(Err(error));
                }
            }
        }
        None
    }
}
