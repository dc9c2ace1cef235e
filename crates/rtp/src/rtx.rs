//! Retransmission (RFC 4588): a packet sent again in a stream of its own, its first number before its payload.

use crate::header::{Element, Fields, WriteError, write_header};
use crate::packet::Header;

/// The original sequence number.
pub const OSN_BYTES: usize = 2;

/// What an RTX payload brings back: the original number and the payload. `None` for the empty ones that only probe.
pub fn unwrap(payload: &[u8]) -> Option<(u16, &[u8])> {
    let (number, rest) = payload.split_first_chunk()?;
    Some((u16::from_be_bytes(*number), rest))
}

/// Turns an RTX packet into the one that was lost, in place: the packet is then `bytes[2..]`, with its extensions and
/// padding as they came. `None` if it brings nothing back.
pub fn restore<'a>(
    bytes: &'a mut [u8],
    header: &Header,
    payload_type: u8,
    ssrc: u32,
) -> Option<&'a mut [u8]> {
    if header.payload_len() <= OSN_BYTES {
        return None;
    }
    let start = header.header_len();
    let number: [u8; OSN_BYTES] = bytes.get(start..start + OSN_BYTES)?.try_into().ok()?;
    bytes.copy_within(..start, OSN_BYTES);
    let packet = &mut bytes[OSN_BYTES..];
    packet[1] = packet[1] & 0x80 | payload_type & 0x7f;
    packet[2..4].copy_from_slice(&number);
    packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
    Some(packet)
}

/// Writes header and original number of a retransmission; the payload goes right behind. `fields` are those of the RTX
/// stream (its SSRC, payload type and next number) with marker and timestamp of the original.
pub fn write_header_for(
    buf: &mut [u8],
    fields: &Fields,
    extensions: &[Element<'_>],
    original: u16,
) -> Result<usize, WriteError> {
    let start = write_header(buf, fields, extensions)?;
    let end = start + OSN_BYTES;
    buf.get_mut(start..end).ok_or(WriteError::NoRoom)?.copy_from_slice(&original.to_be_bytes());
    Ok(end)
}

/// A whole retransmission. Returns its length.
pub fn wrap(
    buf: &mut [u8],
    fields: &Fields,
    extensions: &[Element<'_>],
    original: u16,
    payload: &[u8],
) -> Result<usize, WriteError> {
    let start = write_header_for(buf, fields, extensions, original)?;
    let end = start + payload.len();
    buf.get_mut(start..end).ok_or(WriteError::NoRoom)?.copy_from_slice(payload);
    Ok(end)
}
