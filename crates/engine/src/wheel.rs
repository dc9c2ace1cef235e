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
