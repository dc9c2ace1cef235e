//! What is counted of links.

use std::sync::atomic::{AtomicU64, Ordering};

/// Goes up, and for what is there now, down.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    pub(super) fn sub(&self, by: u64) {
        self.0.fetch_sub(by, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why a packet did not go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dropped {
    /// The link's thread is behind.
    Queue,
    /// The path does not carry it.
    Congested,
    /// It fits into no datagram, and many such are on their way already.
    Large,
    /// It came through a pipe that is not there, or not any more.
    NoPipe,
    Unreadable,
}

impl Dropped {
    pub(super) const ALL: [Self; 5] =
        [Self::Queue, Self::Congested, Self::Large, Self::NoPipe, Self::Unreadable];

    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Queue => "queue_full",
            Self::Congested => "congested",
            Self::Large => "too_large",
            Self::NoPipe => "no_pipe",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Why somebody was not let in, or not given a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// Too many handshakes at once, or connections.
    Busy,
    /// The handshake failed: no certificate of this cluster, or too slow.
    Handshake,
    NoSuchStream,
    /// Sent on to others.
    Elsewhere,
    Loop,
    /// The relay could not, or what was asked could not be read.
    Unable,
}

impl Refused {
    pub(super) const ALL: [Self; 6] =
        [Self::Busy, Self::Handshake, Self::NoSuchStream, Self::Elsewhere, Self::Loop, Self::Unable];

    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Handshake => "handshake",
            Self::NoSuchStream => "no_such_stream",
            Self::Elsewhere => "elsewhere",
            Self::Loop => "loop",
            Self::Unable => "unable",
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) connections: Count,
    /// Streams that are given to another relay, and that come from one.
    pub(super) pipes_up: Count,
    pub(super) pipes_down: Count,
    pub(super) packets_out: Count,
    pub(super) bytes_out: Count,
    pub(super) packets_in: Count,
    pub(super) bytes_in: Count,
    /// Packets of both ways that went on a stream of their own.
    pub(super) large: Count,
    /// Packets that came through because they were asked for again, or because they might have been.
    pub(super) repaired: Count,
    pub(super) asked_again: Count,
    /// Packets of closed connections that the path has lost; of open ones QUIC knows it.
    pub(super) lost_packets: Count,
    /// Handshakes that had to show their address first.
    pub(super) retries: Count,
    /// Pipes that were given up because one end was behind, or said what cannot be read.
    pub(super) blocked: Count,
    pub(super) unreadable: Count,
    pub(super) lost: Count,
    dropped: [Count; Dropped::ALL.len()],
    refused: [Count; Refused::ALL.len()],
}

impl Counters {
    pub(super) fn drop_one(&self, why: Dropped) {
        self.dropped[why as usize].add(1);
    }

    pub(super) fn dropped(&self, why: Dropped) -> u64 {
        self.dropped[why as usize].get()
    }

    pub(super) fn refuse(&self, why: Refused) {
        self.refused[why as usize].add(1);
    }

    pub(super) fn refused(&self, why: Refused) -> u64 {
        self.refused[why as usize].get()
    }
}
