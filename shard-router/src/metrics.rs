//! What the router measures.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
    exponential_buckets,
};

use crate::lines::Lines;
use crate::roster::Roster;
use crate::route::SLUGS;

/// Why handshakes are told to come later ([`crate::admission::Later`]).
const REASONS: [&str; 3] = ["address", "behind", "sum"];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

pub(crate) struct Meters {
    requests: IntCounterVec,
    seconds: HistogramVec,
    refused: IntCounterVec,
    pub(crate) connect_failures: IntCounter,
    pub(crate) retries: IntCounter,
    pub(crate) broken: IntCounter,
    pub(crate) silent: IntCounter,
    pub(crate) cut: IntCounter,
    pub(crate) not_taken: IntCounter,
    pub(crate) pace: Gauge,
}

impl Meters {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name, help| IntCounter::new(name, help);
        let seconds = HistogramOpts::new(
            "turnpike_router_request_seconds",
            "How long it took until a request was answered, by what it was for. A poll waits for something to say.",
        )
        .buckets(exponential_buckets(0.001, 4.0, 10)?);
        let meters = Self {
            requests: IntCounterVec::new(
                Opts::new(
                    "turnpike_router_requests_total",
                    "Requests that were answered, by what for and class of status.",
                ),
                &["route", "status"],
            )?,
            seconds: HistogramVec::new(seconds, &["route"])?,
            refused: IntCounterVec::new(
                Opts::new("turnpike_router_refused_total", "Handshakes that were told to come again later."),
                &["reason"],
            )?,
            connect_failures: counter(
                "turnpike_router_connect_failures_total",
                "Nodes that could not be reached for a request.",
            )?,
            retries: counter("turnpike_router_retries_total", "Requests that were given to a further node.")?,
            broken: counter("turnpike_router_broken_total", "Requests that a node took and did not answer.")?,
            silent: counter(
                "turnpike_router_silent_total",
                "Requests that a node did not answer in time, and that another was asked.",
            )?,
            cut: counter(
                "turnpike_router_cut_total",
                "Connections that were closed because their node is gone.",
            )?,
            not_taken: counter(
                "turnpike_router_connections_refused_total",
                "Connections beyond those that the router takes.",
            )?,
            pace: Gauge::new(
                "turnpike_router_pace",
                "Handshakes that are let in a second, as the nodes are now.",
            )?,
        };
        // Present from the start, at nought: the first is a change.
        for route in SLUGS {
            for class in CLASSES {
                meters.requests.with_label_values(&[route, class]);
            }
            meters.seconds.with_label_values(&[route]);
        }
        for reason in REASONS {
            meters.refused.with_label_values(&[reason]);
        }
        registry.register(Box::new(meters.requests.clone()))?;
        registry.register(Box::new(meters.seconds.clone()))?;
        registry.register(Box::new(meters.refused.clone()))?;
        registry.register(Box::new(meters.pace.clone()))?;
        for counter in [
            &meters.connect_failures,
            &meters.retries,
            &meters.broken,
            &meters.silent,
            &meters.cut,
            &meters.not_taken,
        ] {
            registry.register(Box::new(counter.clone()))?;
        }
        Ok(meters)
    }

    pub(crate) fn answered(&self, route: &str, status: StatusCode, time: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        let class = CLASSES[class];
        self.requests.with_label_values(&[route, class]).inc();
        self.seconds.with_label_values(&[route]).observe(time.as_secs_f64());
    }

    pub(crate) fn refused(&self, reason: &str) {
        self.refused.with_label_values(&[reason]).inc();
    }
}

/// What is looked up when somebody asks.
pub(crate) struct Readings {
    roster: Arc<Roster>,
    lines: Arc<Lines>,
    nodes: GaugeVec,
    connections: Gauge,
}

impl Readings {
    pub(crate) fn register(
        registry: &Registry,
        roster: Arc<Roster>,
        lines: Arc<Lines>,
    ) -> prometheus::Result<()> {
        let nodes = Opts::new("turnpike_router_nodes", "Nodes, by whether they take sessions.");
        let readings = Self {
            roster,
            lines,
            nodes: GaugeVec::new(nodes, &["state"])?,
            connections: Gauge::new("turnpike_router_connections", "Connections of clients that are open.")?,
        };
        registry.register(Box::new(readings))
    }
}

impl Collector for Readings {
    fn desc(&self) -> Vec<&Desc> {
        self.nodes.desc().into_iter().chain(self.connections.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let census = self.roster.census();
        for (state, count) in [("up", census.up), ("down", census.down), ("draining", census.draining)] {
            self.nodes.with_label_values(&[state]).set(count as f64);
        }
        self.connections.set(self.lines.count() as f64);
        self.nodes.collect().into_iter().chain(self.connections.collect()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;

    use tokio::sync::watch;

    use super::*;
    use crate::choice::Strategy;

    #[test]
    fn the_document_names_them_all() {
        const MARKS: [&str; 2] =
            ["<!-- begin of the table of the router -->\n", "<!-- end of the table of the router -->"];
        let registry = Registry::new();
        let meters = Meters::register(&registry).unwrap();
        let (_nodes, seen) = watch::channel(Arc::from([]));
        let roster = Arc::new(Roster::new(seen, Strategy::default(), std::collections::HashMap::new()));
        Readings::register(&registry, roster, Arc::default()).unwrap();
        drop(meters);
        let mut table =
            String::from("| metric | type | labels | what it says |\n| --- | --- | --- | --- |\n");
        for family in registry.gather() {
            let kind = format!("{:?}", family.get_field_type()).to_lowercase();
            let labels: Vec<String> = family.get_metric()[0]
                .get_label()
                .iter()
                .map(|label| format!("`{}`", label.name()))
                .collect();
            assert_eq!(kind == "counter", family.name().ends_with("_total"), "{}", family.name());
            let (name, labels) = (family.name(), labels.join(", "));
            writeln!(table, "| `{name}` | {kind} | {labels} | {} |", family.help()).unwrap();
        }
        let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
        let command = "cargo test -p turnpike-shard-router --lib metrics";
        turnpike_lab::hold_document(&document, MARKS, &table, command);
    }
}
