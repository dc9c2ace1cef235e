//! A packet as it lies in a buffer: the fixed header, header extensions, payload and padding (RFC 3550, RFC 8285).
//!
//! Making the view checks all bounds once. It does not know what the extensions mean, nor the payload.

use std::ops::Range;

use crate::bytes::{be16, be32};

/// Without sources and extensions.
pub const HEADER_BYTES: usize = 12;

const VERSION: u8 = 2;
const ONE_BYTE_PROFILE: u16 = 0xbede;
/// The low four bits are the application's.
const TWO_BYTE_PROFILE: u16 = 0x1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    #[error("the packet ends before its header does")]
    Truncated,
    #[error("the packet is not of RTP version 2")]
    Version,
    #[error("the padding is longer than the payload")]
    Padding,
    #[error("the packet is longer than a datagram can be")]
    TooLong,
}

/// How extension elements are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    None,
    OneByte,
    TwoByte,
    /// A profile of its own: the block is skipped.
    Other,
}

/// What the header says, and where everything lies. Owns nothing, so it can be kept beside the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub marker: bool,
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    pub form: Form,
    csrc_count: u8,
    padding: u8,
    extensions_end: u16,
    extensions_bytes: u16,
    payload_end: u16,
}

impl Header {
    pub fn parse(bytes: &[u8]) -> Result<Self, PacketError> {
        let total = u16::try_from(bytes.len()).map_err(|_| PacketError::TooLong)?;
        let fixed: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(PacketError::Truncated)?;
        let layout = Layout::of(bytes)?;
        let mut padding = 0;
        if fixed[0] & 0x20 != 0 {
            // The count includes itself.
            padding = bytes[bytes.len() - 1];
            if padding == 0 || u16::from(padding) > total - layout.end {
                return Err(PacketError::Padding);
            }
        }
        Ok(Self {
            marker: fixed[1] & 0x80 != 0,
            payload_type: fixed[1] & 0x7f,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            form: layout.form,
            csrc_count: fixed[0] & 0x0f,
            padding,
            extensions_end: layout.end,
            extensions_bytes: layout.extensions_bytes,
            payload_end: total - u16::from(padding),
        })
    }

    /// Where the header ends and the payload begins.
    pub fn header_len(&self) -> usize {
        self.extensions_end.into()
    }

    pub fn payload_range(&self) -> Range<usize> {
        self.extensions_end.into()..self.payload_end.into()
    }

    pub fn payload_len(&self) -> usize {
        usize::from(self.payload_end - self.extensions_end)
    }

    /// Bytes of padding behind the payload, the count among them.
    pub fn padding_len(&self) -> usize {
        self.padding.into()
    }

    fn extensions_range(&self) -> Range<usize> {
        usize::from(self.extensions_end - self.extensions_bytes)..self.extensions_end.into()
    }
}

/// Where the header ends in a packet whose payload is still encrypted: padding is not looked at.
pub fn header_bytes(bytes: &[u8]) -> Result<usize, PacketError> {
    Layout::of(bytes).map(|layout| layout.end.into())
}

struct Layout {
    form: Form,
    extensions_bytes: u16,
    end: u16,
}

impl Layout {
    fn of(bytes: &[u8]) -> Result<Self, PacketError> {
        let first = *bytes.first().ok_or(PacketError::Truncated)?;
        if first >> 6 != VERSION {
            return Err(PacketError::Version);
        }
        let mut end = HEADER_BYTES + 4 * usize::from(first & 0x0f);
        let mut form = Form::None;
        let mut extensions_bytes = 0;
        if first & 0x10 != 0 {
            let profile = be16(bytes, end).ok_or(PacketError::Truncated)?;
            let words = be16(bytes, end + 2).ok_or(PacketError::Truncated)?;
            form = match profile {
                ONE_BYTE_PROFILE => Form::OneByte,
                _ if profile & 0xfff0 == TWO_BYTE_PROFILE => Form::TwoByte,
                _ => Form::Other,
            };
            extensions_bytes = 4 * usize::from(words);
            end += 4 + extensions_bytes;
        }
        if end > bytes.len() {
            return Err(PacketError::Truncated);
        }
        let end = u16::try_from(end).map_err(|_| PacketError::TooLong)?;
        // Part of what ends at `end`.
        Ok(Self { form, extensions_bytes: extensions_bytes as u16, end })
    }
}

/// A packet in a buffer that is somebody else's.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    pub header: Header,
    bytes: &'a [u8],
}

impl<'a> Packet<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PacketError> {
        Ok(Self { header: Header::parse(bytes)?, bytes })
    }

    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Without padding.
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[self.header.payload_range()]
    }

    pub fn csrcs(&self) -> impl Iterator<Item = u32> + 'a {
        let bytes = self.bytes;
        (0..usize::from(self.header.csrc_count))
            .filter_map(move |index| be32(bytes, HEADER_BYTES + 4 * index))
    }

    pub fn extensions(&self) -> Extensions<'a> {
        Extensions { form: self.header.form, bytes: &self.bytes[self.header.extensions_range()], at: 0 }
    }

    pub fn extension(&self, id: u8) -> Option<&'a [u8]> {
        self.extensions().find(|(found, _)| *found == id).map(|(_, value)| value)
    }
}

/// The elements of a header: id and value. Ends early where the block is malformed (RFC 8285 has what was read until
/// then count).
#[derive(Debug, Clone)]
pub struct Extensions<'a> {
    form: Form,
    bytes: &'a [u8],
    at: usize,
}

impl Extensions<'_> {
    /// The id and where the value lies in the block.
    fn next_range(&mut self) -> Option<(u8, Range<usize>)> {
        loop {
            let first = *self.bytes.get(self.at)?;
            if first == 0 {
                self.at += 1;
                continue;
            }
            let (id, start, len) = match self.form {
                // Id 15 ends the block, and id 0 with a length is no padding: both stop here.
                Form::OneByte if first >> 4 == 15 || first >> 4 == 0 => return None,
                Form::OneByte => (first >> 4, self.at + 1, usize::from(first & 0x0f) + 1),
                Form::TwoByte => (first, self.at + 2, usize::from(*self.bytes.get(self.at + 1)?)),
                Form::None | Form::Other => return None,
            };
            if start + len > self.bytes.len() {
                self.at = self.bytes.len();
                return None;
            }
            self.at = start + len;
            return Some((id, start..start + len));
        }
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (id, range) = self.next_range()?;
        Some((id, &self.bytes[range]))
    }
}

/// The same, to change what does not change its length.
#[derive(Debug)]
pub struct PacketMut<'a> {
    header: Header,
    bytes: &'a mut [u8],
}

impl<'a> PacketMut<'a> {
    pub fn parse(bytes: &'a mut [u8]) -> Result<Self, PacketError> {
        Ok(Self { header: Header::parse(bytes)?, bytes })
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    pub fn view(&self) -> Packet<'_> {
        Packet { header: self.header, bytes: self.bytes }
    }

    pub fn payload_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.header.payload_range()]
    }

    pub fn extension_mut(&mut self, id: u8) -> Option<&mut [u8]> {
        let range = self.header.extensions_range();
        let mut elements = self.view().extensions();
        let found = loop {
            let (element, value) = elements.next_range()?;
            if element == id {
                break range.start + value.start..range.start + value.end;
            }
        };
        Some(&mut self.bytes[found])
    }

    pub fn set_marker(&mut self, marker: bool) {
        self.header.marker = marker;
        self.bytes[1] = u8::from(marker) << 7 | self.header.payload_type;
    }

    pub fn set_payload_type(&mut self, payload_type: u8) {
        self.header.payload_type = payload_type & 0x7f;
        self.bytes[1] = u8::from(self.header.marker) << 7 | self.header.payload_type;
    }

    pub fn set_sequence(&mut self, sequence: u16) {
        self.header.sequence = sequence;
        self.bytes[2..4].copy_from_slice(&sequence.to_be_bytes());
    }

    pub fn set_timestamp(&mut self, timestamp: u32) {
        self.header.timestamp = timestamp;
        self.bytes[4..8].copy_from_slice(&timestamp.to_be_bytes());
    }

    pub fn set_ssrc(&mut self, ssrc: u32) {
        self.header.ssrc = ssrc;
        self.bytes[8..12].copy_from_slice(&ssrc.to_be_bytes());
    }
}
