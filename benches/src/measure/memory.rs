//! Resident memory of a process, and what the kernel holds for its sockets.

use std::fs;

use anyhow::Context as _;

/// Resident bytes, from smaps_rollup: exact, unlike the counters in statm, which are kept per thread and folded late.
pub(crate) fn resident_bytes(pid: u32) -> anyhow::Result<f64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).context("the process has ended")?;
    kilobytes(&rollup, "Rss:").context("no Rss in smaps_rollup")
}

/// Unreclaimable slab of the whole machine: sockets of both ends, epoll items and whatever else happens meanwhile.
pub(crate) fn kernel_bytes() -> anyhow::Result<f64> {
    kilobytes(&fs::read_to_string("/proc/meminfo")?, "SUnreclaim:").context("no SUnreclaim in meminfo")
}

fn kilobytes(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touched_memory_is_resident() {
        let before = resident_bytes(std::process::id()).unwrap();
        let block = std::hint::black_box(vec![1_u8; 64 << 20]);
        let grown = resident_bytes(std::process::id()).unwrap() - before;
        assert!((60e6..90e6).contains(&grown), "{grown}");
        drop(block);
    }
}
