//! No indicator is older than 7 s.

use std::collections::HashMap;

use super::SECOND;
use crate::What;
use crate::index::Index;
use crate::law::{Found, found};

const LIMIT_US: u64 = 7 * SECOND;

pub(super) fn check(index: &Index<'_>) -> Vec<Found> {
    let mut violations = Vec::new();
    let mut started: HashMap<(&str, &str), Vec<u64>> = HashMap::new();
    for event in index.events {
        if let What::TypingStart { room, user } = &event.what {
            started.entry((room, user)).or_default().push(event.at_us);
        }
    }
    for (who, room, user, from, to) in indicators(index) {
        let starts = started.get(&(room, user)).map_or(&[][..], Vec::as_slice);
        // Each start before the indicator ended may have kept it for as long.
        let mut fresh_until = from;
        for start in starts.iter().filter(|start| **start <= to) {
            if *start <= fresh_until {
                fresh_until = fresh_until.max(start + LIMIT_US);
            }
        }
        if to > fresh_until {
            violations.push(found!(fresh_until, "{who} is shown {user} typing in {room} for too long"));
        }
    }
    violations
}

/// Who was shown to whom as typing: subscriber, room, user, from, to.
pub(super) fn indicators<'a>(index: &Index<'a>) -> Vec<(&'a str, &'a str, &'a str, u64, u64)> {
    let mut shown: HashMap<(&str, &str), HashMap<&str, u64>> = HashMap::new();
    let mut indicators = Vec::new();
    for event in index.events {
        let who = event.who.as_str();
        match &event.what {
            What::Typing { room, users } => {
                let typists = shown.entry((who, room)).or_default();
                typists.retain(|user, since| {
                    let stays = users.iter().any(|typist| typist == user);
                    if !stays {
                        indicators.push((who, room.as_str(), *user, *since, event.at_us));
                    }
                    stays
                });
                for user in users {
                    typists.entry(user).or_insert(event.at_us);
                }
            }
            What::Disconnect { .. } | What::Leave { .. } => {
                for ((of, room), typists) in shown.iter_mut().filter(|((of, _), _)| *of == who) {
                    let ended = typists.drain().map(|(user, since)| (*of, *room, user, since, event.at_us));
                    indicators.extend(ended);
                }
            }
            _ => {}
        }
    }
    let last = index.events.last().map_or(0, |event| event.at_us);
    for ((who, room), typists) in shown {
        indicators.extend(typists.into_iter().map(|(user, since)| (who, room, user, since, last)));
    }
    indicators.sort_unstable();
    indicators
}
