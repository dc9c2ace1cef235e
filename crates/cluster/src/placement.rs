//! Which of several nodes something belongs to: rendezvous hashing with bounded load. Whoever asks with the same names gets
//! the same answer, without asking anybody; when a node comes or goes, little else moves. Pure.

mod relays;

pub use self::relays::{Relays, Side};
use crate::fnv::hash;

/// No node is given more than this many percent of its fair share while another has room.
pub const LOAD_PERCENT_MAX: u64 = 125;
/// A node counts at most so many times as much as the smallest.
pub const WEIGHT_MAX: u32 = 16;

/// A node that could take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate<'a> {
    pub name: &'a str,
    /// How much it can carry, as a multiple of the smallest: 1 to [`WEIGHT_MAX`].
    pub weight: u32,
    /// How much it carries, in whatever unit all of them count.
    pub load: u64,
}

/// The candidate that this key belongs to: the first of its ranking that would not be above its bound.
pub fn place(key: &str, candidates: &[Candidate<'_>]) -> Option<usize> {
    let bound = Bound::of(candidates);
    let best = |found: Option<(u64, usize)>, (index, candidate): (usize, &Candidate<'_>)| {
        let score = score(key, candidate);
        match found {
            Some((highest, _)) if highest >= score => found,
            _ => Some((score, index)),
        }
    };
    // Somebody is at or below the mean, so somebody has room.
    candidates
        .iter()
        .enumerate()
        .filter(|(_, candidate)| bound.has_room(candidate))
        .fold(None, best)
        .map(|(_, index)| index)
}

/// All candidates, in the order in which this key prefers them, whatever they carry.
pub fn ranking(key: &str, candidates: &[Candidate<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by_cached_key(|index| std::cmp::Reverse(score(key, &candidates[*index])));
    order
}

/// The same for whoever may have to try several: those that would not be above their bound first, as the key prefers them,
/// and then the others.
pub fn order(key: &str, candidates: &[Candidate<'_>]) -> Vec<usize> {
    let bound = Bound::of(candidates);
    let mut order = ranking(key, candidates);
    order.sort_by_key(|index| !bound.has_room(&candidates[*index]));
    order
}

/// What each may carry at most when one more comes, as long as another has room.
struct Bound {
    total: u64,
    weights: u64,
}

impl Bound {
    fn of(candidates: &[Candidate<'_>]) -> Self {
        Self {
            total: candidates.iter().map(|candidate| candidate.load).fold(1, u64::saturating_add),
            weights: candidates.iter().map(weight).sum(),
        }
    }

    fn has_room(&self, candidate: &Candidate<'_>) -> bool {
        let share = u128::from(self.total) * u128::from(LOAD_PERCENT_MAX) * u128::from(weight(candidate));
        // Rounded up: one more than nothing fits everywhere.
        u128::from(candidate.load) < share.div_ceil(u128::from(self.weights) * 100)
    }
}

fn weight(candidate: &Candidate<'_>) -> u64 {
    candidate.weight.clamp(1, WEIGHT_MAX).into()
}

/// The highest of as many draws as the node has weight, which is in proportion, and in whole numbers the same everywhere.
fn score(key: &str, candidate: &Candidate<'_>) -> u64 {
    let (key, name) = (hash(key), hash(candidate.name));
    let draw = |copy| mix(key ^ mix(name.wrapping_add(copy)));
    (0..weight(candidate)).map(draw).max().unwrap_or_default()
}

/// The finisher of `SplitMix64`: every bit of the input moves every bit of the output.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("node-{number}")).collect()
    }

    /// Keys as they come, one after the other; each stays where it was put.
    fn placed(keys: &[String], names: &[String], weights: &[u32]) -> (Vec<usize>, Vec<u64>) {
        let mut loads = vec![0; names.len()];
        let mut homes = Vec::new();
        for key in keys {
            let home = place(key, &candidates(names, weights, &loads)).expect("somebody always has room");
            loads[home] += 1;
            homes.push(home);
        }
        (homes, loads)
    }

    fn candidates<'a>(names: &'a [String], weights: &[u32], loads: &[u64]) -> Vec<Candidate<'a>> {
        let one = |(index, name): (usize, &'a String)| Candidate {
            name,
            weight: weights[index],
            load: loads[index],
        };
        names.iter().enumerate().map(one).collect()
    }

    fn keys(seed: u64, count: usize) -> Vec<String> {
        (0..count as u64).map(|number| format!("live:{:x}", mix(seed.wrapping_add(number)))).collect()
    }

    proptest! {
        #[test]
        fn nobody_is_above_the_bound(
            seed: u64,
            weights in prop::collection::vec(1u32..=WEIGHT_MAX, 1..20),
            count in 1usize..800,
        ) {
            let names = names(weights.len());
            let (_, loads) = placed(&keys(seed, count), &names, &weights);
            let all: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
            for (load, weight) in loads.iter().zip(&weights) {
                let bound = (count as u64 * LOAD_PERCENT_MAX * u64::from(*weight)).div_ceil(all * 100);
                prop_assert!(*load <= bound, "{load} of {count} at a weight of {weight} of {all}");
            }
        }

        /// Those of the node that went, and as many as it takes to make room for them: no more than twice that.
        #[test]
        fn few_move_when_a_node_goes_or_comes(seed: u64, nodes in 3usize..16) {
            let count = 1_000;
            let (names, keys) = (names(nodes), keys(seed, count));
            let (with, _) = placed(&keys, &names, &vec![1; nodes]);
            let (without, _) = placed(&keys, &names[..nodes - 1], &vec![1; nodes - 1]);
            let moved = with.iter().zip(&without).filter(|(with, without)| with != without).count();
            let had = with.iter().filter(|home| **home == nodes - 1).count();
            prop_assert!(moved <= 2 * had, "{moved} moved for the {had} of one of {nodes}");
        }

        #[test]
        fn the_order_of_the_candidates_does_not_matter(seed: u64, nodes in 1usize..12, rotation in 0usize..12) {
            let names = names(nodes);
            let mut turned = names.clone();
            turned.rotate_left(rotation % nodes);
            let (weights, loads) = (vec![1; nodes], vec![0; nodes]);
            for key in keys(seed, 50) {
                let one = ranking(&key, &candidates(&names, &weights, &loads));
                let other = ranking(&key, &candidates(&turned, &weights, &loads));
                let one: Vec<&String> = one.into_iter().map(|index| &names[index]).collect();
                let other: Vec<&String> = other.into_iter().map(|index| &turned[index]).collect();
                prop_assert_eq!(one, other);
            }
        }
    }

    #[test]
    fn who_has_no_room_comes_last_and_is_tried_all_the_same() {
        let names = names(4);
        for key in keys(7, 50) {
            let first = ranking(&key, &candidates(&names, &[1; 4], &[0; 4]))[0];
            let mut loads = [10; 4];
            loads[first] = 100;
            let candidates = candidates(&names, &[1; 4], &loads);
            let order = order(&key, &candidates);
            assert_eq!((order[0], order[3]), (place(&key, &candidates).unwrap(), first));
            assert_eq!(order.len(), 4);
        }
    }

    #[test]
    fn shares_are_in_proportion_to_weights() {
        let names = names(3);
        let candidates = candidates(&names, &[1, 2, 5], &[0, 0, 0]);
        let mut firsts = [0_i32; 3];
        for key in keys(1, 40_000) {
            firsts[ranking(&key, &candidates)[0]] += 1;
        }
        for (first, expected) in firsts.into_iter().zip([5_000, 10_000, 25_000]) {
            assert!((first - expected).abs() < 400, "{firsts:?}");
        }
    }

    #[test]
    fn nobody_has_nothing_and_one_has_all() {
        assert_eq!(place("a", &[]), None);
        let full = Candidate { name: "n", weight: 0, load: u64::MAX };
        assert_eq!(place("a", &[full]), Some(0));
    }
}
