//! A message id stands at most once in the log.

use std::collections::HashMap;

use crate::index::Index;
use crate::law::{Found, found};

pub(super) fn check(index: &Index<'_>) -> Vec<Found> {
    let mut violations = Vec::new();
    for (room, log) in &index.logs {
        let mut first = HashMap::new();
        for entry in &log.entries {
            let (epoch, seq) = (entry.epoch, entry.seq);
            if let Some((at_epoch, at_seq)) = first.insert((entry.from, entry.id), (epoch, seq)) {
                let places = format!("{at_epoch}:{at_seq} and {epoch}:{seq}");
                violations.push(found!(
                    entry.at_us,
                    "{} of {} is in {room} at {places}",
                    entry.id,
                    entry.from
                ));
            }
        }
    }
    violations
}
