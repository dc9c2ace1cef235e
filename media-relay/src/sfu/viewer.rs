//! A peer that watches: its tracks, what its path carries, and what it asks for.
//!
//! It knows nothing of publishers but their layers.

use std::time::{Duration, Instant};

use turnpike_congestion::allocation::{Allocator, Budget, Choice, Content, Each, LayerId, Track as Rungs};
use turnpike_congestion::estimator::{self, Estimator};
use turnpike_congestion::history::{Report, Sent};
use turnpike_congestion::pacer::{self, Pacer};
use turnpike_rtp::ExtensionMap;
use turnpike_sdp::{Offer, Watched};

use super::forwarder::{Forwarder, Passing};
use super::lately::Lately;
use super::news::Own;
use super::track::TrackKey;

const REPORT_INTERVAL: Duration = Duration::from_secs(1);
const ALLOCATION_INTERVAL: Duration = Duration::from_millis(100);
/// Eight bytes each. A second of 10 Mbit/s.
const SENT_PACKETS_MAX: usize = 1_024;
/// A viewer asks for no more in a second: beyond that a keyframe helps it more.
const REPAIRS_PER_SECOND_MAX: u32 = 500;
/// Numbers that a viewer asks for in a second, the ones among them that it does not get. One datagram can name twenty thousand,
/// and to look for each takes time that is everybody's.
const ASKED_PER_SECOND_MAX: u32 = 4_096;
/// Packets that a viewer tells of in a second. Four times what the fastest path brings; one datagram can tell of two hundred
/// thousand, which would take the time of everybody else.
const ACKNOWLEDGED_PER_SECOND_MAX: u32 = 8_192;

pub(crate) struct Viewer {
    pub(crate) forwarders: Vec<Forwarder>,
    /// By its own ids.
    pub(crate) extensions: ExtensionMap,
    /// Whether it acknowledges packet by packet.
    pub(crate) sent: Sent,
    pub(crate) own: Own,
    pub(crate) estimator: Estimator,
    pub(crate) pacer: Pacer<Passing>,
    allocator: Allocator<usize>,
    pub(crate) report_due: Instant,
    allocation_due: Instant,
    /// The next time of its own to choose at. Others have other times: whoever was hurried together does not stay together,
    /// to be served in one long round again and again.
    turn: Instant,
    repairs_left: u32,
    asked_left: u32,
    acknowledged_left: u32,
    pub(crate) lately: Lately,
    /// To be sent again in this round; no more than may be asked for in a second.
    pub(crate) repairs: Vec<Passing>,
    /// As it was agreed last. None: our first offer has not been answered.
    pub(crate) watched: Option<Watched>,
    /// Ours, that waits for its answer, and since when.
    pub(crate) offered: Option<(Offer, Instant)>,
    /// What there was to offer then.
    pub(crate) offered_tracks: Vec<TrackKey>,
    /// Whether packets may be sent to it: its path is secured, and it was not before.
    pub(crate) is_ready: bool,
}

impl Viewer {
    pub(crate) fn new(now: Instant, chance: u16, config: estimator::Config) -> Self {
        Self {
            forwarders: Vec::new(),
            extensions: ExtensionMap::default(),
            sent: Sent::new(now, chance, SENT_PACKETS_MAX),
            own: Own::default(),
            estimator: Estimator::new(now, config),
            pacer: Pacer::new(now, config.start_bps, pacer::Config::default()),
            allocator: Allocator::default(),
            report_due: now + REPORT_INTERVAL,
            allocation_due: now,
            turn: now + ALLOCATION_INTERVAL.mul_f64(f64::from(chance) / 65_536.0),
            repairs_left: REPAIRS_PER_SECOND_MAX,
            asked_left: ASKED_PER_SECOND_MAX,
            acknowledged_left: ACKNOWLEDGED_PER_SECOND_MAX,
            lately: Lately::default(),
            repairs: Vec::new(),
            watched: None,
            offered: None,
            offered_tracks: Vec::new(),
            is_ready: false,
        }
    }

    /// Layers are chosen in this round.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.allocation_due = now;
    }

    /// Whether [`Self::allocate`] has something to do.
    pub(crate) fn is_choosing(&self, now: Instant) -> bool {
        now >= self.allocation_due
    }

    pub(crate) fn due(&self) -> Instant {
        let pacer = self.pacer.next_due();
        let timers = self.report_due.min(self.allocation_due);
        pacer.map_or(timers, |pacer| pacer.min(timers))
    }

    /// Transport-wide feedback. Gives how many packets it says are lost. `reports` is room to work in.
    pub(crate) fn acknowledged(
        &mut self,
        now: Instant,
        reference: u32,
        statuses: impl IntoIterator<Item = (u16, Option<i16>)>,
        reports: &mut Vec<Report>,
    ) -> u64 {
        self.sent.acknowledge(now, reference, statuses, reports);
        self.estimator.on_reports(now, reports);
        reports.iter().filter(|report| report.arrival_us.is_none()).count() as u64
    }

    /// Whether another number that it asks for is looked for.
    pub(crate) fn may_ask(&mut self) -> bool {
        let may = self.asked_left > 0;
        self.asked_left = self.asked_left.saturating_sub(1);
        may
    }

    /// Whether another packet may be sent again.
    pub(crate) fn may_repair(&mut self) -> bool {
        let may = self.repairs_left > 0;
        self.repairs_left = self.repairs_left.saturating_sub(1);
        may
    }

    /// Whether a feedback about so many packets is looked at.
    pub(crate) fn may_acknowledge(&mut self, packets: u16) -> bool {
        let may = self.acknowledged_left >= u32::from(packets);
        self.acknowledged_left = self.acknowledged_left.saturating_sub(u32::from(packets));
        may
    }

    pub(crate) fn report_told(&mut self, now: Instant) {
        self.report_due = turn_after(self.report_due, now, REPORT_INTERVAL);
        self.repairs_left = REPAIRS_PER_SECOND_MAX;
        self.asked_left = ASKED_PER_SECOND_MAX;
        self.acknowledged_left = ACKNOWLEDGED_PER_SECOND_MAX;
    }

    /// Chooses layers when it is time to. `rungs` gives for each forwarder what is published.
    pub(crate) fn allocate(
        &mut self,
        now: Instant,
        rungs: impl Fn(&Forwarder) -> Each<turnpike_congestion::allocation::Layer>,
    ) -> bool {
        if !self.is_choosing(now) {
            return false;
        }
        self.turn = turn_after(self.turn, now, ALLOCATION_INTERVAL);
        self.allocation_due = self.turn;
        let unanswered = self.sent.unanswered(now);
        if let Some(probe) = self.estimator.poll(now, unanswered) {
            self.pacer.probe(now, probe);
        }
        let estimate = self.estimator.estimate(now);
        self.pacer.set_target(estimate.target_bps);
        let layers: Each<_> = self.forwarders.iter().map(&rungs).collect();
        let tracks: Each<Rungs<'_, usize>> = self
            .forwarders
            .iter()
            .zip(&layers)
            .enumerate()
            .map(|(key, (forwarder, layers))| Rungs {
                key,
                content: if forwarder.is_video { Content::Motion } else { Content::Audio },
                priority: 0,
                wanted: forwarder.wanted(),
                layers,
            })
            .collect();
        let budget = Budget { target_bps: estimate.target_bps, confirmed_bps: estimate.confirmed_bps };
        let allocation = self.allocator.allocate(now, budget, &tracks);
        self.estimator.set_demand(allocation.demand);
        let mut is_changed = false;
        for decision in allocation.decisions {
            let forwarder = &mut self.forwarders[decision.key];
            let wanted = match decision.choice {
                Choice::Layer(LayerId { spatial, temporal }) => Some((spatial, temporal)),
                Choice::Hidden | Choice::Absent | Choice::Starved => None,
            };
            is_changed |= forwarder.choose(wanted);
        }
        is_changed
    }
}

/// The first that is still to come of the times that are so far apart.
fn turn_after(turn: Instant, now: Instant, interval: Duration) -> Instant {
    let late = now.saturating_duration_since(turn).as_nanos() / interval.as_nanos();
    if now < turn { turn } else { turn + interval * (late as u32).saturating_add(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_keep_their_distance_whenever_they_are_taken() {
        let (start, interval) = (Instant::now(), Duration::from_millis(100));
        let at = |ms| start + Duration::from_millis(ms);
        for (now, next) in [(0, 100), (1, 100), (99, 100), (100, 200), (101, 200), (7_250, 7_300)] {
            assert_eq!(turn_after(start, at(now), interval), at(next), "at {now} ms");
        }
        assert_eq!(turn_after(at(50), at(20), interval), at(50), "before its time");
    }
}
