//! What a shard counts. Written once a round, read by whoever exports it.

use std::sync::atomic::{AtomicU64, Ordering};

use turnpike_udp::{Reason, Sent};

/// A number that one thread changes and others read.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        if more > 0 {
            self.0.fetch_add(more, Ordering::Relaxed);
        }
    }

    pub(crate) fn sub(&self, less: u64) {
        self.0.fetch_sub(less, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn raise(&self, value: u64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// The value, which begins anew.
    pub(crate) fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// What a shard counts of connections.
#[derive(Debug, Default)]
pub(crate) struct TcpCounters {
    /// Connections that are open.
    pub(crate) now: Count,
    pub(crate) accepted: Count,
    /// Connections beyond the limits, or that the system did not give.
    pub(crate) refused: Count,
    pub(crate) closed: Count,
    /// Connections closed because what came was no packets.
    pub(crate) malformed: Count,
    pub(crate) bytes_in: Count,
    pub(crate) bytes_out: Count,
    pub(crate) datagrams_out: Count,
    /// Datagrams for a connection that takes nothing, or is gone.
    pub(crate) dropped: Count,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) datagrams_in: Count,
    pub(crate) bytes_in: Count,
    /// Calls that read something.
    pub(crate) batches_in: Count,
    /// Longer than a slot: no packet of media, and not given to the core.
    pub(crate) truncated_in: Count,
    /// What the kernel dropped because we did not read in time.
    pub(crate) overflowed_in: Count,
    pub(crate) receive_errors: Count,

    pub(crate) datagrams_out: Count,
    pub(crate) bytes_out: Count,
    /// What the kernel was given; a message may be many datagrams.
    pub(crate) messages_out: Count,
    pub(crate) calls_out: Count,
    /// At the place of each [`Reason`].
    pub(crate) dropped_out: [Count; Reason::ALL.len()],
    /// Rounds at whose end the kernel's buffer was full.
    pub(crate) blocked: Count,

    /// Words that wait now.
    pub(crate) inbox_depth: Count,
    pub(crate) inbox_refused: Count,
    pub(crate) commands: Count,

    pub(crate) notices: Count,
    /// States that were never told since a newer one of the same session took their place.
    pub(crate) notices_merged: Count,
    pub(crate) notices_dropped: Count,
    /// Notices that wait now.
    pub(crate) notices_depth: Count,

    /// Packets of pipes that did not fit any more.
    pub(crate) piped_dropped: Count,

    pub(crate) tcp: TcpCounters,

    pub(crate) panics: Count,
    pub(crate) rounds: Count,
    /// What comes in while a round lasts waits for its end.
    pub(crate) round_nanos: Count,
    /// The longest since it was last asked for.
    pub(crate) round_nanos_max: Count,
    /// The last sign of life, on the shard's own clock.
    pub(crate) alive_at_ms: Count,
}

impl Counters {
    pub(crate) fn sent(&self, sent: &Sent) {
        self.datagrams_out.add(sent.datagrams);
        self.bytes_out.add(sent.bytes);
        self.messages_out.add(sent.messages);
        self.calls_out.add(sent.syscalls);
        self.blocked.add(u64::from(sent.is_blocked));
        for (count, (_, datagrams)) in self.dropped_out.iter().zip(sent.dropped.iter()) {
            count.add(datagrams);
        }
    }

    pub(crate) fn dropped(&self, reason: Reason) -> u64 {
        let place = Reason::ALL.iter().position(|other| *other == reason);
        place.and_then(|place| self.dropped_out.get(place)).map_or(0, Count::get)
    }
}
