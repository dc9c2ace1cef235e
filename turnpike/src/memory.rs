//! How the process uses the machine's memory.

use rustix::thread::disable_transparent_huge_pages;

/// To be called before there is much. What is kept for connections lies in small pieces, some of which go while others stay. In
/// pages of 2 MB, which the allocator asks the kernel for, most of the memory would soon be there for nothing: a quarter
/// to a third of what a connection takes, and a third of what the process takes without any. A kernel that does not know how goes on as it does.
pub(crate) fn use_small_pages() {
    let _ = disable_transparent_huge_pages(true);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_gives_no_large_pages() {
        use_small_pages();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let enabled = status.lines().find_map(|line| line.strip_prefix("THP_enabled:"));
        // Kernels before 5.0 do not say.
        assert!(enabled.is_none_or(|enabled| enabled.trim() == "0"), "{enabled:?}");
    }
}
