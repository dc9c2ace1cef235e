//! A sender as the relay has one a viewer, and the viewer's half of the feedback.

use crate::link::{Link, Shape};
use crate::seed::Random;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use turnpike_congestion::Class;
use turnpike_congestion::allocation::{Allocator, Budget, Choice, Content, Layer, LayerId, Track, Wanted};
use turnpike_congestion::estimator::{Config, Demand, Estimator};
use turnpike_congestion::history::{PACKETS_MAX_DEFAULT, Sent};
use turnpike_congestion::pacer::{self, Pacer, Release, Verdict};
use turnpike_congestion::probe::ProbeId;
use turnpike_congestion::twcc::Arrivals;

const PACKET_BYTES: usize = 1200;
const FRAME_US: u64 = 33_333;
const AUDIO_US: u64 = 20_000;
const AUDIO_BYTES: usize = 110;
const AUDIO_BPS: f64 = 44_000.0;

/// What the next layer costs, for a viewer that was given no demand.
const LADDER_BPS: [u64; 6] = [200_000, 500_000, 1_200_000, 2_500_000, 5_000_000, 10_000_000];

/// Feedback on its way back.
type Feedback = (u32, Vec<(u16, Option<i16>)>);

pub(crate) struct Viewer {
    epoch: Instant,
    pub(crate) pacer: Pacer<u32>,
    pub(crate) sent: Sent,
    pub(crate) estimator: Estimator,
    arrivals: Arrivals,
    back: VecDeque<(u64, Feedback)>,
    random: Random,
    frame_us: u64,
    audio_us: u64,
    polled_us: u64,
    /// Video is made at the target, but not faster than this.
    pub(crate) source_max_bps: f64,
    pub(crate) demand: Option<Demand>,
    /// Instead of video at the target: a layer of this track, chosen as the relay chooses.
    pub(crate) layers: Vec<Layer>,
    allocator: Allocator<u8>,
    chosen: Option<LayerId>,
    /// When which choice was made.
    pub(crate) choices: Vec<(u64, Choice)>,
    pub(crate) feedback_loss: f64,
    pub(crate) mute_feedback: bool,
    /// The viewer's machine does nothing; what arrives meanwhile waits, and may be taken for what comes only then.
    pub(crate) stands_still: bool,
    pub(crate) stamps_late: bool,
    waiting: Vec<(u64, usize, u16)>,
    /// Bytes that have arrived, media and all.
    pub(crate) arrived_bytes: u64,
    pub(crate) padding_bytes: u64,
}

impl Viewer {
    pub(crate) fn new(epoch: Instant, config: Config, seed: u64) -> Self {
        let mut random = Random::new(seed);
        Self {
            epoch,
            pacer: Pacer::new(epoch, config.start_bps, pacer::Config::default()),
            sent: Sent::new(epoch, random.next() as u16, PACKETS_MAX_DEFAULT),
            estimator: Estimator::new(epoch, config),
            arrivals: Arrivals::new(epoch),
            back: VecDeque::new(),
            frame_us: random.below(FRAME_US),
            audio_us: random.below(AUDIO_US),
            polled_us: 0,
            random,
            source_max_bps: f64::INFINITY,
            demand: None,
            layers: Vec::new(),
            allocator: Allocator::default(),
            chosen: None,
            choices: Vec::new(),
            feedback_loss: 0.0,
            mute_feedback: false,
            stands_still: false,
            stamps_late: false,
            waiting: Vec::new(),
            arrived_bytes: 0,
            padding_bytes: 0,
        }
    }

    pub(crate) fn target_bps(&self, now_us: u64) -> f64 {
        self.estimator.target_bps(self.at(now_us)) as f64
    }

    fn at(&self, now_us: u64) -> Instant {
        self.epoch + Duration::from_micros(now_us)
    }

    /// Everything that the sender does at this time. `push` puts a packet on the link.
    pub(crate) fn send(&mut self, now_us: u64, mut push: impl FnMut(usize, u16)) {
        let now = self.at(now_us);
        while self.audio_us <= now_us {
            self.audio_us += AUDIO_US;
            self.admit(now, Class::Audio, AUDIO_BYTES, &mut push);
        }
        while self.frame_us <= now_us {
            self.frame_us += FRAME_US;
            if !self.layers.is_empty() {
                let chosen = self.layers.iter().find(|layer| Some(layer.id) == self.chosen);
                let bps = chosen.map_or(0, |layer| layer.bitrate_bps) as f64;
                let bytes = (bps / 30.0 / 8.0 * (0.8 + 0.4 * self.random.unit())) as usize;
                self.frame(now, bytes, &mut push);
                continue;
            }
            let bps = (self.target_bps(now_us) - AUDIO_BPS).clamp(30_000.0, self.source_max_bps);
            let bytes = (bps / 30.0 / 8.0 * (0.8 + 0.4 * self.random.unit())) as usize;
            self.frame(now, bytes, &mut push);
        }
        if now_us - self.polled_us >= 25_000 {
            self.polled_us = now_us;
            if !self.layers.is_empty() {
                self.allocate(now_us);
            }
            let target = self.estimator.target_bps(now);
            let next_bps = LADDER_BPS.iter().copied().find(|&bps| bps > target).unwrap_or(0);
            let most_bps = LADDER_BPS[LADDER_BPS.len() - 1];
            self.estimator.set_demand(self.demand.unwrap_or(Demand { next_bps, most_bps }));
            if let Some(probe) = self.estimator.poll(now, self.sent.unanswered(now)) {
                self.pacer.probe(now, probe);
            }
        }
        while let Some(release) = self.pacer.poll(now) {
            match release {
                Release::Packet { bytes, class, probe, .. } => self.push(now, bytes, class, probe, &mut push),
                Release::Padding { bytes, probe } => {
                    self.padding_bytes += bytes as u64;
                    self.push(now, bytes, Class::Padding, Some(probe), &mut push);
                }
                Release::Expired { .. } => {}
            }
        }
    }

    fn allocate(&mut self, now_us: u64) {
        let now = self.at(now_us);
        let estimate = self.estimator.estimate(now);
        let budget = Budget { target_bps: estimate.target_bps, confirmed_bps: estimate.confirmed_bps };
        let audio = [Layer { id: LayerId::default(), bitrate_bps: AUDIO_BPS as u64, height: 0 }];
        let track =
            |key, content, layers| Track { key, content, priority: 0, wanted: Wanted::default(), layers };
        let tracks = [track(0, Content::Audio, &audio[..]), track(1, Content::Motion, &self.layers)];
        let allocation = self.allocator.allocate(now, budget, &tracks);
        self.demand = Some(allocation.demand);
        let decision = allocation.decisions[1];
        if decision.changed {
            self.choices.push((now_us, decision.choice));
            self.chosen = if let Choice::Layer(id) = decision.choice { Some(id) } else { None };
        }
    }

    fn frame(&mut self, now: Instant, mut bytes: usize, push: &mut impl FnMut(usize, u16)) {
        while bytes > 0 {
            let packet = bytes.clamp(60, PACKET_BYTES);
            self.admit(now, Class::Video, packet, push);
            bytes = bytes.saturating_sub(packet);
        }
    }

    fn admit(&mut self, now: Instant, class: Class, bytes: usize, push: &mut impl FnMut(usize, u16)) {
        if let Verdict::Send { probe } = self.pacer.admit(now, class, bytes, 0) {
            self.push(now, bytes, class, probe, push);
        }
    }

    fn push(
        &mut self,
        now: Instant,
        bytes: usize,
        class: Class,
        probe: Option<ProbeId>,
        push: &mut impl FnMut(usize, u16),
    ) {
        push(bytes, self.sent.send(now, bytes, class, probe));
    }

    /// At the viewer: a packet has arrived.
    pub(crate) fn arrive(&mut self, arrival_us: u64, bytes: usize, sequence: u16) {
        if self.stands_still {
            return self.waiting.push((arrival_us, bytes, sequence));
        }
        self.arrived_bytes += bytes as u64;
        // A clock of its own.
        self.arrivals.record(sequence, self.at(arrival_us) + Duration::from_secs(1000));
    }

    /// Feedback is made at the viewer and taken at the sender.
    pub(crate) fn feed_back(&mut self, now_us: u64, delay_us: u64) {
        if self.stands_still {
            return;
        }
        for (arrival_us, bytes, sequence) in std::mem::take(&mut self.waiting) {
            self.arrive(if self.stamps_late { now_us } else { arrival_us }, bytes, sequence);
        }
        let remote = self.at(now_us) + Duration::from_secs(1000);
        while let Some(feedback) = self.arrivals.poll(remote) {
            let said = (feedback.reference_time, feedback.iter().collect());
            if !self.mute_feedback && !self.random.one_in(self.feedback_loss) {
                self.back.push_back((now_us + delay_us, said));
            }
        }
        let mut reports = Vec::new();
        while self.back.front().is_some_and(|&(arrives_us, _)| arrives_us <= now_us) {
            let Some((_, (reference_time, statuses))) = self.back.pop_front() else { break };
            let now = self.at(now_us);
            self.sent.acknowledge(now, reference_time, statuses, &mut reports);
            self.estimator.on_reports(now, &reports);
            self.pacer.set_target(self.estimator.target_bps(now));
        }
    }
}

/// A link, those who share it, and traffic that asks nobody.
pub(crate) struct World {
    pub(crate) link: Link<(Option<usize>, usize, u16)>,
    pub(crate) viewers: Vec<Viewer>,
    pub(crate) cross_bps: f64,
    cross_credit: f64,
    pub(crate) now_us: u64,
}

/// What was seen during a stretch of time.
#[derive(Debug)]
pub(crate) struct Seen {
    /// A viewer, in bits a second.
    pub(crate) arrived: Vec<f64>,
    pub(crate) target_mean: Vec<f64>,
    pub(crate) target_min: Vec<f64>,
    pub(crate) wait_mean_ms: f64,
    pub(crate) wait_p95_ms: f64,
    pub(crate) dropped: u64,
}

impl World {
    pub(crate) fn new(shape: Shape, configs: &[Config], seed: u64) -> Self {
        let epoch = Instant::now();
        Self {
            link: Link::new(shape, seed),
            viewers: (0..)
                .zip(configs)
                .map(|(number, &config)| Viewer::new(epoch, config, seed * 31 + number))
                .collect(),
            cross_bps: 0.0,
            cross_credit: 0.0,
            now_us: 0,
        }
    }

    pub(crate) fn run(&mut self, seconds: f64) -> Seen {
        let steps = (seconds * 1000.0) as u64;
        let arrived_before: Vec<u64> = self.viewers.iter().map(|viewer| viewer.arrived_bytes).collect();
        let dropped_before = self.link.dropped;
        let mut waits = Vec::new();
        let mut target_sum = vec![0.0; self.viewers.len()];
        let mut target_min = vec![f64::INFINITY; self.viewers.len()];
        for _ in 0..steps {
            self.step();
            waits.push(self.link.wait_us(self.now_us) as f64 / 1e3);
            for (index, viewer) in self.viewers.iter().enumerate() {
                let target = viewer.target_bps(self.now_us);
                target_sum[index] += target;
                target_min[index] = target.min(target_min[index]);
            }
        }
        let wait_mean_ms = waits.iter().sum::<f64>() / waits.len() as f64;
        waits.sort_unstable_by(f64::total_cmp);
        Seen {
            arrived: self
                .viewers
                .iter()
                .zip(arrived_before)
                .map(|(viewer, before)| (viewer.arrived_bytes - before) as f64 * 8.0 / seconds)
                .collect(),
            target_mean: target_sum.iter().map(|sum| sum / steps as f64).collect(),
            target_min,
            wait_mean_ms,
            wait_p95_ms: waits[waits.len() * 95 / 100],
            dropped: self.link.dropped - dropped_before,
        }
    }

    fn step(&mut self) {
        self.now_us += 1000;
        let now_us = self.now_us;
        self.cross_credit += self.cross_bps / 8.0 / 1000.0;
        while self.cross_credit >= 1000.0 {
            self.cross_credit -= 1000.0;
            self.link.push(now_us, 1000, (None, 1000, 0));
        }
        let link = &mut self.link;
        // Nobody is always first at the queue.
        let turn = (now_us / 1000) as usize;
        for step in 0..self.viewers.len() {
            let index = (step + turn) % self.viewers.len();
            self.viewers[index]
                .send(now_us, |bytes, sequence| link.push(now_us, bytes, (Some(index), bytes, sequence)));
        }
        for (arrival_us, (index, bytes, sequence)) in link.pop(now_us) {
            if let Some(index) = index {
                self.viewers[index].arrive(arrival_us, bytes, sequence);
            }
        }
        let delay_us = link.shape.delay_us;
        for viewer in &mut self.viewers {
            viewer.feed_back(now_us, delay_us);
        }
    }
}
