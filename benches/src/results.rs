//! What is kept of a run: one JSON line a scenario, with everything needed to judge it later.

use std::{collections::BTreeMap, fs, io::Write as _, path::Path};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::{measure::machine::Machine, server::Contender};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) scenario: String,
    pub(crate) date: String,
    pub(crate) commit: String,
    /// Tells builds of the server apart; older records have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) program: Option<String>,
    pub(crate) machine: Machine,
    pub(crate) command: String,
    pub(crate) rounds: u32,
    pub(crate) contenders: BTreeMap<Contender, Outcome>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// By key, one value a round.
    pub(crate) figures: BTreeMap<String, Vec<f64>>,
    /// What went wrong in rounds that gave no figures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) failures: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        };
        Some(Self { median, min, max })
    }
}

impl Run {
    pub(crate) fn spread(&self, contender: Contender, key: &str) -> Option<Spread> {
        Spread::of(self.contenders.get(&contender)?.figures.get(key)?)
    }

    /// Whether it was to be measured and nothing came of it.
    pub(crate) fn is_empty_of(&self, contender: Contender) -> bool {
        self.contenders.get(&contender).is_some_and(|outcome| outcome.figures.is_empty())
    }

    /// A figure that was measured at several sizes, by size, ascending.
    pub(crate) fn sizes(&self, contender: Contender, key: &str) -> Vec<(u32, Spread)> {
        let Some(outcome) = self.contenders.get(&contender) else { return Vec::new() };
        let size = |(name, values): (&String, &Vec<f64>)| {
            let size = name.strip_prefix(key)?.strip_prefix('@')?.parse().ok()?;
            Some((size, Spread::of(values)?))
        };
        let mut sizes: Vec<_> = outcome.figures.iter().filter_map(size).collect();
        sizes.sort_by_key(|(size, _)| *size);
        sizes
    }

    /// Appends the run to its scenario's file.
    pub(crate) fn keep(&self, directory: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(directory)?;
        let path = file(directory, &self.scenario);
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        let mut file = fs::File::options().append(true).create(true).open(&path)?;
        file.write_all(&line).with_context(|| path.display().to_string())
    }

    /// The latest run of a scenario, if there is any.
    pub(crate) fn latest(directory: &Path, scenario: &str) -> anyhow::Result<Option<Self>> {
        let path = file(directory, scenario);
        let Ok(text) = fs::read_to_string(&path) else { return Ok(None) };
        let Some(line) = text.lines().next_back() else { return Ok(None) };
        Ok(Some(serde_json::from_str(line).with_context(|| path.display().to_string())?))
    }
}

fn file(directory: &Path, scenario: &str) -> std::path::PathBuf {
    directory.join(format!("{scenario}.jsonl"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]), Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
    }

    #[test]
    fn the_latest_line_is_the_run_that_counts() {
        let directory = std::env::temp_dir().join(format!("turnpike-bench-results-{}", std::process::id()));
        assert!(Run::latest(&directory, "echo").unwrap().is_none());
        for round in [1, 2] {
            let run = Run {
                scenario: "echo".into(),
                date: "2026-01-01T00:00:00Z".into(),
                commit: "abc".into(),
                program: None,
                machine: Machine { cores: 2, cpu: "x".into(), kernel: "y".into() },
                command: "z".into(),
                rounds: round,
                contenders: [(
                    Contender::Floor,
                    Outcome { figures: [("k".to_owned(), vec![f64::from(round)])].into(), failures: vec![] },
                )]
                .into(),
            };
            run.keep(&directory).unwrap();
        }
        let latest = Run::latest(&directory, "echo").unwrap().unwrap();
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(latest.rounds, 2);
        assert_eq!(latest.spread(Contender::Floor, "k"), Some(Spread { median: 2.0, min: 2.0, max: 2.0 }));
        assert_eq!(latest.spread(Contender::Node, "k"), None);
    }
}
