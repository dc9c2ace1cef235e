//! What the micro benches have found (`cargo bench -p turnpike-benches --bench micro -- --record`), as they wrote it down.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use anyhow::Context as _;
use serde::Deserialize;

use crate::results::Spread;

#[derive(Debug, Deserialize)]
pub(crate) struct Micro {
    pub(crate) date: String,
    pub(crate) commit: String,
    pub(crate) machine: String,
    pub(crate) toolchain: String,
    pub(crate) cases: BTreeMap<String, Case>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Case {
    /// Lowest, median and highest batch.
    pub(crate) nanoseconds: Option<[f64; 3]>,
    /// Where two counts of them were the same.
    pub(crate) instructions: Option<u64>,
}

impl Micro {
    pub(crate) fn read(results: &Path) -> anyhow::Result<Option<Self>> {
        let path = results.join("micro.json");
        let Ok(text) = fs::read_to_string(&path) else { return Ok(None) };
        Ok(Some(serde_json::from_str(&text).with_context(|| path.display().to_string())?))
    }

    pub(crate) fn spread(&self, case: &str) -> Option<Spread> {
        let [min, median, max] = self.cases.get(case)?.nanoseconds?;
        Some(Spread { median, min, max })
    }

    pub(crate) fn table(&self) -> String {
        let mut rows = String::from(
            "| case | ns, median (lowest to highest batch) | instructions |\n| --- | --- | --- |\n",
        );
        for (name, case) in &self.cases {
            let time = self.spread(name).map_or_else(|| "-".into(), |spread| crate::table::spelled(&spread));
            let count = case.instructions.map_or_else(|| "varies".into(), |count| count.to_string());
            let _ = writeln!(rows, "| {name} | {time} | {count} |");
        }
        let _ = writeln!(
            rows,
            "\n`cargo bench -p turnpike-benches --bench micro -- --record`, commit {}, {}, {}, {}.",
            self.commit, self.date, self.machine, self.toolchain
        );
        rows
    }
}
