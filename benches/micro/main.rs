//! Micro benches of the pure parts: what one frame, one packet, one check, one copy of a datagram costs in the processor.
//!
//! `cargo bench -p turnpike-benches --bench micro` has criterion measure nanoseconds, which compare only within one run; words
//! and flags are criterion's. `-- --instructions` has valgrind count instructions and allocations instead; those compare between
//! commits and machines. `-- --record` does both and writes `benches/results/micro.json`; `-- --check` counts and fails where a
//! case has become dearer than what is recorded.
//!
//! As a test (`cargo test -p turnpike-benches --bench micro`) it counts what the tests are built as, and holds it against
//! `benches/results/counts.json`; see `held`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

mod callgrind;
mod cases;
mod counts;
mod held;
mod record;

use std::{process::ExitCode, time::Duration};

use cases::Case;
use criterion::Criterion;

const WARM_UP: Duration = Duration::from_millis(200);
const MEASUREMENT: Duration = Duration::from_millis(800);
const BATCHES: usize = 25;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let is_bench = words.iter().any(|word| word == "--bench");
    let words: Vec<String> = words.into_iter().filter(|word| word != "--bench").collect();
    let done = match words.first().map(String::as_str) {
        Some(counts::STRETCHES) => {
            counts::stretches(&words[1..]);
            Ok(true)
        }
        Some("--instructions") => instructions(&words[1..]),
        Some("--check") => record::check(),
        Some("--record") => {
            time(Criterion::default());
            counts::all(&[]).and_then(|counts| record::write(&counts)).map(|()| true)
        }
        _ if !is_bench => Ok(held::test(&words)),
        _ => {
            time(Criterion::default().configure_from_args());
            Ok(true)
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn instructions(words: &[String]) -> anyhow::Result<bool> {
    for (name, count) in counts::all(words)? {
        match count {
            Some(count) => println!(
                "{name:<52}{:>10} instructions {:>8.2} allocations",
                count.instructions, count.allocations
            ),
            None => println!("{name:<52}{:>10}", "differs from time to time"),
        }
    }
    Ok(true)
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
