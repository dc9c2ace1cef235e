//! Which subtrees a proof is made of, and their roots from one reading of the log.

use std::ops::Range;

use super::Frontier;
use crate::digest::Digest;

/// The subtrees that prove that leaf `index` is in the tree of `size` leaves, lowest first (RFC 6962, 2.1.1). `None` if
/// there is no such leaf.
pub fn inclusion(index: u64, size: u64) -> Option<Vec<Range<u64>>> {
    let (mut from, mut to) = (0, size);
    let mut path = Vec::new();
    if index >= size {
        return None;
    }
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            path.push(middle..to);
            to = middle;
        } else {
            path.push(from..middle);
            from = middle;
        }
    }
    path.reverse();
    Some(path)
}

/// The subtrees that prove that the tree of `old` leaves is the beginning of that of `new` leaves (RFC 6962, 2.1.2). `None` if
/// it cannot be one.
pub fn consistency(old: u64, new: u64) -> Option<Vec<Range<u64>>> {
    if old == 0 || old > new {
        return None;
    }
    let (mut from, mut to) = (0, new);
    let mut whole = true;
    let mut path = Vec::new();
    while to != old {
        let middle = from + split(to - from);
        if old <= middle {
            path.push(middle..to);
            to = middle;
        } else {
            path.push(from..middle);
            from = middle;
            whole = false;
        }
    }
    if !whole {
        path.push(from..to);
    }
    path.reverse();
    Some(path)
}

/// The largest power of two smaller than `size`, which is at least 2.
pub(super) fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// Takes the leaves in order and keeps the roots of the subtrees that were asked for.
#[derive(Debug, Clone)]
pub struct Subtrees {
    wanted: Vec<(Range<u64>, Frontier)>,
}

impl Subtrees {
    /// Of ranges that [`inclusion`] or [`consistency`] named: none overlaps another.
    pub fn new(ranges: Vec<Range<u64>>) -> Self {
        Self { wanted: ranges.into_iter().map(|range| (range, Frontier::default())).collect() }
    }

    pub fn leaf(&mut self, index: u64, leaf: Digest) {
        self.subtree(index, 1, leaf);
    }

    /// What came before a log's first segment, of which only the frontier is left.
    pub fn before(&mut self, frontier: &Frontier) {
        for (start, size, root) in frontier.subtrees() {
            self.subtree(start, size, root);
        }
    }

    fn subtree(&mut self, start: u64, size: u64, root: Digest) {
        if let Some((_, frontier)) = self.wanted.iter_mut().find(|(range, _)| range.contains(&start)) {
            frontier.push_subtree(size, root);
        }
    }

    /// The roots in the order in which they were asked for. `None` if leaves are missing.
    pub fn roots(&self) -> Option<Vec<Digest>> {
        let root = |(range, frontier): &(Range<u64>, Frontier)| {
            (frontier.size() == range.end - range.start).then(|| frontier.root())
        };
        self.wanted.iter().map(root).collect()
    }
}
