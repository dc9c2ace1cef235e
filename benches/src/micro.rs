//! What the micro benches have found (`cargo bench -p turnpike-benches --bench micro -- --record`), as they wrote it down.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context as _;
use serde::Deserialize;

use crate::{notebook, results::Spread, server::Places};

/// As it is asked for.
pub(crate) const NAME: &str = "micro";
pub(crate) const EXPECTED: Duration = Duration::from_mins(1);

#[derive(Debug, Deserialize)]
pub(crate) struct Micro {
    pub(crate) date: String,
    pub(crate) commit: String,
    /// Tells builds of the micro benches apart.
    pub(crate) program: Option<String>,
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
    pub(crate) allocations: Option<f64>,
}

/// The newest that was built beside the driver. What is not optimised has no figures.
pub(crate) fn program(places: &Places) -> Option<PathBuf> {
    if !places.programs.ends_with("release") {
        return None;
    }
    let built = fs::read_dir(places.programs.join("deps")).ok()?.filter_map(Result::ok);
    let micro = built.filter(|file| {
        file.path().extension().is_none() && file.file_name().to_string_lossy().starts_with("micro-")
    });
    let newest = micro.max_by_key(|file| file.metadata().and_then(|metadata| metadata.modified()).ok())?;
    Some(newest.path())
}

pub(crate) fn is_recorded(program: &Path, results: &Path) -> bool {
    let micro = Micro::read(results).ok().flatten();
    micro.is_some_and(|micro| micro.program.is_some() && micro.program == notebook::fingerprint(program))
}

/// Has them measure and write it down.
pub(crate) fn record(program: &Path, commit: &str) -> anyhow::Result<bool> {
    let mut command = Command::new(program);
    command.args(["--bench", "--record"]).env("BENCH_COMMIT", commit);
    if let Some(fingerprint) = notebook::fingerprint(program) {
        command.env("BENCH_PROGRAM", fingerprint);
    }
    Ok(command.status().with_context(|| program.display().to_string())?.success())
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

    pub(crate) fn allocations(&self, case: &str) -> Option<f64> {
        self.cases.get(case)?.allocations
    }

    pub(crate) fn table(&self) -> String {
        let mut rows = String::from(
            "| case | ns, median (lowest to highest batch) | instructions | allocations |\n\
             | --- | --- | --- | --- |\n",
        );
        for (name, case) in &self.cases {
            let time = self.spread(name).map_or_else(|| "-".into(), |spread| crate::table::spelled(&spread));
            let count = case.instructions.map_or_else(|| "varies".into(), |count| count.to_string());
            let allocations = case.allocations.map_or_else(|| "-".into(), |count| format!("{count:.1}"));
            let _ = writeln!(rows, "| {name} | {time} | {count} | {allocations} |");
        }
        let _ = writeln!(
            rows,
            "\n`cargo bench -p turnpike-benches --bench micro -- --record`, commit {}, {}, {}, {}.",
            self.commit, self.date, self.machine, self.toolchain
        );
        rows
    }
}
