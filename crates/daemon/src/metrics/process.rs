//! CPU, memory, threads and file descriptors of this process, read from `/proc` when somebody asks.
//!
//! These go by the names that Prometheus client libraries have in common (`process_...`), because dashboards and alert
//! rules made for any process look for them.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, IntCounter, IntGauge, IntGaugeVec, Opts, Registry};
use rustix::process::{Resource, getrlimit};

use crate::log::Writer;

/// Linux has had this value on every architecture for as long as `/proc` has had the file; used where the kernel's own
/// word cannot be read.
const TICKS_PER_SECOND: u64 = 100;

pub struct Process {
    cpu: Counter,
    resident: IntGauge,
    threads: IntGauge,
    descriptors: IntGauge,
    descriptors_max: Gauge,
    started: Gauge,
    build: IntGaugeVec,
    log_dropped: IntCounter,
    log: Writer,
    ticks_per_second: u64,
}

impl Process {
    /// `started` is when the process began, `commit` what it was built from.
    pub fn register(
        registry: &Registry,
        version: &str,
        commit: &str,
        started: SystemTime,
        log: Writer,
    ) -> Result<(), prometheus::Error> {
        let build = IntGaugeVec::new(
            Opts::new("turnpike_build_info", "What runs; always 1."),
            &["version", "commit"],
        )?;
        build.with_label_values(&[version, commit]).set(1);
        let process = Self {
            cpu: Counter::new("process_cpu_seconds_total", "CPU time used, user and system.")?,
            resident: IntGauge::new("process_resident_memory_bytes", "Memory that is resident.")?,
            threads: IntGauge::new("process_threads", "Threads.")?,
            descriptors: IntGauge::new("process_open_fds", "File descriptors that are open.")?,
            descriptors_max: Gauge::new("process_max_fds", "File descriptors that may be open.")?,
            started: Gauge::new(
                "process_start_time_seconds",
                "When the process began, in seconds since 1970.",
            )?,
            build,
            log_dropped: IntCounter::new(
                "turnpike_log_lines_dropped_total",
                "Log lines lost because stderr was not read fast enough, or the disk took no more.",
            )?,
            log,
            ticks_per_second: auxiliary(&std::fs::read("/proc/self/auxv").unwrap_or_default(), AT_CLKTCK)
                .unwrap_or(TICKS_PER_SECOND),
        };
        process.started.set(started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64());
        registry.register(Box::new(process))
    }

    fn collectors(&self) -> [&dyn Collector; 8] {
        [
            &self.cpu,
            &self.resident,
            &self.threads,
            &self.descriptors,
            &self.descriptors_max,
            &self.started,
            &self.build,
            &self.log_dropped,
        ]
    }

    /// What cannot be read keeps its last value: a metric that is missing breaks fewer alerts than one that is 0.
    fn update(&self) {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
        if let Some(ticks) = cpu_ticks(&read("stat")) {
            let seconds = ticks as f64 / self.ticks_per_second as f64;
            self.cpu.inc_by((seconds - self.cpu.get()).max(0.0));
        }
        let status = read("status");
        if let Some(kibibytes) = status_number(&status, "VmRSS:") {
            self.resident.set(kibibytes * 1_024);
        }
        if let Some(threads) = status_number(&status, "Threads:") {
            self.threads.set(threads);
        }
        if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
            // Reading the directory has one open itself.
            self.descriptors.set(open.count().saturating_sub(1).try_into().unwrap_or(i64::MAX));
        }
        let limit = getrlimit(Resource::Nofile).current;
        self.descriptors_max.set(limit.map_or(f64::INFINITY, |limit| limit as f64));
        let dropped = self.log.dropped();
        self.log_dropped.inc_by(dropped.saturating_sub(self.log_dropped.get()));
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.collectors().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.update();
        self.collectors().into_iter().flat_map(Collector::collect).collect()
    }
}

/// User and system time, from `/proc/self/stat` (proc_pid_stat(5): fields 14 and 15).
fn cpu_ticks(stat: &str) -> Option<u64> {
    // The second field is the name of the program in parentheses, and may hold spaces and parentheses itself.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn status_number(status: &str, name: &str) -> Option<i64> {
    status.lines().find_map(|line| line.strip_prefix(name))?.split_ascii_whitespace().next()?.parse().ok()
}

/// Ticks a second (getauxval(3)).
const AT_CLKTCK: u64 = 17;

/// Looks a value up in the auxiliary vector: pairs of machine words.
fn auxiliary(vector: &[u8], wanted: u64) -> Option<u64> {
    const WORD: usize = size_of::<usize>();
    let word = |bytes: &[u8]| bytes.try_into().ok().map(|bytes| usize::from_ne_bytes(bytes) as u64);
    vector
        .chunks_exact(2 * WORD)
        .find(|pair| word(&pair[..WORD]) == Some(wanted))
        .and_then(|pair| word(&pair[WORD..]))
        .filter(|value| *value > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_cannot_shift_the_fields() {
        let stat = "17 (a) 9 (b)) S 1 17 17 0 -1 4194560 1 2 3 4 250 50 7 8 20 0 1 0 99 1000 25";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(cpu_ticks(""), None);
        assert_eq!(cpu_ticks("17 (a) S 1"), None);
    }

    #[test]
    fn status_lines() {
        let status = "Name:\tturnpike\nVmRSS:\t   12345 kB\nThreads:\t4\n";
        assert_eq!(status_number(status, "VmRSS:"), Some(12_345));
        assert_eq!(status_number(status, "Threads:"), Some(4));
        assert_eq!(status_number(status, "VmSwap:"), None);
    }

    #[test]
    fn this_machine_has_an_auxiliary_vector() {
        let vector = std::fs::read("/proc/self/auxv").unwrap();
        assert_eq!(auxiliary(&vector, AT_CLKTCK), Some(100));
        assert_eq!(auxiliary(&vector, 4_711), None);
    }
}
