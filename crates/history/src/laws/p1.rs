//! Every `replicated` ack is in the final log at its position with the same payload.

use crate::Level;
use crate::index::Index;
use crate::law::{Found, found};

pub(super) fn check(index: &Index<'_>) -> Vec<Found> {
    let mut violations = Vec::new();
    for ((room, from, id), sent) in &index.sent {
        // A room whose log nobody has read says nothing; nor does what is older than what is kept.
        let Some(log) = index.logs.get(room) else { continue };
        let replicated = sent.acks.iter().filter(|ack| ack.level == Level::Replicated);
        for ack in replicated.filter(|ack| ack.seq >= log.start) {
            let place = format!("{id} of {from} was acknowledged at {room} {}:{}", ack.epoch, ack.seq);
            match log.entry(ack.epoch, ack.seq) {
                None => violations.push(found!(ack.at_us, "{place}, where nothing is kept")),
                Some(entry) if (entry.id, entry.from) != (*id, *from) => {
                    violations.push(found!(
                        ack.at_us,
                        "{place}, where {} of {} is kept",
                        entry.id,
                        entry.from
                    ));
                }
                Some(entry) if entry.body != sent.body => {
                    violations.push(found!(ack.at_us, "{place}, where it is kept with another payload"));
                }
                Some(_) => {}
            }
        }
    }
    violations
}
