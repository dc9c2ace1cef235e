//! The last quarter of an hour of one node: a sample every ten seconds, and the newest.

use std::collections::{HashMap, VecDeque};

use super::figures::Value;

/// Between samples that are kept.
pub(super) const APART_MS: u64 = 10_000;
/// Fifteen minutes of them, and the newest. At 160 figures of 16 bytes that is 240 KiB a node, and usually a third of it.
pub(super) const SAMPLES_MAX: usize = 92;

/// Times are milliseconds of a steady clock of whoever keeps this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) number: u64,
    pub(super) at_ms: u64,
    pub(super) values: Vec<Value>,
}

#[derive(Debug, Default)]
pub(super) struct Past(VecDeque<Kept>);

impl Past {
    /// Samples come in the order of their numbers; one that is known already is left out.
    pub(super) fn put(&mut self, sample: Kept) {
        if self.0.back().is_some_and(|last| last.number >= sample.number) {
            return;
        }
        // The newest stays only if it is far enough from the one before it.
        if let [.., before, last] = self.0.make_contiguous()
            && last.at_ms.saturating_sub(before.at_ms) < APART_MS
        {
            self.0.pop_back();
        }
        self.0.push_back(sample);
        if self.0.len() > SAMPLES_MAX {
            self.0.pop_front();
        }
    }

    /// Makes the samples fit other figures than they were taken with: where one was not known yet, there is none. Those that
    /// label by label appear in the course of time leave the past as long as it is.
    pub(super) fn rearrange(&mut self, before: &[String], now: &[String]) {
        let columns: HashMap<&str, usize> =
            before.iter().enumerate().map(|(column, key)| (key.as_str(), column)).collect();
        let from: Vec<Option<usize>> = now.iter().map(|key| columns.get(key.as_str()).copied()).collect();
        for sample in &mut self.0 {
            let values = from
                .iter()
                .map(|column| column.and_then(|column| sample.values.get(column).copied().flatten()));
            sample.values = values.collect();
        }
    }

    pub(super) fn newest(&self) -> Option<&Kept> {
        self.0.back()
    }

    /// Oldest first.
    pub(super) fn after(&self, number: u64) -> impl Iterator<Item = &Kept> {
        self.0.iter().filter(move |kept| kept.number > number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(past: &Past) -> Vec<u64> {
        past.after(0).map(|kept| kept.number).collect()
    }

    #[test]
    fn a_quarter_of_an_hour_is_kept_every_ten_seconds_and_the_newest() {
        let mut past = Past::default();
        for second in 1..=3_000 {
            past.put(Kept { number: second, at_ms: second * 1_000, values: vec![Some(second)] });
        }
        let kept = numbers(&past);
        assert_eq!(kept.len(), SAMPLES_MAX);
        assert_eq!(kept.last(), Some(&3_000));
        assert!(kept.windows(2).rev().skip(1).all(|pair| pair[1] - pair[0] == 10), "{kept:?}");
        assert!(3_000 - kept[0] >= 900, "{kept:?}");
        past.put(Kept { number: 2_999, at_ms: 2_999_000, values: vec![None] });
        assert_eq!(past.newest().map(|kept| kept.number), Some(3_000), "known already");
    }
    #[test]
    fn what_was_known_stays_when_a_figure_appears_among_the_others() {
        let mut past = Past::default();
        past.put(Kept { number: 1, at_ms: 0, values: vec![Some(5), Some(7), None] });
        let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
        past.rearrange(&keys(&["rooms", "gone", "redis"]), &keys(&["limit:sends", "redis", "rooms"]));
        assert_eq!(past.newest().unwrap().values, [None, None, Some(5)]);
    }
}
