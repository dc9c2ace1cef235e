//! At rest the set equals the connected set.

use std::collections::BTreeSet;

use crate::index::Index;
use crate::law::{Found, found};

pub(super) fn check(index: &Index<'_>) -> Vec<Found> {
    let Some(end) = index.end_us else { return Vec::new() };
    let mut violations = Vec::new();
    for view in index.views.iter().filter(|view| view.live) {
        let at_end = |(_, _, to): &(&str, u64, u64)| *to >= view.until_us;
        let shown: BTreeSet<&str> =
            view.spans().iter().filter(|span| at_end(span)).map(|(user, ..)| *user).collect();
        let there: BTreeSet<&str> = index
            .there
            .iter()
            .filter(|((room, _), there)| *room == view.room && there.within(end, end))
            .map(|((_, user), _)| *user)
            .collect();
        if shown != there {
            let (who, room) = (view.who, view.room);
            violations.push(found!(end, "{who} is shown {shown:?} in {room}, where {there:?} are"));
        }
    }
    violations
}
