//! The Merkle tree over the records (RFC 6962, 2.1): its root from a stream of leaves, and proofs. Pure.
//!
//! A log is larger than memory, so nothing here holds the tree: [`Frontier`] is what must be kept to append, one value
//! for each level, and a proof says which subtrees it needs ([`Subtrees`]) before the log is read through once.

mod frontier;
mod proof;
mod subtrees;

pub use self::frontier::Frontier;
pub use self::proof::{Unproven, verify_consistency, verify_inclusion};
pub use self::subtrees::{Subtrees, consistency, inclusion};
use crate::digest::Digest;

/// Of a leaf's data (RFC 6962: the first byte keeps leaves and nodes apart).
pub fn leaf(data: &[u8]) -> Digest {
    Digest::of(&[&[0], data])
}

pub(crate) fn node(left: &Digest, right: &Digest) -> Digest {
    Digest::of(&[&[1], &left.0, &right.0])
}

/// The root of a tree without leaves.
pub fn empty() -> Digest {
    Digest::of(&[])
}
