//! Whether a proof holds (RFC 9162, 2.1.3.2 and 2.1.4.2, which say it step by step).

use super::node;
use crate::digest::Digest;

/// A proof that proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    #[error("the numbers cannot be those of such a proof")]
    Numbers,
    #[error("the proof is longer or shorter than it must be")]
    Length,
    #[error("the proof leads to another root")]
    Root,
}

/// Holds if `leaf` is the leaf `index` of the tree with that size and root.
pub fn verify_inclusion(
    leaf: Digest,
    index: u64,
    size: u64,
    path: &[Digest],
    root: Digest,
) -> Result<(), Unproven> {
    if index >= size {
        return Err(Unproven::Numbers);
    }
    let (mut at, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in path {
        if last == 0 {
            return Err(Unproven::Length);
        }
        if at & 1 == 1 || at == last {
            hash = node(sibling, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    match (last, hash == root) {
        (0, true) => Ok(()),
        (0, false) => Err(Unproven::Root),
        _ => Err(Unproven::Length),
    }
}

/// Holds if the tree of `new` leaves begins with all the leaves of that of `old` leaves.
pub fn verify_consistency(
    (old, old_root): (u64, Digest),
    (new, new_root): (u64, Digest),
    proof: &[Digest],
) -> Result<(), Unproven> {
    if old == 0 || old > new {
        return Err(Unproven::Numbers);
    }
    if old == new {
        return match (proof.is_empty(), old_root == new_root) {
            (false, _) => Err(Unproven::Length),
            (_, false) => Err(Unproven::Root),
            _ => Ok(()),
        };
    }
    let mut proof = proof.iter();
    let first = if old.is_power_of_two() { old_root } else { *proof.next().ok_or(Unproven::Length)? };
    let (mut at, mut last) = (old - 1, new - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let (mut old_hash, mut new_hash) = (first, first);
    for sibling in proof {
        if last == 0 {
            return Err(Unproven::Length);
        }
        if at & 1 == 1 || at == last {
            old_hash = node(sibling, &old_hash);
            new_hash = node(sibling, &new_hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node(&new_hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(Unproven::Length);
    }
    if old_hash == old_root && new_hash == new_root { Ok(()) } else { Err(Unproven::Root) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::merkle::{Frontier, Subtrees, consistency, inclusion, leaf, subtrees::split};

    fn leaves(count: u64) -> Vec<Digest> {
        (0..count).map(|index| leaf(&index.to_be_bytes())).collect()
    }

    /// MTH of RFC 6962, word by word.
    fn root(leaves: &[Digest]) -> Digest {
        match leaves {
            [] => crate::merkle::empty(),
            [leaf] => *leaf,
            leaves => {
                let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
                node(&root(left), &root(right))
            }
        }
    }

    /// The roots of the ranges, with what stands before `kept` known by its frontier alone.
    fn read(leaves: &[Digest], ranges: Vec<std::ops::Range<u64>>, kept: usize) -> Vec<Digest> {
        let mut before = Frontier::default();
        leaves[..kept].iter().for_each(|leaf| before.push(*leaf));
        let mut subtrees = Subtrees::new(ranges);
        subtrees.before(&before);
        for (index, leaf) in leaves.iter().enumerate().skip(kept) {
            subtrees.leaf(index as u64, *leaf);
        }
        subtrees.roots().unwrap()
    }

    proptest! {
        #[test]
        fn what_is_in_the_tree_can_be_proven_and_nothing_else(size in 1_u64..200, at in any::<u64>(), kept in any::<u64>(), other in any::<u64>(), flip in 0..256_usize) {
            let all = leaves(size);
            let (index, other) = (at % size, other % size);
            let kept = (kept % (index + 1)) as usize;
            let path = read(&all, inclusion(index, size).unwrap(), kept);
            prop_assert_eq!(verify_inclusion(all[index as usize], index, size, &path, root(&all)), Ok(()));
            if other != index {
                prop_assert!(verify_inclusion(all[index as usize], other, size, &path, root(&all)).is_err());
                prop_assert!(verify_inclusion(all[other as usize], index, size, &path, root(&all)).is_err());
            }
            let mut longer = path.clone();
            longer.push(Digest::NONE);
            prop_assert_eq!(verify_inclusion(all[index as usize], index, size, &longer, root(&all)), Err(Unproven::Length));
            for wrong in 0..path.len() {
                let mut forged = path.clone();
                forged[wrong].0[flip / 8] ^= 1 << (flip % 8);
                prop_assert_eq!(verify_inclusion(all[index as usize], index, size, &forged, root(&all)), Err(Unproven::Root));
            }
            prop_assert!(path.is_empty() || verify_inclusion(all[index as usize], index, size, &path[1..], root(&all)).is_err());
        }

        #[test]
        fn a_tree_that_grew_can_be_proven_and_one_that_changed_cannot(old in 1_u64..200, more in 0_u64..200, changed in any::<u64>(), kept in any::<u64>()) {
            let all = leaves(old + more);
            let kept = (kept % (old + 1)) as usize;
            let proof = read(&all, consistency(old, old + more).unwrap(), if more == 0 { 0 } else { kept });
            let (old_root, new_root) = (root(&all[..old as usize]), root(&all));
            prop_assert_eq!(verify_consistency((old, old_root), (old + more, new_root), &proof), Ok(()));

            let mut rewritten = all.clone();
            rewritten[(changed % old) as usize].0[0] ^= 1;
            let forged = read(&rewritten, consistency(old, old + more).unwrap(), 0);
            for proof in [&proof, &forged] {
                prop_assert!(verify_consistency((old, old_root), (old + more, root(&rewritten)), proof).is_err());
            }
            let mut longer = proof.clone();
            longer.push(Digest::NONE);
            prop_assert!(verify_consistency((old, old_root), (old + more, new_root), &longer).is_err());
            prop_assert!(proof.is_empty() || verify_consistency((old, old_root), (old + more, new_root), &proof[1..]).is_err());
        }
    }

    #[test]
    fn there_is_no_proof_of_what_cannot_be() {
        assert_eq!(inclusion(3, 3), None);
        assert_eq!(consistency(0, 3), None);
        assert_eq!(consistency(4, 3), None);
        assert_eq!(verify_inclusion(Digest::NONE, 1, 1, &[], Digest::NONE), Err(Unproven::Numbers));
        assert_eq!(verify_consistency((2, Digest::NONE), (1, Digest::NONE), &[]), Err(Unproven::Numbers));
    }
}
