//! What was taken out of files later, held against what the log says about it.
//!
//! Each time a file is rewritten, a record says how many values are erased from it and how many of its records pruned, all in all,
//! and gives a digest of which. The last such record about a file must fit what is there.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{Context, SHA256};

use super::finding::Problem;
use crate::digest::{DIGEST_BYTES, Digest};
use crate::line::Line;
use crate::segment::SegmentName;

/// What is missing from one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Missing {
    pub erased: u64,
    pub pruned: u64,
    pub digest: Digest,
}

impl Missing {
    pub(crate) fn nothing() -> Self {
        Self { erased: 0, pruned: 0, digest: Digest::of(&[]) }
    }
}

/// Counts what is missing while a file is read in order.
pub(crate) struct Counting {
    missing: Missing,
    context: Context,
    first: Option<u64>,
}

impl Counting {
    pub(crate) fn new() -> Self {
        Self { missing: Missing::nothing(), context: Context::new(&SHA256), first: None }
    }

    pub(crate) fn erased(&mut self, seq: u64, field: &str) {
        self.missing.erased += 1;
        self.note(seq, field);
    }

    pub(crate) fn pruned(&mut self, seq: u64) {
        self.missing.pruned += 1;
        self.note(seq, "");
    }

    fn note(&mut self, seq: u64, field: &str) {
        self.first.get_or_insert(seq);
        self.context.update(format!("{seq} {field}\n").as_bytes());
    }

    pub(crate) fn done(self) -> (Missing, Option<u64>) {
        let mut digest = [0; DIGEST_BYTES];
        digest.copy_from_slice(self.context.finish().as_ref());
        (Missing { digest: Digest(digest), ..self.missing }, self.first)
    }
}

/// What the log says is missing, by the number of a file's first record. The last word about a file counts.
#[derive(Default)]
pub(crate) struct Stated(BTreeMap<u64, Missing>);

impl Stated {
    /// From a record of that kind.
    pub(crate) fn add(&mut self, line: &Line) {
        let number = |name: &str| line.detail(name).and_then(serde_json::Value::as_u64);
        let digest = line.detail("digest").and_then(|digest| digest.as_str()?.parse().ok());
        if let (Some(first), Some(erased), Some(pruned), Some(digest)) =
            (number("first"), number("erased"), number("pruned"), digest)
        {
            self.0.insert(first, Missing { erased, pruned, digest });
        }
    }

    pub(crate) fn get(&self, first: u64) -> Option<Missing> {
        self.0.get(&first).copied()
    }
}

#[derive(Default)]
pub(super) struct Rewrites {
    current: Option<(u64, Counting)>,
    /// By the number of a file's first record: what is missing there, and the first that is.
    found: BTreeMap<u64, (Missing, Option<u64>)>,
    stated: Stated,
    /// The number of the last record of which the log says that it was removed for its age.
    retired: Option<u64>,
}

impl Rewrites {
    pub(super) fn segment(&mut self, first: u64) {
        self.close();
        self.current = Some((first, Counting::new()));
    }

    fn close(&mut self) {
        if let Some((first, counting)) = self.current.take() {
            self.found.insert(first, counting.done());
        }
    }

    pub(super) fn record(&mut self, seq: u64, erased: &[&str]) {
        if let Some((_, counting)) = &mut self.current {
            for field in erased {
                counting.erased(seq, field);
            }
        }
    }

    pub(super) fn husk(&mut self, seq: u64) {
        if let Some((_, counting)) = &mut self.current {
            counting.pruned(seq);
        }
    }

    pub(super) fn stated(&mut self, line: &Line) {
        self.stated.add(line);
    }

    pub(super) fn retired(&mut self, last: u64) {
        self.retired = self.retired.max(Some(last));
    }

    /// The first record that must be there.
    pub(super) fn next_after_retired(&self) -> u64 {
        self.retired.map_or(0, |last| last + 1)
    }

    pub(super) fn is_retired(&self, first: u64) -> bool {
        self.next_after_retired() >= first
    }

    /// The first record at which what is there is not what was stated.
    pub(super) fn difference(&mut self) -> Option<(u64, Problem)> {
        self.close();
        self.found.iter().find_map(|(first, (found, at))| {
            let stated = self.stated.get(*first).unwrap_or_else(Missing::nothing);
            if *found == stated {
                return None;
            }
            let less = found.erased < stated.erased || found.pruned < stated.pruned;
            let problem = if less { Problem::Restored } else { Problem::Removed };
            Some((at.unwrap_or(*first), problem))
        })
    }

    /// Only for messages.
    pub(super) fn segment_of(&self, seq: u64) -> String {
        let first = self.found.range(..=seq).next_back().map_or(0, |(first, _)| *first);
        let name = SegmentName { first, begun: String::new() }.to_string();
        name.trim_end_matches('-').to_owned()
    }
}
