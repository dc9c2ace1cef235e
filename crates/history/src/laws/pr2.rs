//! Nobody with a live connection on a live node is shown offline.

use super::SECOND;
use crate::index::{Index, Shown};
use crate::law::{Found, found};

/// Changes are merged for up to a second, and each second's event is on its way for a moment.
const MERGED_US: u64 = 2 * SECOND;

pub(super) fn check(index: &Index<'_>) -> Vec<Found> {
    let mut violations = Vec::new();
    for view in &index.views {
        for shown in &view.shown {
            let Shown::Change { at_us, left, .. } = shown else { continue };
            for user in left {
                let there = index.there.get(&(view.room, *user));
                if there.is_some_and(|there| there.throughout(at_us.saturating_sub(MERGED_US), *at_us)) {
                    let (who, room) = (view.who, view.room);
                    violations
                        .push(found!(*at_us, "{who} was told that {user} has left {room}; they have not"));
                }
            }
        }
    }
    violations
}
