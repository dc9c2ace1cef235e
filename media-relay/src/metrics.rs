//! What the relay tells Prometheus: sums over its shards, read when somebody asks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use turnpike_udp::Reason;

use crate::record;
use crate::sfu::{Counters, Ignored};
use crate::shard::Handle;

type OfCore = fn(&Counters) -> &AtomicU64;
type OfRecords = fn(&record::Counters) -> &AtomicU64;
type OfShard = fn(&Handle) -> u64;

const LEVELS: &[(&str, &str, OfCore)] = &[
    ("publishers", "Sessions that publish.", |c| &c.publishers_now),
    ("viewers", "Sessions that watch.", |c| &c.viewers_now),
    ("streams", "Streams with a publisher or a viewer.", |c| &c.streams_now),
    ("tracks", "Tracks that are published here or come from other shards and relays.", |c| &c.tracks_now),
];

const TOTALS: &[(&str, &str, OfCore)] = &[
    ("joins_total", "Sessions begun.", |c| &c.joins),
    ("rtp_received_packets_total", "Media packets received from publishers.", |c| &c.packets_in),
    ("rtp_received_bytes_total", "Bytes of the media packets received.", |c| &c.bytes_in),
    ("rtp_sent_packets_total", "Media packets sent to viewers.", |c| &c.packets_out),
    ("rtp_sent_bytes_total", "Bytes of the media packets sent.", |c| &c.bytes_out),
    ("nacks_sent_total", "Packets that publishers were asked to send again.", |c| &c.nacks_out),
    ("nacks_received_total", "Packets that viewers asked for again.", |c| &c.nacks_in),
    ("retransmissions_total", "Packets sent to viewers again, or only to see whether they fit.", |c| {
        &c.retransmissions
    }),
    ("keyframes_requested_total", "Keyframes that publishers were asked for.", |c| &c.keyframes_asked),
    (
        "rtp_received_lost_packets_total",
        "Media packets of publishers that had not come when they were reported on. Some come later, as repairs.",
        |c| &c.lost_in,
    ),
    ("rtp_sent_lost_packets_total", "Media packets that viewers report as not come.", |c| &c.lost_out),
    ("layer_switches_total", "Changes of the layer that a viewer is sent of a track.", |c| &c.layer_switches),
];

const SHARD_LEVELS: &[(&str, &str, OfShard)] = &[
    ("inbox_depth", "Questions that wait for a shard.", |h| h.counters().inbox_depth.get()),
    ("notices_depth", "Notices that wait for whoever is to hear them.", |h| h.counters().notices_depth.get()),
    ("tcp_connections", "Connections of peers that cannot send datagrams.", |h| h.counters().tcp.now.get()),
];

const SHARD_TOTALS: &[(&str, &str, OfShard)] = &[
    ("datagrams_received_total", "Datagrams received.", |h| h.counters().datagrams_in.get()),
    ("received_bytes_total", "Bytes received.", |h| h.counters().bytes_in.get()),
    ("datagrams_sent_total", "Datagrams sent.", |h| h.counters().datagrams_out.get()),
    ("sent_bytes_total", "Bytes sent.", |h| h.counters().bytes_out.get()),
    ("send_calls_total", "System calls that sent something.", |h| h.counters().calls_out.get()),
    ("receive_calls_total", "System calls that received something.", |h| h.counters().batches_in.get()),
    (
        "receive_overflows_total",
        "Datagrams that the kernel dropped because they were not read in time.",
        |h| h.counters().overflowed_in.get(),
    ),
    ("inbox_refused_total", "Questions refused because a shard was full.", |h| {
        h.counters().inbox_refused.get()
    }),
    (
        "piped_dropped_total",
        "Packets from other shards and relays that were dropped because a shard was behind.",
        |h| h.counters().piped_dropped.get(),
    ),
    ("notices_dropped_total", "Notices that nobody heard in time.", |h| h.counters().notices_dropped.get()),
    ("tcp_accepted_total", "Connections of peers begun.", |h| h.counters().tcp.accepted.get()),
    ("tcp_refused_total", "Connections of peers beyond the limits.", |h| h.counters().tcp.refused.get()),
    ("tcp_malformed_total", "Connections of peers closed because what came was no packets.", |h| {
        h.counters().tcp.malformed.get()
    }),
    ("tcp_received_bytes_total", "Bytes received over connections.", |h| h.counters().tcp.bytes_in.get()),
    ("tcp_sent_bytes_total", "Bytes sent over connections.", |h| h.counters().tcp.bytes_out.get()),
    ("tcp_dropped_total", "Packets for peers whose connection took nothing more.", |h| {
        h.counters().tcp.dropped.get()
    }),
    ("panics_total", "Panics, each of which ended one session.", |h| h.counters().panics.get()),
];

const RECORDED: &[(&str, &str, OfRecords)] = &[
    ("recordings", "Streams that are recorded.", |r| &r.recordings_now),
    ("recorded_bytes_total", "Bytes written to recordings.", |r| &r.written_bytes),
    ("recorded_files_total", "Files of recordings begun.", |r| &r.files),
    ("recordings_failed_total", "Recordings that ended because they could not be written.", |r| &r.failures),
    ("recorded_packets_dropped_total", "Packets missing in recordings because a disk was too slow.", |r| {
        &r.dropped
    }),
];

pub(crate) struct Metrics {
    cores: Vec<Arc<Counters>>,
    shards: Vec<Handle>,
    recorded: Arc<record::Counters>,
    longest: Mutex<Longest>,
}

/// The greatest of a while, however many ask and however often: reading takes nothing away from the next who reads.
#[derive(Default)]
struct Longest {
    since: Option<Instant>,
    now: u64,
    before: u64,
}

impl Longest {
    /// As long as scrapers pause.
    const WINDOW: Duration = Duration::from_secs(15);

    fn with(&mut self, value: u64, now: Instant) -> u64 {
        let since = *self.since.get_or_insert(now);
        let windows = now.duration_since(since).as_secs() / Self::WINDOW.as_secs();
        if windows > 0 {
            self.before = if windows == 1 { self.now } else { 0 };
            (self.now, self.since) = (0, Some(now));
        }
        self.now = self.now.max(value);
        self.now.max(self.before)
    }
}

impl Metrics {
    pub(crate) fn register(
        registry: &Registry,
        cores: Vec<Arc<Counters>>,
        shards: Vec<Handle>,
        recorded: Arc<record::Counters>,
    ) -> Result<(), prometheus::Error> {
        registry.register(Box::new(Self { cores, shards, recorded, longest: Mutex::default() }))
    }

    fn families(&self) -> Result<Vec<MetricFamily>, prometheus::Error> {
        let mut families = Vec::new();
        let of_core =
            |read: &OfCore| -> u64 { self.cores.iter().map(|core| read(core).load(Ordering::Relaxed)).sum() };
        let of_shard = |read: &OfShard| -> u64 { self.shards.iter().map(read).sum() };
        let levels = LEVELS.iter().map(|(name, help, read)| (name, help, of_core(read)));
        for (name, help, value) in
            levels.chain(SHARD_LEVELS.iter().map(|(n, h, read)| (n, h, of_shard(read))))
        {
            let gauge = IntGauge::new(full(name), *help)?;
            gauge.set(value.cast_signed());
            families.extend(gauge.collect());
        }
        let totals = TOTALS.iter().map(|(name, help, read)| (name, help, of_core(read)));
        for (name, help, value) in
            totals.chain(SHARD_TOTALS.iter().map(|(n, h, read)| (n, h, of_shard(read))))
        {
            let counter = IntCounter::new(full(name), *help)?;
            counter.inc_by(value);
            families.extend(counter.collect());
        }
        let longest = Gauge::new(
            full("round_seconds_max"),
            "The longest round of a shard within the last 15 to 30 seconds: what comes in meanwhile waits for its end.",
        )?;
        let nanos = self.shards.iter().map(|shard| shard.counters().round_nanos_max.take()).max();
        let mut rounds = self.longest.lock().unwrap_or_else(PoisonError::into_inner);
        longest.set(rounds.with(nanos.unwrap_or_default(), Instant::now()) as f64 / 1e9);
        drop(rounds);
        families.extend(longest.collect());
        for (name, help, read) in RECORDED {
            let value = read(&self.recorded).load(Ordering::Relaxed);
            if name.ends_with("_total") {
                let counter = IntCounter::new(full(name), *help)?;
                counter.inc_by(value);
                families.extend(counter.collect());
            } else {
                let gauge = IntGauge::new(full(name), *help)?;
                gauge.set(value.cast_signed());
                families.extend(gauge.collect());
            }
        }
        let ignored = IntCounterVec::new(
            Opts::new(
                full("datagrams_ignored_total"),
                "Datagrams and packets that were of no use, by reason.",
            ),
            &["reason"],
        )?;
        for why in Ignored::ALL {
            let count = self.cores.iter().map(|core| core.ignored(why)).sum();
            ignored.with_label_values(&[why.reason()]).inc_by(count);
        }
        families.extend(ignored.collect());
        let unsent = IntCounterVec::new(
            Opts::new(full("datagrams_unsent_total"), "Datagrams that the kernel did not take, by reason."),
            &["reason"],
        )?;
        for why in Reason::ALL {
            let count = self.shards.iter().map(|shard| shard.counters().dropped(why)).sum();
            unsent.with_label_values(&[why.as_str()]).inc_by(count);
        }
        families.extend(unsent.collect());
        Ok(families)
    }
}

fn full(name: &str) -> String {
    format!("turnpike_media_{name}")
}

impl Collector for Metrics {
    /// None: they are of no use to a registry that is only read.
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.families().unwrap_or_else(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "the relay's metrics cannot be made");
            Vec::new()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_round_is_seen_by_everybody_who_reads_and_forgotten_in_the_end() {
        let mut longest = Longest::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(longest.with(7, at(0)), 7);
        assert_eq!(longest.with(3, at(1)), 7, "somebody else reads a moment later");
        assert_eq!(longest.with(2, at(16)), 7);
        assert_eq!(longest.with(1, at(32)), 2);
        assert_eq!(longest.with(0, at(90)), 0);
    }
}
