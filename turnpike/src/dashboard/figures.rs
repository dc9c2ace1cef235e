//! What is shown of a node: which figures, read from its own metrics, so that both always say the same. They are whole
//! numbers; a histogram becomes a quantile of what was observed since it was last read.

use std::collections::HashMap;

use prometheus::Registry;
use prometheus::proto::{Metric, MetricFamily};

/// The most that a node tells. What labels add is bounded by the code; this holds for other versions as well.
pub(super) const FIGURES_MAX: usize = 160;
pub(super) const KEY_BYTES_MAX: usize = 64;

/// How a figure is made of the series of a metric.
enum How {
    /// All of them together, times this much.
    Sum(f64),
    /// Those whose label has one of these values.
    Of(&'static str, &'static [&'static str]),
    /// Those whose label has none of these.
    But(&'static str, &'static [&'static str]),
    /// A figure for each value of a label, called `key:value`.
    Each(&'static str),
    /// How many are above nought.
    Raised,
    /// In thousandths; in microseconds, of what was observed since the last time.
    Quantile(u64),
}

use How::{But, Each, Of, Quantile, Raised, Sum};

const ONE: How = Sum(1.0);

/// Key, metric without `turnpike_`, how. Those that are counters in the metrics are totals here; the page makes rates of them.
const FIGURES: &[(&str, &str, How)] = &[
    ("connections", "gateway_connections", ONE),
    ("websockets", "gateway_websockets", ONE),
    ("sockets", "gateway_sockets", ONE),
    ("away", "gateway_sessions_away", ONE),
    ("rooms", "gateway_open_rooms", ONE),
    ("queue_bytes", "gateway_queue_bytes", ONE),
    ("opened", "gateway_connections_opened_total", ONE),
    ("closed", "gateway_connections_closed_total", ONE),
    ("slow_closed", "gateway_connections_closed_total", Of("reason", &["slow_reader"])),
    ("refused", "gateway_connections_refused_total", ONE),
    ("messages", "gateway_messages_total", ONE),
    ("events", "gateway_events_total", ONE),
    ("deliveries", "gateway_deliveries_total", ONE),
    ("deferred", "gateway_deliveries_deferred_total", ONE),
    ("received_bytes", "gateway_received_bytes_total", ONE),
    ("sent_bytes", "gateway_sent_bytes_total", ONE),
    ("lag_p50_us", "gateway_delivery_lag_seconds", Quantile(500)),
    ("lag_p99_us", "gateway_delivery_lag_seconds", Quantile(990)),
    ("handshake_p99_us", "gateway_handshake_seconds", Quantile(990)),
    ("recovered", "gateway_recoveries_total", Of("outcome", &["recovered"])),
    ("not_recovered", "gateway_recoveries_total", But("outcome", &["recovered"])),
    ("replayed", "gateway_recovery_replayed_total", ONE),
    ("lost_rooms", "gateway_recovery_lost_rooms_total", ONE),
    ("streams", "media_streams", ONE),
    ("publishers", "media_publishers", ONE),
    ("viewers", "media_viewers", ONE),
    ("recordings", "media_recordings", ONE),
    ("media_received_bytes", "media_received_bytes_total", ONE),
    ("media_sent_bytes", "media_sent_bytes_total", ONE),
    ("bans", "bans", ONE),
    ("mutes", "mutes", ONE),
    ("suspects", "suspects", ONE),
    ("limited", "limit_refused_total", ONE),
    ("turned_away", "turned_away_total", ONE),
    ("signals", "signals_total", ONE),
    ("detections", "detections_total", ONE),
    ("tokens_refused", "gateway_tokens_refused_total", ONE),
    ("admin_refused", "admin_refused_total", ONE),
    ("forged", "bus_forged_total", ONE),
    ("audit_well", "audit_well", ONE),
    ("redis_commands", "cluster_redis_commands_total", ONE),
    ("redis_failures", "cluster_redis_failures_total", ONE),
    ("redis_p99_us", "cluster_redis_command_seconds", Quantile(990)),
    ("probe_p99_us", "cluster_probe_seconds", Quantile(990)),
    ("publish_failures", "cluster_publish_failures_total", ONE),
    ("breakers", "cluster_breaker_state", Raised),
    ("gaps", "cluster_gaps_total", ONE),
    ("memory_bytes", "process_resident_memory_bytes", ONE),
    ("cpu_ms", "process_cpu_seconds_total", Sum(1_000.0)),
    ("descriptors", "process_open_fds", ONE),
    ("descriptors_max", "process_max_fds", ONE),
    // Last, where the most is cut off.
    ("signal", "signals_total", Each("signal")),
    ("limit", "limit_refused_total", Each("limit")),
];

/// A figure that is not there is of a part that this node does not have, or of nothing that happened.
pub(super) type Value = Option<u64>;

/// Of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) keys: Vec<String>,
    pub(super) values: Vec<Value>,
}

/// Reads a registry again and again.
pub(super) struct Meter {
    registry: Registry,
    /// Of each metric that is a histogram: its buckets' counts when it was last read.
    before: HashMap<&'static str, Vec<(f64, u64)>>,
}

impl Meter {
    pub(super) fn new(registry: Registry) -> Self {
        Self { registry, before: HashMap::new() }
    }

    pub(super) fn read(&mut self) -> Reading {
        let families = self.registry.gather();
        let by_name: HashMap<&str, &MetricFamily> =
            families.iter().map(|family| (family.name(), family)).collect();
        let mut buckets_now: HashMap<&'static str, Vec<(f64, u64)>> = HashMap::new();
        let mut reading = Reading { keys: Vec::new(), values: Vec::new() };
        let mut say = |key: String, value: Value| {
            if reading.keys.len() < FIGURES_MAX && key.len() <= KEY_BYTES_MAX {
                reading.keys.push(key);
                reading.values.push(value);
            }
        };
        for (key, metric, how) in FIGURES {
            let name = name_of(metric);
            let series = by_name.get(name.as_str()).map_or(&[][..], |family| family.get_metric());
            match how {
                Sum(factor) => say((*key).into(), sum(series, |_| true).map(|sum| rounded(sum * factor))),
                Of(label, wanted) => {
                    let of = |one: &Metric| wanted.contains(&value_of(one, label));
                    say((*key).into(), sum(series, of).map(rounded));
                }
                But(label, unwanted) => {
                    let of = |one: &Metric| !unwanted.contains(&value_of(one, label));
                    say((*key).into(), sum(series, of).map(rounded));
                }
                Each(label) => {
                    for one in series {
                        say(format!("{key}:{}", value_of(one, label)), Some(rounded(number(one))));
                    }
                }
                Raised => {
                    let raised = series.iter().filter(|one| number(one) > 0.0).count() as u64;
                    say((*key).into(), (!series.is_empty()).then_some(raised));
                }
                Quantile(permille) => {
                    let now = buckets_now.entry(*metric).or_insert_with(|| buckets(series));
                    let before = self.before.get(metric).map_or(&[][..], Vec::as_slice);
                    say((*key).into(), quantile(before, now, *permille));
                }
            }
        }
        self.before = buckets_now;
        reading
    }
}

fn name_of(metric: &str) -> String {
    if metric.starts_with("process_") { metric.to_owned() } else { format!("turnpike_{metric}") }
}

fn rounded(value: f64) -> u64 {
    value.round().max(0.0) as u64
}

/// Of a counter or a gauge; the one that it is not is nought.
fn number(metric: &Metric) -> f64 {
    metric.get_counter().get_value() + metric.get_gauge().get_value()
}

fn value_of<'a>(metric: &'a Metric, label: &str) -> &'a str {
    metric.get_label().iter().find(|pair| pair.name() == label).map_or("", |pair| pair.value())
}

/// None: there are no such series here.
fn sum(series: &[Metric], of: impl Fn(&Metric) -> bool) -> Option<f64> {
    let wanted = series.iter().filter(|one| of(one)).map(number);
    (!series.is_empty()).then(|| wanted.sum())
}

/// The counts of all series together. They have the same bounds: they are of one metric.
fn buckets(series: &[Metric]) -> Vec<(f64, u64)> {
    let mut all: Vec<(f64, u64)> = Vec::new();
    for one in series {
        let histogram = one.get_histogram();
        for (index, bucket) in histogram.get_bucket().iter().enumerate() {
            match all.get_mut(index) {
                Some((_, count)) => *count += bucket.cumulative_count(),
                None => all.push((bucket.upper_bound(), bucket.cumulative_count())),
            }
        }
        // What is above the last bound is in no bucket.
        let bounds = histogram.get_bucket().len();
        match all.get_mut(bounds) {
            Some((_, count)) => *count += histogram.get_sample_count(),
            None => all.push((f64::INFINITY, histogram.get_sample_count())),
        }
    }
    all
}

/// In microseconds. Within a bucket all are taken to be spread evenly; above the last bound nothing is known but that.
fn quantile(before: &[(f64, u64)], now: &[(f64, u64)], permille: u64) -> Value {
    let since = |index: usize| now[index].1.saturating_sub(before.get(index).map_or(0, |(_, count)| *count));
    let total = since(now.len().checked_sub(1)?);
    if total == 0 {
        return None;
    }
    let rank = (total * permille).div_ceil(1_000).max(1);
    let (mut below, mut lower) = (0, 0.0);
    for (index, (upper, _)) in now.iter().enumerate() {
        let count = since(index);
        if count >= rank {
            let upper = if upper.is_finite() { *upper } else { lower };
            let share = (rank - below) as f64 / (count - below) as f64;
            return Some(rounded((lower + (upper - lower) * share) * 1e6));
        }
        (below, lower) = (count, *upper);
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts};

    use super::*;

    fn of(reading: &Reading, key: &str) -> Value {
        let at = reading.keys.iter().position(|known| known == key).expect("the figure is there");
        reading.values[at]
    }

    #[test]
    fn they_are_made_of_metrics_that_there_are() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        let documented = std::fs::read_to_string(path).unwrap();
        for (key, metric, _) in FIGURES {
            let name = name_of(metric);
            assert!(documented.contains(&format!("| `{name}` |")), "{key}: there is no {name}");
        }
    }

    #[test]
    fn keys_are_told_apart() {
        let keys: HashSet<&str> = FIGURES.iter().map(|(key, ..)| *key).collect();
        assert_eq!(keys.len(), FIGURES.len());
    }

    #[test]
    fn series_are_taken_together_and_apart() {
        let registry = Registry::new();
        let signals = IntCounterVec::new(Opts::new("turnpike_signals_total", "."), &["signal"]).unwrap();
        let connections = IntGauge::new("turnpike_gateway_connections", ".").unwrap();
        registry.register(Box::new(signals.clone())).unwrap();
        registry.register(Box::new(connections.clone())).unwrap();
        signals.with_label_values(&["flood"]).inc_by(3);
        signals.with_label_values(&["bad_token"]).inc();
        connections.set(7);
        let reading = Meter::new(registry).read();
        assert_eq!(of(&reading, "signals"), Some(4));
        assert_eq!(of(&reading, "signal:flood"), Some(3));
        assert_eq!(of(&reading, "connections"), Some(7));
        assert_eq!(of(&reading, "redis_commands"), None, "there is no such part here");
    }

    #[test]
    fn a_quantile_is_of_what_came_since_the_last_time() {
        let registry = Registry::new();
        let options = HistogramOpts::new("turnpike_gateway_delivery_lag_seconds", ".");
        let lag = Histogram::with_opts(options.buckets(vec![0.001, 0.01, 0.1])).unwrap();
        registry.register(Box::new(lag.clone())).unwrap();
        let mut meter = Meter::new(registry);
        assert_eq!(of(&meter.read(), "lag_p50_us"), None, "nothing was observed");
        for _ in 0..100 {
            lag.observe(0.05);
        }
        let p50 = of(&meter.read(), "lag_p50_us").unwrap();
        assert!((10_000..=100_000).contains(&p50), "{p50}");
        for _ in 0..10 {
            lag.observe(0.0005);
        }
        let p99 = of(&meter.read(), "lag_p99_us").unwrap();
        assert!(p99 <= 1_000, "{p99}: those of before do not count any more");
        lag.observe(5.0);
        assert_eq!(of(&meter.read(), "lag_p99_us"), Some(100_000), "above the last bound");
    }
}
