//! Micro benches of the pure parts: what one frame, one packet, one check, one copy of a datagram costs in the processor.
//!
//! `cargo bench -p turnpike-benches --bench micro` has criterion measure nanoseconds, which compare only within one run; words
//! and flags are criterion's. `-- --instructions` has valgrind count instructions instead; those compare between commits and
//! machines. `-- --record` does both and writes `benches/results/micro.json`; `-- --check` counts and fails where a case has
//! become dearer than what is recorded.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

mod cases;
mod counts;
mod record;

use std::{hint::black_box, time::Duration};

use anyhow::Context as _;
use cases::Case;
use criterion::Criterion;

const WARM_UP: Duration = Duration::from_millis(200);
const MEASUREMENT: Duration = Duration::from_millis(800);
const BATCHES: usize = 25;

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [flag, name, iterations] = &words[..]
        && flag == "--once"
    {
        let mut case = cases::all().into_iter().find(|case| case.name == *name).context("no such case")?;
        run(&mut case, iterations.parse()?);
        return Ok(());
    }
    match words.first().map(String::as_str) {
        Some("--instructions") => {
            for (name, count) in counts::all(&words[1..])? {
                let count = count.map_or_else(|| "differs from run to run".into(), |count| count.to_string());
                println!("{name:<44}{count:>10} instructions");
            }
            Ok(())
        }
        Some("--check") => counts::check(&record::read()?),
        Some("--record") => {
            time(Criterion::default());
            record::write(&counts::all(&[])?)
        }
        _ => {
            time(Criterion::default().configure_from_args());
            Ok(())
        }
    }
}

fn time(criterion: Criterion) {
    let mut criterion = criterion
        .warm_up_time(WARM_UP)
        .measurement_time(MEASUREMENT)
        .sample_size(BATCHES)
        .without_plots()
        .output_directory(&record::criterion_directory());
    for mut case in cases::all() {
        criterion.bench_function(&record::slug(case.name), |bencher| bencher.iter(|| (case.once)()));
    }
    criterion.final_summary();
}

fn run(case: &mut Case, iterations: u64) {
    for _ in 0..iterations {
        black_box((case.once)());
    }
}
