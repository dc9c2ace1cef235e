//! Which indices of a stream have been seen: a sliding window of 960 (RFC 3711 3.3.2). Far more than the 64 that
//! the RFC asks for, because a video stream sends hundreds of packets within a path's reordering.

const WORDS: usize = 16;
/// Indices behind the highest that can still be told apart. The word of the highest is shared with the indices of
/// a whole round before, so one word less than there is.
pub(super) const WINDOW: u64 = (WORDS as u64 - 1) * 64;

/// The highest index of a stream and which ones shortly before it have been seen.
#[derive(Debug, Clone)]
pub(super) struct Window {
    highest: u64,
    /// A ring: index `i` is bit `i % 64` of word `i / 64 % WORDS`.
    seen: [u64; WORDS],
}

/// Why an index is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stale {
    Repeated,
    Old,
}

impl Window {
    pub(super) fn starting_at(index: u64) -> Self {
        let mut window = Self { highest: index, seen: [0; WORDS] };
        window.set(index);
        window
    }

    pub(super) fn highest(&self) -> u64 {
        self.highest
    }

    pub(super) fn check(&self, index: u64) -> Result<(), Stale> {
        if index > self.highest {
            Ok(())
        } else if self.highest - index >= WINDOW {
            Err(Stale::Old)
        } else if self.seen[Self::word(index)] >> (index % 64) & 1 == 1 {
            Err(Stale::Repeated)
        } else {
            Ok(())
        }
    }

    /// Notes an index that [`Window::check`] allowed.
    pub(super) fn mark(&mut self, index: u64) {
        if index > self.highest {
            // Words that the window moves into still hold what was seen a round ago.
            let (from, to) = (self.highest / 64, index / 64);
            for word in (from + 1..=to).take(WORDS) {
                self.seen[word as usize % WORDS] = 0;
            }
            if to - from >= WORDS as u64 {
                self.seen = [0; WORDS];
            }
            self.highest = index;
        }
        self.set(index);
    }

    fn set(&mut self, index: u64) {
        self.seen[Self::word(index)] |= 1 << (index % 64);
    }

    fn word(index: u64) -> usize {
        (index / 64) as usize % WORDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Against a plain set of what was seen, with random steps forwards and backwards.
    #[test]
    fn agrees_with_a_set() {
        for seed in 1..200u64 {
            let mut random = seed;
            let mut next = move || {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random
            };
            let first = next() % 5_000;
            let mut window = Window::starting_at(first);
            let mut seen = HashSet::from([first]);
            let mut highest = first;
            for _ in 0..3_000 {
                let index = match next() % 10 {
                    0 => highest + next() % 3_000,
                    1..=4 => highest + next() % 4,
                    _ => highest.saturating_sub(next() % 1_100),
                };
                let fresh = index > highest || (highest - index < WINDOW && !seen.contains(&index));
                let stale = index <= highest && (highest - index >= WINDOW || seen.contains(&index));
                let taken = window.check(index).is_ok();
                assert!(!fresh || taken, "seed {seed}: {index} of {highest} refused");
                assert!(!stale || !taken, "seed {seed}: {index} of {highest} taken twice");
                if taken {
                    window.mark(index);
                    seen.insert(index);
                    highest = highest.max(index);
                }
            }
        }
    }
}
