//! Versions never go back.

use std::collections::HashMap;

use crate::What;
use crate::index::Index;
use crate::law::{Found, found};

pub(super) fn check(index: &Index<'_>) -> Vec<Found> {
    let mut violations = Vec::new();
    let mut versions: HashMap<(&str, &str), u64> = HashMap::new();
    for event in index.events {
        let (What::Members { room, version: Some(version), .. }
        | What::Presence { room, version: Some(version), .. }) = &event.what
        else {
            continue;
        };
        let earlier = versions.insert((&event.who, room), *version).unwrap_or_default();
        if *version < earlier {
            let who = &event.who;
            violations
                .push(found!(event.at_us, "{who} was given version {version} of {room} after {earlier}"));
        }
    }
    violations
}
