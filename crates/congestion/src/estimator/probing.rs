//! When a probe is worth its bytes, and what it has found.

use crate::history::Report;
use crate::probe::{Probe, ProbeId};

/// At the start, so many times the start bitrate, unless nobody could use that.
const FIRST: [f64; 2] = [3.0, 6.0];
/// A probe that reached so much of its bitrate is followed by one of twice that.
const REACHED: f64 = 0.7;
/// How long a probe lasts: the first ones short, as they may go far beyond what the path carries; the others longer than
/// a frame takes, as those who share the path pause between frames.
const DURATION_FIRST: f64 = 0.020;
const DURATION: f64 = 0.035;
/// How many packets it has at the least.
const PACKETS: u32 = 5;
/// So much of it must have arrived to be believed.
const COMPLETE: f64 = 0.8;
/// A result is waited for so long.
const WAIT_US: i64 = 1_000_000;
/// For so long after a probe was asked for, and after its end, a queue may be its own.
const DISTURBS_US: i64 = 400_000;
/// Between probes for a higher layer: this at first, twice as much after each that found nothing, up to the other.
const PAUSE_US: i64 = 4_000_000;
const PAUSE_MAX_US: i64 = 12_000_000;
/// More than what is wanted, as a handful of packets is no exact measure.
const ABOVE: f64 = 1.2;
/// A probe goes at most so far above the target.
const REACH: f64 = 6.0;
/// Arrivals closer together than this in total are quantised too coarsely to divide by.
const SPREAD_MIN_US: i64 = 1_000;
/// Packets cannot arrive this much faster than they left; what says so has been held up and let go.
const SQUEEZE: f64 = 2.0;
/// What remains of a result that shows that the path was full.
const UTILISATION: f64 = 0.95;

/// What the allocation could use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Of the next step up, in total and with its margin; zero if there is none.
    pub next_bps: u64,
    /// Of everything that is wanted.
    pub most_bps: u64,
}

#[derive(Debug)]
struct Underway {
    probe: Probe,
    asked_us: i64,
    sent: Option<Spread>,
    arrived: Option<Spread>,
    packets: u32,
    bytes: u32,
}

/// First and last time, and the bytes that do not count: those of the last sent, or of the first arrived.
#[derive(Clone, Copy, Debug)]
struct Spread {
    first_us: i64,
    last_us: i64,
    beyond: u32,
}

#[derive(Debug)]
pub(super) struct Probing {
    demand: Demand,
    id: ProbeId,
    underway: Option<Underway>,
    /// Bitrates that were decided upon and not yet asked for.
    ahead: [f64; 2],
    pause_us: i64,
    ended_us: i64,
    probed_us: Option<i64>,
}

/// What a probe has come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Outcome {
    pub(super) bps: f64,
}

impl Probing {
    pub(super) fn new(start_bps: f64) -> Self {
        Self {
            demand: Demand { next_bps: 0, most_bps: u64::MAX },
            id: ProbeId::FIRST,
            underway: None,
            ahead: FIRST.map(|times| times * start_bps),
            pause_us: PAUSE_US,
            ended_us: 0,
            probed_us: None,
        }
    }

    pub(super) fn set_demand(&mut self, demand: Demand) {
        if demand.next_bps > self.demand.next_bps {
            self.pause_us = PAUSE_US;
        }
        self.demand = demand;
    }

    /// The path was found worse than thought: what was planned is void, and soon it may be worth to ask again.
    pub(super) fn forget(&mut self, now_us: i64) {
        self.ahead = [0.0; 2];
        self.pause_us = PAUSE_US;
        self.ended_us = now_us;
    }

    pub(super) fn poll(&mut self, now_us: i64, target_bps: f64, quiet: bool) -> Option<Probe> {
        if let Some(underway) = &self.underway {
            if now_us - underway.asked_us < WAIT_US {
                return None;
            }
            // Lost, or its feedback was: that says nothing about the path.
            self.underway = None;
            self.ahead = [0.0; 2];
            self.ended_us = now_us;
        }
        if !quiet {
            return None;
        }
        if target_bps >= self.demand.most_bps as f64 {
            return None;
        }
        let most_bps = self.demand.most_bps as f64 * ABOVE;
        let [planned_bps, then_bps] = self.ahead;
        self.ahead = [then_bps, 0.0];
        let mut bitrate_bps = planned_bps.min(most_bps);
        let mut duration = DURATION_FIRST;
        if bitrate_bps <= target_bps * 1.05 {
            duration = DURATION;
            let next_bps = self.demand.next_bps as f64;
            if next_bps <= target_bps || now_us - self.ended_us < self.pause_us {
                return None;
            }
            bitrate_bps = (next_bps * ABOVE).min(target_bps * REACH);
        }
        let probe = Probe {
            id: self.id,
            bitrate_bps: bitrate_bps as u64,
            bytes: (bitrate_bps * duration / 8.0).min(f64::from(u32::MAX)) as u32,
            packets: PACKETS,
        };
        self.id = self.id.next();
        self.underway =
            Some(Underway { probe, asked_us: now_us, sent: None, arrived: None, packets: 0, bytes: 0 });
        Some(probe)
    }

    /// Whether what waits in the path may be a probe's doing, and passes by itself.
    pub(super) fn disturbs(&self, now_us: i64) -> bool {
        let begun = self.underway.as_ref().is_some_and(|underway| now_us - underway.asked_us < DISTURBS_US);
        begun || self.probed_us.is_some_and(|at_us| now_us - at_us < DISTURBS_US)
    }

    pub(super) fn add(&mut self, report: &Report, sent_us: i64) {
        let (Some(underway), Some(arrival_us)) = (&mut self.underway, report.arrival_us) else { return };
        if report.probe != Some(underway.probe.id) {
            return;
        }
        let bytes = u32::from(report.bytes);
        underway.packets += 1;
        underway.bytes = underway.bytes.saturating_add(bytes);
        match &mut underway.sent {
            Some(sent) if sent_us >= sent.last_us => (sent.last_us, sent.beyond) = (sent_us, bytes),
            Some(sent) => sent.first_us = sent.first_us.min(sent_us),
            sent @ None => *sent = Some(Spread { first_us: sent_us, last_us: sent_us, beyond: bytes }),
        }
        match &mut underway.arrived {
            Some(arrived) if arrival_us < arrived.first_us => {
                (arrived.first_us, arrived.beyond) = (arrival_us, bytes);
            }
            Some(arrived) => arrived.last_us = arrived.last_us.max(arrival_us),
            arrived @ None => {
                *arrived = Some(Spread { first_us: arrival_us, last_us: arrival_us, beyond: bytes });
            }
        }
    }

    /// After all reports of a feedback.
    pub(super) fn outcome(&mut self, now_us: i64, target_bps: f64) -> Option<Outcome> {
        let bps = self.underway.as_ref()?.bps()?;
        let underway = self.underway.take()?;
        self.ended_us = now_us;
        self.probed_us = Some(now_us);
        if bps <= target_bps || bps < self.demand.next_bps as f64 {
            self.fail(now_us);
        } else {
            self.pause_us = PAUSE_US;
        }
        if bps > 1.05 * target_bps
            && bps >= REACHED * underway.probe.bitrate_bps as f64
            && self.ahead[0] <= 0.0
        {
            self.ahead[0] = bps * 2.0;
        }
        Some(Outcome { bps })
    }

    fn fail(&mut self, now_us: i64) {
        self.ended_us = now_us;
        self.ahead = [0.0; 2];
        self.pause_us = (self.pause_us * 2).min(PAUSE_MAX_US);
    }
}

impl Underway {
    fn bps(&self) -> Option<f64> {
        let enough = f64::from(self.packets) >= COMPLETE * f64::from(self.probe.packets)
            && f64::from(self.bytes) >= COMPLETE * f64::from(self.probe.bytes);
        if !enough {
            return None;
        }
        let sent_bps = self.sent?.bps(self.bytes)?;
        let arrived_bps = self.arrived?.bps(self.bytes)?;
        if arrived_bps > SQUEEZE * sent_bps {
            return None;
        }
        // What arrives markedly slower than it left has filled the path.
        Some(if arrived_bps < 0.9 * sent_bps { UTILISATION * arrived_bps } else { arrived_bps.min(sent_bps) })
    }
}

impl Spread {
    fn bps(self, bytes: u32) -> Option<f64> {
        let span_us = self.last_us.saturating_sub(self.first_us);
        (SPREAD_MIN_US..WAIT_US)
            .contains(&span_us)
            .then(|| f64::from(bytes.saturating_sub(self.beyond)) * 8e6 / span_us as f64)
    }
}
