//! Placeholders: where binary values stand in neutral JSON text. What they mean is up to who reads the text.

use std::ops::Range;

use super::PacketError;

/// Told about each `{"_placeholder":true,"num":n}`, in order.
pub(super) trait Placeholders {
    fn found(&mut self, num: u64, span: Range<usize>) -> Result<(), PacketError>;
}

/// The attachments that a packet announced, each of which exactly one placeholder must name. Two for one attachment
/// would let a small packet become a large one wherever binary is put back in place.
#[derive(Debug)]
pub(super) struct Announced {
    /// A bit for each attachment that no placeholder has named yet.
    unused: u64,
}

impl Announced {
    /// `attachments`: at most 64.
    pub(super) fn new(attachments: usize) -> Self {
        debug_assert!(attachments <= 64);
        Self { unused: if attachments == 0 { 0 } else { u64::MAX >> (64 - attachments) } }
    }

    pub(super) fn all_used(&self) -> Result<(), PacketError> {
        if self.unused == 0 { Ok(()) } else { Err(PacketError::UnusedAttachment) }
    }
}

impl Placeholders for Announced {
    fn found(&mut self, num: u64, _: Range<usize>) -> Result<(), PacketError> {
        let bit = 1_u64.checked_shl(u32::try_from(num).unwrap_or(u32::MAX)).unwrap_or(0);
        if self.unused & bit == 0 {
            return Err(PacketError::Placeholder);
        }
        self.unused &= !bit;
        Ok(())
    }
}

/// Our own text: whatever stands in it was meant.
impl Placeholders for () {
    fn found(&mut self, _: u64, _: Range<usize>) -> Result<(), PacketError> {
        Ok(())
    }
}
