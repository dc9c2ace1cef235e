//! Names of keys and channels. Whatever must change together has one hash tag, so it lies in one slot.

use turnpike_wire::RoomId;

use crate::{Incarnation, Lane, lane_of};

#[derive(Debug, Clone)]
pub(crate) struct Keys {
    prefix: Box<str>,
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into() }
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A key beside the lane's others.
    pub(crate) fn lane(&self, lane: Lane, rest: &str) -> String {
        format!("{{{}:l{}}}:{rest}", self.prefix, lane.index())
    }

    pub(crate) fn meta(&self, lane: Lane) -> String {
        self.lane(lane, "meta")
    }

    pub(crate) fn heads(&self, lane: Lane) -> String {
        self.lane(lane, "heads")
    }

    pub(crate) fn log(&self, room: &RoomId) -> String {
        format!("{{{}:l{}}}:log:{room}", self.prefix, lane_of(room).index())
    }

    /// One of the three buckets of message ids, which take turns.
    pub(crate) fn ids(&self, lane: Lane, bucket: usize) -> String {
        format!("{{{}:l{}}}:ids:{bucket}", self.prefix, lane.index())
    }

    /// Where the messages and signals of a room are announced.
    pub(crate) fn channel(&self, room: &RoomId) -> String {
        format!("{{{}:l{}}}:c:{room}", self.prefix, lane_of(room).index())
    }

    /// Where a node hears itself, to know that the lane's announcements reach it.
    pub(crate) fn probe(&self, lane: Lane, own: Incarnation) -> String {
        format!("{{{}:l{}}}:p:{own}", self.prefix, lane.index())
    }

    /// Where one node is told something.
    pub(crate) fn node(&self, node: Incarnation) -> String {
        format!("{{{}:n{node}}}:c", self.prefix)
    }

    /// What is posted for every node lies in one slot; there is little of it.
    pub(crate) fn bulletin(&self, rest: &str) -> String {
        format!("{{{}:bulletin}}:{rest}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::slot::slot_of;

    #[test]
    fn a_lane_is_in_one_slot_and_channels_name_their_room() {
        let keys = Keys::new("tp");
        let room = RoomId::parse("chat:a:b").unwrap();
        let lane = lane_of(&room);
        let slot = slot_of(&keys.meta(lane));
        for key in [
            keys.heads(lane),
            keys.log(&room),
            keys.ids(lane, 2),
            keys.channel(&room),
            keys.probe(lane, Incarnation(7)),
        ] {
            assert_eq!(slot_of(&key), slot, "{key}");
        }
    }
}
