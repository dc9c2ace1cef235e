//! Real faults under real load: masters, replicas and nodes are killed, frozen and cut off, slots move, the function library
//! vanishes, while stock clients are cut at random, come back, and send until they are answered. What everybody saw is
//! written down and held against the laws; nothing acknowledged as replicated may be lost, doubled or moved.

mod faults;
mod load;

use std::fs::File;
use std::io::BufReader;
use std::time::{Duration, Instant};

use turnpike_history::{Event, Law, Violation, What, check, list, read};
use turnpike_lab::{Directory, End, RedisCluster, RedisNode, RedisOptions};

use self::faults::{Chaos, FAULTS};
use self::load::Load;
use crate::roaming::{Pair, Roamers, Roaming, seed};

/// A failover takes two to three seconds with a node timeout of one. A process that has a million messages to load, and to
/// give its replica, takes longer to be whole again.
const PATIENCE: Duration = Duration::from_secs(30);
const PATIENCE_LONG: Duration = Duration::from_mins(3);

/// What holds all of a run's messages, so that the log can be read in the end.
const KEPT: [(&str, &str); 4] = [
    ("TURNPIKE_HISTORY_ROOM_MESSAGES_MAX", "1000000"),
    ("TURNPIKE_HISTORY_ROOM_BYTES_MAX", "1GiB"),
    ("TURNPIKE_HISTORY_BYTES_MAX", "100GiB"),
    ("TURNPIKE_HISTORY_AGE_MAX", "1d"),
];

struct Size {
    /// At least so many; and it goes on with them until the load has its acks.
    faults: usize,
    /// Of the load, beside the stock clients.
    acks_min: usize,
    /// Below what two cores carry beside six Redis processes and the stock clients, in a debug build: a machine that is full
    /// all the time fails over for no other reason.
    messages_per_second: u64,
    patience: Duration,
}

fn chaos(size: &Size) {
    let directory = Directory::new("chaos").unwrap();
    let record = directory.path().join("history.jsonl");
    let redis = RedisCluster::start().unwrap();
    let pair = Pair::on(&redis.seeds_text(), &KEPT);
    let plan = Roaming {
        receivers: 8,
        seconds: 36_000,
        transports: "websocket",
        offline_ms: 300,
        seed: seed(),
        record: Some(&record),
    };
    let roamers = Roamers::start(&pair, &plan);
    let load = Load::start(&pair, &directory.path().join("load"), plan.seed, size.messages_per_second);
    let mut chaos = Chaos::new(redis, pair, roamers, load.recording().clone(), plan.seed, size.patience);
    let begun = Instant::now();
    let first = chaos.below(FAULTS.len());
    let mut inflicted = 0;
    while inflicted < size.faults || load.acks() < size.acks_min {
        std::thread::sleep(Duration::from_millis(500 + chaos.below(1_500) as u64));
        chaos.inflict(FAULTS[(first + inflicted) % FAULTS.len()]);
        inflicted += 1;
        if inflicted % 10 == 0 {
            println!("{inflicted} faults, {} acks of the load in {:?}", load.acks(), begun.elapsed());
        }
    }
    println!("{inflicted} faults in {:?}", begun.elapsed());
    let (report, violations) = load.end();
    println!("{report:#?} after {:?}", begun.elapsed());
    if !violations.is_empty() {
        println!("the histories are kept in {}", directory.keep().display());
    }
    assert!(violations.is_empty(), "SEED={}\n{}", plan.seed, list(&violations));
    let Chaos { mut roamers, mut events, redis: _redis, pair: _pair, .. } = chaos;
    roamers.tell("end");
    println!("{}", roamers.report());
    events.extend(read(BufReader::new(File::open(&record).unwrap())).unwrap());
    judge(&events, plan.seed, inflicted * 50);
}

fn judge(events: &[Event], seed: u64, acks_min: usize) {
    let acks = events.iter().filter(|event| matches!(event.what, What::Ack { .. })).count();
    let violations = check(events);
    println!("{acks} acks of the stock clients, {} violations", violations.len());
    if !violations.is_empty() {
        let kept = std::env::temp_dir().join(format!("turnpike-chaos-{seed}.jsonl"));
        turnpike_history::write(events, File::create(&kept).unwrap()).unwrap();
        println!("the history is kept at {}", kept.display());
    }
    assert!(violations.is_empty(), "SEED={seed}, {} events\n{}", events.len(), list(&violations));
    assert!(acks > acks_min, "{acks} acks");
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
    let has_a_room =
        |master: &RedisNode| !redis.command(*master, &["KEYS", "*:log:roam:0"]).unwrap().items().is_empty();
    let begun = Instant::now();
    let master = loop {
        if let Some(master) = redis.masters().unwrap().into_iter().find(has_a_room) {
            break master;
        }
        assert!(begun.elapsed() < PATIENCE, "no master has the room");
        std::thread::sleep(Duration::from_millis(100));
    };
    // Some messages more, all of which both have.
    std::thread::sleep(Duration::from_secs(2));
    let replicas = redis.replicas_of(master).unwrap();
    for replica in &replicas {
        redis.network().cut(End::Redis(master), End::Redis(*replica));
    }
    // Long enough for every sender to have been answered, on a busy machine as well.
    std::thread::sleep(Duration::from_secs(4));
    redis.kill(master);
    // Before the link is mended: what waits in it would still reach the replica.
    redis.wait_served(PATIENCE).unwrap();
    redis.network().mend();
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
    assert!(violations.iter().any(|violation| violation.law == Law::P1), "{}", list(&violations));
}

#[test]
fn with_wait_nothing_acknowledged_is_lost() {
    let violations = promoted_without_the_latest("replicated");
    assert!(violations.is_empty(), "{}", list(&violations));
}

#[test]
fn ten_faults() {
    chaos(&Size { faults: 10, acks_min: 5_000, messages_per_second: 500, patience: PATIENCE });
}

#[test]
#[ignore = "a quarter of an hour; cargo xtask test --long"]
fn a_hundred_faults_and_a_million_acks() {
    let size = Size { faults: 100, acks_min: 1_000_000, messages_per_second: 3_000, patience: PATIENCE_LONG };
    chaos(&size);
}
