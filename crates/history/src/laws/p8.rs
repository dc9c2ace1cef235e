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
        if let Some(log) = index.logs.get(room) {
            // Who agrees with the log agrees with all who do.
            let order: Part<'_> = log.entries.iter().map(|entry| (entry.from, entry.id)).collect();
            let places = places(&order);
            let disagree = parts.iter().filter(|(_, part)| !agrees(&places, part));
            violations.extend(disagree.map(|(stream, _)| disagreement(room, "the log", stream)));
            continue;
        }
        for (number, (one, first)) in parts.iter().enumerate() {
            let places = places(first);
            let others = parts[number + 1..].iter().filter(|(other, _)| one.who != other.who);
            let disagree = others.filter(|(_, second)| !agrees(&places, second));
            violations.extend(disagree.map(|(other, _)| disagreement(room, one.who, other)));
        }
    }
    violations
}

fn places<'p, 'a>(part: &'p Part<'a>) -> HashMap<&'p (&'a str, &'a str), usize> {
    let mut places = HashMap::new();
    for (place, name) in part.iter().enumerate() {
        places.entry(name).or_insert(place);
    }
    places
}

fn agrees(places: &HashMap<&(&str, &str), usize>, part: &Part<'_>) -> bool {
    part.iter().filter_map(|name| places.get(name)).is_sorted()
}

fn disagreement(room: &str, one: &str, other: &Stream<'_>) -> Found {
    let at_us = other.messages().next_back().map_or(0, |given| given.at_us);
    let other = other.who;
    found!(at_us, "{one} and {other} have messages of {room} in different orders")
}

/// What a stream was given from one announced loss to the next.
fn parts<'a>(stream: &Stream<'a>, log: Option<&Log<'_>>) -> Vec<Part<'a>> {
    let mut parts = vec![Vec::new()];
    // A repetition is another law's.
    let mut seen = HashSet::new();
    for step in &stream.steps {
        match step {
            Step::Message(given) if log.is_some_and(|log| log.entry(given.epoch, given.seq).is_none()) => {}
            Step::Message(given) if seen.insert((given.from, given.id)) => {
                parts.last_mut().expect("there is one from the start").push((given.from, given.id));
            }
            Step::Resync { .. } => {
                seen.clear();
                parts.push(Vec::new());
            }
            _ => {}
        }
    }
    parts
}
