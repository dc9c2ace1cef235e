//! What loss allows. Loss that does not get less when less is sent is the path's own, and is not answered.

/// A fraction is taken over so much time and so many packets, or over the longer time with fewer.
const SPAN_US: i64 = 200_000;
const SPAN_LONG_US: i64 = 1_000_000;
const PACKETS_MIN: u32 = 20;
const PACKETS_FEW: u32 = 4;
/// Weight of a new fraction.
const SHARE: f64 = 0.3;
/// Below, the limit rises; above the other, it falls; between them it stays (draft-ietf-rmcat-gcc-02, 6).
const LOW: f64 = 0.02;
/// With a quiet delay it rises up to here, or a limit that chance has set would stay.
const MIDDLE: f64 = 0.07;
const HIGH: f64 = 0.10;
const GROWTH: f64 = 0.08;
/// Between two decreases, besides a round trip.
const DECREASE_US: i64 = 300_000;
/// When so little of the bitrate is left at which it began and as much is lost as before, it was not the bitrate.
const PROOF: f64 = 0.7;
/// How fast what is taken for the path's own follows what is lost, once it is known that there is such loss.
const DRIFT: f64 = 0.05;
/// Where more than this is lost the path is of no use, and the limit falls for as long as that lasts.
const INHERENT_MAX: f64 = 0.25;
/// A limit so far above what the delay allows says nothing and is forgotten.
const IDLE: f64 = 2.0;

#[derive(Debug, Default)]
pub(super) struct Loss {
    limit_bps: Option<f64>,
    lost: u32,
    arrived: u32,
    began_us: Option<i64>,
    smoothed: f64,
    inherent: f64,
    /// What was sent and lost when the limit began to fall.
    episode: Option<(f64, f64)>,
    decreased_us: i64,
}

impl Loss {
    pub(super) fn limit_bps(&self) -> Option<f64> {
        self.limit_bps
    }

    pub(super) fn fraction(&self) -> f64 {
        self.smoothed
    }

    /// Above what the path loses anyway.
    pub(super) fn own_fraction(&self) -> f64 {
        ((self.fraction() - self.inherent) / (1.0 - self.inherent)).max(0.0)
    }

    pub(super) fn add(&mut self, lost: u32, arrived: u32) {
        self.lost = self.lost.saturating_add(lost);
        self.arrived = self.arrived.saturating_add(arrived);
    }

    /// A packet that was counted as lost has arrived.
    pub(super) fn take_back(&mut self) {
        self.lost = self.lost.saturating_sub(1);
        self.arrived = self.arrived.saturating_add(1);
    }

    /// `target_bps` is what is sent, `settled` whether the delay is quiet and has been for a while. While it is not, the
    /// other limit falls, and what is lost was lost to the same queue.
    pub(super) fn update(
        &mut self,
        now_us: i64,
        target_bps: f64,
        delay_bps: f64,
        settled: bool,
        rtt_us: i64,
    ) {
        let elapsed_us = now_us - *self.began_us.get_or_insert(now_us);
        let packets = self.lost + self.arrived;
        let enough = elapsed_us >= SPAN_US && packets >= PACKETS_MIN
            || elapsed_us >= SPAN_LONG_US && packets >= PACKETS_FEW;
        if !enough {
            return;
        }
        let fraction = f64::from(self.lost) / f64::from(packets);
        self.lost = 0;
        self.arrived = 0;
        self.began_us = Some(now_us);
        self.judge(now_us, elapsed_us, fraction, target_bps, settled, rtt_us);
        if self.limit_bps.is_some_and(|limit| limit > IDLE * delay_bps) {
            self.limit_bps = None;
        }
    }

    /// A probe has shown that more arrives.
    pub(super) fn lift(&mut self) {
        self.limit_bps = None;
        self.episode = None;
    }

    /// As a receiver report says it, without knowledge of single packets.
    pub(super) fn report(&mut self, now_us: i64, fraction: f64, target_bps: f64, rtt_us: i64) {
        let elapsed_us = now_us - self.began_us.unwrap_or(now_us);
        self.began_us = Some(now_us);
        self.judge(now_us, elapsed_us, fraction, target_bps, true, rtt_us);
    }

    fn judge(
        &mut self,
        now_us: i64,
        elapsed_us: i64,
        fraction: f64,
        target_bps: f64,
        settled: bool,
        rtt_us: i64,
    ) {
        // From zero on: a few packets lost at the start are no rate of loss yet.
        self.smoothed += SHARE * (fraction - self.smoothed);
        let smoothed = self.smoothed;
        if smoothed < 0.5 * self.inherent {
            // A path that has become much better is believed at once.
            self.inherent = smoothed;
        } else if self.inherent > 0.0 && settled {
            self.inherent = (self.inherent + DRIFT * (smoothed - self.inherent)).min(INHERENT_MAX);
        }
        let own = self.own_fraction();
        if own < if settled { MIDDLE } else { LOW } {
            if own < LOW {
                self.episode = None;
            }
            let growth = (1.0 + GROWTH).powf((elapsed_us as f64 / 1e6).clamp(0.0, 1.0));
            self.limit_bps = self.limit_bps.map(|limit| limit * growth + 100.0);
        } else if own > HIGH && settled && now_us - self.decreased_us >= DECREASE_US + rtt_us {
            let sent_bps = self.limit_bps.map_or(target_bps, |limit| limit.min(target_bps));
            let (began_bps, began_loss) = *self.episode.get_or_insert((sent_bps, smoothed));
            if sent_bps <= PROOF * began_bps {
                if smoothed >= PROOF * began_loss && smoothed <= INHERENT_MAX {
                    self.inherent = smoothed;
                    self.limit_bps = Some(began_bps);
                    self.episode = None;
                    return;
                }
                self.episode = Some((sent_bps, smoothed));
            }
            self.limit_bps = Some(sent_bps * (1.0 - 0.5 * own));
            self.decreased_us = now_us;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: u32 = 100;

    /// Runs so many windows in which `lost(limit)` of a hundred packets are lost.
    fn run(loss: &mut Loss, now_us: &mut i64, windows: usize, lost: impl Fn(f64) -> u32) -> f64 {
        for _ in 0..windows {
            *now_us += 200_000;
            let sent = loss.limit_bps().unwrap_or(1e6).min(1e6);
            let lost = lost(sent);
            loss.add(lost, SENT - lost);
            loss.update(*now_us, sent, 1e6, true, 50_000);
        }
        loss.limit_bps().unwrap_or(1e6).min(1e6)
    }

    #[test]
    fn a_little_loss_changes_nothing() {
        assert!((run(&mut Loss::default(), &mut 0, 500, |_| 6) - 1e6).abs() < 1.0);
    }

    #[test]
    fn loss_that_comes_from_the_bitrate_brings_it_down() {
        let (mut loss, mut now_us) = (Loss::default(), 0);
        let policed = |sent: f64| if sent > 0.5e6 { ((1.0 - 0.5e6 / sent) * 100.0) as u32 } else { 0 };
        let bps = run(&mut loss, &mut now_us, 50, policed);
        assert!((0.4e6..0.62e6).contains(&bps), "{bps}");
    }

    #[test]
    fn loss_that_is_the_paths_own_does_not() {
        let (mut loss, mut now_us) = (Loss::default(), 0);
        let bps = run(&mut loss, &mut now_us, 200, |_| 18);
        assert!(bps > 0.9e6, "{bps}");
        // It passes, and comes again: then it is answered again.
        run(&mut loss, &mut now_us, 50, |_| 0);
        assert!(run(&mut loss, &mut now_us, 10, |_| 18) < 0.95e6);
    }

    #[test]
    fn a_path_that_loses_half_is_not_excused() {
        assert!(run(&mut Loss::default(), &mut 0, 300, |_| 50) < 0.2e6);
    }
}
