//! A message id stands at most once in the log, and nobody is given it at two positions but for an announced loss between.

use std::collections::HashMap;

use crate::index::{Index, Step};
use crate::law::{Found, found};

pub(super) fn check(index: &Index<'_>) -> Vec<Found> {
    let mut violations = Vec::new();
    for (room, log) in &index.logs {
        let mut first = HashMap::new();
        for entry in &log.entries {
            let (epoch, seq) = (entry.epoch, entry.seq);
            if let Some((at_epoch, at_seq)) = first.insert((entry.from, entry.id), (epoch, seq)) {
                let places = format!("{at_epoch}:{at_seq} and {epoch}:{seq}");
                violations.push(found!(
                    entry.at_us,
                    "{} of {} is in {room} at {places}",
                    entry.id,
                    entry.from
                ));
            }
        }
    }
    let kept: HashMap<_, _> = index
        .logs
        .iter()
        .flat_map(|(room, log)| {
            log.entries.iter().map(|entry| ((*room, entry.from, entry.id), (entry.epoch, entry.seq)))
        })
        .collect();
    for stream in &index.streams {
        let mut first = HashMap::new();
        for step in &stream.steps {
            match step {
                Step::Message(given) => {
                    let place = (given.epoch, given.seq);
                    // Kept before, it cannot have been new there; what was taken back comes again behind it.
                    let kept = kept.get(&(stream.room, given.from, given.id)).copied();
                    if kept.is_some_and(|kept| kept < place) {
                        let (who, room) = (stream.who, stream.room);
                        let places = format!("{place:?} and kept at {kept:?}");
                        violations.push(found!(
                            given.at_us,
                            "{who} was given {} of {room} at {places}",
                            given.id
                        ));
                    }
                    let earlier = *first.entry((given.from, given.id)).or_insert(place);
                    if earlier != place {
                        let (who, room) = (stream.who, stream.room);
                        let places = format!("{earlier:?} and {place:?}");
                        violations.push(found!(
                            given.at_us,
                            "{who} was given {} of {room} at {places}",
                            given.id
                        ));
                    }
                }
                Step::Resync { .. } => first.clear(),
                Step::Start { .. } | Step::Away | Step::Back => {}
            }
        }
    }
    violations
}
