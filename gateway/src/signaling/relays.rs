//! Which relays are there, and which are missing. Where somebody is sent says `turnpike_cluster::placement`.

use std::collections::HashMap;

use turnpike_cluster::{Incarnation, Node};

/// How long a relay may be missing among the nodes that live before its sessions are given up: longer than a lease that is
/// renewed late.
const MISSING_MS_MAX: u64 = 5_000;

/// Whether somebody may still begin at that relay. Full or not: that it says itself.
pub(super) fn stays(nodes: &[Node], relay: Incarnation) -> bool {
    nodes.iter().any(|node| node.incarnation == relay && node.relay.is_some() && !node.draining)
}

/// Whether there is a relay at that node.
pub(super) fn is_relay(nodes: &[Node], relay: Incarnation) -> bool {
    nodes.iter().any(|node| node.incarnation == relay && node.relay.is_some())
}

/// Which relays are missing, and since when.
#[derive(Default)]
pub(super) struct Missing(HashMap<u64, u64>);

impl Missing {
    /// Of these relays, those that have been missing for too long.
    pub(super) fn look(
        &mut self,
        nodes: &[Node],
        relays: impl Iterator<Item = u64>,
        now_ms: u64,
    ) -> Vec<u64> {
        let missing: Vec<u64> = relays.filter(|relay| !is_relay(nodes, Incarnation(*relay))).collect();
        self.0.retain(|relay, _| missing.contains(relay));
        for relay in &missing {
            self.0.entry(*relay).or_insert(now_ms);
        }
        let is_lost = |relay: &u64| now_ms.saturating_sub(self.0[relay]) >= MISSING_MS_MAX;
        missing.into_iter().filter(is_lost).collect()
    }
}

#[cfg(test)]
mod tests {
    use turnpike_cluster::RelayOffer;

    use super::*;

    fn node(number: u64, has_relay: bool) -> Node {
        Node {
            incarnation: Incarnation(number),
            name: format!("n{number}"),
            address: None,
            version: String::new(),
            draining: false,
            places: None,
            relay: has_relay.then(RelayOffer::default),
        }
    }

    #[test]
    fn who_leaves_is_a_relay_and_takes_nobody_in() {
        let leaving = Node { draining: true, ..node(2, true) };
        let nodes = [node(1, true), leaving, node(3, false)];
        assert_eq!(
            [1, 2, 3, 4].map(|number| stays(&nodes, Incarnation(number))),
            [true, false, false, false]
        );
        assert_eq!(
            [1, 2, 3, 4].map(|number| is_relay(&nodes, Incarnation(number))),
            [true, true, false, false]
        );
    }

    #[test]
    fn a_relay_is_given_up_after_a_while_and_not_for_a_lapse() {
        let (here, away) = ([node(2, true)], [node(2, false)]);
        let mut missing = Missing::default();
        let mut look = |nodes: &[Node], now_ms| missing.look(nodes, [2].into_iter(), now_ms);
        assert!(look(&here, 0).is_empty() && look(&away, 1_000).is_empty() && look(&away, 5_999).is_empty());
        assert!(
            look(&here, 6_000).is_empty() && look(&away, 7_000).is_empty() && look(&[], 11_999).is_empty()
        );
        assert_eq!(look(&[], 12_000), [2]);
    }
}
