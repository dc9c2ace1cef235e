//! Typing is shown neither to the typist nor to others than members.

use std::collections::{HashMap, HashSet};

use crate::What;
use crate::index::Index;
use crate::law::{Found, found};

pub(super) fn check(index: &Index<'_>) -> Vec<Found> {
    let mut violations = Vec::new();
    let mut rooms: HashMap<&str, HashSet<&str>> = HashMap::new();
    for event in index.events {
        let who = event.who.as_str();
        match &event.what {
            What::Join { room, .. } => drop(rooms.entry(who).or_default().insert(room)),
            What::Leave { room } => drop(rooms.entry(who).or_default().remove(room.as_str())),
            What::Session { recovered: false } => drop(rooms.remove(who)),
            What::Typing { room, users } => {
                if !rooms.get(who).is_some_and(|rooms| rooms.contains(room.as_str())) {
                    violations
                        .push(found!(event.at_us, "{who} is told who types in {room}, and is no member"));
                }
                let own = index.users.get(who).map(|(user, _)| *user);
                if users.iter().any(|user| Some(user.as_str()) == own) {
                    violations.push(found!(event.at_us, "{who} is told of their own typing in {room}"));
                }
            }
            _ => {}
        }
    }
    violations
}
