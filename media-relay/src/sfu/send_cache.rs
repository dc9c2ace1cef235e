//! What was published lately of one layer, once for all who watch it: what is new, what is asked for again, and where
//! somebody who comes late can begin.
//!
//! It knows no viewer, and does not look into payloads.

use std::time::{Duration, Instant};

/// How far back a packet can be asked for again, and somebody who comes late can begin.
const WINDOW: Duration = Duration::from_millis(2_500);
const PACKETS_MIN: usize = 64;
/// 20 Mbit/s for as long as the window, in packets of 1,200 bytes.
const PACKETS_MAX: usize = 8_192;

/// One packet of a layer as it was published, without what belongs to the way it came.
#[derive(Debug, Clone)]
pub(crate) struct Cached<F> {
    /// Counted on through the wrap of the 16 bits.
    pub(crate) seq: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) arrived: Instant,
    pub(crate) facts: F,
    /// Header extensions that viewers get as well: kind, length, bytes, one behind the other.
    pub(crate) extensions: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct SendCache<F> {
    /// At `seq % len`; the length is a power of two.
    slots: Vec<Option<Cached<F>>>,
    newest: Option<u64>,
    /// Buffers of packets that went, to be filled again.
    spare: Vec<(Vec<u8>, Vec<u8>)>,
    packets_max: usize,
}

/// Why a packet was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotTaken {
    Duplicate,
    TooOld,
}

impl<F> SendCache<F> {
    pub(crate) fn new() -> Self {
        Self { slots: Vec::new(), newest: None, spare: Vec::new(), packets_max: PACKETS_MAX }
    }

    pub(crate) fn newest(&self) -> Option<u64> {
        self.newest
    }

    pub(crate) fn get(&self, seq: u64) -> Option<&Cached<F>> {
        if self.slots.is_empty() {
            return None;
        }
        self.slots[self.index(seq)].as_ref().filter(|packet| packet.seq == seq)
    }

    /// Two empty buffers, for extensions and payload of the next packet.
    pub(crate) fn buffers(&mut self) -> (Vec<u8>, Vec<u8>) {
        self.spare.pop().unwrap_or_default()
    }

    pub(crate) fn insert(&mut self, packet: Cached<F>) -> Result<(), NotTaken> {
        if let Err(why) = self.can_take(packet.seq) {
            self.keep_buffers(packet);
            return Err(why);
        }
        if self.is_full_too_soon(&packet) {
            self.grow();
        }
        self.newest = self.newest.max(Some(packet.seq));
        let index = self.index(packet.seq);
        if let Some(old) = self.slots[index].replace(packet) {
            self.keep_buffers(old);
        }
        Ok(())
    }

    /// Forgets everything, as for a layer whose numbers begin anew.
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.newest = None;
    }

    /// For how many bytes of payload it holds memory.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        let held = |packet: &Cached<F>| packet.payload.capacity() + packet.extensions.capacity();
        self.slots.iter().flatten().map(held).sum::<usize>()
            + self.slots.capacity() * size_of::<Option<Cached<F>>>()
    }

    fn can_take(&self, seq: u64) -> Result<(), NotTaken> {
        let Some(newest) = self.newest else { return Ok(()) };
        if seq > newest {
            return Ok(());
        }
        if newest - seq >= self.slots.len() as u64 {
            return Err(NotTaken::TooOld);
        }
        match &self.slots[self.index(seq)] {
            Some(old) if old.seq == seq => Err(NotTaken::Duplicate),
            Some(old) if old.seq > seq => Err(NotTaken::TooOld),
            _ => Ok(()),
        }
    }

    /// Whether the place is taken by a packet that somebody may still want.
    fn is_full_too_soon(&self, packet: &Cached<F>) -> bool {
        if self.slots.is_empty() {
            return true;
        }
        let old = self.slots[self.index(packet.seq)].as_ref();
        self.slots.len() < self.packets_max
            && old.is_some_and(|old| packet.arrived.saturating_duration_since(old.arrived) < WINDOW)
    }

    fn grow(&mut self) {
        let len = (self.slots.len() * 2).clamp(PACKETS_MIN, self.packets_max);
        let old = std::mem::take(&mut self.slots);
        self.slots.resize_with(len, || None);
        for packet in old.into_iter().flatten() {
            let index = self.index(packet.seq);
            self.slots[index] = Some(packet);
        }
    }

    fn keep_buffers(&mut self, packet: Cached<F>) {
        // One is in use at a time; a second comes back when a packet is refused.
        if self.spare.len() < 2 {
            let Cached { mut extensions, mut payload, .. } = packet;
            extensions.clear();
            payload.clear();
            self.spare.push((extensions, payload));
        }
    }

    fn index(&self, seq: u64) -> usize {
        (seq % self.slots.len() as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(cache: &mut SendCache<()>, seq: u64, arrived: Instant) -> Cached<()> {
        let (extensions, mut payload) = cache.buffers();
        payload.extend_from_slice(&seq.to_be_bytes());
        Cached { seq, timestamp: 0, marker: false, arrived, facts: (), extensions, payload }
    }

    fn put(cache: &mut SendCache<()>, seq: u64, arrived: Instant) -> Result<(), NotTaken> {
        let packet = packet(cache, seq, arrived);
        cache.insert(packet)
    }

    #[test]
    fn what_was_put_is_found_in_any_order() {
        let (mut cache, now) = (SendCache::new(), Instant::now());
        for seq in [70_000, 70_002, 70_001, 70_010] {
            assert_eq!(put(&mut cache, seq, now), Ok(()));
        }
        assert_eq!(put(&mut cache, 70_001, now), Err(NotTaken::Duplicate));
        assert_eq!(cache.get(70_001).unwrap().payload, 70_001_u64.to_be_bytes());
        assert!(cache.get(70_003).is_none());
        assert!(cache.get(70_010 - 64).is_none());
        assert_eq!(cache.newest(), Some(70_010));
    }

    #[test]
    fn it_holds_the_window_and_no_more_than_it_may() {
        let (mut cache, start) = (SendCache::new(), Instant::now());
        // 1,000 packets a second.
        for seq in 0..20_000_u64 {
            put(&mut cache, seq, start + Duration::from_millis(seq)).unwrap();
        }
        assert!(cache.get(20_000 - 2_400).is_some(), "the window is there");
        assert_eq!(cache.slots.len(), 4_096);
        // A flood, all in one moment.
        for seq in 20_000..60_000 {
            put(&mut cache, seq, start + Duration::from_secs(20)).unwrap();
        }
        assert_eq!(cache.slots.len(), PACKETS_MAX);
        assert_eq!(put(&mut cache, 60_000 - PACKETS_MAX as u64 - 1, start), Err(NotTaken::TooOld));
        assert!(cache.bytes() < PACKETS_MAX * 256);
    }

    #[test]
    fn a_quiet_layer_costs_little() {
        let (mut cache, start) = (SendCache::new(), Instant::now());
        // Audio of 50 packets a second.
        for seq in 0..2_000_u64 {
            put(&mut cache, seq, start + Duration::from_millis(20 * seq)).unwrap();
        }
        assert!(cache.slots.len() <= 128, "{}", cache.slots.len());
    }

    #[test]
    fn a_jump_leaves_nothing_wrong_behind() {
        let (mut cache, now) = (SendCache::new(), Instant::now());
        put(&mut cache, 5, now).unwrap();
        put(&mut cache, 5 + (1 << 40), now).unwrap();
        assert!(cache.get(6).is_none());
        assert_eq!(put(&mut cache, 7, now), Err(NotTaken::TooOld));
    }
}
