//! What a shard's relay has done, for metrics. Written by the shard, read by whoever scrapes.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $($(#[$doc])* pub(crate) $name: AtomicU64,)*
            ignored: [AtomicU64; Ignored::ALL.len()],
        }
    };
}

counters! {
    packets_in,
    bytes_in,
    packets_out,
    bytes_out,
    /// Numbers that publishers were asked for again.
    nacks_out,
    /// Numbers that viewers asked for again, and of these the ones that they got.
    nacks_in,
    retransmissions,
    keyframes_asked,
    /// Packets of publishers that had not come when they were reported on, and packets that viewers report as not come.
    lost_in,
    lost_out,
    layer_switches,
    joins,
    publishers_now,
    viewers_now,
    streams_now,
    tracks_now,
}

/// Why something that came was not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ignored {
    /// It is not of the form that it should have.
    Malformed,
    /// No peer is known by the address, or by the name in its check.
    UnknownPeer,
    /// No track has such a source.
    UnknownSource,
    UnknownPayload,
    /// Too far from all others to be believed.
    Doubtful,
    /// It came twice, or far too late.
    Repeated,
    /// Somebody told more than anybody has to tell.
    Excess,
    /// The transport refused it.
    Transport,
    /// It did not fit any more into a pipe.
    Piped,
    /// It did not fit any more between what a viewer's path takes.
    Paced,
    /// The batch was full.
    Outlet,
}

impl Ignored {
    pub(crate) const ALL: [Self; 11] = [
        Self::Malformed,
        Self::UnknownPeer,
        Self::UnknownSource,
        Self::UnknownPayload,
        Self::Doubtful,
        Self::Repeated,
        Self::Excess,
        Self::Transport,
        Self::Piped,
        Self::Paced,
        Self::Outlet,
    ];

    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownPeer => "unknown_peer",
            Self::UnknownSource => "unknown_source",
            Self::UnknownPayload => "unknown_payload",
            Self::Doubtful => "doubtful",
            Self::Repeated => "repeated",
            Self::Excess => "excess",
            Self::Transport => "transport",
            Self::Piped => "piped",
            Self::Paced => "paced",
            Self::Outlet => "outlet",
        }
    }
}

impl Counters {
    pub(crate) fn ignore(&self, why: Ignored) {
        self.ignored[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn ignored(&self, why: Ignored) -> u64 {
        self.ignored[why as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn packet_in(&self, bytes: usize) {
        self.packets_in.fetch_add(1, Ordering::Relaxed);
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn packet_out(&self, bytes: usize, is_repair: bool) {
        add(&self.packets_out, 1);
        add(&self.bytes_out, bytes as u64);
        if is_repair {
            self.retransmissions.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn joined(&self) {
        self.joins.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn nack_in(&self) {
        self.nacks_in.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn now(&self, publishers: usize, viewers: usize, streams: usize) {
        self.publishers_now.store(publishers as u64, Ordering::Relaxed);
        self.viewers_now.store(viewers as u64, Ordering::Relaxed);
        self.streams_now.store(streams as u64, Ordering::Relaxed);
    }

    pub(crate) fn nacks_sent(&self, count: usize) {
        self.nacks_out.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Something was sent again to another relay or shard.
    pub(crate) fn piped_again(&self) {
        self.retransmissions.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn tracks(&self, now: usize) {
        self.tracks_now.store(now as u64, Ordering::Relaxed);
    }

    pub(crate) fn lost_in(&self, packets: u64) {
        self.lost_in.fetch_add(packets, Ordering::Relaxed);
    }

    pub(crate) fn lost_out(&self, packets: u64) {
        self.lost_out.fetch_add(packets, Ordering::Relaxed);
    }

    pub(crate) fn layers_switched(&self, times: u32) {
        self.layer_switches.fetch_add(u64::from(times), Ordering::Relaxed);
    }

    pub(crate) fn keyframe_asked(&self) {
        self.keyframes_asked.fetch_add(1, Ordering::Relaxed);
    }
}

/// For what every packet counts: only its shard writes here, so nobody else's sum can be lost, and the processor need not lock.
fn add(to: &AtomicU64, more: u64) {
    to.store(to.load(Ordering::Relaxed) + more, Ordering::Relaxed);
}
