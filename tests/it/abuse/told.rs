//! What a node says of those who attack it: its metrics, and the records of its audit log by whom they are about.

use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;
use std::path::Path;

use super::arena::NETWORK_FIRST;

/// The records that are about each attack, by its number.
pub(super) struct Records(HashMap<usize, BTreeMap<String, f64>>);

impl Records {
    pub(super) fn read(directory: &Path) -> Self {
        let mut of = HashMap::<usize, BTreeMap<String, f64>>::new();
        for file in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            for line in text(&file.path()).lines() {
                let value = |key: &str| Some(line.split_once(key)?.1.split_once('"')?.0);
                let (Some(class), Some(activity)) = (value("\"class\":\""), value("\"activity\":\"")) else {
                    continue;
                };
                let Some(number) = about(line) else { continue };
                let reason = value("\"reason\":\"").map_or_else(String::new, |reason| format!(" {reason}"));
                *of.entry(number).or_default().entry(format!("{class}.{activity}{reason}")).or_default() +=
                    1.0;
            }
        }
        Self(of)
    }

    pub(super) fn of(&self, attack: usize) -> Metrics {
        Metrics(self.0.get(&attack).cloned().unwrap_or_default())
    }
}

/// Files are packed when the clock strikes.
fn text(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    let mut text = String::new();
    if path.extension().is_some_and(|extension| extension == "gz") {
        flate2::read::MultiGzDecoder::new(&*bytes).read_to_string(&mut text).expect("it was packed whole");
    } else {
        text = String::from_utf8_lossy(&bytes).into_owned();
    }
    text
}

/// By an address or an account, which stand in what lies beside a record.
fn about(line: &str) -> Option<usize> {
    let beside = line.split_once("\"beside\":{")?.1.split_once('}')?.0;
    let number =
        |before: &str, behind: char| beside.split_once(before)?.1.split_once(behind)?.0.parse::<usize>().ok();
    number("\"mallory-", '-').or_else(|| number("\"127.0.", '.')?.checked_sub(NETWORK_FIRST))
}

/// By name and labels.
#[derive(Default)]
pub(super) struct Metrics(BTreeMap<String, f64>);

impl FromIterator<(String, f64)> for Metrics {
    fn from_iter<I: IntoIterator<Item = (String, f64)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl Metrics {
    pub(super) fn grown_since(mut self, before: &Self) -> Self {
        for (name, value) in &mut self.0 {
            *value -= before.0.get(name).copied().unwrap_or_default();
        }
        self.0.retain(|_, value| *value > 0.0);
        self
    }

    pub(super) fn all(&self) -> String {
        let all = self.0.iter().map(|(name, value)| format!("{name}={value}"));
        all.collect::<Vec<_>>().join(" ")
    }

    /// Of all that begin so: a name, or a name with the first of its labels.
    pub(super) fn sum(&self, name: &str) -> f64 {
        self.0.iter().filter(|(key, _)| key.starts_with(name)).map(|(_, value)| value).sum()
    }

    /// Those that speak of trouble.
    pub(super) fn telling(&self) -> String {
        const WORDS: &[&str] = &[
            "refused",
            "closed",
            "dropped",
            "failed",
            "put_off",
            "deferred",
            "slow",
            "signals",
            "banned",
            "limited",
            "malformed",
            "noticed",
            "events_total",
            "turned",
            "detections",
        ];
        let telling = |name: &&String| {
            WORDS.iter().any(|word| name.contains(word))
                && !name.contains("outcome=\"ok\"")
                && !name.contains("_cluster_")
        };
        let told = self.0.keys().filter(telling).map(|name| {
            let value = self.0[name];
            format!(
                "{}={value}",
                name.trim_start_matches("turnpike_").trim_start_matches("gateway_").replace("_total", "")
            )
        });
        told.collect::<Vec<_>>().join(" ")
    }
}
