//! Refusals come in floods. The first of a kind and origin is written at once, those that follow within the window as one record with
//! their number at its end. Pure: `now` is an argument.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::event::{Actor, Event, Object, Value};
use crate::kind::{Kind, Wait};
use crate::text::Text;

/// How long one flood is one record.
pub const MERGE_WINDOW: Duration = Duration::from_secs(10);
/// Floods at a time that are told apart. Those that come when there are so many are one for each kind and reason: somebody with
/// many addresses must not fill the disk.
const MERGED_MAX: usize = 8_192;

#[derive(PartialEq, Eq, Hash)]
struct Flood {
    kind: Kind,
    actor: Actor,
    address: Option<Text>,
    object: Option<(Object, Text)>,
    reason: Option<Text>,
    detail: Vec<(&'static str, Value)>,
}

impl Flood {
    fn of(event: &Event) -> Self {
        Self {
            kind: event.kind,
            actor: event.actor.clone(),
            address: event.connection.address.as_ref().map(origin),
            object: event.object.clone(),
            reason: event.reason.clone(),
            detail: event.detail.clone(),
        }
    }

    /// Whoever and wherever they are.
    fn crowd(event: &Event) -> Self {
        let (actor, reason) = (Actor::default(), event.reason.clone());
        Self { kind: event.kind, actor, address: None, object: None, reason, detail: Vec::new() }
    }

    fn is_crowd(&self) -> bool {
        self.address.is_none() && self.object.is_none() && self.actor == Actor::default()
    }
}

/// An IPv6 customer has 2^64 addresses: they are one origin.
fn origin(address: &Text) -> Text {
    match address.as_str().parse() {
        Ok(IpAddr::V6(address)) => {
            let network = Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX));
            Text::from(network.to_string())
        }
        _ => address.clone(),
    }
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
    crowd: bool,
}

impl Merger {
    /// Gives the event back if it is to be written now.
    pub(crate) fn offer(&mut self, event: Event, now: Instant) -> Option<Event> {
        if !matches!(event.kind().wait(), Wait::Merged | Wait::First) {
            return Some(event);
        }
        let mut flood = Flood::of(&event);
        if self.floods.len() >= MERGED_MAX && !self.floods.contains_key(&flood) {
            flood = Flood::crowd(&event);
        }
        if let Some(further) = self.floods.get_mut(&flood) {
            further.count += 1;
            further.last = Some(event);
            return None;
        }
        let until = now + MERGE_WINDOW;
        self.next = Some(self.next.map_or(until, |next| next.min(until)));
        let crowd = self.floods.len() >= MERGED_MAX && flood.is_crowd();
        self.floods.insert(flood, Further { until, count: 0, last: None, crowd });
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
            let Further { count, last, crowd, .. } = further;
            let event = last?.detail("count", count).detail("merged", true);
            // The last of them speaks for many, and must not be taken for all.
            Some(if crowd { event.detail("crowd", true) } else { event })
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
        for number in 0..MERGED_MAX {
            assert!(merger.offer(tripped(&number.to_string()), now).is_some());
        }
        // One more for all the others together, and one for each further reason.
        let others = |reason: &str| {
            let more = MERGED_MAX..3 * MERGED_MAX;
            more.map(|number| tripped(&number.to_string()).reason(reason)).collect::<Vec<_>>()
        };
        for reason in ["a", "b"] {
            let written = others(reason).into_iter().filter_map(|event| merger.offer(event, now)).count();
            assert_eq!(written, 1);
        }
        assert_eq!(merger.floods.len(), MERGED_MAX + 2);
        let events = merger.due(now + MERGE_WINDOW, false);
        let counts: Vec<_> = events.iter().map(|event| &event.detail[0]).collect();
        let count = Value::from(2 * MERGED_MAX as u64 - 1);
        assert_eq!(counts, [&("count", count.clone()), &("count", count)]);
        assert!(events.iter().all(|event| event.detail.contains(&("crowd", Value::Truth(true)))));
        assert!(merger.floods.is_empty());
    }

    #[test]
    fn a_network_of_version_6_is_one_origin_and_each_thing_that_was_tried_another() {
        let mut merger = Merger::default();
        let now = Instant::now();
        let written = (0..1_000)
            .filter(|number| merger.offer(tripped(&format!("2001:db8:1:2:{number:x}::1")), now).is_some());
        assert_eq!(written.count(), 1);
        assert!(merger.offer(tripped("2001:db8:1:3::1"), now).is_some());
        let denied = |tried: &'static str| {
            Event::new(Kind::Denied, Outcome::Refused).user("mallory").detail("tried", tried)
        };
        for (tried, is_first) in [("join", true), ("send", true), ("join", false), ("send", false)] {
            assert_eq!(merger.offer(denied(tried), now).is_some(), is_first, "{tried}");
        }
    }
}
