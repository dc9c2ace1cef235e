//! Refusals come in floods. The first of a kind and origin is written at once, those that follow within the window as one record with
//! their number at its end. Pure: `now` is an argument.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::event::{Actor, Event, Object};
use crate::kind::{Kind, Wait};
use crate::text::Text;

/// How long one flood is one record.
pub const MERGE_WINDOW: Duration = Duration::from_secs(10);
/// Floods at a time. What would be more is written one by one.
const MERGED_MAX: usize = 8_192;

#[derive(PartialEq, Eq, Hash)]
struct Flood {
    kind: Kind,
    actor: Actor,
    address: Option<Text>,
    object: Option<(Object, Text)>,
    reason: Option<Text>,
}

#[derive(Default)]
pub(crate) struct Merger {
    floods: HashMap<Flood, Further>,
    next: Option<Instant>,
}

struct Further {
    until: Instant,
    count: u64,
    last: Option<Event>,
}

impl Merger {
    /// Gives the event back if it is to be written now.
    pub(crate) fn offer(&mut self, event: Event, now: Instant) -> Option<Event> {
        if event.kind().wait() != Wait::Merged {
            return Some(event);
        }
        let flood = Flood {
            kind: event.kind,
            actor: event.actor.clone(),
            address: event.connection.address.clone(),
            object: event.object.clone(),
            reason: event.reason.clone(),
        };
        if let Some(further) = self.floods.get_mut(&flood) {
            further.count += 1;
            further.last = Some(event);
            return None;
        }
        if self.floods.len() < MERGED_MAX {
            let until = now + MERGE_WINDOW;
            self.next = Some(self.next.map_or(until, |next| next.min(until)));
            self.floods.insert(flood, Further { until, count: 0, last: None });
        }
        Some(event)
    }

    /// When [`due`](Self::due) has something to do.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// What the windows that ended have counted. `all` ends every window.
    pub(crate) fn due(&mut self, now: Instant, all: bool) -> Vec<Event> {
        if !all && self.next.is_none_or(|next| now < next) {
            return Vec::new();
        }
        let ended = self.floods.extract_if(|_, further| all || further.until <= now);
        let events = ended.filter_map(|(_, further)| {
            further.last.map(|event| event.detail("count", further.count).detail("merged", true))
        });
        let events = events.collect();
        self.next = self.floods.values().map(|further| further.until).min();
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Value;
    use crate::kind::Outcome;

    fn tripped(address: &str) -> Event {
        Event::new(Kind::LimitTripped, Outcome::Refused).address(address)
    }

    #[test]
    fn a_flood_is_two_records() {
        let mut merger = Merger::default();
        let start = Instant::now();
        assert!(merger.offer(tripped("10.0.0.1"), start).is_some());
        for _ in 0..1_000 {
            assert!(merger.offer(tripped("10.0.0.1"), start + MERGE_WINDOW / 2).is_none());
        }
        assert!(merger.offer(tripped("10.0.0.2"), start).is_some());
        assert!(merger.due(start + MERGE_WINDOW / 2, false).is_empty());
        let events = merger.due(start + MERGE_WINDOW, false);
        assert_eq!(events.len(), 1, "of the second address nothing followed");
        assert!(events[0].detail.contains(&("count", Value::Number(1_000))));
        assert!(merger.next().is_none());
        assert!(merger.offer(tripped("10.0.0.1"), start + MERGE_WINDOW).is_some());
    }

    #[test]
    fn what_is_no_flood_passes_and_the_table_is_bounded() {
        let mut merger = Merger::default();
        let now = Instant::now();
        for _ in 0..2 {
            assert!(merger.offer(Event::new(Kind::Login, Outcome::Success), now).is_some());
        }
        for number in 0..2 * MERGED_MAX {
            assert!(merger.offer(tripped(&number.to_string()), now).is_some());
        }
        assert_eq!(merger.floods.len(), MERGED_MAX);
    }
}
