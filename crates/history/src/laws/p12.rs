//! Within 10 s after the last fault has healed everybody is at the head and nothing is pending.

use super::SECOND;
use crate::What;
use crate::index::Index;
use crate::law::{Found, found};

const LIMIT_US: u64 = 10 * SECOND;

pub(super) fn check(index: &Index<'_>) -> Vec<Found> {
    // Without an end at rest nothing can be said.
    let Some(end) = index.end_us else { return Vec::new() };
    let mut violations = Vec::new();
    let heals =
        |what: &What| matches!(what, What::Healed { .. } | What::NodeUp { .. } | What::ReplicaBack { .. });
    let healed = index.events.iter().rev().find(|event| heals(&event.what)).map_or(0, |event| event.at_us);
    let rest = healed + LIMIT_US;
    for stream in index.streams.iter().filter(|stream| stream.live) {
        let (who, room) = (stream.who, stream.room);
        let Some(log) = index.logs.get(room) else { continue };
        let (at, head) = (stream.at(), log.head());
        if at < head {
            violations.push(found!(end, "{who} is at {at} of {room} and not at its head {head}"));
        }
        for given in stream.messages().filter(|given| given.at_us > rest) {
            let name = (room, given.from, given.id);
            let late = index.sent.get(&name).is_some_and(|sent| sent.at_us[0] < healed);
            if late {
                violations.push(found!(given.at_us, "{who} was given {} of {room} only now", given.seq));
            }
        }
    }
    for ((room, from, id), sent) in &index.sent {
        let last = *sent.at_us.last().expect("it was sent");
        let answered = sent.acks.iter().map(|ack| ack.at_us).min();
        let given_up = sent.refused.iter().any(|(_, retryable)| !retryable);
        let limit = (last + LIMIT_US).max(rest);
        let in_time = answered.is_some_and(|at_us| at_us <= limit);
        if !in_time && !given_up && end >= limit {
            violations.push(found!(last, "{id} of {from} to {room} is pending"));
        }
    }
    violations
}
