//! Looks at the run once a second: the timeline, the progress line, and how late the generator itself is.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use hdrhistogram::Histogram;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior},
};

use crate::{
    figures::{Figures, Measure, Second},
    generator::TICK_MS,
    objective::duration,
    process,
    run::{Phase, Run},
    server::Load,
};

/// All that was seen.
pub struct Watched {
    pub figures: Figures,
    pub timeline: Vec<Second>,
    pub tick_late_p99_us: u64,
    pub tick_late_max_us: u64,
    pub server_cpu_seconds: Option<f64>,
}

/// Who is told of each second.
pub trait Audience: Send + 'static {
    fn second(&mut self, run: &Run, part: &Figures, second: &Second, all: &Figures);
    fn end(&mut self) {}
}

/// Until the run is over.
pub async fn watch(
    run: Arc<Run>,
    server: watch::Receiver<Option<Load>>,
    mut audience: impl Audience,
) -> Watched {
    let mut watched = Watched {
        figures: Figures::default(),
        timeline: Vec::new(),
        tick_late_p99_us: 0,
        tick_late_max_us: 0,
        server_cpu_seconds: None,
    };
    let mut lateness =
        Histogram::<u64>::new(3).expect("three digits are among those that a histogram can have");
    let mut ticks = tokio::time::interval(Duration::from_millis(TICK_MS));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut cpu = Cpu::default();
    let mut last = Instant::now();
    cpu.since_last(None, 1.0);
    loop {
        let due = ticks.tick().await;
        lateness.record(due.elapsed().as_micros() as u64).expect("a histogram grows as needed");
        let over = run.phase() == Phase::Over;
        let passed = last.elapsed();
        if passed < Duration::from_secs(1) && !over {
            continue;
        }
        last = Instant::now();
        let part = run.take_figures();
        let connected = run.connected.load(Ordering::Relaxed);
        let mut second = Second::of(run.elapsed().as_secs(), connected, &part);
        let load = *server.borrow();
        (second.own_cpu, second.server_cpu) = cpu.since_last(load, passed.as_secs_f64());
        second.server_memory_bytes = load.map(|load| load.memory_bytes);
        watched.figures.add(&part);
        audience.second(&run, &part, &second, &watched.figures);
        watched.timeline.push(second);
        if over {
            break;
        }
    }
    audience.end();
    watched.tick_late_p99_us = lateness.value_at_quantile(0.99);
    watched.tick_late_max_us = lateness.max();
    watched.server_cpu_seconds = cpu.server_in_all;
    watched
}

#[derive(Default)]
struct Cpu {
    own: f64,
    server: Option<f64>,
    server_known: Option<f64>,
    server_in_all: Option<f64>,
}

impl Cpu {
    /// Shares of one core.
    fn since_last(&mut self, server: Option<Load>, seconds: f64) -> (f64, Option<f64>) {
        let now = process::cpu_seconds(std::process::id()).unwrap_or(self.own);
        let own_share = (now - self.own) / seconds;
        self.own = now;
        let now = server.map(|load| load.cpu_seconds);
        // A node that began anew counts from nothing.
        let server_share = now.zip(self.server).map(|(now, before)| (now - before).max(0.0) / seconds);
        self.server = now;
        if let Some(now) = now {
            // What was used while nobody answered counts in the whole, though not in a second.
            let before = self.server_known.replace(now).unwrap_or(now);
            *self.server_in_all.get_or_insert(0.0) += (now - before).max(0.0);
        }
        (own_share, server_share)
    }
}

/// One line for whoever waits: in a terminal it stays where it is, elsewhere a new one comes now and then.
pub struct Progress {
    is_quiet: bool,
    is_terminal: bool,
    seconds: u64,
}

/// Between two lines where lines are kept.
const KEPT_EVERY_S: u64 = 10;

impl Progress {
    pub fn new(is_quiet: bool) -> Self {
        Self { is_quiet, is_terminal: std::io::stderr().is_terminal(), seconds: 0 }
    }
}

impl Audience for Progress {
    fn second(&mut self, run: &Run, _: &Figures, second: &Second, all: &Figures) {
        self.seconds += 1;
        if self.is_quiet || !(self.is_terminal || self.seconds.is_multiple_of(KEPT_EVERY_S)) {
            return;
        }
        let line = progress(run, second, all);
        let _ = if self.is_terminal {
            write!(std::io::stderr(), "\r\x1b[K{line}")
        } else {
            writeln!(std::io::stderr(), "{line}")
        };
        let _ = std::io::stderr().flush();
    }

    fn end(&mut self) {
        if !self.is_quiet && self.is_terminal {
            // The line goes, so that the table begins at the left.
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// The process that started this one.
pub struct Told;

impl Audience for Told {
    fn second(&mut self, run: &Run, part: &Figures, _: &Second, _: &Figures) {
        crate::parts::child::tell_second(run, part);
    }
}

fn progress(run: &Run, second: &Second, all: &Figures) -> String {
    let phase = match run.phase() {
        Phase::Gathering => "coming in".to_owned(),
        Phase::Loading { stop_us, .. } => {
            format!("load, {} s to go", stop_us.saturating_sub(run.now_us()) / 1_000_000)
        }
        Phase::Settling { .. } => "settling".to_owned(),
        Phase::Over => "over".to_owned(),
    };
    let p99 = second.delivery_p99_us.or(second.send_p99_us).map_or("-".to_owned(), duration);
    format!(
        "{phase} | {} connected | {}/s requests | {}/s deliveries, p99 {p99} | {} failed | {} connects",
        second.connected,
        second.requests,
        second.deliveries,
        all.failures(),
        all.count(Measure::Connect),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_counted_from_when_it_is_known() {
        let mut cpu = Cpu::default();
        let load = |cpu_seconds| Some(Load { cpu_seconds, memory_bytes: 0 });
        let shares =
            [None, load(7.0), load(7.5), None, load(8.5), load(0.5)].map(|load| cpu.since_last(load, 1.0).1);
        assert_eq!(shares, [None, None, Some(0.5), None, None, Some(0.0)]);
        assert_eq!(cpu.server_in_all, Some(1.5), "with what it used while it did not answer");
    }
}
