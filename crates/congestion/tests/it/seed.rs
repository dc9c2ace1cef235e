//! Numbers that look random and are the same each time (splitmix64).

// A seed that failed has to be seen.
#![allow(clippy::print_stdout)]

pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn one_in(&mut self, share: f64) -> bool {
        self.unit() < share
    }
}

/// Runs with each of so many seeds, or with the one of the environment, and says which one failed.
pub(crate) fn with_seeds(count: u64, run: impl Fn(u64)) {
    if let Some(seed) = std::env::var("SEED").ok().and_then(|text| text.parse().ok()) {
        println!("SEED={seed}");
        return run(seed);
    }
    for seed in 1..=count {
        println!("SEED={seed}");
        run(seed);
    }
}
