//! Writing the header of a packet that is about to be sent.
//!
//! A forwarded packet gets a header of its own, since the viewer's ids of extensions are not the publisher's.

use crate::packet::HEADER_BYTES;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fields {
    pub marker: bool,
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
}

/// One header extension under the id that the receiver agreed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    pub id: u8,
    pub value: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    #[error("the buffer is too small")]
    NoRoom,
    #[error("extension {0} cannot be written: its id or its length has no form")]
    Extension(u8),
}

/// Writes the header and returns its length. The one-byte form is used where it can say everything, since it is shorter
/// and understood by all; the two-byte form (ids above 14, values above 16 bytes or empty) needs `extmap-allow-mixed`.
pub fn write_header(
    buf: &mut [u8],
    fields: &Fields,
    extensions: &[Element<'_>],
) -> Result<usize, WriteError> {
    let fixed: &mut [u8; HEADER_BYTES] = buf.first_chunk_mut().ok_or(WriteError::NoRoom)?;
    fixed[0] = 0x80 | u8::from(!extensions.is_empty()) << 4;
    fixed[1] = u8::from(fields.marker) << 7 | fields.payload_type & 0x7f;
    fixed[2..4].copy_from_slice(&fields.sequence.to_be_bytes());
    fixed[4..8].copy_from_slice(&fields.timestamp.to_be_bytes());
    fixed[8..12].copy_from_slice(&fields.ssrc.to_be_bytes());
    if extensions.is_empty() {
        return Ok(HEADER_BYTES);
    }

    let one_byte = extensions.iter().all(|e| matches!(e.id, 1..=14) && matches!(e.value.len(), 1..=16));
    let mut at = HEADER_BYTES + 4;
    for element in extensions {
        let len = element.value.len();
        let head = if one_byte { 1 } else { 2 };
        let room = buf.get_mut(at..at + head + len).ok_or(WriteError::NoRoom)?;
        if one_byte {
            room[0] = element.id << 4 | (len - 1) as u8;
        } else {
            let short = u8::try_from(len).map_err(|_| WriteError::Extension(element.id))?;
            // Zero is padding.
            if element.id == 0 {
                return Err(WriteError::Extension(0));
            }
            room[..2].copy_from_slice(&[element.id, short]);
        }
        room[head..].copy_from_slice(element.value);
        at += head + len;
    }
    let end = at.next_multiple_of(4);
    buf.get_mut(at..end).ok_or(WriteError::NoRoom)?.fill(0);
    let words = u16::try_from((end - HEADER_BYTES - 4) / 4).map_err(|_| WriteError::NoRoom)?;
    let profile: u16 = if one_byte { 0xbede } else { 0x1000 };
    buf[HEADER_BYTES..HEADER_BYTES + 2].copy_from_slice(&profile.to_be_bytes());
    buf[HEADER_BYTES + 2..HEADER_BYTES + 4].copy_from_slice(&words.to_be_bytes());
    Ok(end)
}

/// A whole packet that carries nothing but `padding` bytes (at least one): it fills a place in the sequence, or a link
/// that is being probed. Returns its length.
pub fn write_padding(
    buf: &mut [u8],
    fields: &Fields,
    extensions: &[Element<'_>],
    padding: u8,
) -> Result<usize, WriteError> {
    let padding = padding.max(1);
    let start = write_header(buf, fields, extensions)?;
    let end = start + usize::from(padding);
    let room = buf.get_mut(start..end).ok_or(WriteError::NoRoom)?;
    room.fill(0);
    room[usize::from(padding) - 1] = padding;
    buf[0] |= 0x20;
    Ok(end)
}
