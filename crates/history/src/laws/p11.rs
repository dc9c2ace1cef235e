//! Every direct message reaches every device before the device's cursor passes it.

use std::collections::{HashMap, HashSet};

use crate::What;
use crate::index::Index;
use crate::law::{Found, found};

pub(super) fn check(index: &Index<'_>) -> Vec<Found> {
    let mut violations = Vec::new();
    let mut given: HashMap<(&str, &str), HashSet<u64>> = HashMap::new();
    let mut passed: HashMap<(&str, &str), u64> = HashMap::new();
    for event in index.events {
        match &event.what {
            What::Message { room, seq, .. } => {
                let Some((user, device)) = index.users.get(event.who.as_str()) else { continue };
                if room.strip_prefix("user:") == Some(user) {
                    given.entry((user, device)).or_default().insert(*seq);
                }
            }
            // What a device had before it was first seen is not in the history.
            What::Join { room, seq, .. } => {
                let Some((user, device)) = index.users.get(event.who.as_str()) else { continue };
                if room.strip_prefix("user:") == Some(user) {
                    passed.entry((user, device)).or_insert(*seq);
                }
            }
            What::Cursor { user, device, seq } => {
                let key = (user.as_str(), device.as_str());
                let has = given.entry(key).or_default();
                let from = passed.get(&key).copied().unwrap_or(0);
                let missed = (from + 1..=*seq).find(|seq| !has.contains(seq));
                if let Some(missed) = missed {
                    let place = format!("{user}'s {device} is at {seq}");
                    violations.push(found!(event.at_us, "{place} and was not given {missed}"));
                }
                let passed = passed.entry(key).or_insert(0);
                *passed = (*passed).max(*seq);
            }
            _ => {}
        }
    }
    violations
}
