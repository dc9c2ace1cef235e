//! What callgrind writes down of each stretch. It counts only within the one function, and dumps whenever that returns.

use std::{fs, path::Path};

use anyhow::Context as _;

pub(crate) const OPTIONS: [&str; 7] = [
    "--tool=callgrind",
    "--toggle-collect=micro::counts::stretch_that_counts",
    "--dump-after=micro::counts::stretch_that_counts",
    // Names in full, and nothing about where in a file: these are all that is read.
    "--compress-strings=no",
    "--compress-pos=no",
    "--dump-line=no",
    // Only the counts of the program itself.
    "--trace-children=no",
];
pub(crate) const FILE: &str = "counts";
/// Behind every way of Rust and of C to get memory.
const ALLOCATING: [&str; 6] = ["malloc", "calloc", "realloc", "posix_memalign", "memalign", "aligned_alloc"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) instructions: u64,
    pub(crate) allocations: u64,
}

/// In their order: `counts.1`, `counts.2`, ...
pub(crate) fn stretches(directory: &Path) -> anyhow::Result<Vec<Stretch>> {
    let mut stretches = Vec::new();
    for number in 1.. {
        let Ok(dump) = fs::read_to_string(directory.join(format!("{FILE}.{number}"))) else { break };
        stretches.push(stretch(&dump).with_context(|| format!("dump {number} of callgrind has no sum"))?);
    }
    Ok(stretches)
}

fn stretch(dump: &str) -> Option<Stretch> {
    let sum = dump.lines().find_map(|line| line.strip_prefix("totals:").or(line.strip_prefix("summary:")))?;
    let instructions = sum.trim().parse().ok()?;
    let mut allocations = 0;
    let (mut caller, mut called) = ("", "");
    for line in dump.lines() {
        if let Some(name) = line.strip_prefix("fn=") {
            caller = name;
        } else if let Some(name) = line.strip_prefix("cfn=") {
            called = name;
        } else if let Some(calls) = line.strip_prefix("calls=")
            // One that asks another for it is one.
            && allocates(called) && !allocates(caller)
        {
            allocations += calls.split(' ').next()?.parse::<u64>().ok()?;
        }
    }
    Some(Stretch { instructions, allocations })
}

/// Recursive calls have a mark behind the name.
fn allocates(function: &str) -> bool {
    ALLOCATING.contains(&function.split('\'').next().unwrap_or(function))
}
