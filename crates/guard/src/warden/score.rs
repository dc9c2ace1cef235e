//! How much speaks against somebody: signals, each counting half as much after every half-life.

use super::measure::{Evidence, Rung};
use super::signal::Signal;

const SIGNALS: usize = Signal::ALL.len();

/// What weighs less than this share of a score did not make it.
const EVIDENCE_SHARE_MIN: f32 = 0.1;

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Score {
    /// Faded counts, in the order of [`Signal::ALL`], each with the weight that it was reported with.
    counts: [f32; SIGNALS],
    weighed: [f32; SIGNALS],
    /// Steady milliseconds up to which everything is faded.
    at_ms: u64,
}

impl Score {
    /// Another one. Gives the score with it.
    pub(super) fn add(&mut self, signal: Signal, weight: f32, half_life_ms: u64, now_ms: u64) -> f32 {
        self.fade(half_life_ms, now_ms);
        self.counts[signal as usize] += 1.0;
        self.weighed[signal as usize] += weight;
        self.sum()
    }

    pub(super) fn at(mut self, half_life_ms: u64, now_ms: u64) -> f32 {
        self.fade(half_life_ms, now_ms);
        self.sum()
    }

    pub(super) fn clear(&mut self) {
        *self = Self { at_ms: self.at_ms, ..Self::default() };
    }

    /// Clocks of threads may be read in another order than their reports arrive: nothing fades backwards.
    fn fade(&mut self, half_life_ms: u64, now_ms: u64) {
        let past_ms = now_ms.saturating_sub(self.at_ms);
        if past_ms == 0 {
            return;
        }
        self.at_ms = now_ms;
        let left = (-(past_ms as f32) / half_life_ms.max(1) as f32).exp2();
        for value in self.counts.iter_mut().chain(&mut self.weighed) {
            *value *= left;
        }
    }

    fn sum(&self) -> f32 {
        self.weighed.iter().sum()
    }

    /// What makes most of it, the weightiest first.
    pub(super) fn evidence(&self) -> Vec<Evidence> {
        let enough = self.sum() * EVIDENCE_SHARE_MIN;
        let mut found: Vec<(f32, Evidence)> = Signal::ALL
            .into_iter()
            .map(|signal| {
                let (count, weighed) = (self.counts[signal as usize], self.weighed[signal as usize]);
                (weighed, Evidence { signal, count })
            })
            .filter(|(weighed, _)| *weighed > 0.0 && *weighed >= enough)
            .collect();
        found.sort_by(|a, b| b.0.total_cmp(&a.0));
        found.into_iter().map(|(_, evidence)| evidence).collect()
    }

    /// How far up the ladder what makes most of it can lead.
    pub(super) fn highest(&self) -> Rung {
        let enough = self.sum() * EVIDENCE_SHARE_MIN;
        let weighty = Signal::ALL.into_iter().filter(|signal| self.weighed[*signal as usize] >= enough);
        weighty.map(|signal| signal.weight().highest).max().unwrap_or(Rung::Mute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_is_left_after_a_half_life() {
        let mut score = Score::default();
        for _ in 0..8 {
            score.add(Signal::BadToken, 5.0, 60_000, 1_000);
        }
        assert!((score.at(60_000, 1_000) - 40.0).abs() < 0.01);
        assert!((score.at(60_000, 61_000) - 20.0).abs() < 0.01);
        assert!((score.at(60_000, 121_000) - 10.0).abs() < 0.01);
        assert!(score.at(60_000, u64::MAX) < f32::EPSILON);
        // A reading of a moment before changes nothing.
        assert!((score.add(Signal::BadToken, 5.0, 60_000, 0) - 45.0).abs() < 0.01);
    }

    #[test]
    fn evidence_is_what_weighs() {
        let mut score = Score::default();
        for _ in 0..100 {
            score.add(Signal::Flood, 0.2, 60_000, 0);
        }
        for _ in 0..6 {
            score.add(Signal::BadToken, 5.0, 60_000, 0);
        }
        score.add(Signal::Churn, 0.3, 60_000, 0);
        let evidence = score.evidence();
        assert_eq!(
            evidence.iter().map(|found| found.signal).collect::<Vec<_>>(),
            [Signal::BadToken, Signal::Flood]
        );
        assert!((evidence[1].count - 100.0).abs() < 0.01);
        assert_eq!(score.highest(), Rung::Ban);
        score.clear();
        score.add(Signal::SlowReader, 2.0, 60_000, 0);
        assert_eq!(score.highest(), Rung::Disconnect);
    }
}
