//! A batch of datagrams on their way out. They are written in place, one behind the other, into one buffer; those to
//! one address that can go as segments of one message become a run, and runs are what the kernel is given.
//!
//! Pure but for [`Outgoing::flush`]: what calls the kernel is behind [`Wire`], so that every answer of a kernel can be
//! played to it.
//!
//! Datagrams to one destination keep their order. A caller that writes receiver by receiver, instead of datagram by
//! datagram, gets long runs, and those are what makes sending cheap.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use crate::address::{Address, Family};
use crate::kernel::Many;
use crate::sent::{Reason, Sent};
use crate::socket::Socket;

/// The kernel refuses more segments in a message (`UDP_MAX_SEGMENTS`, since Linux 4.18).
const SEGMENTS_MAX: u16 = 64;
/// A message is one IP packet until it is cut, and that ends below 65,536 bytes.
const RUN_BYTES_MAX: usize = 64_000;
/// The largest payload that fits into one IP packet.
const DATAGRAM_BYTES_MAX: usize = 65_507;
/// What a batch starts with. It grows to its limit by doubling and never shrinks: bursts come back.
const BYTES_AT_FIRST: usize = 64 * 1024;
/// So many messages refused for their segments, and none ever taken, mean a kernel or a device that cannot.
const REFUSALS_MAX: u32 = 8;

/// How much a batch may hold. A batch that is not flushed in time, or that the kernel does not take, is full at one
/// of these, and further datagrams are dropped and counted: what is late is worth less than what is new memory.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub bytes_max: usize,
    pub messages_max: usize,
}

impl Default for Limits {
    /// At 1 Gb/s a megabyte is 8 ms: more than a media stream should ever wait for.
    fn default() -> Self {
        Self { bytes_max: 1024 * 1024, messages_max: 4_096 }
    }
}

/// What a kernel does with messages.
pub(crate) trait Wire {
    /// Sends from the front and gives how many were taken; an error is about the first.
    fn send<'a>(&mut self, pieces: impl Iterator<Item = Piece<'a>>) -> io::Result<usize>;
}

/// One message for the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    pub(crate) to: &'a Address,
    pub(crate) from: Option<IpAddr>,
    pub(crate) payload: &'a [u8],
    /// To be cut into datagrams of so many bytes.
    pub(crate) segment: Option<u16>,
}

/// A run: datagrams to one destination, side by side in the buffer, all of one length but for a shorter last one.
struct Run {
    to: Address,
    from: Option<IpAddr>,
    start: usize,
    len: usize,
    segment: usize,
    count: u16,
    /// A shorter datagram, or the limit, has ended it.
    is_closed: bool,
    /// As single datagrams: the kernel has refused it as one message.
    is_plain: bool,
}

impl Run {
    fn takes(&self, len: usize) -> bool {
        !self.is_closed && len <= self.segment && self.len + len <= RUN_BYTES_MAX
    }
}

/// How far a batch has been sent: a run, and the datagrams of it that are gone.
#[derive(Clone, Copy, Default)]
struct Cursor {
    run: usize,
    datagram: u16,
}

/// The slot that was handed out last.
struct Open {
    to: SocketAddr,
    from: Option<IpAddr>,
    len_max: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Segmenting {
    /// So many messages were refused so far, and none taken.
    Untried(u32),
    Works,
    Never,
}

pub struct Outgoing {
    family: Family,
    /// Only a socket with several addresses is told from which one to send.
    names_source: bool,
    limits: Limits,
    buffer: Vec<u8>,
    used: usize,
    runs: Vec<Run>,
    next: Cursor,
    /// Where the last run goes, in the caller's words: comparing these is cheaper than making an address.
    last: Option<(SocketAddr, Option<IpAddr>)>,
    open: Option<Open>,
    segmenting: Segmenting,
    /// Datagrams for which there was no room, since the last flush.
    full: u64,
}

impl Outgoing {
    /// For datagrams that leave from this socket.
    pub fn new(socket: &Socket, limits: Limits) -> Self {
        let mut outgoing = Self::with(socket.family(), limits);
        outgoing.names_source = socket.is_wildcard();
        if !socket.can_segment() {
            outgoing.segmenting = Segmenting::Never;
        }
        outgoing
    }

    fn with(family: Family, limits: Limits) -> Self {
        Self {
            family,
            names_source: true,
            limits,
            buffer: Vec::new(),
            used: 0,
            runs: Vec::new(),
            next: Cursor::default(),
            last: None,
            open: None,
            segmenting: Segmenting::Untried(0),
            full: 0,
        }
    }

    /// Room for the next datagram. Write into it, then [`Self::commit`]; a slot that is not committed is given out
    /// again. `None` if the batch is full: that datagram is dropped, and counted with the next flush.
    pub fn slot(&mut self, to: SocketAddr, len_max: usize) -> Option<&mut [u8]> {
        self.slot_from(None, to, len_max)
    }

    /// The same, leaving from an address of ours. Whoever was asked at one address must answer from it. It is ignored
    /// by a socket that has only one.
    pub fn slot_from(&mut self, from: Option<IpAddr>, to: SocketAddr, len_max: usize) -> Option<&mut [u8]> {
        let from = from.filter(|_| self.names_source);
        self.open = None;
        if !self.make_room(len_max) {
            self.full += 1;
            return None;
        }
        self.open = Some(Open { to, from, len_max });
        Some(&mut self.buffer[self.used..self.used + len_max])
    }

    /// The datagram in the last slot is its first `len` bytes. Nothing happens if there is no open slot, or with a
    /// length of zero; more than was asked for is cut off.
    pub fn commit(&mut self, len: usize) {
        let Some(Open { to, from, len_max }) = self.open.take() else { return };
        debug_assert!(len <= len_max, "{len} bytes were written into a slot of {len_max}");
        let len = len.min(len_max);
        if len == 0 {
            return;
        }
        let start = self.used;
        self.used += len;
        if self.last == Some((to, from))
            && let Some(run) = self.runs.last_mut()
            && run.takes(len)
        {
            run.len += len;
            run.count += 1;
            run.is_closed = len < run.segment || run.count == SEGMENTS_MAX;
            return;
        }
        self.last = Some((to, from));
        self.runs.push(Run {
            to: Address::new(to, self.family),
            from,
            start,
            len,
            segment: len,
            count: 1,
            is_closed: false,
            is_plain: false,
        });
    }

    /// A whole datagram at once; whether there was room for it.
    pub fn push(&mut self, to: SocketAddr, datagram: &[u8]) -> bool {
        let Some(slot) = self.slot(to, datagram.len()) else { return false };
        slot.copy_from_slice(datagram);
        self.commit(datagram.len());
        true
    }

    /// Whether a datagram to there would start a message of its own, so that nothing is torn apart by sending what
    /// is here first.
    pub(crate) fn would_start_a_run(&self, from: Option<IpAddr>, to: SocketAddr) -> bool {
        self.last != Some((to, from.filter(|_| self.names_source)))
            || self.runs.last().is_none_or(|run| run.is_closed)
    }

    /// Messages that wait to be sent.
    pub fn queued_messages(&self) -> usize {
        self.runs.len() - self.next.run
    }

    /// Bytes that wait to be sent.
    pub fn queued_bytes(&self) -> usize {
        self.used - self.sent_bytes()
    }

    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Sends what is here. What the kernel does not take now stays for the next time.
    pub fn flush(&mut self, socket: &Socket) -> Sent {
        self.flush_through(&mut Many { fd: socket.as_fd(), family: self.family })
    }

    fn flush_through(&mut self, wire: &mut impl Wire) -> Sent {
        let mut sent = Sent::default();
        sent.dropped.add(Reason::Full, std::mem::take(&mut self.full));
        // An error about an earlier datagram may be told in place of an answer to this one, once.
        let mut was_repeated = false;
        while self.next.run < self.runs.len() {
            sent.syscalls += 1;
            let is_segmenting = self.segmenting != Segmenting::Never;
            let pieces = Pieces { runs: &self.runs, buffer: &self.buffer, cursor: self.next, is_segmenting };
            match wire.send(pieces) {
                Ok(0) => {
                    sent.is_blocked = true;
                    break;
                }
                Ok(taken) => {
                    was_repeated = false;
                    for _ in 0..taken {
                        self.advance(is_segmenting, &mut sent);
                    }
                }
                Err(error) => match error.raw_os_error().unwrap_or_default() {
                    libc::EAGAIN => {
                        sent.is_blocked = true;
                        break;
                    }
                    libc::EINTR => {}
                    libc::ECONNREFUSED if !was_repeated => was_repeated = true,
                    errno => {
                        was_repeated = false;
                        self.refused(errno, is_segmenting, &mut sent);
                    }
                },
            }
        }
        if self.next.run == self.runs.len() {
            self.clear();
        }
        sent
    }

    /// The message at the cursor is gone.
    fn advance(&mut self, is_segmenting: bool, sent: &mut Sent) {
        let Some(run) = self.runs.get(self.next.run) else { return };
        let (range, count) = run.piece(self.next.datagram, is_segmenting);
        if count > 1 {
            self.segmenting = Segmenting::Works;
        }
        sent.messages += 1;
        sent.datagrams += u64::from(count);
        sent.bytes += range.len() as u64;
        self.pass(count);
    }

    /// The kernel does not want the message at the cursor.
    fn refused(&mut self, errno: i32, is_segmenting: bool, sent: &mut Sent) {
        let Some(run) = self.runs.get_mut(self.next.run) else { return };
        let (_, count) = run.piece(self.next.datagram, is_segmenting);
        if count > 1 {
            match errno {
                // The device cannot do it, or the kernel does not know it.
                libc::EIO | libc::EOPNOTSUPP | libc::ENOPROTOOPT => {
                    self.segmenting = Segmenting::Never;
                    return;
                }
                // Segments must fit into the way to that destination, single datagrams are cut up if they do not.
                libc::EINVAL | libc::EMSGSIZE => {
                    run.is_plain = true;
                    if let Segmenting::Untried(refusals) = self.segmenting {
                        self.segmenting = if refusals + 1 < REFUSALS_MAX {
                            Segmenting::Untried(refusals + 1)
                        } else {
                            Segmenting::Never
                        };
                    }
                    return;
                }
                _ => {}
            }
        }
        let reason = Reason::of(errno);
        // A datagram that is too long says nothing about the others; all else is the destination's.
        let count = if reason == Reason::TooLarge { 1 } else { run.count - self.next.datagram };
        sent.dropped.add(reason, u64::from(count));
        self.pass(count);
    }

    fn pass(&mut self, datagrams: u16) {
        self.next.datagram += datagrams;
        if self.runs.get(self.next.run).is_some_and(|run| self.next.datagram >= run.count) {
            self.next = Cursor { run: self.next.run + 1, datagram: 0 };
        }
    }

    /// Whether a slot of that length can be had.
    fn make_room(&mut self, len: usize) -> bool {
        if len > DATAGRAM_BYTES_MAX {
            return false;
        }
        let is_over = self.used + len > self.limits.bytes_max || self.runs.len() >= self.limits.messages_max;
        if is_over {
            // Where the kernel has taken a part of it there may be room at the front.
            self.compact();
        }
        if self.used + len > self.limits.bytes_max || self.runs.len() >= self.limits.messages_max {
            return false;
        }
        if self.used + len > self.buffer.len() {
            let doubled = (self.buffer.len() * 2).max(BYTES_AT_FIRST).max(self.used + len);
            self.buffer.resize(doubled.min(self.limits.bytes_max), 0);
        }
        true
    }

    /// Forgets what is sent. Only of use after a kernel that took a part, so the copying is rare and at most the
    /// batch's limit.
    fn compact(&mut self) {
        if self.next.run == 0 {
            return;
        }
        let start = self.runs.get(self.next.run).map_or(self.used, |run| run.start);
        self.buffer.copy_within(start..self.used, 0);
        self.used -= start;
        self.runs.drain(..self.next.run);
        for run in &mut self.runs {
            run.start -= start;
        }
        self.next.run = 0;
        if self.runs.is_empty() {
            self.last = None;
        }
    }

    fn sent_bytes(&self) -> usize {
        self.runs.get(self.next.run).map_or(self.used, |run| run.piece(self.next.datagram, false).0.start)
    }

    fn clear(&mut self) {
        self.runs.clear();
        self.used = 0;
        self.next = Cursor::default();
        self.last = None;
        self.open = None;
    }
}

impl Run {
    /// Where the next message lies in the buffer, and how many datagrams it is.
    fn piece(&self, datagram: u16, is_segmenting: bool) -> (std::ops::Range<usize>, u16) {
        let start = self.start + usize::from(datagram) * self.segment;
        let end = self.start + self.len;
        if is_segmenting && !self.is_plain {
            (start..end, self.count - datagram)
        } else {
            (start..end.min(start + self.segment), 1)
        }
    }
}

/// The messages from a cursor on.
struct Pieces<'a> {
    runs: &'a [Run],
    buffer: &'a [u8],
    cursor: Cursor,
    is_segmenting: bool,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let run = self.runs.get(self.cursor.run)?;
        let (range, count) = run.piece(self.cursor.datagram, self.is_segmenting);
        self.cursor.datagram += count;
        if self.cursor.datagram >= run.count {
            self.cursor = Cursor { run: self.cursor.run + 1, datagram: 0 };
        }
        Some(Piece {
            to: &run.to,
            from: run.from,
            payload: self.buffer.get(range)?,
            segment: (count > 1).then_some(run.segment as u16),
        })
    }
}

#[cfg(test)]
mod tests;
