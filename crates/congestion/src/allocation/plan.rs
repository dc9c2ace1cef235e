//! What a budget gives: the lowest level for everybody first, then more for whoever is served first.

use super::Each;
use super::ladder::Ladder;

/// A level for each ladder, none above its cap.
pub(super) fn plan(ladders: &[Ladder], caps: &[usize], budget_bps: u64) -> Each<usize> {
    let mut levels: Each<usize> = ladders.iter().map(|_| 0).collect();
    let mut left_bps = budget_bps;
    let mut order: Each<usize> = (0..ladders.len()).filter(|&index| caps[index] > 0).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(ladders[index].priority));
    for &index in &order {
        let bps = ladders[index].bps(1);
        if bps <= left_bps {
            levels[index] = 1;
            left_bps -= bps;
        }
    }
    for class in order.chunk_by(|&one, &other| ladders[one].priority == ladders[other].priority) {
        // Among equals, whoever has least is next.
        while let Some((index, level)) = class
            .iter()
            .filter(|&&index| levels[index] > 0)
            .filter_map(|&index| {
                raise(&ladders[index], levels[index], caps[index], left_bps).map(|level| (index, level))
            })
            .min_by_key(|&(index, _)| levels[index])
        {
            left_bps =
                (left_bps + ladders[index].bps(levels[index])).saturating_sub(ladders[index].bps(level));
            levels[index] = level;
        }
    }
    levels
}

/// The next level that fits; one in between may cost more than those above it, as measured bitrates do.
fn raise(ladder: &Ladder, level: usize, cap: usize, left_bps: u64) -> Option<usize> {
    let affordable_bps = left_bps + ladder.bps(level);
    (level + 1..=cap).find(|&higher| ladder.bps(higher) <= affordable_bps)
}

/// Whether `one` is to be preferred: more pictures for those that are served first, and then better ones.
pub(super) fn is_better(ladders: &[Ladder], one: &[usize], other: &[usize]) -> bool {
    let mut priorities: Each<u8> = ladders.iter().map(|ladder| ladder.priority).collect();
    priorities.sort_unstable_by(|one, other| other.cmp(one));
    priorities.dedup();
    for highest in [1, usize::MAX] {
        for &priority in &priorities {
            let sum = |levels: &[usize]| -> usize {
                let class = ladders.iter().zip(levels).filter(|(ladder, _)| ladder.priority == priority);
                class.map(|(_, &level)| level.min(highest)).sum()
            };
            let (one, other) = (sum(one), sum(other));
            if one != other {
                return one > other;
            }
        }
    }
    false
}

pub(super) fn total_bps(ladders: &[Ladder], levels: &[usize]) -> u64 {
    ladders.iter().zip(levels).map(|(ladder, &level)| ladder.bps(level)).sum()
}

/// What the next level costs more, of whoever is next.
pub(super) fn next_step_bps(ladders: &[Ladder], levels: &[usize]) -> Option<u64> {
    let next = ladders
        .iter()
        .zip(levels)
        .filter(|&(ladder, &level)| level < ladder.len())
        .min_by_key(|&(ladder, &level)| (level > 0, std::cmp::Reverse(ladder.priority), level))?;
    let (ladder, &level) = next;
    Some(ladder.bps(level + 1).saturating_sub(ladder.bps(level)))
}
