//! A batch and the socket that it leaves by: whoever writes datagrams into it never has to think of sending them.

use std::net::{IpAddr, SocketAddr};

use crate::outgoing::Outgoing;
use crate::sent::Sent;
use crate::socket::Socket;

/// A batch of this size is sent before a further message is begun. One packet for 400 viewers is half a megabyte;
/// held back to the end it would have left the processor's second cache before the kernel copies it, and its first
/// datagrams would be late by the sealing of all the others.
const BYTES_AT_ONCE: usize = 128 * 1024;
/// As many messages as one syscall takes.
const MESSAGES_AT_ONCE: usize = crate::kernel::BATCH;

/// Takes datagrams for as long as a round of work lasts, and sends whenever enough of them are there. End the round
/// with [`Self::flush`].
pub struct Outlet<'a> {
    outgoing: &'a mut Outgoing,
    socket: &'a Socket,
    sent: Sent,
}

impl<'a> Outlet<'a> {
    pub fn new(outgoing: &'a mut Outgoing, socket: &'a Socket) -> Self {
        Self { outgoing, socket, sent: Sent::default() }
    }

    /// See [`Outgoing::slot_from`].
    pub fn slot(&mut self, from: Option<IpAddr>, to: SocketAddr, len_max: usize) -> Option<&mut [u8]> {
        let is_enough = self.outgoing.queued_messages() >= MESSAGES_AT_ONCE
            || self.outgoing.queued_bytes() >= BYTES_AT_ONCE;
        // A kernel that is full is not asked again before the round's end: each question is a syscall.
        if is_enough && !self.sent.is_blocked && self.outgoing.would_start_a_run(from, to) {
            self.sent += self.outgoing.flush(self.socket);
        }
        self.outgoing.slot_from(from, to, len_max)
    }

    /// See [`Outgoing::commit`].
    pub fn commit(&mut self, len: usize) {
        self.outgoing.commit(len);
    }

    /// Sends what is left, and says what the whole round has sent.
    pub fn flush(mut self) -> Sent {
        self.sent += self.outgoing.flush(self.socket);
        self.sent
    }
}
