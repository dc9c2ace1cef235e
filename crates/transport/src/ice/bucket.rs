//! How many STUN messages we send a second for one peer.

use std::time::Instant;

/// Holds a second's worth; each message takes one.
#[derive(Debug)]
pub(super) struct Bucket {
    per_second: u32,
    /// In thousandths of a message.
    level: u64,
    filled: Instant,
}

impl Bucket {
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        Self { per_second, level: u64::from(per_second) * 1_000, filled: now }
    }

    pub(super) fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.filled).as_millis().min(1_000) as u64;
        if passed > 0 {
            let full = u64::from(self.per_second) * 1_000;
            self.level = (self.level + passed * u64::from(self.per_second)).min(full);
            self.filled = now;
        }
        let enough = self.level >= 1_000;
        if enough {
            self.level -= 1_000;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_second_gives_what_it_should() {
        let start = Instant::now();
        let mut bucket = Bucket::new(50, start);
        assert_eq!((0..100).filter(|_| bucket.take(start)).count(), 50);
        let taken = (0..1_000).filter(|ms| bucket.take(start + Duration::from_millis(*ms))).count();
        assert!((48..=50).contains(&taken), "{taken}");
    }
}
