//! How far this node has heard of presence in the rooms that somebody here has read: the latest version of each.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use turnpike_wire::RoomId;

use crate::{LANES, Lane, lane_of};

/// As many as there are rooms open here.
#[derive(Debug, Default)]
pub(crate) struct Versions {
    lanes: [Mutex<HashMap<RoomId, u64>>; LANES],
}

impl Versions {
    /// The roster was read. From here on changes are to be heard.
    pub(crate) fn read(&self, room: &RoomId, version: u64) {
        let mut lane = self.lane(lane_of(room));
        let known = lane.entry(room.clone()).or_default();
        *known = version.max(*known);
    }

    pub(crate) fn heard(&self, room: &RoomId, version: u64) {
        if let Some(known) = self.lane(lane_of(room)).get_mut(room) {
            *known = version.max(*known);
        }
    }

    pub(crate) fn closed(&self, room: &RoomId) {
        self.lane(lane_of(room)).remove(room);
    }

    pub(crate) fn of(&self, room: &RoomId) -> Option<u64> {
        self.lane(lane_of(room)).get(room).copied()
    }

    pub(crate) fn rooms(&self, lane: Lane) -> Vec<RoomId> {
        self.lane(lane).keys().cloned().collect()
    }

    fn lane(&self, lane: Lane) -> MutexGuard<'_, HashMap<RoomId, u64>> {
        self.lanes[lane.index()].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rooms_that_were_read_are_remembered_and_versions_rise() {
        let versions = Versions::default();
        let room = RoomId::parse("chat:a").unwrap();
        versions.heard(&room, 7);
        assert_eq!(versions.of(&room), None);
        versions.read(&room, 7);
        versions.heard(&room, 9);
        versions.read(&room, 8);
        assert_eq!(versions.of(&room), Some(9));
        assert_eq!(versions.rooms(lane_of(&room)), std::slice::from_ref(&room));
        versions.closed(&room);
        assert_eq!(versions.of(&room), None);
    }
}
