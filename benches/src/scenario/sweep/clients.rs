//! How long clients of a node that was killed take to be whole again on another, over how many they are.

use super::{Bench, Contender, Curve, Sample, Scenario, Sweep};
use crate::scenario::node_killed::killed_under;

pub(crate) const SWEEP: Sweep = Sweep {
    scenario: Scenario {
        name: "by-clients",
        figures: &[],
        // The adapters of the others cannot take sessions up on another node.
        contenders: &[Contender::Turnpike],
        rounds: 1,
        turn_seconds: 50.0,
        measure,
    },
    curves: &[Curve {
        key: "all_back_seconds",
        title: "node killed, no jitter: until all clients are back on the other and have what they missed",
        size: "clients",
        unit: "s",
        is_logarithmic: false,
        goal: Some(5.0),
    }],
};

const SIZES: [u32; 5] = [500, 1_000, 2_000, 4_000, 8_000];
const QUICK: [u32; 1] = [80];

fn measure(bench: &Bench<'_>) -> anyhow::Result<Sample> {
    let mut sample = Sample::new();
    for size in bench.pick(&SIZES[..], &QUICK[..]).iter().copied() {
        // A system of its own: sessions of an earlier one would be in its way.
        for (key, value) in killed_under(bench, size)?.iter() {
            sample.insert_at(key, size, value);
        }
    }
    Ok(sample)
}
