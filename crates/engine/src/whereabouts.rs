//! Which shards have members of which room, so that a broadcast bothers only those. A count a room and shard:
//! raised when a join is sent, lowered when the membership ends or the join turned out to be void.

use std::sync::Arc;

use dashmap::DashMap;

use crate::config::SHARDS_MAX;

/// A set of shard indexes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shards(u64);

impl Shards {
    pub(crate) fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    pub(crate) fn only(self) -> Option<usize> {
        (self.len() == 1).then(|| self.0.trailing_zeros() as usize)
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = usize> {
        (0..SHARDS_MAX).filter(move |shard| self.0 >> shard & 1 == 1)
    }
}

type Room = (Arc<str>, Arc<str>);

pub(crate) enum Whereabouts {
    /// One shard has every room; nothing to look up.
    Single,
    Sharded {
        shards: usize,
        rooms: DashMap<Room, Box<[u32]>>,
    },
}

impl Whereabouts {
    pub(crate) fn new(shards: usize) -> Self {
        assert!(shards <= SHARDS_MAX, "configuration allows at most {SHARDS_MAX} shards");
        if shards == 1 { Self::Single } else { Self::Sharded { shards, rooms: DashMap::new() } }
    }

    pub(crate) fn enter(&self, namespace: &str, room: &str, shard: usize) {
        if let Self::Sharded { shards, rooms } = self {
            let mut counts = rooms
                .entry((namespace.into(), room.into()))
                .or_insert_with(|| vec![0; *shards].into_boxed_slice());
            counts[shard] += 1;
        }
    }

    pub(crate) fn leave(&self, namespace: &str, room: &str, shard: usize) {
        if let Self::Sharded { rooms, .. } = self {
            let key = (Arc::from(namespace), Arc::from(room));
            rooms.remove_if_mut(&key, |_, counts| {
                counts[shard] = counts[shard].saturating_sub(1);
                counts.iter().all(|count| *count == 0)
            });
        }
    }

    pub(crate) fn shards_of(&self, namespace: &str, room: &str) -> Shards {
        match self {
            Self::Single => Shards(1),
            Self::Sharded { rooms, .. } => {
                let found = rooms.get(&(Arc::from(namespace), Arc::from(room)));
                Shards(found.map_or(0, |counts| {
                    counts.iter().enumerate().map(|(shard, count)| u64::from(*count > 0) << shard).sum()
                }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_where_somebody_entered_and_nobody_else_left() {
        let whereabouts = Whereabouts::new(3);
        let shards = |room| whereabouts.shards_of("/", room).iter().collect::<Vec<_>>();
        assert!(shards("a").is_empty());
        whereabouts.enter("/", "a", 0);
        whereabouts.enter("/", "a", 2);
        whereabouts.enter("/", "a", 2);
        whereabouts.enter("/admin", "a", 1);
        assert_eq!(shards("a"), [0, 2]);
        whereabouts.leave("/", "a", 2);
        assert_eq!(shards("a"), [0, 2]);
        whereabouts.leave("/", "a", 2);
        assert_eq!(whereabouts.shards_of("/", "a").only(), Some(0));
        whereabouts.leave("/", "a", 0);
        assert!(shards("a").is_empty());
        let Whereabouts::Sharded { rooms, .. } = &whereabouts else { panic!("three shards") };
        assert_eq!(rooms.len(), 1, "rooms that nobody is in are forgotten");
    }

    #[test]
    fn one_shard_keeps_no_books() {
        let whereabouts = Whereabouts::new(1);
        assert_eq!(whereabouts.shards_of("/", "never seen").only(), Some(0));
    }
}
