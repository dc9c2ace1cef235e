//! Instructions by valgrind. A count is the difference of a run with so many iterations and one with twice as many, so that
//! setting up cancels out; it is made twice, and what differs is no count.

use std::{collections::BTreeMap, process::Command};

use anyhow::Context as _;

use crate::{cases, record::Recorded};

const ITERATIONS: u64 = 1_000;
/// Against what is recorded; the compiler may lay things out anew.
const DEARER_MAX: f64 = 1.03;
/// Two counts may differ by this: where memory lies is random.
const DIFFERENCE_MAX: f64 = 0.002;

/// Those whose name contains one of the words, or all; `None` where the count is not always the same.
pub(crate) fn all(words: &[String]) -> anyhow::Result<BTreeMap<&'static str, Option<u64>>> {
    let mut counts = BTreeMap::new();
    for case in cases::all() {
        if !words.is_empty() && !words.iter().any(|word| case.name.contains(word.as_str())) {
            continue;
        }
        let count = if case.counted { repeatable(case.name)? } else { None };
        counts.insert(case.name, count);
    }
    Ok(counts)
}

/// Fails where a case takes more instructions than recorded. What was never counted is passed over.
pub(crate) fn check(recorded: &Recorded) -> anyhow::Result<()> {
    let mut dearer = Vec::new();
    for (name, now) in all(&[])? {
        let before = recorded.cases.get(name).and_then(|case| case.instructions);
        let (Some(before), Some(now)) = (before, now) else {
            println!("{name:<44}{:>10}", "no count");
            continue;
        };
        let ratio = now as f64 / before as f64;
        println!("{name:<44}{before:>10} -> {now:>10}  {:+.1} %", (ratio - 1.0) * 100.0);
        if ratio > DEARER_MAX {
            dearer.push(name);
        }
    }
    anyhow::ensure!(
        dearer.is_empty(),
        "dearer than at commit {} with {}: {}",
        recorded.commit,
        recorded.toolchain,
        dearer.join("; ")
    );
    Ok(())
}

fn repeatable(name: &str) -> anyhow::Result<Option<u64>> {
    let (first, second) = (instructions(name)?, instructions(name)?);
    let difference = first.abs_diff(second) as f64;
    Ok((difference <= first as f64 * DIFFERENCE_MAX).then(|| first.min(second)))
}

fn instructions(name: &str) -> anyhow::Result<u64> {
    let once = counted(name, ITERATIONS)?;
    let twice = counted(name, 2 * ITERATIONS)?;
    Ok(twice.saturating_sub(once) / ITERATIONS)
}

fn counted(name: &str, iterations: u64) -> anyhow::Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["--once", name, &iterations.to_string()])
        .output()
        .context("valgrind (Debian package valgrind)")?;
    let told = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{told}");
    let line =
        told.lines().find_map(|line| line.split_once("Collected :")).context("valgrind counted nothing")?;
    Ok(line.1.trim().parse()?)
}
