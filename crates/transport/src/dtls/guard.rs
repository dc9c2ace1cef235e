//! Stands before the library until the handshake is complete. The library believes the headers of fragments, keeps
//! whatever it is given, and stops its timer at any handshake record; so it is given whole messages only, each
//! once, in order and in records of our making.
//!
//! It must not know what a message means, but for the two whose lengths and contents must be known before.

use std::collections::BTreeMap;

use super::hello;
use super::record::{self, Record, records};

/// Longest handshake message. A chain of certificates is the longest that there is, and WebRTC's is one of 1 KB.
pub(super) const MESSAGE_BYTES_MAX: usize = 16 * 1_024;
/// A fragment that is not the last of its message carries at least so much,
pub(super) const FRAGMENT_BYTES_MIN: usize = 64;
/// but for so many: a sender that fills each datagram to its end leaves one at a seam, and a flight with a chain of
/// RSA certificates has a few seams.
pub(super) const TINY_FRAGMENTS_MAX: u32 = 4;
/// How far a message may run ahead of the one that is awaited: a flight has at most five.
pub(super) const MESSAGES_AHEAD_MAX: u16 = 8;
/// Messages of one handshake: a client has five before its keys, a server six.
pub(super) const MESSAGES_MAX: u16 = 16;
/// Bytes of all messages of one handshake; the library keeps them to the end.
pub(super) const HANDSHAKE_BYTES_MAX: usize = 48 * 1_024;
/// Bytes of all messages that wait for missing fragments or predecessors.
pub(super) const WAITING_BYTES_MAX: usize = 32 * 1_024;
/// Datagrams of one handshake, repetitions included.
pub(super) const DATAGRAMS_MAX: u32 = 128;
/// Records of the next epoch, which the library keeps until it has keys.
pub(super) const NEXT_EPOCH_RECORDS_MAX: u32 = 16;

const HEADER_BYTES: usize = 12;
const CLIENT_HELLO: u8 = 1;
const CERTIFICATE: u8 = 11;

/// The peer went beyond what a handshake needs; the association ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Violation {
    #[error("a handshake message of more than 16 KB")]
    MessageLength,
    #[error("fragments that contradict each other")]
    Inconsistent,
    #[error("too many fragments of less than 64 bytes")]
    TinyFragments,
    #[error("a message too far ahead")]
    FarAhead,
    #[error("more than 16 messages or 48 KB")]
    HandshakeLength,
    #[error("too many bytes wait")]
    WaitingBytes,
    #[error("more than 128 datagrams")]
    Datagrams,
    #[error("more than 16 records of the next epoch")]
    NextEpoch,
    #[error("a malformed handshake message")]
    Malformed,
}

/// What of a datagram goes on to the library.
#[derive(Debug, Default)]
pub(super) struct Admitted {
    /// A datagram for the library; empty if there is nothing for it.
    pub(super) datagram: Vec<u8>,
    /// The profiles of the first ClientHello, if this datagram completed it.
    pub(super) offered: Option<hello::Offered>,
    /// The peer repeated the last message that we had: what we answered was lost.
    pub(super) repeated: bool,
}

/// Reassembles the messages of one handshake.
#[derive(Debug)]
pub(super) struct Guard {
    /// We are the server: message 0 must be a ClientHello.
    server: bool,
    /// The next message that the library needs.
    next: u16,
    waiting: BTreeMap<u16, Message>,
    waiting_bytes: usize,
    /// Bytes of the messages that were handed on.
    released_bytes: usize,
    /// The first message whole, kept while it is the only one: a HelloVerifyRequest is not repeated by a timer, the
    /// library must see the hello again.
    first: Vec<u8>,
    /// Sequence of the next record that we make.
    sequence: u64,
    datagrams: u32,
    tiny_fragments: u32,
    next_epoch_records: u32,
}

/// A message of which something is there.
#[derive(Debug)]
struct Message {
    kind: u8,
    length: usize,
    bytes: Vec<u8>,
    /// Ranges that are there, apart from each other, by their start. Fragments have a least length, so there are few.
    ranges: BTreeMap<usize, usize>,
}

impl Guard {
    pub(super) fn new(server: bool) -> Self {
        Self {
            server,
            next: 0,
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            released_bytes: 0,
            first: Vec::new(),
            sequence: 0,
            datagrams: 0,
            tiny_fragments: 0,
            next_epoch_records: 0,
        }
    }

    pub(super) fn admit(&mut self, datagram: &[u8]) -> Result<Admitted, Violation> {
        self.datagrams += 1;
        if self.datagrams > DATAGRAMS_MAX {
            return Err(Violation::Datagrams);
        }
        let mut admitted = Admitted::default();
        for record in records(datagram) {
            match (record.epoch, record.kind) {
                (0, record::HANDSHAKE) => self.handshake(&record, &mut admitted)?,
                // Before the first hello anything else is left over from another association.
                _ if self.server && self.next == 0 => {}
                (0, record::CHANGE_CIPHER_SPEC) if record.body() == [1] => {
                    // The library keeps it like a record of the next epoch while it has no keys.
                    self.count_next_epoch()?;
                    self.write(&mut admitted.datagram, record.kind, record.body());
                }
                (0, record::ALERT) if record.body().len() == 2 => {
                    self.write(&mut admitted.datagram, record.kind, record.body());
                }
                (1, _) if record.whole.len() <= record::HEADER_BYTES + 512 => {
                    self.count_next_epoch()?;
                    admitted.datagram.extend_from_slice(record.whole);
                }
                _ => {}
            }
        }
        Ok(admitted)
    }

    fn count_next_epoch(&mut self) -> Result<(), Violation> {
        self.next_epoch_records += 1;
        if self.next_epoch_records > NEXT_EPOCH_RECORDS_MAX { Err(Violation::NextEpoch) } else { Ok(()) }
    }

    fn write(&mut self, to: &mut Vec<u8>, kind: u8, body: &[u8]) {
        record::write(to, kind, self.sequence, body);
        self.sequence += 1;
    }

    /// The fragments of one record, and the messages that they complete.
    fn handshake(&mut self, record: &Record<'_>, admitted: &mut Admitted) -> Result<(), Violation> {
        let mut rest = record.body();
        while !rest.is_empty() {
            let Some((header, after)) = rest.split_at_checked(HEADER_BYTES) else { break };
            let number =
                |at: usize| header[at..at + 3].iter().fold(0, |all, byte| all << 8 | usize::from(*byte));
            let (kind, length, offset, carried) = (header[0], number(1), number(6), number(9));
            let sequence = u16::from_be_bytes([header[4], header[5]]);
            let Some((fragment, after)) = after.split_at_checked(carried) else { break };
            rest = after;
            if length > MESSAGE_BYTES_MAX {
                return Err(Violation::MessageLength);
            }
            if offset + carried > length {
                return Err(Violation::Inconsistent);
            }
            if carried < FRAGMENT_BYTES_MIN && offset + carried != length {
                self.tiny_fragments += 1;
                if self.tiny_fragments > TINY_FRAGMENTS_MAX {
                    return Err(Violation::TinyFragments);
                }
            }
            if sequence < self.next {
                admitted.repeated |= sequence + 1 == self.next;
            } else if sequence - self.next >= MESSAGES_AHEAD_MAX {
                return Err(Violation::FarAhead);
            } else {
                self.take(sequence, kind, length, offset, fragment)?;
            }
        }
        while let Some(message) = self.waiting.first_entry() {
            if *message.key() != self.next || !message.get().is_whole() {
                break;
            }
            let message = message.remove();
            self.waiting_bytes -= message.length;
            self.release(&message, admitted)?;
        }
        if admitted.repeated && self.server && self.next == 1 {
            let first = std::mem::take(&mut self.first);
            self.write(&mut admitted.datagram, record::HANDSHAKE, &first);
            self.first = first;
        }
        Ok(())
    }

    fn take(
        &mut self,
        sequence: u16,
        kind: u8,
        length: usize,
        offset: usize,
        fragment: &[u8],
    ) -> Result<(), Violation> {
        let message = match self.waiting.entry(sequence) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => {
                self.waiting_bytes += length;
                if self.waiting_bytes > WAITING_BYTES_MAX {
                    return Err(Violation::WaitingBytes);
                }
                place.insert(Message { kind, length, bytes: vec![0; length], ranges: BTreeMap::new() })
            }
        };
        if message.kind != kind || message.length != length {
            return Err(Violation::Inconsistent);
        }
        message.bytes[offset..offset + fragment.len()].copy_from_slice(fragment);
        message.cover(offset, offset + fragment.len());
        Ok(())
    }

    /// Hands a whole message to the library.
    fn release(&mut self, message: &Message, admitted: &mut Admitted) -> Result<(), Violation> {
        if self.server && self.next == 0 {
            if message.kind != CLIENT_HELLO {
                return Err(Violation::Malformed);
            }
            admitted.offered = Some(hello::offered(&message.bytes).ok_or(Violation::Malformed)?);
        }
        if message.kind == CERTIFICATE && !hello::certificates_fit(&message.bytes) {
            return Err(Violation::Malformed);
        }
        self.released_bytes += message.length;
        if self.next == MESSAGES_MAX || self.released_bytes > HANDSHAKE_BYTES_MAX {
            return Err(Violation::HandshakeLength);
        }
        let length = (message.length as u32).to_be_bytes();
        let mut whole = Vec::with_capacity(HEADER_BYTES + message.length);
        whole.push(message.kind);
        whole.extend_from_slice(&length[1..]);
        whole.extend_from_slice(&self.next.to_be_bytes());
        whole.extend_from_slice(&[0, 0, 0]);
        whole.extend_from_slice(&length[1..]);
        whole.extend_from_slice(&message.bytes);
        self.write(&mut admitted.datagram, record::HANDSHAKE, &whole);
        self.first = if self.next == 0 { whole } else { Vec::new() };
        self.next += 1;
        Ok(())
    }
}

impl Message {
    fn is_whole(&self) -> bool {
        self.length == 0 || self.ranges.get(&0) == Some(&self.length)
    }

    /// Adds a range and joins it with those that it touches.
    fn cover(&mut self, mut start: usize, mut end: usize) {
        while let Some((&from, &to)) = self.ranges.range(..=end).next_back() {
            if to < start {
                break;
            }
            self.ranges.remove(&from);
            start = start.min(from);
            end = end.max(to);
        }
        self.ranges.insert(start, end);
    }
}

#[cfg(test)]
mod tests;
