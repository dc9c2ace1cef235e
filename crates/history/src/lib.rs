//! Was everything that the system promises kept? A history says what clients sent and were given, what happened to nodes,
//! and what stands in the log in the end; [`check`] holds it against each law.
//!
//! Pure: events in, violations out. It knows nothing of how the system works, and shares no type with it, so that a
//! mistake in one cannot hide in the other. Histories are lines of JSON, so that clients in any language can write them.

mod event;
mod index;
mod law;
mod laws;
mod lines;

pub use event::{Event, Level, What};
pub use law::{Law, Violation, list};
pub use lines::{LinesError, read, write};

/// Everything that was not kept. Events may come in any order; their times decide.
pub fn check(events: &[Event]) -> Vec<Violation> {
    let mut sorted: Vec<&Event> = events.iter().collect();
    // Stable: what one recorder wrote at the same microsecond stays in its order.
    sorted.sort_by_key(|event| event.at_us);
    let index = index::Index::new(&sorted);
    laws::ALL.iter().flat_map(|(law, check)| check(&index).into_iter().map(|found| found.of(*law))).collect()
}
