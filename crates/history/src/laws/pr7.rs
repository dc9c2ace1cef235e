//! A return within the grace makes no event.

use super::SECOND;
use crate::index::{Index, Shown};
use crate::law::{Found, found};

/// Whoever is back sooner must not have been seen to go.
const GRACE_US: u64 = 4 * SECOND;
/// An event that was caused by it would have come by then.
const MERGED_US: u64 = 2 * SECOND;

pub(super) fn check(index: &Index<'_>) -> Vec<Found> {
    let mut violations = Vec::new();
    for ((room, user), there) in &index.there {
        for pair in there.spans.windows(2) {
            let ((_, gone, clean), (back, until, _)) = (pair[0], pair[1]);
            // A goodbye is told at once. Who goes again soon may be told of for that.
            if clean || back - gone >= GRACE_US || until < back + MERGED_US {
                continue;
            }
            for view in index.views.iter().filter(|view| view.room == *room) {
                for shown in &view.shown {
                    let Shown::Change { at_us, joined, left } = shown else { continue };
                    let told = joined.contains(user) || left.contains(user);
                    if told && (gone..back + MERGED_US).contains(at_us) {
                        let who = view.who;
                        violations.push(found!(
                            *at_us,
                            "{who} was told of {user} in {room}, who was away for a moment"
                        ));
                    }
                }
            }
        }
    }
    violations
}
