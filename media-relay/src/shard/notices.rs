//! Notices on their way out. They go through a bounded channel; when whoever hears them is behind, they wait here, and of
//! states only each session's latest does. Pure: where they go is an argument.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use turnpike_wire::media::{MediaSession, StreamState};

use super::counters::Counters;
use crate::Notice;

/// Offers and ends that wait here. A listener that is this far behind has died; what it does not hear then is found out by
/// its leases.
const WAITING_MAX: usize = 16_384;

/// Sessions whose latest state waits here: more than a shard has sessions.
const STATES_MAX: usize = 65_536;

#[derive(Default)]
pub(super) struct Waiting {
    others: VecDeque<(MediaSession, Notice)>,
    states: HashMap<MediaSession, Arc<StreamState>>,
}

impl Waiting {
    /// Takes a notice; [`Self::hand_over`] gives it on.
    pub(super) fn take(&mut self, session: MediaSession, notice: Notice, counters: &Counters) {
        counters.notices.add(1);
        match notice {
            Notice::State(state) => self.take_state(session, state, counters),
            notice => {
                // The last of a session: what its stream is like is of no interest any more.
                if matches!(notice, Notice::Ended(_)) && self.states.remove(&session).is_some() {
                    counters.notices_merged.add(1);
                }
                if self.others.len() < WAITING_MAX {
                    self.others.push_back((session, notice));
                } else {
                    counters.notices_dropped.add(1);
                }
            }
        }
    }

    fn take_state(&mut self, session: MediaSession, state: Arc<StreamState>, counters: &Counters) {
        let has_room = self.states.len() < STATES_MAX;
        match self.states.entry(session) {
            Entry::Occupied(mut entry) => {
                entry.insert(state);
                counters.notices_merged.add(1);
            }
            Entry::Vacant(entry) if has_room => {
                entry.insert(state);
            }
            Entry::Vacant(_) => counters.notices_dropped.add(1),
        }
    }

    /// Gives on as many as `give` takes; it gives back what it does not.
    pub(super) fn hand_over(
        &mut self,
        mut give: impl FnMut((MediaSession, Notice)) -> Option<(MediaSession, Notice)>,
    ) {
        while let Some(notice) = self.others.pop_front() {
            if let Some(notice) = give(notice) {
                self.others.push_front(notice);
                return;
            }
        }
        while let Some(session) = self.states.keys().next().copied() {
            let Some(state) = self.states.remove(&session) else { return };
            if let Some((session, Notice::State(state))) = give((session, Notice::State(state))) {
                self.states.insert(session, state);
                return;
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.others.len() + self.states.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use turnpike_wire::media::Phase;

    use super::*;
    use crate::Ended;

    fn session(key: u128) -> MediaSession {
        MediaSession { relay: 1, key }
    }

    fn state(viewers: u64) -> Notice {
        let state = StreamState { viewers, ..StreamState::ended(None) };
        Notice::State(Arc::new(StreamState { phase: Phase::Live, ..state }))
    }

    /// All that can be had.
    fn taken(waiting: &mut Waiting, most: usize) -> Vec<(MediaSession, Notice)> {
        let mut taken = Vec::new();
        waiting.hand_over(|notice| {
            if taken.len() == most {
                return Some(notice);
            }
            taken.push(notice);
            None
        });
        taken
    }

    #[test]
    fn only_the_latest_state_waits() {
        let (mut waiting, counters) = (Waiting::default(), Counters::default());
        for viewers in 0..10 {
            waiting.take(session(1), state(viewers), &counters);
        }
        waiting.take(session(2), state(77), &counters);
        waiting.take(session(1), Notice::Offer("v=0".into()), &counters);
        assert_eq!(waiting.len(), 3);
        let mut taken = taken(&mut waiting, 10);
        assert_eq!(taken.remove(0).1, Notice::Offer("v=0".into()));
        taken.sort_by_key(|(session, _)| session.key);
        assert_eq!(taken, [(session(1), state(9)), (session(2), state(77))]);
        assert_eq!((counters.notices.get(), counters.notices_merged.get()), (12, 9));
    }

    #[test]
    fn nothing_comes_after_the_end() {
        let (mut waiting, counters) = (Waiting::default(), Counters::default());
        waiting.take(session(1), state(1), &counters);
        waiting.take(session(1), Notice::Ended(Ended::Lost), &counters);
        assert_eq!(taken(&mut waiting, 10), [(session(1), Notice::Ended(Ended::Lost))]);
        assert!(waiting.is_empty());
    }

    #[test]
    fn what_is_not_taken_waits_in_order() {
        let (mut waiting, counters) = (Waiting::default(), Counters::default());
        for key in 0..5 {
            waiting.take(session(key), Notice::Connected, &counters);
            waiting.take(session(key), state(1), &counters);
        }
        let first = taken(&mut waiting, 3);
        let second = taken(&mut waiting, 4);
        let keys = |notices: &[(MediaSession, Notice)]| {
            let connected = notices.iter().filter(|(_, notice)| *notice == Notice::Connected);
            connected.map(|(session, _)| session.key).collect::<Vec<_>>()
        };
        assert_eq!((keys(&first), keys(&second)), (vec![0, 1, 2], vec![3, 4]));
        assert_eq!(waiting.len(), 3);
        assert_eq!(taken(&mut waiting, 10).len(), 3);
    }

    #[test]
    fn a_listener_that_is_gone_costs_a_bounded_amount() {
        let (mut waiting, counters) = (Waiting::default(), Counters::default());
        for key in 0..2 * STATES_MAX as u128 {
            waiting.take(session(key), Notice::Connected, &counters);
            waiting.take(session(key), state(1), &counters);
        }
        assert_eq!(waiting.len(), WAITING_MAX + STATES_MAX);
        let dropped = 4 * STATES_MAX - WAITING_MAX - STATES_MAX;
        assert_eq!(counters.notices_dropped.get(), dropped as u64);
    }
}
