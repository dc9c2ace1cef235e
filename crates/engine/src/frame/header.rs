//! The header of a frame (RFC 6455 5.2): what it says, and the faults that show in it alone.

use super::{ProtocolError, Role};

/// Two bytes, eight of length, four of key.
pub(super) const HEADER_BYTES_MAX: usize = 14;
/// RFC 6455 5.5.
pub(super) const CONTROL_BYTES_MAX: u64 = 125;

const FIN: u8 = 0x80;
pub(super) const RSV1: u8 = 0x40;
const RSV2_RSV3: u8 = 0x30;
const MASKED: u8 = 0x80;
/// Instead of a length: it follows in two bytes, or in eight.
pub(super) const LEN_16: u8 = 0x7e;
pub(super) const LEN_64: u8 = 0x7f;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Kind {
    pub(super) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Length of the payload.
    pub(super) len: u64,
    /// Zero for an unmasked frame, which masks nothing.
    pub(super) key: [u8; 4],
    pub(super) kind: Kind,
    pub(super) fin: bool,
    pub(super) compressed: bool,
    /// Bytes of the header itself.
    pub(super) size: u8,
}

/// `None`: more bytes are needed. Faults of the first two bytes are told without waiting for the rest.
#[inline]
pub(super) fn parse(bytes: &[u8], role: Role) -> Result<Option<Header>, ProtocolError> {
    let [first, second, ..] = *bytes else { return Ok(None) };
    if first & RSV2_RSV3 != 0 {
        return Err(ProtocolError::ReservedBit);
    }
    let kind = match first & 0x0f {
        0x0 => Kind::Continuation,
        0x1 => Kind::Text,
        0x2 => Kind::Binary,
        0x8 => Kind::Close,
        0x9 => Kind::Ping,
        0xa => Kind::Pong,
        reserved => return Err(ProtocolError::UnknownOpcode(reserved)),
    };
    let (fin, compressed) = (first & FIN != 0, first & RSV1 != 0);
    let short = second & !MASKED;
    if kind.is_control() {
        if !fin {
            return Err(ProtocolError::FragmentedControl);
        }
        if u64::from(short) > CONTROL_BYTES_MAX {
            return Err(ProtocolError::ControlTooLong);
        }
        if compressed {
            return Err(ProtocolError::CompressedControl);
        }
    }
    let masked = second & MASKED != 0;
    match role {
        Role::Server if !masked => return Err(ProtocolError::NotMasked),
        Role::Client if masked => return Err(ProtocolError::Masked),
        _ => {}
    }
    let (len, mut size) = match short {
        LEN_16 => {
            let Some(len) = bytes.get(2..).and_then(<[u8]>::first_chunk) else { return Ok(None) };
            let len = u64::from(u16::from_be_bytes(*len));
            if len < u64::from(LEN_16) {
                return Err(ProtocolError::LengthNotMinimal);
            }
            (len, 4)
        }
        LEN_64 => {
            let Some(len) = bytes.get(2..).and_then(<[u8]>::first_chunk) else { return Ok(None) };
            let len = u64::from_be_bytes(*len);
            if len >> 63 != 0 {
                return Err(ProtocolError::LengthOverflow);
            }
            if u16::try_from(len).is_ok() {
                return Err(ProtocolError::LengthNotMinimal);
            }
            (len, 10)
        }
        short => (u64::from(short), 2),
    };
    let mut key = [0; 4];
    if masked {
        let Some(found) = bytes.get(size..).and_then(<[u8]>::first_chunk) else { return Ok(None) };
        key = *found;
        size += key.len();
    }
    Ok(Some(Header { len, key, kind, fin, compressed, size: size as u8 }))
}
