//! Instructions and allocations of each case, by valgrind: one process does a stretch of each case twice, and what was counted
//! in a stretch is divided by its length. What differs between the two is no count.

use std::{collections::BTreeMap, hint::black_box, process::Command};

use anyhow::Context as _;

use crate::{
    Case,
    callgrind::{self, Stretch},
    cases,
};

/// The word that has this program do the stretches.
pub(crate) const STRETCHES: &str = "--stretches";
/// Before what counts: buffers have their size, tables are there.
const WARM_UP: usize = 20;
/// Two counts may differ by this: where memory lies is random.
const DIFFERENCE_MAX: f64 = 0.005;

/// Of one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Count {
    pub(crate) instructions: u64,
    pub(crate) allocations: f64,
}

/// Those whose name contains one of the words, or all; `None` where the count is not always the same.
pub(crate) fn all(words: &[String]) -> anyhow::Result<BTreeMap<&'static str, Option<Count>>> {
    let chosen: Vec<Case> = chosen(words).collect();
    let counted = chosen.iter().filter(|case| case.counted);
    let directory = std::env::temp_dir().join(format!("turnpike-counts-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let output = Command::new("valgrind")
        .args(callgrind::OPTIONS)
        .arg(format!("--callgrind-out-file={}", directory.join(callgrind::FILE).display()))
        .arg(std::env::current_exe()?)
        .arg(STRETCHES)
        .args(words)
        .output()
        .context("valgrind (Debian package valgrind)");
    let stretches = output.and_then(|output| {
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        callgrind::stretches(&directory)
    });
    std::fs::remove_dir_all(&directory).ok();
    let stretches = stretches?;
    let pairs = stretches.chunks_exact(2);
    anyhow::ensure!(
        pairs.len() == counted.clone().count() && pairs.remainder().is_empty(),
        "valgrind saw {} stretches of {} cases",
        stretches.len(),
        counted.count()
    );
    let mut counts: BTreeMap<_, _> =
        counted.zip(pairs).map(|(case, pair)| (case.name, of(pair, case.round))).collect();
    counts.extend(chosen.iter().filter(|case| !case.counted).map(|case| (case.name, None)));
    Ok(counts)
}

fn chosen(words: &[String]) -> impl Iterator<Item = Case> {
    let is_chosen =
        |case: &Case| words.is_empty() || words.iter().any(|word| case.name.contains(word.as_str()));
    cases::all().into_iter().filter(is_chosen)
}

fn of(pair: &[Stretch], round: u64) -> Option<Count> {
    let least = pair.iter().map(|stretch| stretch.instructions).min()?;
    let most = pair.iter().map(|stretch| stretch.instructions).max()?;
    let is_repeatable = most as f64 <= least as f64 * (1.0 + DIFFERENCE_MAX);
    // Calls are counted outside of stretches too: those before the first one are in its number.
    let allocations = pair.last()?.allocations as f64 / round as f64;
    is_repeatable.then_some(Count { instructions: least / round, allocations })
}

/// What valgrind looks at: the other side of [`all`].
pub(crate) fn stretches(words: &[String]) {
    for mut case in chosen(words).filter(|case| case.counted) {
        for _ in 0..WARM_UP {
            black_box((case.once)());
        }
        for _ in 0..2 {
            stretch_that_counts(&mut case);
        }
    }
}

/// Valgrind knows it by its path (`callgrind::OPTIONS`), so it must be called.
#[inline(never)]
fn stretch_that_counts(case: &mut Case) {
    for _ in 0..case.round {
        black_box((case.once)());
    }
}
