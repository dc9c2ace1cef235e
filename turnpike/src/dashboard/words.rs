//! What nodes say to each other for a dashboard. Whoever shows one asks every other node each second; who is asked keeps
//! nothing of who asks, and what is lost is in the next answer.

use serde::{Deserialize, Serialize};

use super::figures::{FIGURES_MAX, KEY_BYTES_MAX, Value};
use super::past::SAMPLES_MAX;

/// Of faults in words, each as long as this at most.
pub(super) const FAULTS_MAX: usize = 8;
pub(super) const FAULT_BYTES_MAX: usize = 240;

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Words {
    /// What is there after the sample of this number; 0: all that is kept.
    Ask {
        after: u64,
    },
    Figures(Figures),
}

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Figures {
    /// When it was said, by the steady clock that its samples tell.
    pub(super) now_ms: u64,
    pub(super) keys: Vec<String>,
    /// Oldest first.
    pub(super) samples: Vec<Sample>,
    /// What keeps it from serving well.
    pub(super) faults: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sample {
    /// Counted by its node from 1.
    pub(super) number: u64,
    /// By the steady clock of its node: how far samples are apart must not depend on how long letters take.
    pub(super) at_ms: u64,
    /// In the order of the keys.
    pub(super) values: Vec<Value>,
}

impl Figures {
    /// Whether it can be kept: another version may say something else, and nothing of it may grow without bound.
    pub(super) fn is_sound(&self) -> bool {
        let width = self.keys.len();
        width <= FIGURES_MAX
            && self.keys.iter().all(|key| key.len() <= KEY_BYTES_MAX)
            && self.samples.len() <= SAMPLES_MAX
            && self.samples.iter().all(|sample| sample.values.len() == width)
            && self.faults.len() <= FAULTS_MAX
            && self.faults.iter().all(|fault| fault.len() <= FAULT_BYTES_MAX)
    }
}
