//! What came of each attack, for people to read, and what of it is a fault.

use std::time::Duration;

use super::told::Metrics;
use super::{Attack, Demand};

pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) duration: Duration,
    /// Of the canary's answers, sorted.
    pub(super) latencies: Vec<Duration>,
    pub(super) before: u64,
    pub(super) peak: u64,
    pub(super) after: u64,
    /// The metrics that have grown meanwhile, and by how much.
    pub(super) grown: Metrics,
    /// The records of the audit log that are about it.
    pub(super) audited: Metrics,
    pub(super) is_running: bool,
    pub(super) faults: Vec<String>,
}

impl Row {
    fn share(&self, percent: usize) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get((self.latencies.len() * percent / 100).min(last)).copied().unwrap_or(Duration::MAX)
    }

    pub(super) fn judge(&mut self, attack: &Attack, demand: &Demand) {
        let mut faults = Vec::new();
        let mut fault = |text: String| faults.push(format!("{}: {text}", attack.name));
        if !self.is_running {
            fault("the node has ended".to_owned());
        }
        let panics =
            self.grown.sum("turnpike_gateway_panics_total") + self.grown.sum("turnpike_media_panics_total");
        if panics > 0.0 {
            fault(format!("{panics} panics"));
        }
        if self.share(99) > demand.p99_max {
            fault(format!("the canary waited {:?} (p99), at most {:?}", self.share(99), demand.p99_max));
        }
        let (growth, left) = (self.peak.saturating_sub(self.before), self.after.saturating_sub(self.before));
        if growth > demand.growth_bytes_max {
            fault(format!("grew by {} MB", growth >> 20));
        }
        if left > demand.left_bytes_max {
            fault(format!("kept {} MB", left >> 20));
        }
        for name in attack.told_by.iter().filter(|name| self.grown.sum(name) <= 0.0) {
            fault(format!("the metric {name} does not tell of it"));
        }
        self.faults = faults;
    }

    pub(super) fn judge_records(&mut self, attack: &Attack, audited: Metrics) {
        for name in attack.audited_by.iter().filter(|name| audited.sum(name) <= 0.0) {
            self.faults.push(format!("{}: no record of {name} is about it", attack.name));
        }
        self.audited = audited;
    }
}

pub(super) fn print(rows: &[Row], group: Option<u64>) {
    match group {
        Some(bytes) => println!("the node was in a memory group of {} MB", bytes >> 20),
        None => {
            println!("there are no memory groups here: resident memory was read, and nothing enforced it");
        }
    }
    println!(
        "{:<34} {:>6} {:>6} {:>9} {:>9} {:>6} {:>6} {:>6}  what its metrics say",
        "attack", "s", "asked", "p50 ms", "p99 ms", "MB", "peak", "after"
    );
    for row in rows {
        let milliseconds = |percent| row.share(percent).as_secs_f64() * 1_000.0;
        println!(
            "{:<34} {:>6.1} {:>6} {:>9.1} {:>9.1} {:>6} {:>6} {:>6}  {}",
            row.name,
            row.duration.as_secs_f64(),
            row.latencies.len(),
            milliseconds(50),
            milliseconds(99),
            row.before >> 20,
            row.peak >> 20,
            row.after >> 20,
            row.grown.telling(),
        );
        println!("    audited: {}", row.audited.all());
        for fault in &row.faults {
            println!("    FAULT {fault}");
        }
    }
}
