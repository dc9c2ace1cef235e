//! Which master has which slot, put together from what the processes of the cluster say of it.
//!
//! Pure: texts of `CLUSTER NODES` in, a map out. Processes that were cut off say something old; of two claims to a slot
//! the one with the higher configuration epoch holds, as among the processes themselves.

use std::collections::{BTreeMap, BTreeSet};

use super::address::Address;

pub(crate) const SLOTS: usize = 16_384;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Topology {
    masters: Vec<Master>,
    /// For each slot an index of `masters`, or [`NOBODY`].
    owners: Vec<u16>,
    /// Every process, to be asked next time.
    pub(crate) everybody: BTreeSet<Address>,
}

const NOBODY: u16 = u16::MAX;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Master {
    pub(crate) address: Address,
    /// As many as there are, whether they are reached now or not: one that comes back may be promoted.
    pub(crate) replicas: usize,
    /// Some process cannot reach it.
    pub(crate) failing: bool,
    /// A majority of the masters cannot reach it. Where that is so and it has its slots nevertheless, nobody serves them: a
    /// process that is cut off from the others refuses as well.
    pub(crate) given_up: bool,
}

/// What one process said.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) from: Address,
    pub(crate) text: String,
}

impl Topology {
    pub(crate) fn merge(views: &[View]) -> Self {
        let nodes: Vec<Vec<Node>> = views
            .iter()
            .map(|view| view.text.lines().filter_map(|line| Node::parse(line, &view.from)).collect())
            .collect();
        let mut claims: Vec<Option<(u64, &Node)>> = vec![None; SLOTS];
        for node in nodes.iter().flatten().filter(|node| node.is_master()) {
            for &(first, last) in &node.slots {
                for slot in first..=last {
                    let claim = &mut claims[usize::from(slot)];
                    if claim.is_none_or(|(epoch, _)| node.epoch > epoch) {
                        *claim = Some((node.epoch, node));
                    }
                }
            }
        }
        let mut indexes: BTreeMap<&str, u16> = BTreeMap::new();
        let mut masters = Vec::new();
        let owners = claims
            .iter()
            .map(|claim| {
                let Some((_, node)) = claim else { return NOBODY };
                *indexes.entry(&node.id).or_insert_with(|| {
                    masters.push(Master {
                        address: node.address.clone(),
                        replicas: replicas(&nodes, &node.id),
                        failing: nodes.iter().flatten().any(|other| other.id == node.id && other.has("fail")),
                        given_up: given_up(&nodes, &node.id),
                    });
                    masters.len() as u16 - 1
                })
            })
            .collect();
        let everybody = nodes
            .iter()
            .flatten()
            .filter(|node| !node.has("noaddr") && !node.has("handshake"))
            .map(|node| node.address.clone())
            .collect();
        Self { masters, owners, everybody }
    }

    pub(crate) fn masters(&self) -> &[Master] {
        &self.masters
    }

    pub(crate) fn master(&self, slot: u16) -> Option<&Master> {
        let index = *self.owners.get(usize::from(slot))?;
        self.masters.get(usize::from(index))
    }

    pub(crate) fn at(&self, address: &Address) -> Option<&Master> {
        self.masters.iter().find(|master| master.address == *address)
    }

    /// One slot of each master, by which it can be asked.
    pub(crate) fn a_slot_each(&self) -> Vec<u16> {
        let of = |index: usize| self.owners.iter().position(|owner| usize::from(*owner) == index);
        (0..self.masters.len()).filter_map(of).map(|slot| slot as u16).collect()
    }

    /// Every slot has a master that all can reach.
    pub(crate) fn is_settled(&self) -> bool {
        !self.owners.is_empty()
            && self.owners.iter().all(|owner| *owner != NOBODY)
            && self.masters.iter().all(|master| !master.failing)
    }

    pub(crate) fn slots_without_master(&self) -> usize {
        if self.owners.is_empty() {
            SLOTS
        } else {
            self.owners.iter().filter(|owner| **owner == NOBODY).count()
        }
    }
}

/// As the master itself counts them, if it was asked.
fn replicas(views: &[Vec<Node>], master: &str) -> usize {
    let count = |view: &Vec<Node>| view.iter().filter(|node| node.master.as_deref() == Some(master)).count();
    let own = views.iter().find(|view| view.iter().any(|node| *node.id == *master && node.has("myself")));
    own.map_or_else(|| views.iter().map(count).max().unwrap_or(0), count)
}

/// By the word of masters that have slots themselves, of all those that have.
fn given_up(views: &[Vec<Node>], master: &str) -> bool {
    let votes = |node: &Node| node.is_master() && !node.slots.is_empty();
    let own = |view: &&Vec<Node>| view.iter().any(|node| node.has("myself") && votes(node));
    // A master suspects only whom it has heard nothing of for the whole node timeout.
    let failed = |node: &Node| node.has("fail") || node.has("fail?");
    let says = |view: &&Vec<Node>| view.iter().any(|node| *node.id == *master && failed(node));
    let of = |view: &Vec<Node>| view.iter().filter(|node| votes(node)).count();
    let all = views.iter().map(of).max().unwrap_or(0);
    views.iter().filter(own).filter(says).count() > all / 2
}

/// A line of `CLUSTER NODES`.
#[derive(Debug)]
struct Node {
    id: Box<str>,
    address: Address,
    flags: Vec<Box<str>>,
    master: Option<Box<str>>,
    epoch: u64,
    slots: Vec<(u16, u16)>,
}

impl Node {
    fn parse(line: &str, from: &Address) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let id = words.next()?;
        let place = words.next()?;
        let flags: Vec<Box<str>> = words.next()?.split(',').map(Box::from).collect();
        let master = words.next().filter(|id| *id != "-").map(Box::from);
        let epoch = words.nth(2)?.parse().ok()?;
        let slots = words.skip(1).filter_map(slots).collect();
        let is_own = flags.iter().any(|flag| &**flag == "myself");
        // "ip:port@bus,hostname"; where it was reached is better than what it believes of itself.
        let address = if is_own { from.clone() } else { Address::parse(place.split(['@', ',']).next()?)? };
        Some(Self { id: id.into(), address, flags, master, epoch, slots })
    }

    fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|own| &**own == flag)
    }

    fn is_master(&self) -> bool {
        self.has("master") && !self.has("noaddr")
    }
}

/// `5` or `5-9`. Slots on their way stand in brackets and belong where they come from.
fn slots(word: &str) -> Option<(u16, u16)> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let range = (first.parse().ok()?, last.parse().ok()?);
    (range.0 <= range.1 && usize::from(range.1) < SLOTS).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(port: u16, text: &str) -> View {
        View { from: Address::new("127.0.0.1", port), text: text.to_owned() }
    }

    const BEFORE: &str = "\
aa 127.0.0.1:7001@17001 myself,master - 0 0 1 connected 0-8191
bb 127.0.0.1:7002@17002,host master - 0 1700000000000 2 connected 8192-16382 16383 [8192->-aa]
cc 127.0.0.1:7003@17003 slave aa 0 1700000000000 1 connected
dd 127.0.0.1:7004@17004 slave bb 0 1700000000000 2 connected
";

    #[test]
    fn slots_masters_and_replicas() {
        let topology = Topology::merge(&[view(7001, BEFORE)]);
        assert!(topology.is_settled());
        assert_eq!(topology.master(0).unwrap().address.port, 7001);
        assert_eq!(topology.master(8191).unwrap().address.port, 7001);
        assert_eq!(topology.master(8192).unwrap().address.port, 7002);
        assert_eq!(topology.master(16383).unwrap().address.port, 7002);
        assert_eq!(topology.masters().iter().map(|master| master.replicas).collect::<Vec<_>>(), [1, 1]);
        assert_eq!(topology.everybody.len(), 4);
    }

    #[test]
    fn the_later_claim_holds_whoever_is_asked_first() {
        let after = "\
aa 127.0.0.1:7001@17001 master,fail - 0 0 1 connected
bb 127.0.0.1:7002@17002 master - 0 1700000000000 2 connected 8192-16383
cc 127.0.0.1:7003@17003 myself,master - 0 1700000000000 3 connected 0-8191
dd 127.0.0.1:7004@17004 slave bb 0 1700000000000 2 connected
";
        for views in [[view(7001, BEFORE), view(7003, after)], [view(7003, after), view(7001, BEFORE)]] {
            let topology = Topology::merge(&views);
            assert_eq!(topology.master(5).unwrap().address.port, 7003);
            assert_eq!(topology.master(5).unwrap().replicas, 0, "the old master is none yet");
            assert!(topology.is_settled(), "who failed has no slots any more");
        }
    }

    #[test]
    fn given_up_is_who_has_failed_to_most_masters() {
        let third = format!("{BEFORE}ee 127.0.0.1:7005@17005 master - 0 1700000000000 3 connected\n");
        let all = third.replace("16383 [8192->-aa]", "[8192->-aa]").replace(
            "5@17005 master - 0 1700000000000 3 connected",
            "5@17005 master - 0 1700000000000 3 connected 16383",
        );
        let failed = all.replace("host master -", "host master,fail -");
        let by_third = all
            .replace("host master -", "host master,fail? -")
            .replace("myself,master", "master")
            .replace("7005@17005 master", "7005@17005 myself,master");
        let by_replica =
            failed.replace("myself,master", "master").replace("3@17003 slave", "3@17003 myself,slave");
        let is =
            |views: &[View]| Topology::merge(views).at(&Address::new("127.0.0.1", 7002)).unwrap().given_up;
        assert!(is(&[view(7001, &failed), view(7005, &by_third)]), "two of three");
        assert!(!is(&[view(7001, &failed)]), "one of three");
        assert!(!is(&[view(7001, &failed), view(7003, &by_replica)]), "replicas have no voice");
        assert!(!is(&[view(7001, &all), view(7005, &by_third)]));
    }

    #[test]
    fn a_failing_master_or_an_uncovered_slot_is_not_settled() {
        let failing = BEFORE.replace("host master -", "host master,fail -");
        let topology = Topology::merge(&[view(7001, &failing)]);
        assert!(!topology.is_settled());
        assert!(topology.at(&Address::new("127.0.0.1", 7002)).unwrap().failing);
        let holey = BEFORE.replace("8192-16382 16383", "8192-16382");
        let topology = Topology::merge(&[view(7001, &holey)]);
        assert!(!topology.is_settled());
        assert_eq!((topology.slots_without_master(), topology.master(16383)), (1, None));
        assert!(!Topology::default().is_settled());
        assert_eq!(Topology::merge(&[view(7001, "garbage\n\n a b")]).slots_without_master(), SLOTS);
    }
}
