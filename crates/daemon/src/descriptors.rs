//! File descriptors: each connection costs one, and distributions still start processes with 1,024.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the process may have open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptors {
    /// As it was at the start.
    pub before: u64,
    /// As it is now.
    pub limit: u64,
}

/// Raises the soft limit to the hard one. Where that is refused the old limit stays, and the caller reports it.
pub fn raise() -> Descriptors {
    let found = getrlimit(Resource::Nofile);
    let before = found.current.unwrap_or(u64::MAX);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: found.maximum, maximum: found.maximum });
    Descriptors { before, limit: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_ends_at_the_hard_one() {
        let hard = getrlimit(Resource::Nofile).maximum;
        // Lowered first, so that there is something to raise.
        setrlimit(Resource::Nofile, Rlimit { current: Some(512), maximum: hard }).unwrap();
        let raised = raise();
        assert_eq!(raised, Descriptors { before: 512, limit: hard.unwrap_or(u64::MAX) });
    }
}
