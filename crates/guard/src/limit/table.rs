//! Buckets by key: as many as were asked for, and no more than the bound.
//!
//! What is kept of a key is a number of 64 bits that a secret of this table makes of it, so a name of 128 bytes costs as
//! much as an address, and nobody can look for two keys that share a bucket.

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::told::nanos;
use super::{Exceeded, Rate, told};

/// A stripe is swept in about 20 us, and that is how long somebody else may have to wait for it.
const STRIPE_ENTRIES: usize = 4_096;
/// Enough that a few threads hardly meet.
const STRIPES_MIN: usize = 16;
/// A full stripe in which nothing was idle is not looked through again for every key that comes.
const SWEEP_GAP_MS: u64 = 100;

/// At the bound, keys whose bucket is full again go: they lose nothing by it. If there is none, keys that are not known
/// share one bucket for each stripe, so that nobody gets through unlimited by bringing more keys than there is room for, and
/// those that are known keep theirs.
pub struct Table<K: ?Sized> {
    secret: RandomState,
    stripes: Box<[Mutex<Stripe>]>,
    stripe_entries_max: usize,
    crowded: AtomicU64,
    key: PhantomData<fn(&K)>,
}

#[derive(Default)]
struct Stripe {
    full_at_ns: HashMap<u64, Cell<u64>, BuildHasherDefault<AsIs>>,
    /// For all keys that there is no room for.
    others: Cell<u64>,
    not_swept_until_ms: u64,
}

impl<K: Hash + ?Sized> Table<K> {
    pub fn new(entries_max: usize) -> Self {
        let stripes = entries_max.div_ceil(STRIPE_ENTRIES).next_power_of_two();
        let stripes = if entries_max < STRIPES_MIN { 1 } else { stripes.max(STRIPES_MIN) };
        Self {
            secret: RandomState::new(),
            stripes: (0..stripes).map(|_| Mutex::default()).collect(),
            stripe_entries_max: (entries_max / stripes).max(1),
            crowded: AtomicU64::new(0),
            key: PhantomData,
        }
    }

    #[inline]
    pub fn check(&self, key: &K, rate: &Rate, now_ms: u64) -> Result<(), Exceeded> {
        self.check_n(key, rate, 1, now_ms)
    }

    /// See [`super::Bucket::check_n`].
    #[inline]
    pub fn check_n(&self, key: &K, rate: &Rate, count: u32, now_ms: u64) -> Result<(), Exceeded> {
        let print = self.secret.hash_one(key);
        let mut stripe = lock(&self.stripes[print as usize & (self.stripes.len() - 1)]);
        if let Some(kept) = stripe.full_at_ns.get(&print) {
            return told::check(kept, rate, count, now_ms);
        }
        if !stripe.has_room(self.stripe_entries_max, now_ms) {
            self.crowded.fetch_add(1, Ordering::Relaxed);
            return told::check(&stripe.others, rate, count, now_ms);
        }
        told::check(stripe.full_at_ns.entry(print).or_default(), rate, count, now_ms)
    }

    /// Forgets whose bucket is full again, and gives the memory back. To be called every now and then.
    pub fn sweep(&self, now_ms: u64) {
        for stripe in &self.stripes {
            lock(stripe).sweep(now_ms);
        }
    }

    pub fn len(&self) -> usize {
        self.stripes.iter().map(|stripe| lock(stripe).full_at_ns.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn entries_max(&self) -> usize {
        self.stripe_entries_max * self.stripes.len()
    }

    /// How often somebody had to share a bucket because there was no room for another.
    pub fn crowded(&self) -> u64 {
        self.crowded.load(Ordering::Relaxed)
    }
}

impl Stripe {
    fn has_room(&mut self, entries_max: usize, now_ms: u64) -> bool {
        if self.full_at_ns.len() >= entries_max && now_ms >= self.not_swept_until_ms {
            self.sweep(now_ms);
            // One that gained little is as good as none.
            if self.full_at_ns.len() > entries_max - entries_max / 8 {
                self.not_swept_until_ms = now_ms + SWEEP_GAP_MS;
            }
        }
        self.full_at_ns.len() < entries_max
    }

    fn sweep(&mut self, now_ms: u64) {
        let now_ns = nanos(now_ms);
        self.full_at_ns.retain(|_, full_at_ns| full_at_ns.get() > now_ns);
        if self.full_at_ns.capacity() > 4 * self.full_at_ns.len() {
            self.full_at_ns.shrink_to(2 * self.full_at_ns.len());
        }
    }
}

fn lock(stripe: &Mutex<Stripe>) -> MutexGuard<'_, Stripe> {
    // A bucket is changed in one step.
    stripe.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was hashed with a secret need not be hashed again.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("its keys are numbers");
    }

    fn write_u64(&mut self, number: u64) {
        // The lowest bits chose the stripe.
        self.0 = number.rotate_right(20);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn rate(per_second: u32, burst: u32) -> Rate {
        Rate::per_second(NonZeroU32::new(per_second).unwrap(), NonZeroU32::new(burst).unwrap())
    }

    #[test]
    fn each_key_has_a_bucket_of_its_own() {
        let (table, rate) = (Table::<str>::new(1_000), rate(10, 3));
        for key in ["alice", "bob"] {
            assert_eq!((0..10).filter(|_| table.check(key, &rate, 5).is_ok()).count(), 3);
        }
        assert_eq!(table.check("alice", &rate, 5), Err(Exceeded { retry_after_ms: 100 }));
        assert_eq!(table.check_n("carol", &rate, 3, 5), Ok(()));
        assert_eq!((table.len(), table.crowded()), (3, 0));
    }

    #[test]
    fn who_is_full_again_is_forgotten() {
        let (table, rate) = (Table::<u32>::new(1_000), rate(10, 3));
        for key in 0..500 {
            table.check_n(&key, &rate, if key < 100 { 3 } else { 1 }, 0).unwrap();
        }
        table.sweep(99);
        assert_eq!(table.len(), 500);
        table.sweep(100);
        assert_eq!(table.len(), 100);
        table.sweep(300);
        assert!(table.is_empty());
    }

    #[test]
    fn at_the_bound_the_idle_go_and_who_is_new_is_never_unlimited() {
        let (table, rate) = (Table::<u32>::new(160), rate(10, 10));
        let passed = |keys: std::ops::Range<u32>, now_ms| {
            keys.filter(|key| table.check_n(key, &rate, 10, now_ms).is_ok()).count()
        };
        assert!(passed(0..10_000, 0) <= 160 + STRIPES_MIN, "one bucket a stripe for all that have no room");
        assert!(table.len() <= table.entries_max());
        assert!(table.crowded() > 9_000);
        assert_eq!(passed(0..100, 500), 0, "who is known has not been forgotten for others");
        let before = table.crowded();
        assert!(passed(20_000..20_100, 1_000) > 90, "a second later all of them are full again, and go");
        assert!(table.crowded() - before < 10);
    }
}
