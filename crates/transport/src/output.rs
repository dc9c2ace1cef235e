//! What a transport wants done: datagrams and events, until they are fetched.

use std::collections::VecDeque;

use crate::transport::{Event, Transmit};

#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) transmits: VecDeque<Transmit>,
    transmits_max: usize,
    /// Datagrams that found no place.
    pub(crate) overflowed: u64,
    /// As many as the pairs allow: each event needs a valid check, and the caller fetches them after each datagram.
    pub(crate) events: VecDeque<Event>,
}

/// Events of a caller that never fetches them; the oldest is lost then.
const EVENTS_MAX: usize = 256;

impl Output {
    pub(crate) fn new(transmits_max: usize) -> Self {
        Self { transmits: VecDeque::new(), transmits_max, overflowed: 0, events: VecDeque::new() }
    }

    pub(crate) fn transmit(&mut self, transmit: Transmit) {
        if self.transmits.len() < self.transmits_max {
            self.transmits.push_back(transmit);
        } else {
            self.overflowed += 1;
        }
    }

    /// Gives back the room that only the beginning needed.
    pub(crate) fn shrink(&mut self) {
        self.transmits.shrink_to_fit();
        self.events.shrink_to_fit();
    }

    pub(crate) fn event(&mut self, event: Event) {
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}
