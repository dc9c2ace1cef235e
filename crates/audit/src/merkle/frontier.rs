//! What must be known of a tree to append to it: the roots of its perfect subtrees, from left to right.

use super::{empty, node};
use crate::digest::Digest;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    /// Leaves below each, a power of two, strictly falling; and its root.
    peaks: Vec<(u64, Digest)>,
}

impl Frontier {
    /// Of a tree with that many leaves. `None` if the number of roots is not what such a tree has.
    pub fn from_roots(size: u64, roots: &[Digest]) -> Option<Self> {
        let powers = (0..u64::BITS).rev().map(|bit| 1 << bit).filter(|power| size & power != 0);
        let peaks: Vec<_> = powers.zip(roots.iter().copied()).collect();
        (roots.len() == size.count_ones() as usize).then_some(Self { peaks })
    }

    pub fn size(&self) -> u64 {
        self.peaks.iter().map(|(size, _)| size).sum()
    }

    pub fn roots(&self) -> impl Iterator<Item = Digest> {
        self.peaks.iter().map(|(_, root)| *root)
    }

    /// The perfect subtrees: the first leaf of each, how many there are, and the root.
    pub fn subtrees(&self) -> impl Iterator<Item = (u64, u64, Digest)> {
        self.peaks.iter().scan(0, |start, (size, root)| {
            *start += size;
            Some((*start - size, *size, *root))
        })
    }

    pub fn push(&mut self, leaf: Digest) {
        self.push_subtree(1, leaf);
    }

    /// Appends a perfect subtree. Its size must be a power of two and not larger than the last one here.
    pub(super) fn push_subtree(&mut self, size: u64, root: Digest) {
        let (mut size, mut root) = (size, root);
        while let Some((_, left)) = self.peaks.pop_if(|(last, _)| *last == size) {
            root = node(&left, &root);
            size *= 2;
        }
        self.peaks.push((size, root));
    }

    pub fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().rev().map(|(_, root)| *root);
        let Some(last) = peaks.next() else { return empty() };
        peaks.fold(last, |right, left| node(&left, &right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::leaf;

    #[test]
    fn the_roots_of_certificate_transparency() {
        // The leaves and roots with which implementations of RFC 6962 are commonly tested.
        let leaves: [&[u8]; 8] = [
            b"",
            &[0x00],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
        ];
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut frontier = Frontier::default();
        assert_eq!(frontier.root().to_string(), roots[0]);
        for (data, root) in leaves.iter().zip(&roots[1..]) {
            frontier.push(leaf(data));
            assert_eq!(frontier.root().to_string(), *root);
            let roots: Vec<_> = frontier.roots().collect();
            assert_eq!(Frontier::from_roots(frontier.size(), &roots), Some(frontier.clone()));
            assert_eq!(Frontier::from_roots(2 * frontier.size() + 1, &roots), None);
        }
    }
}
