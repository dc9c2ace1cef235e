//! CPU time of a process with all its threads and children, from /proc.

use std::fs;

use anyhow::Context as _;

/// The kernel counts in hundredths of a second towards user space on every architecture that Linux runs on today.
const TICKS_PER_SECOND: f64 = 100.0;
/// By so much two readings of the same time may differ: a tick each for user and system, and one for luck.
const DISAGREEMENT_SECONDS_MAX: f64 = 0.03;

/// User and system time so far.
///
/// `/proc/<pid>/stat` is the authority, but it counts in ticks of 10 ms; the scheduler's nanoseconds of the threads
/// that are alive are exact, but forget threads that have ended. Where both agree the exact one is taken.
pub(crate) fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let ticks = stat_seconds(pid)?;
    let exact = scheduled_seconds(pid)?;
    let own = if (ticks - exact).abs() <= DISAGREEMENT_SECONDS_MAX { exact } else { ticks };
    let children: f64 = children(pid).into_iter().map(|child| cpu_seconds(child).unwrap_or(0.0)).sum();
    Ok(own + children)
}

/// utime, stime, cutime and cstime: fields 14 to 17 of proc_pid_stat(5).
fn stat_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the process has ended")?;
    // The name in parentheses may contain anything, so count from its end.
    let fields = stat.rsplit_once(')').context("/proc/<pid>/stat")?.1;
    let ticks: f64 =
        fields.split_ascii_whitespace().skip(11).take(4).map(|field| field.parse().unwrap_or(0.0)).sum();
    Ok(ticks / TICKS_PER_SECOND)
}

fn scheduled_seconds(pid: u32) -> anyhow::Result<f64> {
    schedstat_seconds(pid, 0)
}

/// How long its threads were ready to run and did not get their core: what other processes took from it.
pub(crate) fn waited_seconds(pid: u32) -> anyhow::Result<f64> {
    schedstat_seconds(pid, 1)
}

/// A field of all living threads' schedstat: time on the processor, time waiting for it.
fn schedstat_seconds(pid: u32, field: usize) -> anyhow::Result<f64> {
    let mut nanoseconds = 0.0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let Ok(schedstat) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        let value = schedstat.split_ascii_whitespace().nth(field).and_then(|value| value.parse::<f64>().ok());
        nanoseconds += value.unwrap_or(0.0);
    }
    Ok(nanoseconds / 1e9)
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    threads
        .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok())
        .flat_map(|children| {
            children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn cpu_time_is_what_was_burnt() {
        let before = cpu_seconds(std::process::id()).unwrap();
        let begun = Instant::now();
        let burnt = || cpu_seconds(std::process::id()).unwrap() - before;
        // On a machine with much else to do a fifth of a second brings next to nothing.
        while burnt() < 0.03 && begun.elapsed() < Duration::from_secs(20) {
            let turn = Instant::now();
            std::thread::spawn(move || while turn.elapsed() < Duration::from_millis(200) {}).join().unwrap();
        }
        let (burnt, cores) = (burnt(), std::thread::available_parallelism().map_or(1, usize::from));
        // Other tests of this process run beside it.
        assert!(burnt > 0.03 && burnt < begun.elapsed().as_secs_f64() * cores as f64 + 0.1, "{burnt}");
    }
}
