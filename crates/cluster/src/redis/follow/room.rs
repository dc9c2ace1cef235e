//! One room as this node follows it.

use super::{Comparison, Place};
use crate::redis::frame::Header;
use crate::{LanePosition, Standing};

#[derive(Debug)]
pub(super) struct Room {
    pub(super) state: State,
    /// Which subscription counts; earlier ones of the same room may still be answered.
    pub(super) subscription: u64,
    pub(super) subscribed: bool,
}

#[derive(Debug)]
pub(super) enum State {
    Opening {
        waiters: Vec<u64>,
        /// The latest message that has come over the bus meanwhile.
        passed: Option<Place>,
    },
    Open {
        seq: u64,
        /// The latest message that the node was given, or stood at when it opened. None: the room is not remembered.
        last: Option<Place>,
    },
}

impl Room {
    pub(super) fn opening(subscription: u64, waiter: u64) -> Self {
        Self {
            state: State::Opening { waiters: vec![waiter], passed: None },
            subscription,
            subscribed: false,
        }
    }

    pub(super) fn subscribing(&mut self, number: u64) {
        self.subscription = number;
        self.subscribed = false;
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    pub(super) fn place(&self) -> Option<Place> {
        match &self.state {
            State::Opening { .. } => None,
            State::Open { last, .. } => *last,
        }
    }

    pub(super) fn seq(&self) -> u64 {
        match &self.state {
            State::Opening { .. } => 0,
            State::Open { seq, .. } => *seq,
        }
    }

    pub(super) fn has(&self, place: Place) -> bool {
        self.place().is_some_and(|last| place.at <= last.at)
    }

    /// Nothing lies between the room's last message and this one.
    pub(super) fn joins(&self, header: &Header) -> bool {
        match self.place() {
            // Forgotten and begun anew, it is the first again.
            _ if header.first => true,
            Some(last) => header.prev == last.at.pos && header.seq == last.seq + 1,
            None => false,
        }
    }

    pub(super) fn go_to(&mut self, place: Place) {
        if let State::Open { seq, last } = &mut self.state {
            (*seq, *last) = (place.seq, Some(place));
        }
    }

    /// Gives where it stands and who waited for it. What the bus brought while it was compared, and may have brought ahead
    /// of other rooms' messages that were handed on, counts as before it.
    pub(super) fn opened(&mut self, place: Option<Place>, comparison: &Comparison) -> (Standing, Vec<u64>) {
        let State::Opening { waiters, passed } = &mut self.state else {
            return (Standing::default(), Vec::new());
        };
        let (waiters, last) = (std::mem::take(waiters), place.max(*passed));
        let lane = passed.map_or(comparison.lane, |passed| comparison.lane.max(passed.at));
        let seq = last.map_or(comparison.forgotten.seq, |last| last.seq);
        let (epoch, pos) = last.map_or((lane.epoch, 0), |last| (last.at.epoch, last.at.pos));
        self.state = State::Open { seq, last };
        (Standing { epoch, seq, pos, lane }, waiters)
    }

    /// Its members have missed something: it goes on from there.
    pub(super) fn broken(&mut self, standing: &Standing) {
        if let State::Open { seq, last } = &mut self.state {
            let at = LanePosition { epoch: standing.epoch, pos: standing.pos };
            *seq = standing.seq;
            *last = (standing.pos > 0).then_some(Place { at, seq: standing.seq });
        }
    }

    pub(super) fn waiters(self) -> impl Iterator<Item = u64> {
        match self.state {
            State::Opening { waiters, .. } => waiters.into_iter(),
            State::Open { .. } => Vec::new().into_iter(),
        }
    }
}
