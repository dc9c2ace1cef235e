//! Whether the node has all that the log has, though nothing seems to be missing: asked now and then, and when somebody
//! must know.

use turnpike_wire::RoomId;

use super::room::State;
use super::{Comparison, Effect, Follower, Gap, Place};
use crate::LanePosition;

/// What the log has and the bus has not brought is probably on its way. So long it may be.
const ON_ITS_WAY_MS: u64 = 250;

/// Somebody waits until all is with the node that was in the log when they asked.
#[derive(Debug)]
pub(super) struct Level {
    pub(super) waiter: u64,
    pub(super) room: RoomId,
    /// Questions up to this number were asked before.
    pub(super) behind: u64,
}

/// What the log has and the bus has not brought yet.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) until_ms: u64,
    pub(super) places: Vec<(RoomId, Place)>,
    /// The question that has told of it, and where the lane stood.
    pub(super) number: u64,
    pub(super) lane: LanePosition,
}

impl Follower {
    pub(super) fn begin_audit(&mut self) {
        if !self.is_live() || self.audit.is_some() || self.expected.is_some() {
            // An answer that does not come is not waited for twice.
            self.audit = None;
            return;
        }
        let known: Vec<(RoomId, Option<Place>)> = self
            .rooms
            .iter()
            .filter(|(_, room)| matches!(room.state, State::Open { .. }))
            .map(|(name, room)| (name.clone(), room.place()))
            .collect();
        let rooms = known.iter().map(|(room, _)| room.clone()).collect();
        let number = self.number();
        self.audit = Some((number, rooms));
        // Even without a room: the lane may have begun a new epoch.
        let quiet = self.level_at.or(Some(LanePosition { epoch: self.epoch, pos: u64::MAX }));
        self.requests.push_back(Effect::Compare { number, rooms: known, quiet });
    }

    pub(super) fn audited(&mut self, number: u64, rooms: &[RoomId], comparison: &Comparison, now_ms: u64) {
        if comparison.lane.epoch != self.epoch {
            if comparison.lane.epoch > self.epoch {
                self.lose(Gap::Epoch);
            }
            return;
        }
        let mut places = Vec::new();
        for (index, place) in &comparison.differing {
            let Some((name, room)) = rooms.get(*index).and_then(|name| self.rooms.get_key_value(name)) else {
                continue;
            };
            match place {
                Some(place) if room.place().is_none_or(|own| own < *place) => {
                    places.push((name.clone(), *place));
                }
                // It has come since.
                Some(place)
                    if room.place().is_some_and(|own| own >= *place) && place.at.epoch == self.epoch => {}
                _ => return self.lose(Gap::Audit),
            }
        }
        if places.is_empty() {
            self.levelled(number, comparison.lane);
        } else {
            // If it does not come over the bus in time, it was missed.
            let (until_ms, lane) = (now_ms + ON_ITS_WAY_MS, comparison.lane);
            self.expected = Some(Expected { until_ms, places, number, lane });
        }
    }

    /// These need not be waited for any more.
    pub(super) fn come(&mut self, has_come: impl Fn(&RoomId, Place) -> bool) {
        let Some(expected) = &mut self.expected else { return };
        expected.places.retain(|(room, place)| !has_come(room, *place));
        if expected.places.is_empty() {
            let (number, lane) = (expected.number, expected.lane);
            self.expected = None;
            self.levelled(number, lane);
        }
    }

    /// All open rooms are with the node, or among `waiting`, as they stood when this question was answered.
    pub(super) fn levelled(&mut self, number: u64, lane: LanePosition) {
        self.level_at = Some(lane);
        if let Some(room) = self.rooms.iter().find(|(_, room)| room.is_open()).map(|(name, _)| name.clone()) {
            self.waiting.push_back(Effect::Verified(room, lane));
        }
        let reached = self.levels.extract_if(.., |level| level.behind < number);
        self.waiting.extend(reached.map(|level| Effect::Done(level.waiter)));
    }
}
