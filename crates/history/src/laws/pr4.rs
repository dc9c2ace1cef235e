//! Joins and leaves alternate for a user and room, however many devices.

use std::collections::BTreeSet;

use crate::index::{Index, Shown};
use crate::law::{Found, found};

pub(super) fn check(index: &Index<'_>) -> Vec<Found> {
    let mut violations = Vec::new();
    for view in &index.views {
        let (who, room) = (view.who, view.room);
        let mut there: BTreeSet<&str> = BTreeSet::new();
        for shown in &view.shown {
            match shown {
                Shown::All { users, .. } => there.clone_from(users),
                Shown::Change { at_us, joined, left } => {
                    for user in left {
                        if !there.remove(user) {
                            violations.push(found!(
                                *at_us,
                                "{who} was told that {user} left {room}, who was not there"
                            ));
                        }
                    }
                    for user in joined {
                        if !there.insert(user) {
                            violations.push(found!(
                                *at_us,
                                "{who} was told that {user} joined {room}, who was there"
                            ));
                        }
                    }
                }
            }
        }
    }
    violations
}
