//! How much flows in a layer, by the layers within it.

use std::time::{Duration, Instant};

use super::rate::Rate;

const WITHIN_MAX: usize = 4;
const MEASURED_EVERY: Duration = Duration::from_millis(100);

/// Spatial and temporal layers within one stream of packets; most have one of each, or a few temporal ones.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    /// By spatial and temporal layer, those that were seen.
    rates: Vec<((u8, u8), Rate)>,
    /// Bits a second of each with all that it depends on, in the order of quality.
    measured: Vec<(u8, u8, u64)>,
    measured_at: Option<Instant>,
}

impl Flow {
    /// True if it was measured anew.
    pub(crate) fn add(&mut self, now: Instant, bytes: usize, spatial: u8, temporal: u8) -> bool {
        let last = WITHIN_MAX as u8 - 1;
        let key = (spatial.min(last), temporal.min(last));
        let index = self.rates.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
            self.rates.push((key, Rate::default()));
            self.measured_at = None;
            self.rates.len() - 1
        });
        self.rates[index].1.add(now, bytes);
        let is_due = self.measured_at.is_none_or(|at| now.saturating_duration_since(at) >= MEASURED_EVERY);
        if is_due {
            self.measure(now);
        }
        is_due
    }

    pub(crate) fn rungs(&self) -> impl Iterator<Item = (u8, u8, u64)> + '_ {
        self.measured.iter().copied()
    }

    /// Whether there is more than one spatial layer in it.
    pub(crate) fn is_spatial(&self) -> bool {
        self.rates.iter().any(|((spatial, _), _)| *spatial > 0)
    }

    /// Of all of it.
    pub(crate) fn bits_per_second(&self) -> u64 {
        self.measured.last().map_or(0, |(_, _, bits)| *bits)
    }

    fn measure(&mut self, now: Instant) {
        self.measured_at = Some(now);
        let mut alone: Vec<((u8, u8), u64)> =
            self.rates.iter_mut().map(|(key, rate)| (*key, rate.bits_per_second(now))).collect();
        alone.sort_unstable_by_key(|(key, _)| *key);
        self.measured.clear();
        for ((spatial, temporal), _) in &alone {
            let below = alone.iter().filter(|((s, t), _)| s <= spatial && t <= temporal);
            self.measured.push((*spatial, *temporal, below.map(|(_, bits)| bits).sum()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_costs_what_it_depends_on_as_well() {
        let (mut flow, start) = (Flow::default(), Instant::now());
        for ms in 0..2_000_u64 {
            flow.add(start + Duration::from_millis(ms), 125, 0, (ms % 2) as u8);
        }
        let rungs: Vec<_> = flow.rungs().collect();
        assert_eq!(rungs.iter().map(|(s, t, _)| (*s, *t)).collect::<Vec<_>>(), [(0, 0), (0, 1)]);
        assert!((450_000..=550_000).contains(&rungs[0].2), "{rungs:?}");
        assert!((900_000..=1_100_000).contains(&rungs[1].2), "{rungs:?}");
        assert_eq!(flow.bits_per_second(), rungs[1].2);
    }
}
