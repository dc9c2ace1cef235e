//! A master with its replica: replication that lags, WAIT, failover with a lost tail, masters that do not know yet that they
//! are none any more.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::store::{Now, Publish, Published, Rules, Store};

/// What changes a store. The replica does the same in the same order, with the numbers that the master drew.
#[derive(Debug, Clone)]
pub(super) enum Write {
    Fence(Now),
    Publish(Now, Publish),
}

#[derive(Debug, Clone)]
pub(super) struct Process {
    pub(super) run: u64,
    pub(super) store: Store,
}

/// A connection of a node to the master of a lane, for what it asks and for its bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Link {
    pub(super) node: usize,
    pub(super) number: u64,
}

/// A process that answers as a master.
#[derive(Debug)]
pub(super) struct Master {
    pub(super) process: Process,
    pub(super) links: BTreeMap<Link, BTreeSet<String>>,
    /// How many writes it has done.
    pub(super) offset: u64,
    /// Cut off from its replica: it will learn that it is no master.
    pub(super) isolated: bool,
}

#[derive(Debug)]
struct Replica {
    process: Process,
    applied: u64,
    behind: VecDeque<Write>,
}

/// Somebody who wants a write to be on the replica.
#[derive(Debug)]
pub(super) struct Wait {
    pub(super) link: Link,
    pub(super) request: u64,
    pub(super) offset: u64,
}

#[derive(Debug)]
pub(super) struct Shard {
    /// The last is the one that counts; those before it have not noticed yet. Empty: nobody is master.
    pub(super) masters: Vec<Master>,
    replica: Option<Replica>,
    pub(super) waits: Vec<Wait>,
    /// Replication stands still.
    pub(super) stalled: bool,
    runs: u64,
}

impl Shard {
    pub(super) fn new(lane: usize) -> Self {
        let mut shard = Self {
            masters: Vec::new(),
            replica: None,
            waits: Vec::new(),
            stalled: false,
            runs: 1_000 * (lane as u64 + 1),
        };
        let process = Process { run: shard.new_run(), store: Store::default() };
        shard.masters.push(Master::of(process));
        shard.attach();
        shard
    }

    pub(super) fn new_run(&mut self) -> u64 {
        self.runs += 1;
        self.runs
    }

    /// The master that this link is with.
    pub(super) fn of(&mut self, link: Link) -> Option<&mut Master> {
        self.masters.iter_mut().find(|master| master.links.contains_key(&link))
    }

    pub(super) fn current(&mut self) -> Option<&mut Master> {
        self.masters.last_mut().filter(|master| !master.isolated)
    }

    /// Does a write on the master of this link, and sends it on its way to the replica.
    pub(super) fn write(
        &mut self,
        link: Link,
        write: Write,
        rules: &Rules,
    ) -> Option<(Option<Published>, u64)> {
        let replica = self.replica.as_mut();
        let master = self.masters.iter_mut().find(|master| master.links.contains_key(&link))?;
        let done = apply(&mut master.process, &write, rules);
        master.offset += 1;
        if let (Some(replica), false) = (replica, master.isolated) {
            replica.behind.push_back(write);
        }
        Some((done, master.offset))
    }

    pub(super) fn has_replica(&self) -> bool {
        self.replica.is_some()
    }

    /// The replica takes up so many writes. Gives whose wait is over.
    pub(super) fn replicate(&mut self, writes: usize, rules: &Rules) -> Vec<(Link, u64)> {
        if self.stalled {
            return Vec::new();
        }
        let Some(replica) = &mut self.replica else { return Vec::new() };
        for _ in 0..writes {
            let Some(write) = replica.behind.pop_front() else { break };
            apply(&mut replica.process, &write, rules);
            replica.applied += 1;
        }
        let applied = replica.applied;
        let (over, waiting) =
            std::mem::take(&mut self.waits).into_iter().partition(|wait| wait.offset <= applied);
        self.waits = waiting;
        let over: Vec<Wait> = over;
        over.into_iter().map(|wait| (wait.link, wait.request)).collect()
    }

    /// The replica becomes master, with what it has. Gives false if there is none. What the fence takes for the identity
    /// of a process is another after each promotion; planted, it is that of the process alone.
    pub(super) fn promote(&mut self, run_alone: bool) -> bool {
        let Some(mut replica) = self.replica.take() else { return false };
        self.waits.clear();
        if !run_alone {
            replica.process.run = self.new_run();
        }
        self.masters.push(Master::of(replica.process));
        true
    }

    /// A replica that has everything of the master from now on.
    pub(super) fn attach(&mut self) {
        let run = self.new_run();
        self.attach_as(run);
    }

    /// The process with this run has become a replica.
    pub(super) fn attach_as(&mut self, run: u64) {
        if let Some(master) = self.masters.last()
            && self.replica.is_none()
            && !master.isolated
        {
            let process = Process { run, store: master.process.store.clone() };
            self.replica = Some(Replica { process, applied: master.offset, behind: VecDeque::new() });
        }
    }

    pub(super) fn detach(&mut self) {
        self.replica = None;
    }
}

impl Master {
    pub(super) fn of(process: Process) -> Self {
        Self { process, links: BTreeMap::new(), offset: 0, isolated: false }
    }
}

fn apply(process: &mut Process, write: &Write, rules: &Rules) -> Option<Published> {
    match write {
        Write::Fence(now) => {
            process.store.fence(*now, rules);
            None
        }
        Write::Publish(now, publish) => Some(process.store.publish(*now, rules, publish)),
    }
}
