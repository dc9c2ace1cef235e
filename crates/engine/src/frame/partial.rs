//! What a reader keeps between two reads: a header or payload that is not whole yet, and a message whose last
//! fragment is still to come. Boxed by the reader, so that a connection at rest pays nothing for it.

use super::{
    Limits, ProtocolError,
    header::{HEADER_BYTES_MAX, Header, Kind},
};

/// A megabyte in fragments of 64 bytes. What it stops is an endless message of empty fragments, which the byte
/// limits do not see.
pub(super) const FRAGMENTS_MAX: u32 = 16_384;

#[derive(Debug, Default)]
pub(super) struct Partial {
    pub(super) stage: Stage,
    pub(super) message: Option<Message>,
}

impl Partial {
    pub(super) fn held_bytes(&self) -> usize {
        let control = if let Stage::Control { bytes, .. } = &self.stage { bytes.capacity() } else { 0 };
        size_of::<Self>() + control + self.message.as_ref().map_or(0, |message| message.bytes.capacity())
    }
}

#[derive(Debug)]
pub(super) enum Stage {
    /// Between frames (`len` is 0) or inside a header.
    Header { bytes: [u8; HEADER_BYTES_MAX], len: u8 },
    /// Inside a data frame; the bytes are with the message.
    Data { header: Header, seen: usize },
    /// Inside a control frame, which may stand between two fragments of a message.
    Control { header: Header, bytes: Vec<u8> },
}

impl Default for Stage {
    fn default() -> Self {
        Self::Header { bytes: [0; HEADER_BYTES_MAX], len: 0 }
    }
}

/// A data message in the making.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) text: bool,
    pub(super) compressed: bool,
    pub(super) bytes: Vec<u8>,
    fragments: u32,
    /// Text up to here is known to be UTF-8.
    checked: usize,
}

impl Message {
    pub(super) fn begin(header: &Header) -> Self {
        Self {
            text: header.kind == Kind::Text,
            compressed: header.compressed,
            bytes: Vec::new(),
            fragments: 0,
            checked: 0,
        }
    }

    /// Whether one more frame may be added.
    pub(super) fn admit(&self, header: &Header, limits: &Limits) -> Result<(), ProtocolError> {
        if self.fragments >= FRAGMENTS_MAX {
            return Err(ProtocolError::TooManyFragments { max: FRAGMENTS_MAX });
        }
        if header.len > limits.message_bytes_max.saturating_sub(self.bytes.len()) as u64 {
            return Err(ProtocolError::MessageTooLong { max: limits.message_bytes_max });
        }
        Ok(())
    }

    /// Takes unmasked payload. `missing` is what the frame still lacks, these bytes included: memory grows by
    /// doubling with what has come, and never past what can come. An announced length reserves nothing.
    pub(super) fn extend(&mut self, bytes: &[u8], missing: usize, fin: bool, limits: &Limits) {
        let needed = self.bytes.len() + bytes.len();
        if needed > self.bytes.capacity() {
            let ceiling = if fin { self.bytes.len() + missing } else { limits.message_bytes_max };
            let target = (2 * self.bytes.capacity()).min(ceiling).max(needed);
            self.bytes.reserve_exact(target - self.bytes.len());
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// A frame that is not the last one has ended. Text is checked as far as it can be, so that garbage is
    /// refused early; a character may still be cut by the fragment's end.
    pub(super) fn fragment_ended(&mut self) -> Result<(), ProtocolError> {
        self.fragments += 1;
        if self.text && !self.compressed {
            match std::str::from_utf8(&self.bytes[self.checked..]) {
                Ok(_) => self.checked = self.bytes.len(),
                Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
                Err(_) => return Err(ProtocolError::TextNotUtf8),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Header, Kind, Message};
    use crate::frame::Limits;

    /// Otherwise a message of many fragments would cost the square of its length.
    #[test]
    fn text_is_checked_once() {
        let limits = Limits { frame_bytes_max: 100, message_bytes_max: 100 };
        let header = Header { len: 2, key: [0; 4], kind: Kind::Text, fin: false, compressed: false, size: 6 };
        let mut message = Message::begin(&header);
        for (part, checked) in [("ab", 2), ("c", 3), ("", 3)] {
            message.extend(part.as_bytes(), part.len(), false, &limits);
            assert_eq!((message.fragment_ended(), message.checked), (Ok(()), checked));
        }
        for (byte, checked) in [(0xe1, 3), (0xbd, 3), (0xb9, 6)] {
            message.extend(&[byte], 1, false, &limits);
            assert_eq!((message.fragment_ended(), message.checked), (Ok(()), checked));
        }
    }
}
