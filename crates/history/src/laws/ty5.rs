//! No byte of typing is in streams or audit.

use crate::What;
use crate::index::Index;
use crate::law::{Found, found};

pub(super) fn check(index: &Index<'_>) -> Vec<Found> {
    let mut violations = Vec::new();
    for event in index.events {
        if let What::Dump { place, text } = &event.what
            && text.to_ascii_lowercase().contains("typing")
        {
            violations.push(found!(event.at_us, "{place} holds {text}"));
        }
    }
    violations
}
