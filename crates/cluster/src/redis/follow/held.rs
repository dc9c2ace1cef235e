//! Messages of the bus that must wait until what was missed before them is known.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::Message;
use crate::redis::frame::Header;

/// A second of a busy lane. Beyond it they are dropped and read from the log instead.
const MESSAGES_MAX: usize = 16_384;

const BYTES_MAX: usize = 16 * 1024 * 1024;

#[derive(Debug, Default)]
pub(super) struct Held {
    messages: VecDeque<(Header, Arc<Message>)>,
    bytes: usize,
}

#[derive(Debug)]
pub(super) struct TooMany;

impl Held {
    pub(super) fn push(&mut self, header: Header, message: Arc<Message>) -> Result<(), TooMany> {
        let bytes = message.bytes();
        if self.messages.len() >= MESSAGES_MAX || self.bytes + bytes > BYTES_MAX {
            return Err(TooMany);
        }
        self.bytes += bytes;
        self.messages.push_back((header, message));
        Ok(())
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn take(&mut self) -> VecDeque<(Header, Arc<Message>)> {
        std::mem::take(self).messages
    }
}
