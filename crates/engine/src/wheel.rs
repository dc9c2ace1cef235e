//! A hashed timing wheel: many deadlines at constant cost each, precise to a tick.
//!
//! Pure: the time is an argument. It must not know what its keys mean; an entry cannot be taken out again, so the
//! owner checks on expiry whether the key still matters.

/// With ticks of 50 ms one revolution takes 51 s, so heartbeats, acks and write deadlines come round once.
const SLOTS: usize = 1024;
const WORDS: usize = SLOTS / 64;
/// A slot keeps this much room when it empties: enough for the steady trickle of a shard, little enough that all
/// slots together stay small.
const SLOT_ENTRIES_KEPT_MAX: usize = 8;

#[derive(Clone, Copy, Debug)]
struct Entry<T> {
    tick: u64,
    key: T,
}

/// Deadlines in milliseconds of whatever clock the owner has. An entry never comes early, and comes late by
/// less than a tick, if [`Wheel::expire`] is called each tick.
#[derive(Debug)]
pub struct Wheel<T> {
    slots: Box<[Vec<Entry<T>>]>,
    /// One bit a slot that holds anything, so that empty stretches are skipped 64 at a time.
    occupied: [u64; WORDS],
    start_ms: u64,
    tick_ms: u64,
    /// The last tick that has expired.
    tick: u64,
    len: usize,
}

impl<T: Copy> Wheel<T> {
    pub fn new(now_ms: u64, tick_ms: u64) -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            occupied: [0; WORDS],
            start_ms: now_ms,
            tick_ms: tick_ms.max(1),
            tick: 0,
            len: 0,
        }
    }

    /// A deadline that has passed expires with the next tick.
    pub fn insert(&mut self, deadline_ms: u64, key: T) {
        let tick = deadline_ms.saturating_sub(self.start_ms).div_ceil(self.tick_ms).max(self.tick + 1);
        let slot = slot_of(tick);
        self.slots[slot].push(Entry { tick, key });
        self.occupied[slot / 64] |= 1 << (slot % 64);
        self.len += 1;
    }

    /// Calls `expired` for each key whose deadline has passed: tick by tick, and within a tick as they were
    /// inserted. After a pause of more than a revolution the order is by slot only.
    pub fn expire(&mut self, now_ms: u64, mut expired: impl FnMut(T)) {
        let now = now_ms.saturating_sub(self.start_ms) / self.tick_ms;
        if now <= self.tick {
            return;
        }
        // However long the pause, each slot is looked at once.
        let mut left = (now - self.tick).min(SLOTS as u64) as usize;
        let mut slot = slot_of(self.tick + 1);
        while left > 0 {
            // The stretch of slots that share a word of the bitmap.
            let stretch = left.min(64 - slot % 64);
            let mut bits = self.occupied[slot / 64] >> (slot % 64);
            if stretch < 64 {
                bits &= (1 << stretch) - 1;
            }
            while bits != 0 {
                self.expire_slot(slot + bits.trailing_zeros() as usize, now, &mut expired);
                bits &= bits - 1;
            }
            left -= stretch;
            slot = (slot + stretch) % SLOTS;
        }
        self.tick = now;
    }

    fn expire_slot(&mut self, slot: usize, now: u64, expired: &mut impl FnMut(T)) {
        let entries = &mut self.slots[slot];
        let before = entries.len();
        entries.retain(|entry| {
            let due = entry.tick <= now;
            if due {
                expired(entry.key);
            }
            !due
        });
        self.len -= before - entries.len();
        // A burst must not pin its memory for ever.
        if entries.capacity() > SLOT_ENTRIES_KEPT_MAX && entries.len() < entries.capacity() / 4 {
            entries.shrink_to(SLOT_ENTRIES_KEPT_MAX);
        }
        if entries.is_empty() {
            self.occupied[slot / 64] &= !(1 << (slot % 64));
        }
    }

    /// When it is next worth calling [`Wheel::expire`]: no entry is due before. At that moment there may be none
    /// either, if the nearest slot holds only entries of a later revolution.
    pub fn next_deadline_hint(&self) -> Option<u64> {
        if self.len == 0 {
            return None;
        }
        let first = slot_of(self.tick + 1);
        // The first word is looked at twice: from `first` on now, and below `first` after all others.
        let ahead = self.occupied[first / 64] & (u64::MAX << (first % 64));
        let words = std::iter::once((first / 64, ahead)).chain(
            (1..=WORDS).map(|step| (first / 64 + step) % WORDS).map(|word| (word, self.occupied[word])),
        );
        let (word, bits) = words.into_iter().find(|(_, bits)| *bits != 0)?;
        let slot = word * 64 + bits.trailing_zeros() as usize;
        let distance = (slot + SLOTS - first) % SLOTS;
        Some(self.start_ms + (self.tick + 1 + distance as u64) * self.tick_ms)
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

fn slot_of(tick: u64) -> usize {
    (tick % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{SLOT_ENTRIES_KEPT_MAX, SLOTS, Wheel};

    const TICK_MS: u64 = 50;
    const REVOLUTION_MS: u64 = TICK_MS * SLOTS as u64;

    fn expired(wheel: &mut Wheel<u32>, now_ms: u64) -> Vec<u32> {
        let mut keys = Vec::new();
        wheel.expire(now_ms, |key| keys.push(key));
        keys
    }

    #[test]
    fn expires_at_the_tick_and_not_before() {
        let mut wheel = Wheel::new(1_000, TICK_MS);
        wheel.insert(1_100, 1);
        wheel.insert(1_101, 2);
        // What has passed already, even before the wheel was made, comes with the next tick.
        wheel.insert(900, 3);
        wheel.insert(1_000, 4);
        assert_eq!(wheel.len(), 4);
        assert!(expired(&mut wheel, 1_049).is_empty());
        assert_eq!(expired(&mut wheel, 1_050), [3, 4]);
        assert!(expired(&mut wheel, 1_099).is_empty());
        assert_eq!(expired(&mut wheel, 1_100), [1]);
        // A clock that goes back does nothing.
        assert!(expired(&mut wheel, 0).is_empty());
        assert_eq!(expired(&mut wheel, 1_150), [2]);
        assert!(wheel.is_empty());
    }

    #[test]
    fn deadlines_beyond_a_revolution() {
        let mut wheel = Wheel::new(0, TICK_MS);
        wheel.insert(100 + 2 * REVOLUTION_MS, 3);
        wheel.insert(100, 1);
        wheel.insert(100 + REVOLUTION_MS, 2);
        wheel.insert(u64::MAX, 4);
        let mut now = 0;
        let mut at = Vec::new();
        while now < 3 * REVOLUTION_MS {
            now += TICK_MS;
            wheel.expire(now, |key| at.push((key, now)));
        }
        assert_eq!(at, [(1, 100), (2, 100 + REVOLUTION_MS), (3, 100 + 2 * REVOLUTION_MS)]);
        assert_eq!(wheel.len(), 1);
    }

    #[test]
    fn a_long_pause_loses_nothing() {
        let mut wheel = Wheel::new(0, TICK_MS);
        for key in 0..5_000 {
            wheel.insert(u64::from(key) * 37, key);
        }
        let mut keys = expired(&mut wheel, 4_000 * 37);
        assert_eq!(wheel.len(), 999);
        keys.sort_unstable();
        assert!(keys.into_iter().eq(0..=4_000));
    }

    #[test]
    fn the_hint_is_never_late() {
        let mut wheel = Wheel::new(500, TICK_MS);
        assert_eq!(wheel.next_deadline_hint(), None);
        wheel.insert(500 + 40 * TICK_MS, 1);
        assert_eq!(wheel.next_deadline_hint(), Some(500 + 40 * TICK_MS));
        wheel.insert(520, 2);
        assert_eq!(wheel.next_deadline_hint(), Some(550));
        expired(&mut wheel, 550);
        assert_eq!(wheel.next_deadline_hint(), Some(500 + 40 * TICK_MS));
        expired(&mut wheel, 500 + 40 * TICK_MS);
        assert_eq!(wheel.next_deadline_hint(), None);
        // Of a later revolution: early by whole revolutions, so that it costs one look each.
        let far = 500 + 60 * TICK_MS + 3 * REVOLUTION_MS;
        wheel.insert(far, 3);
        let mut looks = 0;
        while let Some(hint) = wheel.next_deadline_hint() {
            looks += 1;
            assert!(hint <= far);
            assert_eq!(expired(&mut wheel, hint).is_empty(), hint < far);
        }
        assert_eq!(looks, 4);
    }

    #[test]
    fn a_burst_leaves_no_memory_behind() {
        let mut wheel = Wheel::new(0, TICK_MS);
        for key in 0..100_000 {
            wheel.insert(1_000, key);
        }
        // A few stay, in the same slot, for a revolution more.
        for key in 0..3 {
            wheel.insert(1_000 + REVOLUTION_MS, key);
        }
        let capacity = |wheel: &Wheel<u32>| wheel.slots.iter().map(Vec::capacity).sum::<usize>();
        assert!(capacity(&wheel) >= 100_000);
        assert_eq!(expired(&mut wheel, 1_000).len(), 100_000);
        assert!(capacity(&wheel) <= SLOT_ENTRIES_KEPT_MAX, "{}", capacity(&wheel));
        assert_eq!(expired(&mut wheel, 1_000 + REVOLUTION_MS), [0, 1, 2]);
    }

    proptest! {
        /// Against a sorted list, with a clock that jumps.
        #[test]
        fn equals_a_sorted_list(
            start in 0..10_000_u64,
            steps in prop::collection::vec((prop::collection::vec(0..200_000_u64, 0..8), 0..90_000_u64), 1..40),
        ) {
            let mut wheel = Wheel::new(start, TICK_MS);
            let mut model: Vec<(u64, u32)> = Vec::new();
            let (mut now, mut last, mut key) = (start, 0, 0);
            for (deadlines, pause) in steps {
                for ahead in deadlines {
                    let deadline = (now + ahead).saturating_sub(1_000);
                    wheel.insert(deadline, key);
                    let tick = deadline.saturating_sub(start).div_ceil(TICK_MS).max(last + 1);
                    model.push((tick, key));
                    key += 1;
                }
                now += pause;
                let tick = (now - start) / TICK_MS;
                let mut expected: Vec<(u64, u32)> = model.extract_if(.., |(due, _)| *due <= tick).collect();
                expected.sort_unstable();
                let hint = wheel.next_deadline_hint();
                let mut keys = expired(&mut wheel, now);
                if tick - last > SLOTS as u64 {
                    keys.sort_unstable();
                    expected.sort_unstable_by_key(|(_, key)| *key);
                }
                prop_assert_eq!(&keys, &expected.iter().map(|(_, key)| *key).collect::<Vec<_>>());
                prop_assert_eq!(wheel.len(), model.len());
                if !keys.is_empty() {
                    prop_assert!(hint.is_some_and(|hint| hint <= now));
                }
                last = tick;
            }
        }
    }
}
