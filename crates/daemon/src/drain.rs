//! Leaving in order: named phases, one behind the other, each with a deadline and visible progress.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::health::Health;

crate::section! {
    /// Leaving in order, on SIGTERM or SIGINT. A second signal ends the process at once.
    pub struct DrainWindow in "drain" {
        /// The time in which connections are closed, a share of them at a time, so that they do not all return elsewhere at once.
        window: Duration = "10s", "TURNPIKE_DRAIN_WINDOW", "0s" to "1h";
    }
}

/// How often progress is told.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// A drain under way. From its making on the process is not ready.
#[derive(Debug)]
pub struct Drain {
    health: Health,
    began: Instant,
    phases_cut_off: u32,
}

/// How a phase ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Done,
    /// The deadline came first.
    CutOff,
}

impl Drain {
    pub fn begin(health: &Health) -> Self {
        health.draining("begins", None, None);
        tracing::info!("drain begins");
        Self { health: health.clone(), began: Instant::now(), phases_cut_off: 0 }
    }

    /// Runs one phase. `left` counts what is still to be done, for those who watch.
    pub async fn phase(
        &mut self,
        name: &'static str,
        deadline: Duration,
        left: impl Fn() -> u64,
        work: impl Future<Output = ()>,
    ) -> Phase {
        let began = Instant::now();
        let tell = |at: Instant| {
            let seconds_left = deadline.saturating_sub(at - began).as_secs();
            self.health.draining(name, Some(left()), Some(seconds_left));
        };
        tell(began);
        tracing::info!(
            phase = name,
            left = left(),
            deadline_seconds = deadline.as_secs_f64(),
            "drain phase begins"
        );
        let progress = async {
            let mut ticks = interval(PROGRESS_INTERVAL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks.tick().await;
            loop {
                tell(ticks.tick().await);
                tracing::info!(phase = name, left = left(), "drain goes on");
            }
        };
        let finished = timeout(deadline, async {
            tokio::select! {
                () = work => {}
                () = progress => {}
            }
        })
        .await;
        let seconds = began.elapsed().as_secs_f64();
        if finished.is_ok() {
            tracing::info!(phase = name, seconds, "drain phase is done");
            Phase::Done
        } else {
            self.phases_cut_off += 1;
            tracing::warn!(phase = name, seconds, left = left(), "drain phase is cut off by its deadline");
            Phase::CutOff
        }
    }

    pub fn end(self) {
        let seconds = self.began.elapsed().as_secs_f64();
        tracing::info!(seconds, phases_cut_off = self.phases_cut_off, "drain ends");
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_phase_ends_with_its_work_or_at_its_deadline() {
        let health = Health::new("0");
        let mut drain = Drain::begin(&health);
        let quick = drain.phase("quick", Duration::from_secs(5), || 0, sleep(Duration::from_secs(3))).await;
        assert_eq!((quick, drain.began.elapsed()), (Phase::Done, Duration::from_secs(3)));
        let stuck = drain.phase("stuck", Duration::from_secs(5), || 7, pending()).await;
        assert_eq!((stuck, drain.began.elapsed()), (Phase::CutOff, Duration::from_secs(8)));
        assert_eq!(drain.phases_cut_off, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn progress_is_told_and_the_process_is_not_ready_meanwhile() {
        let health = Health::new("0");
        assert!(health.ready().good);
        let mut drain = Drain::begin(&health);
        let left = Cell::new(10);
        let work = async {
            for _ in 0..5 {
                sleep(Duration::from_secs(2)).await;
                left.set(left.get() - 2);
                // One progress tick after the change.
                sleep(Duration::from_millis(1_500)).await;
                let answer = health.ready();
                assert!(!answer.good);
                let draining = &answer.body["draining"];
                assert_eq!((&draining["phase"], &draining["left"]), (&"close".into(), &left.get().into()));
                assert!(draining["seconds_left"].as_u64().is_some_and(|left| (30..60).contains(&left)));
            }
        };
        assert_eq!(drain.phase("close", Duration::from_mins(1), || left.get(), work).await, Phase::Done);
    }
}
