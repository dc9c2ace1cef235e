//! A batch of received datagrams: read with one syscall, given out one by one, changed in place.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::SystemTime;

use crate::kernel::{BATCH, Slots};
use crate::socket::Socket;
use crate::{address, control};

/// Larger than any packet of media or its handshake: their senders keep below an Ethernet frame.
const SLOT_BYTES: usize = 2_048;
/// The most that the kernel joins.
const JOINED_SLOT_BYTES: usize = 65_536;
/// Errors of earlier datagrams that the kernel may report in place of a received one; each is told once, so a
/// handful is more than there will be.
const REPORTS_MAX: usize = 8;

/// Where one socket's datagrams are read to. 128 KB (with joining 4 MB, of which only what is used is ever touched).
pub struct Received {
    slots: Slots,
    local: SocketAddr,
    filled: usize,
    /// The message that is given out next, and from which byte of it.
    next: usize,
    offset: usize,
    truncated_total: u64,
}

/// A received datagram.
#[derive(Debug)]
pub struct Datagram<'a> {
    pub from: SocketAddr,
    /// The address of ours that it came to: answers leave from there.
    pub local: SocketAddr,
    pub bytes: &'a mut [u8],
    /// When it came, by the system's clock, if the socket was told to note that.
    pub time: Option<SystemTime>,
    /// It was longer than a slot, and the rest is lost.
    pub is_truncated: bool,
}

impl Received {
    /// Messages that one call reads at most. After fewer there was nothing more to read.
    pub const CAPACITY: usize = BATCH;

    /// For datagrams of this socket.
    pub fn new(socket: &Socket) -> Self {
        let slot_bytes = if socket.joins_received() { JOINED_SLOT_BYTES } else { SLOT_BYTES };
        Self {
            slots: Slots::new(slot_bytes, socket.has_control()),
            local: socket.local_addr(),
            filled: 0,
            next: 0,
            offset: 0,
            truncated_total: 0,
        }
    }

    /// The next datagram of what was read last.
    pub fn take_next(&mut self) -> Option<Datagram<'_>> {
        loop {
            let slot = self.slots.get(self.next).filter(|_| self.next < self.filled)?;
            let arrival = control::read(slot.control);
            let end = slot.payload.len();
            let start = self.offset;
            let stop = arrival.segment.map_or(end, |segment| (start + segment).min(end));
            let from = address::read(slot.name);
            let is_truncated = slot.is_truncated && stop == end;
            if stop == end {
                self.next += 1;
                self.offset = 0;
            } else {
                self.offset = stop;
            }
            self.truncated_total += u64::from(is_truncated);
            // Without a sender nobody could be answered; the kernel always names one.
            let Some(from) = from else { continue };
            let local = arrival.local.map_or(self.local, |ip| SocketAddr::new(ip, self.local.port()));
            // Once more, since a borrow that is returned on one way out of a loop holds on all of them.
            let index = if stop == end { self.next - 1 } else { self.next };
            let bytes = &mut self.slots.get(index)?.payload[start..stop];
            return Some(Datagram { from, local, bytes, time: arrival.time, is_truncated });
        }
    }

    /// Datagrams that did not fit into a slot, since the beginning.
    pub fn truncated_total(&self) -> u64 {
        self.truncated_total
    }
}

impl Socket {
    /// Reads what is there, at most [`Received::CAPACITY`] messages; zero if nothing is. What `received` held is
    /// forgotten.
    pub fn receive(&self, received: &mut Received) -> io::Result<usize> {
        received.filled = 0;
        received.next = 0;
        received.offset = 0;
        if self.joins_received() && received.slots.slot_bytes() < JOINED_SLOT_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "made for a socket that does not join"));
        }
        let mut reports = 0;
        loop {
            match received.slots.receive(self.as_fd()) {
                Ok(filled) => {
                    received.filled = filled;
                    return Ok(filled);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What became of something that was sent: no reason to stop reading.
                Err(error) if is_report(&error) && reports < REPORTS_MAX => reports += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

fn is_report(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable};
    matches!(error.kind(), ConnectionRefused | ConnectionReset | HostUnreachable | NetworkUnreachable)
}
