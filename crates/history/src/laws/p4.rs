//! A sender's messages keep the sender's order.
//!
//! A message that had to be sent again stands where the attempt that succeeded came: nothing is promised of it but that it
//! comes after whatever was acknowledged before its first attempt.

use std::collections::BTreeMap;

use crate::index::{Index, Sent};
use crate::law::{Found, found};

pub(super) fn check(index: &Index<'_>) -> Vec<Found> {
    let mut senders: BTreeMap<(&str, &str), Vec<(&str, &Sent<'_>)>> = BTreeMap::new();
    for ((room, _, id), sent) in &index.sent {
        if !sent.acks.is_empty() {
            senders.entry((sent.who, room)).or_default().push((id, sent));
        }
    }
    let mut violations = Vec::new();
    for ((who, room), mut sent) in senders {
        sent.sort_by_key(|(_, sent)| sent.at_us[0]);
        // The highest place among those that must stand before, as far as the walk has come.
        let mut once: Option<(u64, u64, &str)> = None;
        let mut acked: Vec<(u64, (u64, u64, &str))> = Vec::new();
        for (id, message) in sent {
            let ack = message.acks[0];
            let place = (ack.epoch, ack.seq, id);
            let is_plain = message.at_us.len() == 1 && message.refused.is_empty();
            let before_it =
                acked.iter().filter(|(at_us, _)| *at_us < message.at_us[0]).map(|(_, place)| *place);
            let must_be_before = before_it.chain(once.filter(|_| is_plain)).max();
            if let Some((epoch, seq, earlier)) = must_be_before
                && (epoch, seq) > (ack.epoch, ack.seq)
            {
                violations
                    .push(found!(ack.at_us, "{who} sent {earlier} before {id}, but {room} has it behind"));
            }
            if is_plain {
                once = once.max(Some(place));
            }
            // Of many acks before only the furthest counts, so the list stays as short as what is under way.
            let (done, under_way): (Vec<_>, Vec<_>) =
                acked.into_iter().partition(|(at_us, _)| *at_us < message.at_us[0]);
            acked = under_way;
            acked.extend(done.into_iter().max_by_key(|(_, place)| *place));
            acked.push((ack.at_us, place));
        }
    }
    violations
}
