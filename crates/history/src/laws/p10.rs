//! Marks only rise, are at most the head, and read is at most received.

use std::collections::HashMap;

use crate::What;
use crate::index::Index;
use crate::law::{Found, found};

pub(super) fn check(index: &Index<'_>) -> Vec<Found> {
    let mut violations = Vec::new();
    let mut marks: HashMap<(&str, &str, &str), (u64, u64)> = HashMap::new();
    let mut cursors: HashMap<(&str, &str), u64> = HashMap::new();
    for event in index.events {
        match &event.what {
            What::Receipt { room, user, received, read } => {
                let earlier = marks.insert((&event.who, room, user), (*received, *read)).unwrap_or_default();
                let mark = format!("{user}'s mark in {room}, received {received} and read {read},");
                if *received < earlier.0 || *read < earlier.1 {
                    violations.push(found!(event.at_us, "{mark} is less than {earlier:?} before"));
                }
                if read > received {
                    violations.push(found!(event.at_us, "{mark} has more read than received"));
                }
                if index.logs.get(room.as_str()).is_some_and(|log| *received > log.head()) {
                    violations.push(found!(event.at_us, "{mark} is beyond the head"));
                }
            }
            What::Cursor { user, device, seq } => {
                let earlier = cursors.insert((user, device), *seq).unwrap_or_default();
                if *seq < earlier {
                    violations
                        .push(found!(event.at_us, "{user}'s {device} went back from {earlier} to {seq}"));
                }
                let log = index.logs.get(format!("user:{user}").as_str());
                if log.is_some_and(|log| *seq > log.head()) {
                    violations.push(found!(event.at_us, "{user}'s {device} is at {seq}, beyond the head"));
                }
            }
            _ => {}
        }
    }
    violations
}
