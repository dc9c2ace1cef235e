//! Lanes: rooms are spread over a few, and a lane counts its messages. So one number a lane says for all rooms at once
//! what somebody has.

use serde::{Deserialize, Serialize};
use turnpike_wire::RoomId;

/// How many lanes there are. It bounds how many publishers go on side by side, and how long a recovery offset is.
pub const LANES: usize = 16;

/// Below [`LANES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane(u8);

impl Lane {
    pub fn all() -> impl Iterator<Item = Self> {
        (0..LANES as u8).map(Self)
    }

    pub fn new(index: usize) -> Option<Self> {
        (index < LANES).then_some(Self(index as u8))
    }

    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The lane of a room: the same on every node and in every run.
pub fn lane_of(room: &RoomId) -> Lane {
    Lane((crate::fnv::mixed(room) >> 60) as u8)
}

/// A place in the order of a lane. Positions of one epoch are compared by `pos`; a later epoch lies behind an earlier
/// one, but not all of the earlier one need have been kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct LanePosition {
    pub epoch: u64,
    pub pos: u64,
}

impl LanePosition {
    /// From where a member of a room is given its messages who came in at `joined` and has come this far in the lane.
    ///
    /// A later place of an earlier epoch stays what it is: the client has been given what lies between, while whoever wrote
    /// the place of its joining as one of a newer epoch knew of less. Whether its own was kept the broker can tell.
    #[must_use]
    pub fn or_joined(self, joined: Self) -> Self {
        if self.epoch < joined.epoch && self.pos > joined.pos { self } else { self.max(joined) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_been_given_more_since_is_not_sent_back_to_where_they_joined() {
        let at = |epoch, pos| LanePosition { epoch, pos };
        assert_eq!(at(1, 9).or_joined(at(1, 4)), at(1, 9));
        assert_eq!(at(1, 4).or_joined(at(1, 9)), at(1, 9));
        assert_eq!(at(2, 4).or_joined(at(1, 9)), at(2, 4));
        // The room was joined after the lane went on, and nothing of it is owed from before.
        assert_eq!(at(1, 4).or_joined(at(2, 4)), at(2, 4));
        assert_eq!(at(1, 3).or_joined(at(2, 4)), at(2, 4));
        // An attempt to come back of which the client never heard has moved the place to the new epoch, and another node
        // that had not heard of it has given the client more.
        assert_eq!(at(1, 9).or_joined(at(2, 4)), at(1, 9));
    }

    #[test]
    fn rooms_spread_over_all_lanes() {
        let mut counts = [0; LANES];
        for number in 0..1_600 {
            counts[lane_of(&RoomId::parse(&format!("chat:room-{number}")).unwrap()).index()] += 1;
        }
        assert!(counts.iter().all(|count| (60..150).contains(count)), "{counts:?}");
        // A room must not change its lane from one release to the next.
        assert_eq!(lane_of(&RoomId::parse("chat:general").unwrap()), Lane(12));
    }
}
