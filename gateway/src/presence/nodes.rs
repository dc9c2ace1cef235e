//! Which nodes have died lately. What they said is passed over, also when it arrives late.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use turnpike_cluster::{Incarnation, Membership, Node};

/// None of them comes back, and what they said arrives within seconds.
const DEAD_MAX: usize = 256;

pub(crate) struct Nodes {
    own: Incarnation,
    known: Mutex<Known>,
}

struct Known {
    watch: watch::Receiver<Arc<[Node]>>,
    living: HashSet<Incarnation>,
    dead: Arc<HashSet<Incarnation>>,
    /// In the order in which they died.
    buried: VecDeque<Incarnation>,
}

/// What has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) died: Vec<Incarnation>,
    /// Were taken for dead, and are not.
    pub(crate) revived: Vec<Incarnation>,
}

impl Nodes {
    pub(crate) fn new(membership: &dyn Membership) -> Self {
        Self::watching(membership.own(), membership.nodes())
    }

    fn watching(own: Incarnation, watch: watch::Receiver<Arc<[Node]>>) -> Self {
        let living = watch.borrow().iter().map(|node| node.incarnation).collect();
        let known = Known { watch, living, dead: Arc::default(), buried: VecDeque::new() };
        Self { own, known: Mutex::new(known) }
    }

    pub(crate) fn dead(&self) -> Arc<HashSet<Incarnation>> {
        Arc::clone(&self.known().dead)
    }

    /// What has changed since it was last asked.
    pub(crate) fn turn(&self) -> Turn {
        let mut known = self.known();
        if !known.watch.has_changed().unwrap_or(false) {
            return Turn::default();
        }
        let now: HashSet<Incarnation> =
            known.watch.borrow_and_update().iter().map(|node| node.incarnation).collect();
        let missing = known.living.difference(&now).copied();
        let died: Vec<Incarnation> = missing.filter(|incarnation| *incarnation != self.own).collect();
        let revived: Vec<Incarnation> = now.intersection(&known.dead).copied().collect();
        known.living = now;
        known.buried.retain(|incarnation| !revived.contains(incarnation));
        known.buried.extend(&died);
        while known.buried.len() > DEAD_MAX {
            known.buried.pop_front();
        }
        known.dead = Arc::new(known.buried.iter().copied().collect());
        Turn { died, revived }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(incarnations: impl IntoIterator<Item = u64>) -> Arc<[Node]> {
        let node = |incarnation| Node {
            incarnation: Incarnation(incarnation),
            name: format!("n{incarnation}"),
            address: None,
            version: String::new(),
            draining: false,
            places: None,
            relay: None,
        };
        incarnations.into_iter().map(node).collect()
    }

    #[test]
    fn who_dies_and_who_was_only_taken_for_dead() {
        let (sender, receiver) = watch::channel(nodes([1, 2, 3]));
        let known = Nodes::watching(Incarnation(1), receiver);
        assert_eq!(known.turn(), Turn::default());
        sender.send(nodes([2])).unwrap();
        // Whatever others think, this one is not dead.
        assert_eq!(known.turn(), Turn { died: vec![Incarnation(3)], revived: vec![] });
        assert_eq!(*known.dead(), HashSet::from([Incarnation(3)]));
        assert_eq!(known.turn(), Turn::default(), "each is told once");
        sender.send(nodes([1, 2, 3, 4])).unwrap();
        assert_eq!(known.turn(), Turn { died: vec![], revived: vec![Incarnation(3)] });
        assert!(known.dead().is_empty());
    }

    #[test]
    fn the_dead_are_forgotten_in_their_order() {
        let (sender, receiver) = watch::channel(nodes([1]));
        let known = Nodes::watching(Incarnation(1), receiver);
        for incarnation in 2..1_000 {
            sender.send(nodes([1, incarnation])).unwrap();
            known.turn();
        }
        assert_eq!(known.dead().len(), DEAD_MAX);
        assert!(known.dead().contains(&Incarnation(998)) && !known.dead().contains(&Incarnation(5)));
    }
}
