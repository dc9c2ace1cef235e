//! The faults: each a process, a connection or a slot of this machine.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use turnpike_history::{Event, What};
use turnpike_lab::RedisCluster;
use turnpike_lab::redis::slot_of;
use turnpike_tests::recording::Recording;

use super::load::below;
use crate::roaming::{Pair, Roamers};

pub(super) const FAULTS: [Fault; 10] = [
    Fault::BusConnectionsKilled,
    Fault::MasterKilled,
    Fault::NodeKilled,
    Fault::SlotMoved,
    Fault::MasterFrozen,
    Fault::LibraryGone,
    Fault::NodeFrozen,
    Fault::ReplicaKilled,
    Fault::AllConnectionsKilled,
    Fault::MasterRestarted,
];

#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    BusConnectionsKilled,
    AllConnectionsKilled,
    MasterKilled,
    MasterFrozen,
    /// So quickly that nobody takes over.
    MasterRestarted,
    ReplicaKilled,
    SlotMoved,
    LibraryGone,
    NodeKilled,
    NodeFrozen,
}

pub(super) struct Chaos {
    pub(super) redis: RedisCluster,
    pub(super) pair: Pair,
    pub(super) roamers: Roamers,
    pub(super) events: Vec<Event>,
    /// Where the load is written down: faults stand there too.
    recording: Recording,
    random: u64,
    patience: Duration,
}

impl Chaos {
    pub(super) fn new(
        redis: RedisCluster,
        pair: Pair,
        roamers: Roamers,
        recording: Recording,
        seed: u64,
        patience: Duration,
    ) -> Self {
        Self { redis, pair, roamers, events: Vec::new(), recording, random: seed, patience }
    }

    fn note(&mut self, what: What) {
        self.recording.write("chaos", what.clone());
        let at_us = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
        self.events.push(Event { at_us, who: "chaos".to_owned(), what });
    }

    /// So that a seed gives the same faults.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        below(&mut self.random, bound)
    }

    pub(super) fn inflict(&mut self, fault: Fault) {
        let name = format!("{fault:?}");
        println!("{name}");
        self.note(What::Fault { name: name.clone() });
        let masters = self.redis.masters().unwrap();
        let master = masters[self.below(masters.len())];
        let pause = |seconds| std::thread::sleep(Duration::from_secs(seconds));
        match fault {
            Fault::BusConnectionsKilled => {
                for master in masters {
                    self.redis.command(master, &["CLIENT", "KILL", "TYPE", "pubsub"]).unwrap();
                }
            }
            Fault::AllConnectionsKilled => {
                for master in masters {
                    self.redis.command(master, &["CLIENT", "KILL", "TYPE", "normal"]).unwrap();
                }
            }
            Fault::MasterKilled => {
                self.redis.kill(master);
                self.redis.wait_served(self.patience).unwrap();
                self.redis.restart(master).unwrap();
            }
            Fault::MasterFrozen => {
                self.redis.freeze(master).unwrap();
                self.redis.wait_served(self.patience).unwrap();
                self.redis.thaw(master).unwrap();
            }
            Fault::MasterRestarted => {
                self.redis.kill(master);
                self.redis.restart(master).unwrap();
            }
            Fault::ReplicaKilled => {
                let replicas = self.redis.replicas().unwrap();
                let replica = replicas[self.below(replicas.len())];
                self.redis.kill(replica);
                pause(2);
                self.redis.restart(replica).unwrap();
            }
            Fault::SlotMoved => {
                // One with rooms in it: of the others nobody would notice.
                let lane = self.below(16);
                let tag = format!("{}:l{lane}", self.pair.prefix);
                let slot = slot_of(format!("{{{tag}}}").as_bytes());
                let owner = self.redis.master_of_slot(slot).unwrap();
                let other = masters.into_iter().find(|master| *master != owner).unwrap();
                self.redis.migrate_slot(slot, other).unwrap();
            }
            Fault::LibraryGone => {
                for master in masters {
                    self.redis.command(master, &["FUNCTION", "FLUSH"]).unwrap();
                }
            }
            Fault::NodeKilled => {
                let index = self.below(2);
                let port = self.pair.nodes[index].gateway.port();
                self.note(What::NodeDown { node: format!("n{}", index + 1) });
                self.pair.nodes[index].kill();
                self.roamers.tell(&format!("drop {port}"));
                self.pair.nodes[index].restart().unwrap();
                let port = self.pair.nodes[index].gateway.port();
                self.note(What::NodeUp { node: format!("n{}", index + 1) });
                self.roamers.tell(&format!("add {port}"));
            }
            Fault::NodeFrozen => {
                let index = self.below(2);
                self.pair.nodes[index].freeze().unwrap();
                pause(2);
                self.pair.nodes[index].thaw().unwrap();
            }
        }
        self.redis.wait_healthy(self.patience).unwrap();
        self.note(What::Healed { name });
    }
}
