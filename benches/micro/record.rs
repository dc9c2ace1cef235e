//! What is kept of the micro benches: one file, the latest run.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::{
    cases,
    counts::{self, Count},
};

/// Against what is recorded; the compiler may lay things out anew.
const DEARER_MAX: f64 = 1.03;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Recorded {
    pub(crate) date: String,
    pub(crate) commit: String,
    /// Tells builds apart, as that of a server does in the other records.
    pub(crate) program: Option<String>,
    pub(crate) machine: String,
    pub(crate) toolchain: String,
    pub(crate) cases: BTreeMap<String, Case>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Case {
    /// Lowest, median and highest batch.
    pub(crate) nanoseconds: Option<[f64; 3]>,
    /// Where two counts of them were the same.
    pub(crate) instructions: Option<u64>,
    pub(crate) allocations: Option<f64>,
}

fn benches() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn file() -> PathBuf {
    benches().join("results/micro.json")
}

/// Where criterion keeps what it has measured.
pub(crate) fn criterion_directory() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    // target/release/deps/micro-...
    program.ancestors().nth(3).map_or_else(|| "target/criterion".into(), |target| target.join("criterion"))
}

/// A name that is a directory's as well.
pub(crate) fn slug(name: &str) -> String {
    let letters = name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { ' ' });
    letters.collect::<String>().split_whitespace().collect::<Vec<_>>().join("-")
}

pub(crate) fn write(counts: &BTreeMap<&'static str, Option<Count>>) -> anyhow::Result<()> {
    let directory = criterion_directory();
    let mut cases = BTreeMap::new();
    for case in cases::all() {
        let nanoseconds = Some(batches(&directory.join(slug(case.name)))?);
        let count = counts.get(case.name).copied().flatten();
        let instructions = count.map(|count| count.instructions);
        let allocations = count.map(|count| count.allocations);
        cases.insert(case.name.to_owned(), Case { nanoseconds, instructions, allocations });
    }
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let recorded = Recorded {
        date: said("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]),
        commit: std::env::var("BENCH_COMMIT")
            .unwrap_or_else(|_| said("git", &["rev-parse", "--short=10", "HEAD"])),
        program: std::env::var("BENCH_PROGRAM").ok(),
        machine: cpu.trim_start_matches(|letter: char| letter.is_whitespace() || letter == ':').to_owned(),
        toolchain: said("rustc", &["--version"]),
        cases,
    };
    let mut text = serde_json::to_string_pretty(&recorded)?;
    text.push('\n');
    fs::write(file(), text)?;
    println!("{}; `cargo xtask bench -- table` takes it into docs/performance.md", file().display());
    Ok(())
}

/// What a program says of itself.
pub(crate) fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(benches()).output().ok();
    output.map_or_else(String::new, |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Says how each case is beside what is recorded; `false` where one takes more instructions. What was never counted is passed
/// over.
pub(crate) fn check() -> anyhow::Result<bool> {
    let text = fs::read_to_string(file()).context("nothing is recorded: --record")?;
    let recorded: Recorded = serde_json::from_str(&text)?;
    let mut is_sound = true;
    for (name, now) in counts::all(&[])? {
        let before = recorded.cases.get(name).and_then(|case| case.instructions);
        let (Some(before), Some(now)) = (before, now.map(|count| count.instructions)) else {
            println!("{name:<52}{:>10}", "no count");
            continue;
        };
        let ratio = now as f64 / before as f64;
        let verdict = if ratio > DEARER_MAX { "  dearer" } else { "" };
        println!("{name:<52}{before:>10} -> {now:>10}  {:+.1} %{verdict}", (ratio - 1.0) * 100.0);
        is_sound &= ratio <= DEARER_MAX;
    }
    println!("recorded at commit {} with {}", recorded.commit, recorded.toolchain);
    Ok(is_sound)
}

/// Lowest, median and highest nanoseconds of an iteration, by criterion's batches.
fn batches(case: &Path) -> anyhow::Result<[f64; 3]> {
    #[derive(Deserialize)]
    struct Sample {
        iters: Vec<f64>,
        times: Vec<f64>,
    }
    let path = case.join("new/sample.json");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let sample: Sample = serde_json::from_str(&text)?;
    let mut each: Vec<f64> =
        sample.times.iter().zip(&sample.iters).map(|(time, iterations)| time / iterations).collect();
    each.sort_by(f64::total_cmp);
    let (low, high) = (each.first().context("no batch")?, each.last().context("no batch")?);
    Ok([*low, each[each.len() / 2], *high])
}
