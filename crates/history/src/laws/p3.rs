//! `seq` without gaps; a new epoch goes on after the last that was kept.

use crate::index::Index;
use crate::law::{Found, found};

pub(super) fn check(index: &Index<'_>) -> Vec<Found> {
    let mut violations = Vec::new();
    for (room, log) in &index.logs {
        let mut due = log.start;
        let mut epoch = 0;
        for entry in &log.entries {
            if entry.seq != due {
                violations.push(found!(entry.at_us, "{room} has {} where {due} is due", entry.seq));
            }
            if entry.epoch < epoch {
                let earlier = entry.epoch;
                violations.push(found!(entry.at_us, "{room} goes back from epoch {epoch} to {earlier}"));
            }
            (due, epoch) = (entry.seq + 1, entry.epoch);
        }
    }
    violations
}
