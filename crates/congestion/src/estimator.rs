//! The bitrate that a path to a peer carries (draft-ietf-rmcat-gcc-02, with probes).
//!
//! The lower of two limits: what the delay allows (groups of packets, the trend of their delay, a rate that follows it)
//! and what loss allows. It must not know who uses the bitrate; it is told what more could be used, and asks for probes.

mod acknowledged;
mod groups;
mod loss;
mod probing;
mod rate;
mod trend;

use crate::history::Report;
use crate::probe::Probe;
use acknowledged::Acknowledged;
use groups::{Groups, Step};
use loss::Loss;
use probing::Probing;
use rate::Rate;
use std::time::{Duration, Instant};
use trend::Trend;

pub use probing::Demand;
pub use trend::Usage;

/// Until something is known of the path.
const RTT_START_US: i64 = 100_000;
const RTT_SHARE: f64 = 0.125;
/// If nothing is heard of what was sent for so long, half as much is sent, and so on each time that it passes again.
const SILENCE: Duration = Duration::from_secs(1);
/// If it is heard of so soon after the silence that all has come and nothing waits, it was the peer that stood still, and not the
/// path that was full: what was there before is there again. With more than this share lost it was the path.
const RETURN_US: i64 = 1_000_000;
const RETURN_LOSS: f64 = 0.05;
/// If overuse leaves more than this waiting in the path, less is sent until it has drained, so that it takes a second
/// and not five: a little less, as a layer given up costs more than a small queue, or markedly less while the queue is
/// long. And not for longer than the last, as a path that has become longer looks the same.
const DRAIN_FROM_MS: f64 = 100.0;
const DRAIN_TO_MS: f64 = 60.0;
const DRAIN: f64 = 0.85;
const DRAIN_LONG_MS: f64 = 250.0;
const DRAIN_LONG: f64 = 0.6;
const DRAIN_MAX_US: i64 = 2_000_000;
/// Loss beside a queue that stands means that the queue overflows, before the detector of loss alone says so. Asked so
/// often at the most, as both are smoothed.
const OVERFLOW_LOSS: f64 = 0.02;
const OVERFLOW_QUEUE_MS: f64 = 25.0;
const OVERFLOW_US: i64 = 1_000_000;
/// The slope lags behind; where nothing waits any more there is nothing to answer.
const QUEUE_MIN_MS: f64 = 12.0;
/// More than this, and nothing is probed for nor believed.
const QUIET_LOSS: f64 = 0.05;
/// So long after overuse, and a round trip, the delay is quiet.
const SETTLED_US: i64 = 500_000;
/// A larger gap between two feedbacks is a new start.
const UNHEARD_MAX: u16 = 500;
/// A statement of the receiver (REMB comes each second or so) is forgotten after this.
const REMB_KEPT_US: i64 = 10_000_000;
/// A probe's result vouches for a bitrate so long.
const CONFIRMED_US: i64 = 2_000_000;
/// Changes that are smaller are not told.
const TOLD: f64 = 0.02;

#[derive(Clone, Copy, Debug)]
pub struct Config {
    pub start_bps: u64,
    pub min_bps: u64,
    pub max_bps: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { start_bps: 600_000, min_bps: 50_000, max_bps: 30_000_000 }
    }
}

/// What is known of a path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    pub target_bps: u64,
    /// What the two limits say.
    pub delay_bps: u64,
    pub loss_bps: Option<u64>,
    /// What arrives.
    pub acknowledged_bps: Option<u64>,
    /// Shown by a probe just now: layers up to this need not wait.
    pub confirmed_bps: Option<u64>,
    pub usage: Usage,
    pub loss: f64,
    pub rtt: Duration,
    /// How much longer packets are under way than at best.
    pub queue: Duration,
}

/// Nothing is heard of what was sent, or was not until just now.
#[derive(Clone, Copy, Debug)]
struct Silence {
    before_bps: f64,
    /// Since when something is heard again, and of how many packets.
    heard_us: Option<i64>,
    lost: u32,
    arrived: u32,
}

/// One a viewer, of about half a kilobyte.
#[derive(Debug)]
pub struct Estimator {
    config: Config,
    epoch: Instant,
    groups: Groups,
    trend: Trend,
    acknowledged: Acknowledged,
    rate: Rate,
    loss: Loss,
    probing: Probing,
    rtt_us: f64,
    remb: Option<(i64, f64)>,
    confirmed: Option<(i64, f64)>,
    /// Whether packets are acknowledged one by one; otherwise reports and REMB are all there is.
    acknowledges: bool,
    silent_us: i64,
    silence: Option<Silence>,
    drain_until_us: Option<i64>,
    told: Option<(f64, Usage)>,
    /// The newest that feedback spoke of.
    sequence: Option<u16>,
    lossy_queue_us: i64,
    over_us: Option<i64>,
}

impl Estimator {
    /// A configuration whose limits are in the wrong order is put right: the minimum wins.
    pub fn new(now: Instant, config: Config) -> Self {
        let min_bps = config.min_bps.max(1_000);
        let max_bps = config.max_bps.max(min_bps);
        let config = Config { start_bps: config.start_bps.clamp(min_bps, max_bps), min_bps, max_bps };
        Self {
            config,
            epoch: now,
            groups: Groups::default(),
            trend: Trend::default(),
            acknowledged: Acknowledged::default(),
            rate: Rate::new(config.start_bps as f64),
            loss: Loss::default(),
            probing: Probing::new(config.start_bps as f64),
            rtt_us: RTT_START_US as f64,
            remb: None,
            confirmed: None,
            acknowledges: false,
            silent_us: 0,
            silence: None,
            drain_until_us: None,
            told: None,
            sequence: None,
            lossy_queue_us: 0,
            over_us: None,
        }
    }

    /// What [`Sent::acknowledge`](crate::history::Sent::acknowledge) gave, in the order of sending.
    pub fn on_reports(&mut self, now: Instant, reports: &[Report]) {
        let now_us = self.micros(now);
        let mut newest_us = None;
        let mut over = false;
        let (mut lost, mut arrived) = (0, 0);
        let mut unheard = self.unheard(reports);
        for report in reports {
            let Some(arrival_us) = report.arrival_us else {
                lost += 1;
                continue;
            };
            let sent_us = self.micros(report.sent_at);
            newest_us = newest_us.max(Some(sent_us));
            self.acknowledged.add(arrival_us, u32::from(report.bytes) + std::mem::take(&mut unheard));
            if report.late {
                self.loss.take_back();
            } else {
                arrived += 1;
            }
            if report.probe.is_some() {
                self.probing.add(report, sent_us);
            }
            match self.groups.add(sent_us, arrival_us) {
                Step::Nothing => {}
                Step::Delta(delta) => over |= self.trend.add(delta) == Usage::Over,
                Step::Reset => self.trend = Trend::default(),
            }
        }
        let Some(newest_us) = newest_us else {
            // Feedback that speaks of losses only still is a sign of life.
            self.loss.add(lost, arrived);
            if let Some(silence) = &mut self.silence {
                silence.lost += lost;
            }
            return;
        };
        self.acknowledges = true;
        self.silent_us = 0;
        self.take_rtt((now_us - newest_us) as f64);
        self.loss.add(lost, arrived);
        // Overuse within a feedback counts, even if its last groups were still.
        let overflows = self.loss.own_fraction() > OVERFLOW_LOSS
            && self.trend.queue_ms() > OVERFLOW_QUEUE_MS
            && now_us - self.lossy_queue_us > OVERFLOW_US;
        if overflows {
            self.lossy_queue_us = now_us;
        }
        let usage = match self.trend.usage() {
            usage if !(over || overflows || usage == Usage::Over) => usage,
            // Hold: a probe that found nothing may not cost the layer that there is, nor may a queue that is gone.
            _ if self.probing.disturbs(now_us) || self.trend.queue_ms() < QUEUE_MIN_MS => Usage::Under,
            _ => Usage::Over,
        };
        self.end_silence(now_us, lost, arrived);
        self.control(now_us, usage);
    }

    /// A receiver report's fraction of loss (of 256). Used for peers that do not acknowledge packets.
    pub fn on_loss_report(&mut self, now: Instant, fraction: u8) {
        if self.acknowledges {
            return;
        }
        let now_us = self.micros(now);
        let fraction = f64::from(fraction) / 256.0;
        self.loss.report(now_us, fraction, self.target(now_us), self.rtt_us as i64);
        if self.remb(now_us).is_none() && fraction < 0.02 {
            // With nothing else to go by: as if all that is sent arrived.
            let bps = self.rate.bps();
            self.rate.update(now_us, Usage::Normal, Some(bps), self.rtt_us as i64);
            self.clamp_rate();
        }
    }

    /// The receiver's own estimate (REMB). A cap for those that acknowledge packets, the measure for those that do not.
    pub fn on_remb(&mut self, now: Instant, bps: u64) {
        let now_us = self.micros(now);
        self.remb = Some((now_us, bps as f64));
        if !self.acknowledges {
            self.rate.set(bps as f64);
            self.clamp_rate();
        }
    }

    /// A round trip, as RTCP reports or STUN show it.
    pub fn on_rtt(&mut self, rtt: Duration) {
        self.take_rtt(rtt.as_micros().min(10_000_000) as f64);
    }

    /// What more could be used; without it nothing is probed for after the start.
    pub fn set_demand(&mut self, demand: Demand) {
        self.probing.set_demand(demand);
    }

    /// Call every 50 ms or so. `unanswered` is what [`Sent::unanswered`](crate::history::Sent::unanswered) says.
    pub fn poll(&mut self, now: Instant, unanswered: Option<Duration>) -> Option<Probe> {
        let now_us = self.micros(now);
        let patience = SILENCE.max(Duration::from_micros(3 * self.rtt_us as u64));
        if self.acknowledges && unanswered.is_some_and(|age| age >= patience) {
            if now_us - self.silent_us >= patience.as_micros() as i64 {
                self.silent_us = now_us;
                let before_bps = self.silence.map_or(self.rate.bps(), |silence| silence.before_bps);
                self.silence = Some(Silence { before_bps, heard_us: None, lost: 0, arrived: 0 });
                self.rate.set(self.rate.bps() * 0.5);
                self.clamp_rate();
                self.probing.forget(now_us);
            }
            return None;
        }
        let quiet = self.trend.usage() == Usage::Normal && self.loss.own_fraction() < QUIET_LOSS;
        let reach_bps = (self.config.max_bps as f64).min(self.remb(now_us).unwrap_or(f64::INFINITY));
        let target_bps = self.target(now_us);
        if target_bps >= reach_bps {
            return None;
        }
        self.probing.poll(now_us, target_bps, quiet)
    }

    pub fn target_bps(&self, now: Instant) -> u64 {
        self.target(self.micros(now)) as u64
    }

    pub fn estimate(&self, now: Instant) -> Estimate {
        let now_us = self.micros(now);
        Estimate {
            target_bps: self.target(now_us) as u64,
            delay_bps: self.rate.bps() as u64,
            loss_bps: self.loss.limit_bps().map(|bps| bps as u64),
            acknowledged_bps: self.acknowledged.bitrate_bps().map(|bps| bps as u64),
            confirmed_bps: self
                .confirmed
                .filter(|&(at_us, _)| now_us - at_us < CONFIRMED_US)
                .map(|(_, bps)| bps.min(self.target(now_us)) as u64),
            usage: self.trend.usage(),
            loss: self.loss.fraction(),
            rtt: Duration::from_micros(self.rtt_us as u64),
            queue: Duration::from_micros((self.trend.queue_ms() * 1e3) as u64),
        }
    }

    /// The estimate, if it has changed by enough to act on since it was last asked for here.
    pub fn take_change(&mut self, now: Instant) -> Option<Estimate> {
        let target = self.target(self.micros(now));
        let usage = self.trend.usage();
        if let Some((before, usage_before)) = self.told
            && usage_before == usage
            && (target - before).abs() < TOLD * before
        {
            return None;
        }
        self.told = Some((target, usage));
        Some(self.estimate(now))
    }

    /// Bytes of the packets between this feedback and the one before, of which a lost feedback spoke: they are taken to
    /// have fared like those of this one. Otherwise a lost feedback would look like a path that carries less.
    fn unheard(&mut self, reports: &[Report]) -> u32 {
        let (Some(first), Some(last)) = (reports.first(), reports.last()) else { return 0 };
        let before = self.sequence.replace(last.sequence);
        let gap = before.map_or(0, |before| first.sequence.wrapping_sub(before).wrapping_sub(1));
        if gap > UNHEARD_MAX {
            return 0;
        }
        let heard = reports.iter().filter(|report| report.arrival_us.is_some());
        let bytes: u32 = heard.map(|report| u32::from(report.bytes)).sum();
        (u64::from(bytes) * u64::from(gap) / reports.len() as u64) as u32
    }

    /// Something is heard of packets, and perhaps it is the first for a while.
    fn end_silence(&mut self, now_us: i64, lost: u32, arrived: u32) {
        let Some(silence) = &mut self.silence else { return };
        silence.lost += lost;
        silence.arrived += arrived;
        let is_late = now_us - *silence.heard_us.get_or_insert(now_us) > RETURN_US;
        let is_lossy = f64::from(silence.lost) > RETURN_LOSS * f64::from(silence.lost + silence.arrived);
        let before_bps = silence.before_bps;
        if is_late || is_lossy {
            self.silence = None;
        } else if self.trend.queue_ms() < QUEUE_MIN_MS {
            self.silence = None;
            if before_bps > self.rate.bps() {
                self.rate.set(before_bps);
                self.confirmed = Some((now_us, before_bps));
            }
        }
    }

    fn control(&mut self, now_us: i64, usage: Usage) {
        let rtt_us = self.rtt_us as i64;
        let before_bps = self.rate.bps();
        self.rate.update(now_us, usage, self.acknowledged.bitrate_bps(), rtt_us);
        if self.rate.bps() < before_bps {
            self.confirmed = None;
            self.probing.forget(now_us);
        }
        let queue_ms = self.trend.queue_ms();
        if queue_ms < DRAIN_TO_MS {
            self.drain_until_us = None;
        } else if queue_ms > DRAIN_FROM_MS && usage == Usage::Over {
            self.drain_until_us.get_or_insert(now_us + DRAIN_MAX_US);
        }
        let found = self.probing.outcome(now_us, self.target(now_us));
        if let Some(found) = found
            && usage != Usage::Over
            && found.bps > self.rate.bps()
        {
            self.rate.set(found.bps);
            self.confirmed = Some((now_us, found.bps));
            if self.loss.own_fraction() < QUIET_LOSS {
                self.loss.lift();
            }
        }
        self.clamp_rate();
        let target_bps = self.target(now_us);
        if usage == Usage::Over {
            self.over_us = Some(now_us);
        }
        let settled = self.drain_until_us.is_none()
            && self.over_us.is_none_or(|over_us| now_us - over_us > SETTLED_US + rtt_us);
        self.loss.update(now_us, target_bps, self.rate.bps(), settled, rtt_us);
    }

    fn target(&self, now_us: i64) -> f64 {
        let mut bps = self.rate.bps();
        if self.drain_until_us.is_some_and(|until_us| now_us < until_us) {
            bps *= if self.trend.queue_ms() > DRAIN_LONG_MS { DRAIN_LONG } else { DRAIN };
        }
        if let Some(limit) = self.loss.limit_bps() {
            bps = bps.min(limit);
        }
        if let Some(remb) = self.remb(now_us) {
            bps = bps.min(remb);
        }
        bps.clamp(self.config.min_bps as f64, self.config.max_bps as f64)
    }

    fn remb(&self, now_us: i64) -> Option<f64> {
        self.remb.filter(|&(at_us, _)| now_us - at_us < REMB_KEPT_US).map(|(_, bps)| bps)
    }

    fn clamp_rate(&mut self) {
        let bps = self.rate.bps().clamp(self.config.min_bps as f64, self.config.max_bps as f64);
        if bps.to_bits() != self.rate.bps().to_bits() {
            self.rate.set(bps);
        }
    }

    fn take_rtt(&mut self, rtt_us: f64) {
        self.rtt_us += RTT_SHARE * (rtt_us.clamp(0.0, 10e6) - self.rtt_us);
    }

    fn micros(&self, now: Instant) -> i64 {
        now.saturating_duration_since(self.epoch).as_micros() as i64
    }
}
