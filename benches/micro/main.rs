//! Micro benches of the engine's pure parts: what one frame, one packet, one broadcast costs in the processor.
//!
//! `cargo bench -p turnpike-benches --bench micro` prints nanoseconds, which compare only within one run.
//! With `-- --instructions` valgrind counts instructions instead; those compare between commits and machines.
//! Any other word selects the cases whose name contains it.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

mod cases;

use std::{
    hint::black_box,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use cases::Case;

const BATCHES: usize = 25;
const BATCH: Duration = Duration::from_millis(10);
/// Instructions are the difference of a run with so many and a run with twice as many, so that setting up cancels out.
const COUNTED_ITERATIONS: u64 = 1_000;

fn main() -> anyhow::Result<()> {
    // Cargo adds `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [flag, name, iterations] = &words[..]
        && flag == "--once"
    {
        let mut case = cases::all().into_iter().find(|case| case.name == *name).context("no such case")?;
        run(&mut case, iterations.parse()?);
        return Ok(());
    }
    let counts = words.iter().any(|word| word == "--instructions");
    let wanted: Vec<&String> = words.iter().filter(|word| !word.starts_with("--")).collect();
    for case in cases::all() {
        if !wanted.is_empty() && !wanted.iter().any(|word| case.name.contains(word.as_str())) {
            continue;
        }
        let name = case.name;
        if counts {
            println!("{name:<44}{:>10} instructions", instructions(name)?);
        } else {
            let (median, least) = nanoseconds(case);
            println!("{name:<44}{median:>10.1} ns   at least {least:.1}");
        }
    }
    Ok(())
}

fn run(case: &mut Case, iterations: u64) {
    for _ in 0..iterations {
        black_box((case.once)());
    }
}

/// Median and minimum over batches.
fn nanoseconds(mut case: Case) -> (f64, f64) {
    let mut iterations: u64 = 1;
    loop {
        let begun = Instant::now();
        run(&mut case, iterations);
        if begun.elapsed() >= BATCH {
            break;
        }
        iterations *= 2;
    }
    let mut batches: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let begun = Instant::now();
            run(&mut case, iterations);
            begun.elapsed().as_nanos() as f64 / iterations as f64
        })
        .collect();
    batches.sort_by(f64::total_cmp);
    (batches[BATCHES / 2], batches[0])
}

fn instructions(name: &str) -> anyhow::Result<u64> {
    let once = counted(name, COUNTED_ITERATIONS)?;
    let twice = counted(name, 2 * COUNTED_ITERATIONS)?;
    Ok(twice.saturating_sub(once) / COUNTED_ITERATIONS)
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
