//! Nothing is delivered more than 1 s after a right was revoked.

use std::collections::HashMap;

use super::SECOND;
use crate::What;
use crate::index::Index;
use crate::law::{Found, found};

pub(super) fn check(index: &Index<'_>) -> Vec<Found> {
    let mut violations = Vec::new();
    // Of a user and a room; without a room, of all.
    let mut revoked: HashMap<(&str, Option<&str>), u64> = HashMap::new();
    for event in index.events {
        match &event.what {
            What::Revoke { user, room } => {
                revoked.entry((user, room.as_deref())).or_insert(event.at_us);
            }
            // Who gets in again has got the right again.
            What::Join { room, .. } => {
                if let Some((user, _)) = index.users.get(event.who.as_str()) {
                    revoked.remove(&(*user, Some(room.as_str())));
                }
            }
            What::Session { .. } => {
                if let Some((user, _)) = index.users.get(event.who.as_str()) {
                    revoked.remove(&(*user, None));
                }
            }
            What::Message { room, seq, .. } => {
                let Some((user, _)) = index.users.get(event.who.as_str()) else { continue };
                let since =
                    [Some(room.as_str()), None].into_iter().filter_map(|room| revoked.get(&(*user, room)));
                if since.min().is_some_and(|since| event.at_us > since + SECOND) {
                    violations.push(found!(event.at_us, "{user} was given {seq} of {room}"));
                }
            }
            _ => {}
        }
    }
    violations
}
