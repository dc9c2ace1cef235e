//! Two subscribers agree on the order of the messages that both were given.
//!
//! Messages are told apart by their sender and id, not by their number: a system that numbers the same messages differently
//! for two subscribers breaks this law and no other need notice. What was given and not kept may come again elsewhere, and
//! is left out.

use std::collections::{HashMap, HashSet};

use crate::index::{Index, Log, Step, Stream};
use crate::law::{Found, found};

/// Messages by sender and id.
type Part<'a> = Vec<(&'a str, &'a str)>;

pub(super) fn check(index: &Index<'_>) -> Vec<Found> {
    let mut violations = Vec::new();
    let mut rooms: HashMap<&str, Vec<(&Stream<'_>, Part<'_>)>> = HashMap::new();
    for stream in &index.streams {
        let log = index.logs.get(stream.room);
        for part in parts(stream, log) {
            rooms.entry(stream.room).or_default().push((stream, part));
        }
    }
    for (room, parts) in rooms {
        for (number, (one, first)) in parts.iter().enumerate() {
            let places: HashMap<_, _> = first.iter().enumerate().map(|(place, name)| (name, place)).collect();
            for (other, second) in &parts[number + 1..] {
                let common: Vec<_> = second.iter().filter_map(|name| places.get(name)).collect();
                if one.who != other.who && common.windows(2).any(|pair| pair[0] > pair[1]) {
                    let at_us = other.messages().next_back().map_or(0, |given| given.at_us);
                    let (one, other) = (one.who, other.who);
                    violations.push(found!(
                        at_us,
                        "{one} and {other} were given messages of {room} in different orders"
                    ));
                }
            }
        }
    }
    violations
}

/// What a stream was given from one announced loss to the next.
fn parts<'a>(stream: &Stream<'a>, log: Option<&Log<'_>>) -> Vec<Part<'a>> {
    let kept: Option<HashSet<_>> =
        log.map(|log| log.entries.iter().map(|entry| (entry.epoch, entry.seq)).collect());
    let mut parts = vec![Vec::new()];
    for step in &stream.steps {
        match step {
            Step::Message(given)
                if kept.as_ref().is_some_and(|kept| !kept.contains(&(given.epoch, given.seq))) => {}
            Step::Message(given) => {
                let last = parts.last_mut().expect("there is one from the start");
                // A repetition is another law's.
                if !last.contains(&(given.from, given.id)) {
                    last.push((given.from, given.id));
                }
            }
            Step::Resync { .. } => parts.push(Vec::new()),
            _ => {}
        }
    }
    parts
}
