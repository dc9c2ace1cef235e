//! What goes wrong, and how it ends.

use turnpike_history::What;

use super::planted::Planted;
use super::shard::{Link, Process};
use super::world::{Happening, LANES, World};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The next, drawn when it is due.
    Any,
    /// The master of a lane is killed, and its replica takes over with what it has.
    MasterKilled(usize),
    /// The master starts again at once, from its disk.
    MasterRestarted(usize),
    /// The master is cut off from its replica and the others, but not from the nodes.
    MasterIsolated(usize),
    ReplicaStalled(usize),
    ReplicaLost(usize),
    /// The lane moves to another process, with all it has.
    SlotMoved(usize),
    /// A node loses its link to a lane.
    LinkCut {
        node: usize,
        lane: usize,
    },
    /// A node's reader of the bus was too slow, and what was on its way is lost.
    BusLagged {
        node: usize,
        lane: usize,
    },
    NodeKilled(usize),
}

impl World {
    pub(super) fn fault(&mut self, fault: Fault) {
        let fault = if fault == Fault::Any {
            if self.calm || self.faults_left == 0 {
                return;
            }
            self.faults_left -= 1;
            let next = self.random.between(100, 2_500);
            self.later(next, Happening::Fault(Fault::Any));
            self.draw_fault()
        } else {
            fault
        };
        self.record("machine", What::Fault { name: format!("{fault:?}") });
        match fault {
            Fault::Any => {}
            Fault::MasterKilled(lane) => self.kill_master(lane),
            // Nothing else may go wrong while nobody is master: what only one process had would be lost.
            Fault::MasterRestarted(lane) | Fault::ReplicaLost(lane) | Fault::SlotMoved(lane)
                if self.shards[lane].current().is_none() => {}
            Fault::MasterRestarted(lane) => {
                let run = self.shards[lane].new_run();
                self.lose_links(lane, 200);
                self.shards[lane].waits.clear();
                if let Some(mut master) = self.shards[lane].masters.pop() {
                    master.process.run = run;
                    master.links.clear();
                    self.shards[lane].masters.push(master);
                }
                // The replica copies everything anew.
                self.shards[lane].detach();
                self.shards[lane].attach();
                self.over_later(fault, 1);
            }
            Fault::MasterIsolated(lane) => {
                if self.shards[lane].has_replica()
                    && let Some(master) = self.shards[lane].current()
                {
                    master.isolated = true;
                    // Until it is noticed, it answers. Until the others have agreed, nobody takes over.
                    self.over_later(fault, 700);
                }
            }
            Fault::ReplicaStalled(lane) => {
                self.shards[lane].stalled = true;
                self.over_later(fault, 1_500);
            }
            Fault::ReplicaLost(lane) => {
                self.shards[lane].detach();
                self.over_later(fault, 1_500);
            }
            Fault::SlotMoved(lane) => {
                if self.shards[lane].masters.len() == 1 && self.shards[lane].current().is_some() {
                    let run = self.shards[lane].new_run();
                    self.lose_links(lane, 50);
                    self.shards[lane].waits.clear();
                    self.shards[lane].detach();
                    if let Some(master) = self.shards[lane].masters.pop() {
                        let process = Process { run, ..master.process };
                        self.shards[lane].masters.push(super::shard::Master::of(process));
                    }
                    self.shards[lane].attach();
                }
                self.over_later(fault, 1);
            }
            Fault::LinkCut { node, lane } => {
                let after = self.random.below(100);
                self.lose_link(node, lane, after);
                self.over_later(fault, 1);
            }
            Fault::BusLagged { node, lane } => {
                if self.nodes[node].up {
                    self.lag(node, lane);
                }
                self.over_later(fault, 1);
            }
            Fault::NodeKilled(node) => {
                if self.nodes.iter().filter(|node| node.up).count() > 1 && self.nodes[node].up {
                    self.stop_node(node);
                    self.over_later(fault, 2_000);
                }
            }
        }
    }

    fn draw_fault(&mut self) -> Fault {
        let (lane, node) = (self.random.index(LANES), self.random.index(self.nodes.len()));
        match self.random.below(100) {
            0..20 => Fault::MasterKilled(lane),
            20..28 => Fault::MasterRestarted(lane),
            28..42 => Fault::MasterIsolated(lane),
            42..50 => Fault::ReplicaStalled(lane),
            50..54 => Fault::ReplicaLost(lane),
            54..60 => Fault::SlotMoved(lane),
            60..74 => Fault::LinkCut { node, lane },
            74..84 => Fault::BusLagged { node, lane },
            _ => Fault::NodeKilled(node),
        }
    }

    fn over_later(&mut self, fault: Fault, at_most_ms: u64) {
        let after = self.random.between(at_most_ms / 4, at_most_ms);
        self.later(after, Happening::Over(fault));
    }

    pub(super) fn fault_over(&mut self, fault: Fault) {
        match fault {
            Fault::MasterKilled(lane) => {
                if self.shards[lane].current().is_none() {
                    self.promote(lane);
                }
                let after = self.random.between(100, 2_000);
                self.later(after, Happening::Over(Fault::ReplicaLost(lane)));
            }
            Fault::MasterIsolated(lane) => self.take_over(lane),
            Fault::ReplicaStalled(lane) => self.shards[lane].stalled = false,
            Fault::ReplicaLost(lane) => self.shards[lane].attach(),
            Fault::NodeKilled(node) if !self.nodes[node].up => self.start_node(node),
            _ => {}
        }
        self.record("machine", What::Healed { name: format!("{fault:?}") });
    }

    fn kill_master(&mut self, lane: usize) {
        if !self.shards[lane].has_replica() || self.shards[lane].current().is_none() {
            // Nobody could take over: that is an outage, and the operators' matter.
            return;
        }
        self.lose_links(lane, 400);
        self.shards[lane].masters.clear();
        self.over_later(Fault::MasterKilled(lane), 1_500);
    }

    fn promote(&mut self, lane: usize) -> bool {
        let run_alone = self.planted == Planted::RunAlone;
        self.shards[lane].promote(run_alone)
    }

    /// The replica of a master that is cut off becomes master. The old one goes on answering for a while, and then becomes
    /// its replica.
    fn take_over(&mut self, lane: usize) {
        let isolated = self.shards[lane].masters.last().is_some_and(|master| master.isolated);
        if !isolated || !self.promote(lane) {
            return;
        }
        self.lose_links(lane, 300);
        if let Some(old) = self.shards[lane].masters.first() {
            let run = old.process.run;
            let master = self.shards[lane].masters.pop().expect("it was promoted just now");
            self.shards[lane].masters.clear();
            self.shards[lane].masters.push(master);
            self.shards[lane].attach_as(run);
        }
    }

    /// Nodes notice at different times.
    fn lose_links(&mut self, lane: usize, within_ms: u64) {
        for node in 0..self.nodes.len() {
            let after = self.random.below(within_ms);
            self.lose_link(node, lane, after);
        }
    }

    fn lose_link(&mut self, node: usize, lane: usize, after_ms: u64) {
        if !self.nodes[node].up {
            return;
        }
        let at = self.here(node);
        if let Some(number) = self.nodes[node].lanes[lane].link {
            if after_ms < 20 {
                // Also what is on its way.
                let link = Link { node, number };
                for master in &mut self.shards[lane].masters {
                    master.links.remove(&link);
                }
            }
            self.later(after_ms, Happening::LinkLost { at, lane, number });
        }
    }

    /// Everything heals, nothing new goes wrong, nobody publishes anything new.
    pub(super) fn calm(&mut self) {
        self.calm = true;
        for lane in 0..LANES {
            self.shards[lane].stalled = false;
            self.shards[lane].attach();
        }
        for node in 0..self.nodes.len() {
            if !self.nodes[node].up {
                self.start_node(node);
            }
        }
        self.record("machine", What::Healed { name: "all".to_owned() });
    }
}
