//! What the warden tells Prometheus. Read when somebody asks.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use turnpike_guard::Watch;

struct Readings {
    watch: Watch,
    bans: IntGauge,
    mutes: IntGauge,
    addresses: IntGauge,
    suspects: IntGauge,
    signals: IntCounterVec,
    detections: IntCounterVec,
    turned_away: IntCounterVec,
    lost: IntCounter,
    crowded_out: IntCounter,
}

pub(crate) fn register(registry: &Registry, watch: &Watch) -> Result<(), prometheus::Error> {
    let vec = |name, help, label: &str| IntCounterVec::new(Opts::new(name, help), &[label]);
    registry.register(Box::new(Readings {
        watch: watch.clone(),
        bans: IntGauge::new("turnpike_bans", "Users and networks that are shut out.")?,
        mutes: IntGauge::new(
            "turnpike_mutes",
            "Users that may say nothing for a while, and addresses of which nobody new is let in.",
        )?,
        addresses: IntGauge::new(
            "turnpike_addresses_counted",
            "Addresses whose connections and sessions are counted.",
        )?,
        suspects: IntGauge::new("turnpike_suspects", "Users and addresses that something speaks against.")?,
        signals: vec("turnpike_signals_total", "What speaks against somebody, by signal.", "signal")?,
        detections: vec(
            "turnpike_detections_total",
            "Scores over a threshold, by the measure that followed.",
            "measure",
        )?,
        turned_away: vec(
            "turnpike_turned_away_total",
            "Connections, requests and sessions refused for their address, by reason.",
            "reason",
        )?,
        lost: IntCounter::new(
            "turnpike_measures_lost_total",
            "Measures whose connections were not closed because too many were due at once.",
        )?,
        crowded_out: IntCounter::new(
            "turnpike_suspects_forgotten_total",
            "Suspects, bans and counted addresses that a full table had no room for.",
        )?,
    }))
}

impl Readings {
    fn collectors(&self) -> [&dyn Collector; 9] {
        [
            &self.bans,
            &self.mutes,
            &self.addresses,
            &self.suspects,
            &self.signals,
            &self.detections,
            &self.turned_away,
            &self.lost,
            &self.crowded_out,
        ]
    }

    fn update(&self) {
        let levels = self.watch.warden.levels(self.watch.now());
        let set = |gauge: &IntGauge, value: usize| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        let raise = |counter: &IntCounter, to: u64| counter.inc_by(to.saturating_sub(counter.get()));
        set(&self.bans, levels.bans);
        set(&self.mutes, levels.mutes);
        set(&self.addresses, levels.addresses);
        set(&self.suspects, levels.suspects);
        for (signal, count) in levels.signals {
            raise(&self.signals.with_label_values(&[signal.slug()]), count);
        }
        for (rung, count) in levels.measures {
            raise(&self.detections.with_label_values(&[rung.slug()]), count);
        }
        for (reason, count) in levels.turned {
            raise(&self.turned_away.with_label_values(&[reason]), count);
        }
        raise(&self.lost, levels.measures_lost);
        raise(&self.crowded_out, levels.crowded_out + levels.untracked);
    }
}

impl Collector for Readings {
    fn desc(&self) -> Vec<&Desc> {
        self.collectors().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.update();
        self.collectors().into_iter().flat_map(Collector::collect).collect()
    }
}
