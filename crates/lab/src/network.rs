//! A network between the processes of this machine that can be cut, without rights that a test does not have.
//!
//! Each Redis process announces ports at which it is not: there a relay of this process takes the connection, finds out
//! which process made it (the kernel tells whose socket it is), and carries the bytes on. Where a link is cut, bytes wait
//! in either direction that is; connections stay open and new ones are taken but lead nowhere, as when packets vanish.
//! When it is mended they go on, as TCP would. Loss, delay and bandwidth are not imitated.

mod owner;
mod relay;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::redis::RedisNode;
pub(crate) use relay::Relay;

/// One end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    Redis(RedisNode),
    /// Any other process, by its id: a gateway ([`crate::Node::id`]), or a test itself.
    Process(u32),
}

/// Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Network(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    rules: Mutex<Rules>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Rules {
    /// From where to where nothing comes through.
    cut: HashSet<(End, End)>,
    /// The processes of Redis by their ids.
    nodes: HashMap<u32, RedisNode>,
}

impl Network {
    /// Nothing comes from one to the other, nor back.
    pub fn cut(&self, one: End, other: End) {
        self.change(|rules| {
            rules.cut.extend([(one, other), (other, one)]);
        });
    }

    /// Nothing comes from one to the other; what the other sends arrives.
    pub fn cut_one_way(&self, from: End, to: End) {
        self.change(|rules| {
            rules.cut.insert((from, to));
        });
    }

    /// Each of these from each of those, in both directions.
    pub fn part(&self, these: &[End], those: &[End]) {
        for one in these {
            for other in those {
                self.cut(*one, *other);
            }
        }
    }

    /// Everything comes through again.
    pub fn mend(&self) {
        self.change(|rules| rules.cut.clear());
    }

    fn is_cut(&self, from: End, to: End) -> bool {
        self.rules().cut.contains(&(from, to))
    }

    /// Returns when nothing is in the way, or when `enough` says that nobody waits any more.
    fn wait_open(&self, from: End, to: End, enough: impl Fn() -> bool) {
        let mut rules = self.rules();
        while rules.cut.contains(&(from, to)) && !enough() {
            let (woken, _) =
                self.0.changed.wait_timeout(rules, relay::BREATH).unwrap_or_else(PoisonError::into_inner);
            rules = woken;
        }
    }

    /// That process is now this node of Redis.
    pub(crate) fn introduce(&self, process: u32, node: RedisNode) {
        self.rules().nodes.insert(process, node);
    }

    fn end_of(&self, process: u32) -> End {
        self.rules().nodes.get(&process).map_or(End::Process(process), |node| End::Redis(*node))
    }

    fn redis_processes(&self) -> Vec<u32> {
        self.rules().nodes.keys().copied().collect()
    }

    fn change(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.rules());
        self.0.changed.notify_all();
    }

    fn rules(&self) -> MutexGuard<'_, Rules> {
        // Nobody stops halfway through a change.
        self.0.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
