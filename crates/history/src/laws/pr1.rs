//! No ghost beyond 8 s after a crash.

use super::SECOND;
use crate::index::{Index, There};
use crate::law::{Found, found};

const LIMIT_US: u64 = 8 * SECOND;

pub(super) fn check(index: &Index<'_>) -> Vec<Found> {
    let mut violations = Vec::new();
    for view in &index.views {
        for (user, from, to) in view.spans() {
            if let Some(since) = ghost(index.there.get(&(view.room, user)), from, to) {
                let (who, room) = (view.who, view.room);
                violations.push(found!(
                    since + LIMIT_US,
                    "{who} is shown {user} in {room}, who is gone since {since} us"
                ));
            }
        }
    }
    violations
}

/// Since when the user had been gone who was shown for too long.
fn ghost(there: Option<&There>, from: u64, to: u64) -> Option<u64> {
    let Some(there) = there else { return (to > from + LIMIT_US).then_some(from) };
    // Shown time that no stay covers, each piece from where the last stay before it ended.
    let mut gone_since = from;
    for (since, until, _) in &there.spans {
        if *since > to {
            break;
        }
        if *since > gone_since + LIMIT_US && *since > from {
            return Some(gone_since);
        }
        gone_since = gone_since.max(*until);
    }
    (to > gone_since.saturating_add(LIMIT_US)).then_some(gone_since)
}
