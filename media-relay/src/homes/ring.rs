//! Which relays this one keeps a link to so that somebody knows at once when they are gone: the next two in the ring of all by
//! their incarnations. So each is watched by two others.
//!
//! Knows no link: where the others are is what they say of themselves.

use turnpike_cluster::{Incarnation, Node};

use crate::link::LinkTarget;

/// One may be dead, or about to leave, when the other is needed.
const NEIGHBOURS: usize = 2;

pub(super) fn neighbours(nodes: &[Node], own: Incarnation) -> Vec<LinkTarget> {
    let mut others: Vec<LinkTarget> =
        nodes.iter().filter(|node| node.incarnation != own).filter_map(target).collect();
    others.sort_by_key(|other| other.incarnation);
    let behind = others.partition_point(|other| other.incarnation < own.0);
    others.rotate_left(behind);
    others.truncate(NEIGHBOURS);
    others
}

/// Where other relays reach the one of that node.
pub(super) fn target(node: &Node) -> Option<LinkTarget> {
    let address = node.relay.as_ref()?.link?;
    Some(LinkTarget { incarnation: node.incarnation.0, address })
}

#[cfg(test)]
mod tests {
    use turnpike_cluster::RelayOffer;

    use super::*;

    fn node(number: u64, port: Option<u16>) -> Node {
        let link = port.map(|port| ([192, 0, 2, 1], port).into());
        let relay = Some(RelayOffer { link, has_room: true, ..RelayOffer::default() });
        let (incarnation, name) = (Incarnation(number), format!("n{number}"));
        Node {
            incarnation,
            name,
            address: None,
            version: String::new(),
            draining: false,
            places: None,
            relay,
        }
    }

    fn watched(nodes: &[Node], own: u64) -> Vec<u64> {
        neighbours(nodes, Incarnation(own)).iter().map(|other| other.incarnation).collect()
    }

    #[test]
    fn each_is_watched_by_two_others() {
        let nodes: Vec<Node> = [30, 10, 50, 20, 40].map(|number| node(number, Some(1))).into();
        assert_eq!(watched(&nodes, 10), [20, 30]);
        assert_eq!(watched(&nodes, 40), [50, 10]);
        assert_eq!(watched(&nodes, 50), [10, 20]);
        for lost in [10, 20, 30, 40, 50] {
            let watching = nodes.iter().filter(|node| watched(&nodes, node.incarnation.0).contains(&lost));
            assert_eq!(watching.count(), 2, "{lost}");
        }
    }

    #[test]
    fn there_may_be_fewer_and_some_without_links() {
        assert!(watched(&[node(1, Some(1))], 1).is_empty());
        assert_eq!(watched(&[node(1, Some(1)), node(2, Some(1))], 1), [2]);
        assert_eq!(watched(&[node(1, None), node(2, None), node(3, Some(1))], 1), [3]);
        assert!(neighbours(&[node(2, Some(7))], Incarnation(1))[0].address.port() == 7);
    }
}
