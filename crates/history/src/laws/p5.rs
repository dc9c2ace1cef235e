//! A position never shows two contents: not in the log, to no two subscribers, nor to one at two times.

use std::collections::HashMap;

use crate::index::Index;
use crate::law::{Found, found};

pub(super) fn check(index: &Index<'_>) -> Vec<Found> {
    let mut violations = Vec::new();
    let mut contents: HashMap<(&str, u64, u64), (&str, &str, &str)> = HashMap::new();
    let kept =
        index.logs.iter().flat_map(|(room, log)| log.entries.iter().map(|entry| (*room, "the log", *entry)));
    let given = index
        .streams
        .iter()
        .flat_map(|stream| stream.messages().map(|given| (stream.room, stream.who, given)));
    for (room, who, given) in kept.chain(given) {
        let content = (given.from, given.id, given.body);
        let first = *contents.entry((room, given.epoch, given.seq)).or_insert(content);
        if first != content {
            let place = format!("{room} {}:{}", given.epoch, given.seq);
            violations
                .push(found!(given.at_us, "{place} is {content:?} for {who} and {first:?} for another"));
        }
    }
    violations
}
