//! What is measured of the plane.

use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
};

/// Every way in which a command can fail ([`super::fault::Fault`]).
const FAILURES: [&str; 6] = ["moved", "ask", "not_now", "no_function", "lost", "refused"];
/// Why a publication was not kept.
const NOT_KEPT: [&str; 4] = ["away", "full", "too_old", "unavailable"];
/// What shows that something may have been missed.
const GAPS: [&str; 6] = ["bus_lost", "lagged", "sequence", "audit", "epoch", "overflow"];
/// Where something was found that nobody of this cluster has written.
const FORGED: [&str; 4] = ["announcement", "letter", "log", "notice"];
/// Factors of four: there is one for each kind of command.
const COMMAND_BUCKETS: [f64; 7] = [0.001, 0.004, 0.016, 0.064, 0.256, 1.024, 4.096];

pub(crate) struct Metrics {
    pub(crate) commands: IntCounterVec,
    pub(crate) command_seconds: HistogramVec,
    pub(crate) calls_failed: IntCounterVec,
    pub(crate) batches: IntCounter,
    pub(crate) publish_seconds: Histogram,
    pub(crate) publish_failed: IntCounterVec,
    pub(crate) publish_retries: IntCounter,
    pub(crate) bus_messages: IntCounter,
    pub(crate) bus_bytes: IntCounter,
    pub(crate) bus_connections: IntCounter,
    pub(crate) gaps: IntCounterVec,
    pub(crate) resyncs: IntCounter,
    pub(crate) repaired: IntCounter,
    pub(crate) broken: IntCounter,
    pub(crate) undecodable: IntCounter,
    pub(crate) signals_dropped: IntCounter,
    pub(crate) forged: IntCounterVec,
    pub(crate) notices_given_up: IntCounter,
    pub(crate) clock_offset: Gauge,
    pub(crate) probe_seconds: Histogram,
    pub(crate) breaker_state: IntGaugeVec,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let vec = |name: &str, help: &str, labels: &[&str]| {
            let made = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(made.clone()))?;
            Ok::<_, prometheus::Error>(made)
        };
        let counter = |name: &str, help: &str| {
            let made = IntCounter::new(name, help)?;
            registry.register(Box::new(made.clone()))?;
            Ok::<_, prometheus::Error>(made)
        };
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            let made = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?;
            registry.register(Box::new(made.clone()))?;
            Ok::<_, prometheus::Error>(made)
        };
        let breaker_state = IntGaugeVec::new(
            Opts::new(
                "turnpike_cluster_breaker_state",
                "Circuit breaker of a master: 0 closed, 1 half-open, 2 open.",
            ),
            &["master"],
        )?;
        registry.register(Box::new(breaker_state.clone()))?;
        let clock_offset = Gauge::new(
            "turnpike_clock_offset_seconds",
            "How far the clock of this machine is ahead of that of Redis.",
        )?;
        registry.register(Box::new(clock_offset.clone()))?;
        let command_seconds = HistogramOpts::new(
            "turnpike_cluster_redis_command_seconds",
            "From a command to its answer, tries among it, by function or command. Publications that were committed together count once.",
        )
        .buckets(COMMAND_BUCKETS.to_vec());
        let command_seconds = HistogramVec::new(command_seconds, &["kind"])?;
        registry.register(Box::new(command_seconds.clone()))?;
        // Present from the start, at nought: the first is a change.
        let known = |vec: IntCounterVec, values: &[&str]| {
            for value in values {
                vec.with_label_values(&[*value]);
            }
            vec
        };
        Ok(Self {
            command_seconds,
            clock_offset,
            commands: vec(
                "turnpike_cluster_redis_commands_total",
                "Commands sent to Redis, by function or command.",
                &["kind"],
            )?,
            calls_failed: known(
                vec(
                    "turnpike_cluster_redis_failures_total",
                    "Commands that were not answered as asked, by what happened.",
                    &["reason"],
                )?,
                &FAILURES,
            ),
            batches: counter(
                "turnpike_cluster_publish_batches_total",
                "Groups of publications that were committed together.",
            )?,
            publish_seconds: histogram(
                "turnpike_cluster_publish_seconds",
                "From a publication to its answer.",
                &[
                    0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.0, 2.0,
                    4.0, 8.0,
                ],
            )?,
            publish_failed: known(
                vec(
                    "turnpike_cluster_publish_failures_total",
                    "Publications that were not kept, or not known to be, by reason.",
                    &["reason"],
                )?,
                &NOT_KEPT,
            ),
            publish_retries: counter(
                "turnpike_cluster_publish_retries_total",
                "Publications that were sent to Redis once more.",
            )?,
            bus_messages: counter(
                "turnpike_cluster_bus_messages_total",
                "Messages and signals that came over the bus.",
            )?,
            bus_bytes: counter("turnpike_cluster_bus_bytes_total", "Their bytes.")?,
            bus_connections: counter(
                "turnpike_cluster_bus_connections_total",
                "Connections of the bus that were made.",
            )?,
            gaps: known(
                vec(
                    "turnpike_cluster_gaps_total",
                    "Times that something may have been missed on the bus, by what showed it.",
                    &["reason"],
                )?,
                &GAPS,
            ),
            resyncs: counter(
                "turnpike_cluster_resyncs_total",
                "Times that all open rooms of a lane were compared with the log.",
            )?,
            repaired: counter(
                "turnpike_cluster_repaired_messages_total",
                "Messages that were missed on the bus and read from the log.",
            )?,
            broken: counter("turnpike_cluster_broken_rooms_total", "Open rooms whose members must reload.")?,
            undecodable: counter(
                "turnpike_cluster_undecodable_total",
                "Entries of the bus or the log that could not be understood.",
            )?,
            signals_dropped: counter(
                "turnpike_cluster_signals_dropped_total",
                "Signals that were not sent to other nodes.",
            )?,
            forged: known(
                vec(
                    "turnpike_bus_forged_total",
                    "Messages between nodes that bear no seal of this cluster, or one that was made for something else.",
                    &["kind"],
                )?,
                &FORGED,
            ),
            notices_given_up: counter(
                "turnpike_bulletin_given_up_total",
                "Bans and revocations for which there was no room any more, before their time was over.",
            )?,
            probe_seconds: histogram(
                "turnpike_cluster_probe_seconds",
                "Time of a probe through a master's announcements and back.",
                &[0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.0, 2.0],
            )?,
            breaker_state,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    const BEGIN: &str = "<!-- begin of the table of the cluster -->\n";
    const END: &str = "<!-- end of the table of the cluster -->";

    #[test]
    fn the_document_names_them_all() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).unwrap();
        // What has labels is there from its first value on.
        metrics.breaker_state.with_label_values(&["x"]).set(0);
        metrics.commands.with_label_values(&["x"]).inc();
        metrics.command_seconds.with_label_values(&["x"]).observe(0.0);
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
            let _ = writeln!(
                table,
                "| `{}` | {kind} | {} | {} |",
                family.name(),
                labels.join(", "),
                family.help()
            );
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        let document = std::fs::read_to_string(path).unwrap();
        let (before, rest) = document.split_once(BEGIN).expect("the document has a place for the table");
        let (_, after) = rest.split_once(END).expect("the table has an end");
        let expected = format!("{before}{BEGIN}\n{table}\n{END}{after}");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, expected).unwrap();
        } else {
            assert!(document == expected, "run UPDATE_DOCS=1 cargo test -p turnpike-cluster --lib metrics");
        }
    }
}
