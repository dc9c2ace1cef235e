//! Chance that can be had again: every random test prints its seed and takes one.
#![allow(clippy::print_stdout, reason = "the seed of a run must be seen")]

#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Splitmix64.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn of_thousand(&mut self, chances: u64) -> bool {
        self.below(1_000) < chances
    }
}

/// The seeds of one test: that of `SEED`, or the first `count`, or as many as `SEEDS` says.
pub(crate) fn seeds(name: &str, count: u64) -> impl Iterator<Item = u64> {
    let setting = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let all = 0..setting("SEEDS").unwrap_or(count);
    let range = setting("SEED").map_or(all, |seed| seed..seed + 1);
    let name = name.to_owned();
    range.inspect(move |seed| println!("{name}: SEED={seed}"))
}
