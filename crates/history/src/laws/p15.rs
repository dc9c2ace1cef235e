//! `gone` is said only if it is, and an ack never claims more than was reached.

use std::collections::HashMap;

use crate::index::{Index, Step, Stream};
use crate::law::{Found, found};
use crate::{Level, What};

pub(super) fn check(index: &Index<'_>) -> Vec<Found> {
    let mut violations = Vec::new();
    for stream in &index.streams {
        needless(index, stream, &mut violations);
    }
    claims(index, &mut violations);
    violations
}

/// A loss was announced, though all that the subscriber had and missed is kept. It was then, too: what is kept only goes.
fn needless(index: &Index<'_>, stream: &Stream<'_>, violations: &mut Vec<Found>) {
    let Some(log) = index.logs.get(stream.room) else { return };
    let mut at: Option<u64> = None;
    let mut lost = false;
    // Who was told, and comes to another node before anything else was given, may be told again: the place that a client
    // shows says nothing of what it was told.
    let mut told = false;
    for step in &stream.steps {
        match step {
            // What it starts behind may be lost as well: then a message of a later epoch stands there.
            Step::Start { epoch, seq } => {
                let stands = log
                    .entries
                    .get((*seq).saturating_sub(log.start) as usize)
                    .filter(|entry| entry.seq == *seq);
                (at, lost) = (Some(*seq), stands.is_some_and(|entry| entry.epoch > *epoch));
            }
            Step::Message(given) => {
                (at, told) = (Some(given.seq), false);
                let is_kept = log.entry(given.epoch, given.seq).is_some();
                lost |= !is_kept && given.seq >= log.start;
            }
            Step::Resync { at_us, seq, .. } => {
                // Who has more than what it goes on after has something that was not kept.
                let reaches_back = at.is_some_and(|at| log.start <= at + 1 && at <= *seq);
                if reaches_back && !lost && !told {
                    let (who, room) = (stream.who, stream.room);
                    violations
                        .push(found!(*at_us, "{who} was told that {room} was lost before {seq}; it was not"));
                }
                (at, lost, told) = (Some(*seq), false, true);
            }
            Step::Away | Step::Back => {}
        }
    }
}

/// Acknowledged as replicated though no replica was there from the attempt to the ack.
fn claims(index: &Index<'_>, violations: &mut Vec<Found>) {
    let last = index.events.last().map_or(0, |event| event.at_us);
    let mut open: HashMap<&str, u64> = HashMap::new();
    let mut spans: HashMap<&str, Vec<(u64, u64)>> = HashMap::new();
    for event in index.events {
        match &event.what {
            What::NoReplica { rooms } => {
                for room in rooms {
                    open.entry(room).or_insert(event.at_us);
                }
            }
            What::ReplicaBack { rooms } => {
                for room in rooms {
                    let span = open.remove(room.as_str()).map(|since| (since, event.at_us));
                    spans.entry(room).or_default().extend(span);
                }
            }
            _ => {}
        }
    }
    for (room, since) in open {
        spans.entry(room).or_default().push((since, last));
    }
    for ((room, _, id), sent) in &index.sent {
        let Some(spans) = spans.get(room) else { continue };
        let first = sent.at_us[0];
        for ack in sent.acks.iter().filter(|ack| ack.level == Level::Replicated) {
            if spans.iter().any(|(from, to)| *from <= first && ack.at_us <= *to) {
                violations.push(found!(
                    ack.at_us,
                    "{id} in {room} is said to be replicated, and there was no replica"
                ));
            }
        }
    }
}
