//! Many networks at once: as ranges that are sorted and do not touch, so that a look is a search of a few steps.

use std::net::IpAddr;

use super::canonical::canonical;
use super::network::Network;

/// A set of addresses. Ten thousand networks are 14 steps of a search, and no more memory than their ends.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub struct Networks {
    v4: Box<[Range<u32>]>,
    v6: Box<[Range<u128>]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Range<T> {
    first: T,
    last: T,
}

impl Networks {
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        match canonical(address) {
            IpAddr::V4(v4) => holds(&self.v4, v4.to_bits()),
            IpAddr::V6(v6) => holds(&self.v6, v6.to_bits()),
        }
    }
}

impl FromIterator<Network> for Networks {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match (network.first(), network.last()) {
                (IpAddr::V4(first), IpAddr::V4(last)) => {
                    v4.push(Range { first: first.to_bits(), last: last.to_bits() });
                }
                (IpAddr::V6(first), IpAddr::V6(last)) => {
                    v6.push(Range { first: first.to_bits(), last: last.to_bits() });
                }
                _ => unreachable!("a network has one family"),
            }
        }
        Self { v4: merged(v4), v6: merged(v6) }
    }
}

/// Networks lie within one another or apart, so whatever overlaps is swallowed whole.
fn merged<T: Ord + Copy>(mut ranges: Vec<Range<T>>) -> Box<[Range<T>]> {
    ranges.sort_unstable_by(|a, b| a.first.cmp(&b.first).then(b.last.cmp(&a.last)));
    let mut merged: Vec<Range<T>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        if merged.last().is_none_or(|before| range.first > before.last) {
            merged.push(range);
        }
    }
    merged.into_boxed_slice()
}

fn holds<T: Ord + Copy>(ranges: &[Range<T>], address: T) -> bool {
    let behind = ranges.partition_point(|range| range.first <= address);
    behind > 0 && address <= ranges[behind - 1].last
}
