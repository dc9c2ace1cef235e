//! Real faults under real load: masters, replicas and nodes are killed, frozen and cut off, slots move, the function library
//! vanishes, while stock clients are cut at random, come back, and send until they are answered. What everybody saw is
//! written down and held against the laws; nothing acknowledged as replicated may be lost, doubled or moved.

use std::fs::File;
use std::io::BufReader;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use turnpike_history::{Event, Law, Violation, What, check, read};
use turnpike_lab::{Directory, End, RedisCluster, RedisNode, RedisOptions};

use crate::roaming::{Pair, Roamers, Roaming, seed};

const FAULTS: [Fault; 10] = [
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
enum Fault {
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

/// A failover takes two to three seconds with a node timeout of one.
const PATIENCE: Duration = Duration::from_secs(30);

struct Chaos {
    redis: RedisCluster,
    pair: Pair,
    roamers: Roamers,
    events: Vec<Event>,
    random: u64,
}

impl Chaos {
    fn note(&mut self, what: What) {
        let at_us = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
        self.events.push(Event { at_us, who: "chaos".to_owned(), what });
    }

    /// SplitMix64, so that a seed gives the same faults.
    fn below(&mut self, bound: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    fn inflict(&mut self, fault: Fault) {
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
                self.redis.wait_served(PATIENCE).unwrap();
                self.redis.restart(master).unwrap();
            }
            Fault::MasterFrozen => {
                self.redis.freeze(master).unwrap();
                self.redis.wait_served(PATIENCE).unwrap();
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
                let slot = self.below(16_384) as u16;
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
        self.redis.wait_healthy(PATIENCE).unwrap();
        self.note(What::Healed { name });
    }
}

fn chaos(faults: usize) {
    let directory = Directory::new("chaos").unwrap();
    let record = directory.path().join("history.jsonl");
    let redis = RedisCluster::start().unwrap();
    // Long enough for the whole log to be read in the end.
    let pair = Pair::on(&redis.seeds_text(), &[("TURNPIKE_HISTORY_ROOM_MESSAGES_MAX", "100000")]);
    let plan = Roaming {
        receivers: 8,
        seconds: 3_600,
        transports: "websocket",
        offline_ms: 300,
        seed: seed(),
        record: Some(&record),
    };
    let roamers = Roamers::start(&pair, &plan);
    let mut chaos = Chaos { redis, pair, roamers, events: Vec::new(), random: plan.seed };
    let begun = Instant::now();
    let first = chaos.below(FAULTS.len());
    for number in 0..faults {
        std::thread::sleep(Duration::from_millis(500 + chaos.below(1_500) as u64));
        chaos.inflict(FAULTS[(first + number) % FAULTS.len()]);
    }
    println!("{faults} faults in {:?}", begun.elapsed());
    chaos.roamers.tell("end");
    let report = chaos.roamers.report();
    println!("{report}");
    let mut events = read(BufReader::new(File::open(&record).unwrap())).unwrap();
    let acks = events.iter().filter(|event| matches!(event.what, What::Ack { .. })).count();
    events.append(&mut chaos.events);
    let violations = check(&events);
    if !violations.is_empty() {
        let kept = std::env::temp_dir().join(format!("turnpike-chaos-{}.jsonl", plan.seed));
        turnpike_history::write(&events, File::create(&kept).unwrap()).unwrap();
        println!("the history is kept at {}", kept.display());
    }
    assert_eq!(violations, [], "{} violations of {} events, {acks} acks", violations.len(), events.len());
    assert!(acks > faults * 50, "{acks} acks");
}

/// A master is cut off from its replica, messages go on, it is killed, and the replica takes over without them.
/// Gives what the laws say of it.
fn promoted_without_the_latest(durability: &str) -> Vec<Violation> {
    let directory = Directory::new("chaos").unwrap();
    let record = directory.path().join("history.jsonl");
    let options = RedisOptions { cuttable: true, ..RedisOptions::default() };
    let redis = RedisCluster::start_with(options).unwrap();
    let environment = [("TURNPIKE_HISTORY_ROOM_MESSAGES_MAX", "100000"), ("TURNPIKE_DURABILITY", durability)];
    let pair = Pair::on(&redis.seeds_text(), &environment);
    let plan = Roaming {
        receivers: 4,
        seconds: 3_600,
        transports: "websocket",
        offline_ms: 300,
        seed: seed(),
        record: Some(&record),
    };
    let mut roamers = Roamers::start(&pair, &plan);
    std::thread::sleep(Duration::from_secs(2));
    let masters = redis.masters().unwrap();
    let has_a_room =
        |master: &RedisNode| !redis.command(*master, &["KEYS", "*:log:roam:0"]).unwrap().items().is_empty();
    let master = masters.into_iter().find(has_a_room).expect("a master has the room");
    let replicas = redis.replicas_of(master).unwrap();
    for replica in &replicas {
        redis.network().cut(End::Redis(master), End::Redis(*replica));
    }
    // Long enough for every sender to have been answered, on a busy machine as well.
    std::thread::sleep(Duration::from_secs(4));
    redis.kill(master);
    redis.network().mend();
    redis.wait_served(PATIENCE).unwrap();
    redis.restart(master).unwrap();
    redis.wait_healthy(PATIENCE).unwrap();
    roamers.tell("end");
    println!("{}", roamers.report());
    check(&read(BufReader::new(File::open(&record).unwrap())).unwrap())
}

/// Without this the laws above could be blind.
#[test]
fn without_wait_the_same_laws_are_broken() {
    let violations = promoted_without_the_latest("stored");
    assert!(violations.iter().any(|violation| violation.law == Law::P1), "{violations:?}");
}

#[test]
fn with_wait_nothing_acknowledged_is_lost() {
    assert_eq!(promoted_without_the_latest("replicated"), []);
}

#[test]
fn ten_faults() {
    chaos(10);
}

#[test]
#[ignore = "minutes; cargo xtask test --long"]
fn a_hundred_faults() {
    chaos(100);
}
