//! Whether the load was made as it should have been: figures of a generator that was itself too slow say nothing about the
//! server. Numbers in, words out.

use serde::{Deserialize, Serialize};

use crate::{
    figures::{Figures, Measure},
    objective::duration,
};

/// The generator wakes up this often to see how late it is.
pub const TICK_MS: u64 = 10;
/// What the timers of a machine with work to do are late by.
const TICK_LATE_US_MAX: u64 = 25_000;
/// A request that was begun so much after it was due, by the generator's own fault.
pub const START_LATE_US_MAX: u64 = 20_000;
/// Of all requests. Above it, percentiles up to the 99th are the generator's.
const START_LATE_SHARE_MAX: f64 = 0.005;
const CPU_SHARE_MAX: f64 = 0.9;

/// What the generator saw of itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Generator {
    pub cpu_seconds: f64,
    pub seconds: f64,
    /// Of the server in the same time, if its process or its metrics are known.
    pub server_cpu_seconds: Option<f64>,
    pub threads: usize,
    pub tick_late_p99_us: u64,
    pub tick_late_max_us: u64,
    /// Requests that were begun at their time or later.
    pub started: u64,
    pub started_late: u64,
    /// Users that could not connect because this process, or an address, had nothing left.
    pub out_of_files: u64,
    pub out_of_ports: u64,
    /// Goose's count of requests differs from ours.
    pub disagrees: Option<String>,
    /// What is to be said about it; empty if the figures hold.
    pub notes: Vec<String>,
}

impl Generator {
    /// Whether the figures are those of the server.
    pub fn kept_up(&self) -> bool {
        self.notes.is_empty()
    }

    /// Its CPU as a share of the server's.
    pub fn cpu_of_server(&self) -> Option<f64> {
        self.server_cpu_seconds.filter(|seconds| *seconds > 0.0).map(|seconds| self.cpu_seconds / seconds)
    }

    /// Another process of the same run.
    pub fn add(&mut self, other: &Self) {
        self.cpu_seconds += other.cpu_seconds;
        self.seconds = self.seconds.max(other.seconds);
        self.threads += other.threads;
        self.tick_late_p99_us = self.tick_late_p99_us.max(other.tick_late_p99_us);
        self.tick_late_max_us = self.tick_late_max_us.max(other.tick_late_max_us);
        self.started += other.started;
        self.started_late += other.started_late;
        self.out_of_files += other.out_of_files;
        self.out_of_ports += other.out_of_ports;
        self.disagrees = self.disagrees.take().or_else(|| other.disagrees.clone());
    }

    pub fn judge(&mut self) {
        self.notes.clear();
        if self.tick_late_p99_us > TICK_LATE_US_MAX {
            self.notes.push(format!(
                "the generator woke up {} late in one of a hundred times: it had too little of the machine; use fewer users, \
                 more processes, or another machine",
                duration(self.tick_late_p99_us)
            ));
        }
        let share = self.started_late as f64 / self.started.max(1) as f64;
        if share > START_LATE_SHARE_MAX {
            self.notes.push(format!(
                "{:.1} % of the requests were begun more than {} after they were due: the load was not the one asked for",
                share * 100.0,
                duration(START_LATE_US_MAX)
            ));
        }
        let cpu_share = self.cpu_seconds / (self.seconds.max(0.001) * self.threads.max(1) as f64);
        if cpu_share > CPU_SHARE_MAX {
            self.notes.push(format!(
                "the generator used {:.0} % of its {} cores: latencies are its own",
                cpu_share * 100.0,
                self.threads
            ));
        }
        if self.out_of_files > 0 {
            self.notes.push(format!(
                "{} times there was no file descriptor left: raise the limit (`ulimit -n`, or LimitNOFILE of a unit) above the \
                 number of users, or use fewer users a process",
                self.out_of_files
            ));
        }
        if self.out_of_ports > 0 {
            self.notes.push(format!(
                "{} times there was no port left: use more source addresses (`--sources`), or widen \
                 net.ipv4.ip_local_port_range",
                self.out_of_ports
            ));
        }
        self.notes.extend(self.disagrees.clone());
    }
}

/// Goose counts what we count; where it does not, neither can be believed.
pub fn disagreement(figures: &Figures, counted_by_goose: impl Fn(&str) -> u64) -> Option<String> {
    let both = Measure::ALL.iter().filter(|measure| measure.is_request() && **measure != Measure::Poll);
    let differing = both.filter_map(|measure| {
        let ours = figures.count(*measure) + figures.failures_of(*measure);
        let theirs = counted_by_goose(measure.name());
        (ours != theirs).then(|| format!("{} {ours} by ours, {theirs} by goose's", measure.name()))
    });
    let differing: Vec<String> = differing.collect();
    (!differing.is_empty()).then(|| format!("counts of requests differ: {}", differing.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn books_that_differ_are_no_proof() {
        let mut figures = Figures::default();
        figures.record(Measure::Send, 7);
        figures.record(Measure::Delivery, 7);
        figures.failed(Measure::Send, "refused");
        figures.failed(Measure::Join, "refused");
        let counted = |send, join| {
            move |name: &str| match name {
                "send" => send,
                "join" => join,
                _ => 0,
            }
        };
        assert_eq!(disagreement(&figures, counted(2, 1)), None);
        let told = disagreement(&figures, counted(1, 2)).unwrap();
        assert!(told.ends_with("join 1 by ours, 2 by goose's; send 2 by ours, 1 by goose's"), "{told}");
        let mut generator =
            Generator { seconds: 1.0, threads: 1, disagrees: Some(told), ..Generator::default() };
        generator.judge();
        assert!(!generator.kept_up(), "such a run proves nothing");
    }

    #[test]
    fn what_it_lacked_is_said_with_what_to_do() {
        let fine = Generator {
            cpu_seconds: 10.0,
            seconds: 30.0,
            threads: 2,
            tick_late_p99_us: 2_000,
            started: 1_000,
            started_late: 4,
            ..Generator::default()
        };
        let mut judged = fine.clone();
        judged.judge();
        assert!(judged.kept_up(), "{:?}", judged.notes);
        let table: [(Generator, &str); 5] = [
            (Generator { tick_late_p99_us: 80_000, ..fine.clone() }, "woke up 80.0 ms late"),
            (Generator { started_late: 6, ..fine.clone() }, "0.6 % of the requests"),
            (Generator { cpu_seconds: 59.0, ..fine.clone() }, "98 % of its 2 cores"),
            (Generator { out_of_files: 1, ..fine.clone() }, "ulimit -n"),
            (Generator { out_of_ports: 1, ..fine.clone() }, "--sources"),
        ];
        for (mut generator, part) in table {
            generator.judge();
            assert!(!generator.kept_up());
            assert!(generator.notes[0].contains(part), "{part} in {:?}", generator.notes);
        }
    }
}
