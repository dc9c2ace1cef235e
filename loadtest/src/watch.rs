//! Looks at the run once a second: the timeline, the progress line, and how late the generator itself is.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use hdrhistogram::Histogram;
use tokio::time::{Instant, MissedTickBehavior};

use crate::{
    figures::{Figures, Measure, Second},
    generator::TICK_MS,
    objective::duration,
    process,
    run::{Phase, Run},
};

/// All that was seen.
pub struct Watched {
    pub figures: Figures,
    pub timeline: Vec<Second>,
    pub tick_late_p99_us: u64,
    pub tick_late_max_us: u64,
}

/// Until the run is over.
pub async fn watch(run: Arc<Run>, pid: Option<u32>, quiet: bool) -> Watched {
    let mut watched = Watched {
        figures: Figures::default(),
        timeline: Vec::new(),
        tick_late_p99_us: 0,
        tick_late_max_us: 0,
    };
    let shows = !quiet && std::io::stderr().is_terminal();
    let mut lateness =
        Histogram::<u64>::new(3).expect("three digits are among those that a histogram can have");
    let mut ticks = tokio::time::interval(Duration::from_millis(TICK_MS));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (own, mut cpu) = (std::process::id(), Cpu::default());
    let mut last = Instant::now();
    cpu.since_last(own, pid, 1.0);
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
        (second.own_cpu, second.server_cpu) = cpu.since_last(own, pid, passed.as_secs_f64());
        second.server_memory_bytes = pid.and_then(process::memory_bytes);
        watched.figures.add(&part);
        if shows {
            progress(&run, &second, &watched.figures);
        }
        watched.timeline.push(second);
        if over {
            break;
        }
    }
    if shows {
        // The line goes, so that the table begins at the left.
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
    watched.tick_late_p99_us = lateness.value_at_quantile(0.99);
    watched.tick_late_max_us = lateness.max();
    watched
}

#[derive(Default)]
struct Cpu {
    own: f64,
    server: Option<f64>,
}

impl Cpu {
    /// Shares of one core.
    fn since_last(&mut self, own: u32, server: Option<u32>, seconds: f64) -> (f64, Option<f64>) {
        let now = process::cpu_seconds(own).unwrap_or(self.own);
        let own_share = (now - self.own) / seconds;
        self.own = now;
        let now = server.and_then(process::cpu_seconds);
        let server_share = now.zip(self.server).map(|(now, before)| (now - before) / seconds);
        self.server = now;
        (own_share, server_share)
    }
}

fn progress(run: &Run, second: &Second, all: &Figures) {
    let phase = match run.phase() {
        Phase::Gathering => "coming in".to_owned(),
        Phase::Loading { stop_us, .. } => {
            format!("load, {} s to go", stop_us.saturating_sub(run.now_us()) / 1_000_000)
        }
        Phase::Settling { .. } => "settling".to_owned(),
        Phase::Over => "over".to_owned(),
    };
    let p99 = second.delivery_p99_us.or(second.send_p99_us).map_or("-".to_owned(), duration);
    let line = format!(
        "{phase} | {} connected | {}/s requests | {}/s deliveries, p99 {p99} | {} failed | {} connects",
        second.connected,
        second.requests,
        second.deliveries,
        all.failures(),
        all.count(Measure::Connect),
    );
    let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
    let _ = std::io::stderr().flush();
}
