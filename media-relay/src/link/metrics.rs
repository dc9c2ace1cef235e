//! What links tell Prometheus, read when somebody asks.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::Inner;
use super::counters::{Count, Counters, Dropped, Refused};

const CONNECTIONS: &str = "Connections with other relays.";

type Read = fn(&Counters) -> &Count;

const TOTALS: &[(&str, &str, Read)] = &[
    ("sent_packets_total", "Media packets sent to other relays.", |c| &c.packets_out),
    ("sent_bytes_total", "Bytes of the media packets sent to other relays.", |c| &c.bytes_out),
    ("received_packets_total", "Media packets received from other relays.", |c| &c.packets_in),
    ("received_bytes_total", "Bytes of the media packets received from other relays.", |c| &c.bytes_in),
    (
        "large_packets_total",
        "Media packets, sent or received, that did not fit into a datagram and had a QUIC stream of their own.",
        |c| &c.large,
    ),
    ("asked_again_total", "Packets that other relays missed, and asked for again.", |c| &c.asked_again),
    ("repaired_packets_total", "Packets received again from another relay.", |c| &c.repaired),
    ("retries_total", "Handshakes that had to show first that their address is theirs.", |c| &c.retries),
    ("pipes_blocked_total", "Streams whose way was given up because one end was behind.", |c| &c.blocked),
    ("pipes_unreadable_total", "Streams whose way was given up because what came made no sense.", |c| {
        &c.unreadable
    }),
    ("lost_relays_total", "Relays that were linked and fell silent without a goodbye.", |c| &c.lost),
];

pub(super) struct Metrics {
    inner: Weak<Inner>,
    counters: Arc<Counters>,
    /// Of one of them: a registry takes two that describe nothing for the same.
    desc: Desc,
}

impl Metrics {
    pub(super) fn register(registry: &Registry, inner: &Arc<Inner>) -> Result<(), prometheus::Error> {
        let (inner, counters) = (Arc::downgrade(inner), Arc::clone(&inner.counters));
        let desc = Desc::new(full("connections"), CONNECTIONS.into(), Vec::new(), HashMap::new())?;
        registry.register(Box::new(Self { inner, counters, desc }))
    }

    fn families(&self) -> Result<Vec<MetricFamily>, prometheus::Error> {
        let (mut families, counters) = (Vec::new(), &self.counters);
        let connections = IntGauge::new(full("connections"), CONNECTIONS)?;
        connections.set(counters.connections.get().cast_signed());
        families.extend(connections.collect());
        let pipes = Opts::new(
            full("pipes"),
            "Streams that go over links: `to` other relays, which give them on, and `from` them.",
        );
        let pipes = IntGaugeVec::new(pipes, &["direction"])?;
        pipes.with_label_values(&["to"]).set(counters.pipes_up.get().cast_signed());
        pipes.with_label_values(&["from"]).set(counters.pipes_down.get().cast_signed());
        families.extend(pipes.collect());
        for (name, help, read) in TOTALS {
            families.extend(counter(name, help, read(counters).get())?);
        }
        let links = self.inner.upgrade().map(|inner| inner.links()).unwrap_or_default();
        let lost: u64 = links.iter().map(|link| link.connection.stats().path.lost_packets).sum();
        let help = "QUIC packets that were lost on their way to other relays.";
        families.extend(counter("lost_packets_total", help, lost + counters.lost_packets.get())?);
        let round_trip =
            Gauge::new(full("round_trip_seconds_max"), "To the farthest relay with a connection, and back.")?;
        let farthest = links.iter().map(|link| link.connection.rtt()).max();
        round_trip.set(farthest.unwrap_or_default().as_secs_f64());
        families.extend(round_trip.collect());
        let dropped =
            Opts::new(full("dropped_packets_total"), "Media packets that did not go through, by reason.");
        let dropped = IntCounterVec::new(dropped, &["reason"])?;
        for why in Dropped::ALL {
            dropped.with_label_values(&[why.reason()]).inc_by(counters.dropped(why));
        }
        families.extend(dropped.collect());
        let refused = Opts::new(
            full("refused_total"),
            "Connections and streams that other relays were refused, by reason.",
        );
        let refused = IntCounterVec::new(refused, &["reason"])?;
        for why in Refused::ALL {
            refused.with_label_values(&[why.reason()]).inc_by(counters.refused(why));
        }
        families.extend(refused.collect());
        Ok(families)
    }
}

fn counter(name: &str, help: &str, value: u64) -> Result<Vec<MetricFamily>, prometheus::Error> {
    let counter = IntCounter::new(full(name), help)?;
    counter.inc_by(value);
    Ok(counter.collect())
}

fn full(name: &str) -> String {
    format!("turnpike_media_link_{name}")
}

impl Collector for Metrics {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.families().unwrap_or_else(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "the links' metrics cannot be made");
            Vec::new()
        })
    }
}
