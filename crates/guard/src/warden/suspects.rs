//! What is known of those that something speaks against. Bounded: those with the least go first.

use std::hash::Hash;

use super::bounded::{Bounded, Kept};
use super::config::Terms;
use super::ladder::Ladder;
use super::measure::{Evidence, Rung};
use super::score::Score;
use super::signal::Signal;

/// Less than this is as good as nothing.
const SCORE_MIN: f32 = 0.1;

/// Whoever has been measured is forgotten after all others.
const MEASURED_WORTH: f32 = 1_000.0;

pub(super) struct Suspects<K> {
    terms: Terms,
    table: Bounded<K, Suspect>,
}

#[derive(Default)]
struct Suspect {
    score: Score,
    ladder: Ladder,
    /// As of when the table is swept: half-lives and memories are the table's.
    worth: f32,
    worth_until_ms: u64,
}

impl Kept for Suspect {
    fn worth(&self, now_ms: u64) -> Option<f32> {
        Some(if now_ms < self.worth_until_ms { self.worth } else { 0.0 })
    }
}

pub(super) struct Found {
    pub(super) rung: Rung,
    pub(super) lasts_ms: u64,
    pub(super) score: f32,
    pub(super) evidence: Vec<Evidence>,
}

impl<K: Hash + Eq + Clone> Suspects<K> {
    pub(super) fn new(terms: Terms, suspects_max: usize) -> Self {
        Self { terms, table: Bounded::new(suspects_max) }
    }

    /// One more signal; what follows from it, if anything does.
    pub(super) fn add(&self, key: &K, signal: Signal, weight: f32, now_ms: u64) -> Option<Found> {
        let terms = &self.terms;
        let found = self.table.with(key, now_ms, |suspect| {
            let score = suspect.score.add(signal, weight, terms.half_life_ms, now_ms);
            let taken = if score >= terms.mute_at {
                suspect.ladder.climb(score, suspect.score.highest(), terms, now_ms)
            } else {
                None
            };
            let found = taken.map(|taken| Found {
                rung: taken.rung,
                lasts_ms: taken.lasts_ms,
                score,
                evidence: suspect.score.evidence(),
            });
            if taken.is_some_and(|taken| taken.rung == Rung::Ban) {
                // It has been paid for. What is remembered is that there was a ban.
                suspect.score.clear();
            }
            let is_remembered = suspect.ladder.is_remembered(terms, now_ms);
            suspect.worth = score + if is_remembered { MEASURED_WORTH } else { 0.0 };
            let half_lives = (score / SCORE_MIN).log2().max(0.0);
            let faded_ms = now_ms + (half_lives * terms.half_life_ms as f32) as u64;
            suspect.worth_until_ms = suspect.ladder.remembered_until_ms(terms).max(faded_ms);
            found
        });
        found.flatten()
    }

    /// The score of somebody, as of now.
    pub(super) fn score(&self, key: &K, now_ms: u64) -> f32 {
        let half_life_ms = self.terms.half_life_ms;
        self.table.with_existing(key, |suspect| suspect.score.at(half_life_ms, now_ms)).unwrap_or_default()
    }

    pub(super) fn forgive(&self, key: &K) {
        self.table.remove(key);
    }

    pub(super) fn sweep(&self, now_ms: u64) {
        self.table.sweep(now_ms);
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn crowded_out(&self) -> u64 {
        self.table.crowded_out()
    }
}
