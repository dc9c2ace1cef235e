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
    // FNV-1a leaves names that differ in their last characters close together, so its bits are mixed once more.
    let hash = room.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    Lane((mixed >> 60) as u8)
}

/// A place in the order of a lane. Positions of one epoch are compared by `pos`; a later epoch lies behind an earlier
/// one, but not all of the earlier one need have been kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct LanePosition {
    pub epoch: u64,
    pub pos: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

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
