//! How the audit log is, as metrics: read when somebody asks.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, IntCounter, IntGauge, Registry};
use turnpike_audit::{Audit, Figures, Health};

type Read = fn(&Figures) -> &AtomicU64;

const TOTALS: &[(&str, &str, Read)] = &[
    ("records_total", "Records written to the audit log.", |figures| &figures.records),
    ("written_bytes_total", "Bytes written to the audit log.", |figures| &figures.bytes),
    ("writes_total", "Writes that were brought to the disk, each of one or many records.", |figures| {
        &figures.batches
    }),
    ("checkpoints_total", "Checkpoints signed.", |figures| &figures.checkpoints),
    ("dropped_total", "Events that were not written because too many waited.", |figures| &figures.dropped),
    (
        "refused_total",
        "Logins and other decisions that were refused because their record could not be written.",
        |figures| &figures.refused,
    ),
    (
        "degraded_total",
        "Logins and other decisions that took effect although their record could not be written.",
        |figures| &figures.degraded,
    ),
];

pub(super) struct Meters {
    audit: Audit,
    totals: Vec<(IntCounter, Read)>,
    sync_seconds: Counter,
    size: IntGauge,
    waiting: IntGauge,
    well: Gauge,
}

impl Meters {
    pub(super) fn register(registry: &Registry, audit: &Audit) -> Result<(), prometheus::Error> {
        let named = |name: &str| format!("turnpike_audit_{name}");
        let totals =
            TOTALS.iter().map(|(name, help, read)| Ok((IntCounter::new(named(name), *help)?, *read)));
        registry.register(Box::new(Self {
            audit: audit.clone(),
            totals: totals.collect::<Result<_, prometheus::Error>>()?,
            sync_seconds: Counter::new(
                named("sync_seconds_total"),
                "Time that the disk took for these writes.",
            )?,
            size: IntGauge::new(named("size_records"), "Records in the audit log since it was begun.")?,
            waiting: IntGauge::new(named("waiting_records"), "Records that wait to be written.")?,
            well: Gauge::new(
                named("well"),
                "1: the audit log is written as it should be. 0: it is in its reserve, failing, or closed.",
            )?,
        }))
    }

    fn collectors(&self) -> impl Iterator<Item = &dyn Collector> {
        let totals = self.totals.iter().map(|(counter, _)| counter as &dyn Collector);
        let others: [&dyn Collector; 4] = [&self.sync_seconds, &self.size, &self.waiting, &self.well];
        totals.chain(others)
    }
}

impl Collector for Meters {
    fn desc(&self) -> Vec<&Desc> {
        self.collectors().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let figures = self.audit.figures();
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        for (counter, read) in &self.totals {
            counter.inc_by(value(read(figures)).saturating_sub(counter.get()));
        }
        let seconds = value(&figures.sync_micros) as f64 / 1e6;
        self.sync_seconds.inc_by((seconds - self.sync_seconds.get()).max(0.0));
        self.size.set(i64::try_from(value(&figures.size)).unwrap_or(i64::MAX));
        self.waiting.set(i64::try_from(self.audit.queued()).unwrap_or(i64::MAX));
        self.well.set(f64::from(u8::from(*self.audit.health().borrow() == Health::Well)));
        self.collectors().flat_map(Collector::collect).collect()
    }
}
