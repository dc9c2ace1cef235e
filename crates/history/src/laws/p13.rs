//! A stalled or hostile client moves the others' p99 by less than 20 ms.

use super::MS;
use crate::What;
use crate::index::{Index, p99};
use crate::law::{Found, found};

const MOVE_US_MAX: u64 = 20 * MS;

pub(super) fn check(index: &Index<'_>) -> Vec<Found> {
    let Some((before, during, at_us)) = compared(index, What::STALLED) else { return Vec::new() };
    if during >= before + MOVE_US_MAX {
        return vec![found!(at_us, "the p99 went from {before} us to {during} us")];
    }
    Vec::new()
}

/// The p99 of messages that were sent outside of a fault, and within it. None if too few were sent in one of the two.
pub(super) fn compared(index: &Index<'_>, fault: &str) -> Option<(u64, u64, u64)> {
    let faults = index.faults(fault);
    let at_us = faults.first()?.0;
    let is_within = |at_us: u64| faults.iter().any(|(from, to)| (*from..*to).contains(&at_us));
    let (within, outside): (Vec<_>, Vec<_>) = index.latencies().partition(|(sent, _)| is_within(*sent));
    let values = |of: Vec<(u64, u64)>| p99(of.into_iter().map(|(_, took)| took).collect());
    Some((values(outside)?, values(within)?, at_us))
}
