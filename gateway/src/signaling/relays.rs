//! Which relay somebody is sent to. A question about values: what the relays say of themselves, and who asks.

use std::collections::HashMap;

use turnpike_cluster::{Incarnation, Node, RelayOffer};

/// How long a relay may be missing among the nodes that live before its sessions are given up: longer than a lease that is
/// renewed late.
const MISSING_MS_MAX: u64 = 5_000;

/// The relay for a new publisher: the one with the least to do, and of equal ones that of this node.
pub(super) fn for_publisher(
    nodes: &[Node],
    own: Incarnation,
    is_shunned: impl Fn(Incarnation) -> bool,
) -> Option<Incarnation> {
    open(nodes)
        .filter(|(relay, _)| !is_shunned(*relay))
        .min_by_key(|(relay, offer)| (offer.load_permille, *relay != own, *relay))
        .map(|(relay, _)| relay)
}

/// The relay for a viewer of a stream that lives at `home`: that of this node as long as it has room, then the home, and
/// then the one with the least to do. Who is not the home gets the stream from there, by a link.
pub(super) fn for_viewer(
    nodes: &[Node],
    own: Incarnation,
    home: Incarnation,
    is_shunned: impl Fn(Incarnation) -> bool,
) -> Option<Incarnation> {
    // Of a home that has just gone another will be there soon.
    let gives = nodes
        .iter()
        .find(|node| node.incarnation == home)
        .is_none_or(|node| node.relay.as_ref().is_some_and(|offer| offer.link.is_some()));
    open(nodes)
        .filter(|(relay, offer)| *relay == home || (gives && offer.link.is_some()))
        .filter(|(relay, _)| !is_shunned(*relay))
        .min_by_key(|(relay, offer)| (*relay != own, *relay != home, offer.load_permille, *relay))
        .map(|(relay, _)| relay)
}

/// Whether somebody may still begin at that relay. Full or not: that it says itself.
pub(super) fn stays(nodes: &[Node], relay: Incarnation) -> bool {
    nodes.iter().any(|node| node.incarnation == relay && node.relay.is_some() && !node.draining)
}

/// Whether there is a relay at that node.
pub(super) fn is_relay(nodes: &[Node], relay: Incarnation) -> bool {
    nodes.iter().any(|node| node.incarnation == relay && node.relay.is_some())
}

fn open(nodes: &[Node]) -> impl Iterator<Item = (Incarnation, &RelayOffer)> {
    nodes
        .iter()
        .filter(|node| !node.draining)
        .filter_map(|node| Some((node.incarnation, node.relay.as_ref()?)))
        .filter(|(_, offer)| offer.has_room)
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
    use super::*;

    const OWN: Incarnation = Incarnation(1);

    const LINK: &str = "192.0.2.1:3030";

    fn node(number: u64, relay: Option<(u16, bool)>) -> Node {
        Node {
            incarnation: Incarnation(number),
            name: format!("n{number}"),
            address: None,
            version: String::new(),
            draining: false,
            relay: relay.map(|(load_permille, has_room)| RelayOffer {
                url: None,
                link: Some(LINK.parse().unwrap()),
                load_permille,
                has_room,
            }),
        }
    }

    fn draining(node: Node) -> Node {
        Node { draining: true, ..node }
    }

    fn unlinked(mut node: Node) -> Node {
        node.relay.as_mut().unwrap().link = None;
        node
    }

    #[test]
    fn the_least_to_do_and_of_equals_the_nearest() {
        let choose = |nodes: &[Node]| for_publisher(nodes, OWN, |_| false).map(|relay| relay.0);
        assert_eq!(choose(&[]), None);
        assert_eq!(choose(&[node(1, None)]), None);
        assert_eq!(choose(&[node(3, Some((5, true))), node(1, Some((5, true)))]), Some(1));
        assert_eq!(choose(&[node(3, Some((4, true))), node(1, Some((5, true)))]), Some(3));
        assert_eq!(choose(&[node(3, Some((0, false))), node(1, Some((900, true)))]), Some(1), "full");
        let leaves = draining(node(3, Some((0, true))));
        assert_eq!(choose(std::slice::from_ref(&leaves)), None);
        assert_eq!(choose(&[leaves, node(2, Some((900, true)))]), Some(2));
    }

    #[test]
    fn a_viewer_is_near_then_at_home_then_where_there_is_least_to_do() {
        let choose = |nodes: &[Node]| for_viewer(nodes, OWN, Incarnation(2), |_| false).map(|relay| relay.0);
        let (busy, full) = (node(1, Some((900, true))), node(1, Some((950, false))));
        let (home, full_home) = (node(2, Some((900, true))), node(2, Some((1_000, false))));
        let idle = node(3, Some((0, true)));
        assert_eq!(choose(&[busy.clone(), home.clone(), idle.clone()]), Some(1));
        assert_eq!(choose(&[full.clone(), home.clone(), idle.clone()]), Some(2));
        assert_eq!(choose(&[full.clone(), full_home.clone(), idle.clone()]), Some(3));
        assert_eq!(choose(&[full.clone(), full_home.clone()]), None);
        assert_eq!(choose(&[draining(busy.clone()), draining(home.clone()), idle.clone()]), Some(3));
        assert_eq!(choose(&[full, idle.clone()]), Some(3), "another home will be found");
        assert_eq!(choose(&[unlinked(busy.clone()), home.clone()]), Some(2), "it cannot get the stream");
        assert_eq!(choose(&[busy, unlinked(home), idle]), Some(2), "nobody gets it from there");
    }

    #[test]
    fn who_is_shunned_is_not_chosen() {
        let nodes = [node(1, Some((0, true))), node(2, Some((0, true))), node(3, Some((900, true)))];
        let shunned = |relay: Incarnation| relay.0 < 3;
        assert_eq!(for_publisher(&nodes, OWN, shunned), Some(Incarnation(3)));
        assert_eq!(for_viewer(&nodes, OWN, Incarnation(2), shunned), Some(Incarnation(3)));
        assert!(stays(&nodes, OWN) && !stays(&nodes, Incarnation(4)));
        assert!(!stays(&[draining(node(1, Some((0, true))))], OWN) && !stays(&[node(1, None)], OWN));
    }

    #[test]
    fn a_relay_is_given_up_after_a_while_and_not_for_a_lapse() {
        let (here, away) = ([node(2, Some((0, true)))], [node(2, None)]);
        let mut missing = Missing::default();
        let mut look = |nodes: &[Node], now_ms| missing.look(nodes, [2].into_iter(), now_ms);
        assert!(look(&here, 0).is_empty() && look(&away, 1_000).is_empty() && look(&away, 5_999).is_empty());
        assert!(
            look(&here, 6_000).is_empty() && look(&away, 7_000).is_empty() && look(&[], 11_999).is_empty()
        );
        assert_eq!(look(&[], 12_000), [2]);
    }
}
