//! The test that no case has become dearer: what it counts in the profile that tests are built in, against what is kept in
//! `benches/results/counts.json`. Optimised code is held by `--check` instead, which needs a release build of everything; what
//! an unoptimised build does more of, an optimised one hardly does less of.
//!
//! It answers as test programs do: `--list` and `--exact` for nextest, words that its name has to contain.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::{counts, record::said};

const NAME: &str = "no_case_takes_more_instructions_than_recorded";
/// Set to anything: what is counted now is what counts from now on.
const ACCEPT: &str = "UPDATE_COUNTS";
const DEARER_MAX: f64 = 1.05;
/// A frame more or less is nothing.
const SLACK_INSTRUCTIONS: f64 = 10.0;

#[derive(Debug, Serialize, Deserialize)]
struct Counts {
    toolchain: String,
    architecture: String,
    cases: BTreeMap<String, Case>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Case {
    instructions: u64,
    allocations: f64,
}

/// The part of a test program that anybody asks of it.
pub(crate) fn test(words: &[String]) -> bool {
    let has = |flag: &str| words.iter().any(|word| word == flag);
    let mut names = words.iter().filter(|word| !word.starts_with('-')).filter(|word| *word != "terse");
    let is_named = |name: &String| if has("--exact") { name == NAME } else { NAME.contains(name.as_str()) };
    let is_wanted = !has("--ignored") && (names.clone().next().is_none() || names.any(is_named));
    if has("--list") {
        if is_wanted {
            println!("{NAME}: test");
        }
        return true;
    }
    let held = if is_wanted { held() } else { Ok(()) };
    if let Err(error) = &held {
        println!("{error:#}");
    }
    let (passed, failed) = (u8::from(is_wanted && held.is_ok()), u8::from(held.is_err()));
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out\n"
    );
    failed == 0
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("results/counts.json")
}

fn held() -> anyhow::Result<()> {
    let now = now()?;
    if std::env::var_os(ACCEPT).is_some() {
        let mut text = serde_json::to_string_pretty(&now)?;
        text.push('\n');
        fs::write(file(), text)?;
        println!("{}", file().display());
        return Ok(());
    }
    let text = fs::read_to_string(file()).with_context(|| file().display().to_string())?;
    let recorded: Counts = serde_json::from_str(&text)?;
    if recorded.architecture != now.architecture {
        println!("counts of {} say nothing about {}", recorded.architecture, now.architecture);
        return Ok(());
    }
    let complaints = complaints(&recorded, &now);
    anyhow::ensure!(
        complaints.is_empty(),
        "{complaints}counted with {}, recorded with {}. If it has to be: \
         {ACCEPT}=1 cargo test -p turnpike-benches --bench micro, and benches/results/counts.json goes in with the change",
        now.toolchain,
        recorded.toolchain
    );
    Ok(())
}

fn now() -> anyhow::Result<Counts> {
    let counts = counts::all(&[])?;
    let cases = counts.into_iter().filter_map(|(name, count)| {
        let count = count?;
        Some((name.to_owned(), Case { instructions: count.instructions, allocations: count.allocations }))
    });
    Ok(Counts {
        toolchain: said("rustc", &["--version"]),
        architecture: std::env::consts::ARCH.into(),
        cases: cases.collect(),
    })
}

/// A line for each case that is dearer, or is on one side alone.
fn complaints(recorded: &Counts, now: &Counts) -> String {
    let mut complaints = String::new();
    for (name, case) in &now.cases {
        let Some(before) = recorded.cases.get(name) else {
            let _ = writeln!(complaints, "{name}: {} instructions, and none are recorded", case.instructions);
            continue;
        };
        let (instructions, instructions_before) = (case.instructions as f64, before.instructions as f64);
        if instructions > instructions_before * DEARER_MAX + SLACK_INSTRUCTIONS {
            let _ = writeln!(
                complaints,
                "{name}: {instructions_before} -> {instructions} instructions, {:+.1} %",
                (instructions / instructions_before - 1.0) * 100.0
            );
        }
        if case.allocations > before.allocations * DEARER_MAX {
            let _ =
                writeln!(complaints, "{name}: {} -> {} allocations", before.allocations, case.allocations);
        }
    }
    for name in recorded.cases.keys().filter(|name| !now.cases.contains_key(*name)) {
        let _ = writeln!(complaints, "{name}: is recorded, and not counted any more, or not always the same");
    }
    complaints
}
