//! Nothing is invented: whatever is given or kept was sent, with this content and into this room.

use crate::index::{Given, Index};
use crate::law::{Found, found};

pub(super) fn check(index: &Index<'_>) -> Vec<Found> {
    let mut violations = Vec::new();
    let kept =
        index.logs.iter().flat_map(|(room, log)| log.entries.iter().map(|entry| (*room, "the log", *entry)));
    let given = index
        .streams
        .iter()
        .flat_map(|stream| stream.messages().map(|given| (stream.room, stream.who, given)));
    for (room, who, Given { at_us, id, from, body, .. }) in kept.chain(given) {
        match index.sent.get(&(room, from, id)) {
            None => violations.push(found!(at_us, "{who} has {id} of {from} in {room}, which nobody sent")),
            Some(sent) if sent.body != body => {
                violations.push(found!(
                    at_us,
                    "{who} has {id} of {from} in {room} with a content that nobody sent"
                ));
            }
            Some(sent) if sent.at_us[0] > at_us => {
                violations.push(found!(at_us, "{who} has {id} of {from} in {room} before it was sent"));
            }
            Some(_) => {}
        }
    }
    violations
}
