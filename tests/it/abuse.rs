//! Attacks with real sockets against the real binary, one after the other, while a canary asks for what any client wants and
//! must go on getting it. Of each: how the canary fared, what the node had in memory before, at most and after, and what it
//! says of the attack: in its metrics, and in the audit log by the attacker's addresses and accounts.
//!
//! The node is in a memory group of its own where the machine has such; else only its resident memory is read, and the table
//! says so. Addresses are of 127/8, one network for each kind of attack, so that what follows from one does not meet the next.
//!
//! `ABUSE_ONLY` is a part of a name, for one attack alone. `ABUSE_SECONDS` is how long each lasts.

mod arena;
mod canary;
mod connections;
mod frames;
mod honest;
mod ladder;
mod packets;
mod peer;
mod polling;
mod rooms;
mod slow;
mod strangers;
mod table;
mod told;
mod video;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use self::arena::Arena;
use self::peer::Target;
use self::table::Row;
use self::told::Metrics;

/// What one attacker does, again and again, until everything is let go of.
type Life = fn(Target, usize) -> Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Clone, Copy)]
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// So many attackers at once.
    pub(crate) swarm: usize,
    pub(crate) life: Life,
    /// Metrics that tell of it, with or without labels: all of them have to have grown.
    pub(crate) told_by: &'static [&'static str],
    /// Records of the audit log about its addresses or accounts, each by its kind, or by its kind and reason: all of them have
    /// to be there.
    pub(crate) audited_by: &'static [&'static str],
}

fn attacks() -> Vec<Attack> {
    [
        connections::ATTACKS,
        slow::ATTACKS,
        frames::ATTACKS,
        packets::ATTACKS,
        polling::ATTACKS,
        strangers::ATTACKS,
        rooms::ATTACKS,
        video::ATTACKS,
    ]
    .into_iter()
    .flatten()
    .copied()
    .collect()
}

/// What is asked of the node while it is attacked.
struct Demand {
    each: Duration,
    /// Of the canary's answers.
    p99_max: Duration,
    growth_bytes_max: u64,
    /// What of that may be left a while after the attack.
    left_bytes_max: u64,
}

/// An attack is over when its sockets are closed and this has passed at most, and what it cost must be gone.
const RELEASED_MAX: Duration = Duration::from_secs(20);

#[test]
fn alone_under_attack() {
    // An unoptimised node beside its attackers on two cores: what counts here is that it works and lets go.
    let each = std::env::var("ABUSE_SECONDS").map_or(1.2, |seconds| seconds.parse().unwrap());
    battery(
        None,
        &Demand {
            each: Duration::from_secs_f64(each),
            p99_max: Duration::from_millis(1_500),
            growth_bytes_max: 192 << 20,
            // An unoptimised node is behind with its work by then, and the allocator gives pages back when the thread that
            // had them wakes.
            left_bytes_max: 96 << 20,
        },
    );
}

#[test]
#[ignore = "minutes, and a release build; cargo xtask test --long"]
fn alone_under_long_attack() {
    let release = turnpike_lab::turnpike().unwrap();
    let release = release.parent().unwrap().parent().unwrap().join("release/turnpike");
    let binary = std::env::var_os("TURNPIKE_BIN").map_or(release, PathBuf::from);
    assert!(binary.is_file(), "{} is not there: `cargo build --release` makes it", binary.display());
    battery(
        Some(binary),
        &Demand {
            each: Duration::from_secs(10),
            p99_max: Duration::from_millis(100),
            growth_bytes_max: 192 << 20,
            left_bytes_max: 32 << 20,
        },
    );
}

fn battery(binary: Option<PathBuf>, demand: &Demand) {
    let only = std::env::var("ABUSE_ONLY").unwrap_or_default();
    let attacks: Vec<Attack> =
        attacks().into_iter().filter(|attack| attack.name.contains(only.trim())).collect();
    let mut arena = Arena::open(binary, attacks.len(), SOON_TOO_MUCH);
    let canary = canary::Canary::begin(&arena);
    // A first measure without any attack, which the others can be compared with.
    let mut rows = vec![measured(&mut arena, &canary, "nothing", demand.each, |until| {
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
    })];
    let attackers = runtime();
    for (number, attack) in attacks.iter().enumerate() {
        let target = arena.target(number);
        let mut row = measured(&mut arena, &canary, attack.name, demand.each, |until| {
            attackers.block_on(target.swarm(attack.swarm, until, attack.life));
        });
        row.judge(attack, demand);
        rows.push(row);
    }
    canary.end();
    arena.close();
    // By now all of it is written. Of much that came at once there is one record, but whose it is stands in each.
    let records = arena.records();
    for (number, attack) in attacks.iter().enumerate() {
        rows[number + 1].judge_records(attack, records.of(number));
    }
    table::print(&rows, arena.memory_group());
    let faults: Vec<String> = rows.iter().flat_map(|row| row.faults.clone()).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

/// The node is to have a core for itself.
fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// An attack lasts a second here, and has to be far too much by then.
const SOON_TOO_MUCH: &[(&str, &str)] = &[
    ("TURNPIKE_RATE_EVENTS", "200/400"),
    ("TURNPIKE_RATE_MESSAGES", "100/150"),
    ("TURNPIKE_RATE_PRESENCE", "10/20"),
    ("TURNPIKE_MEDIA_POSTS_PER_MINUTE_MAX", "3"),
    // Without a proxy nobody's headers are looked at, and so nobody's are forged.
    ("TURNPIKE_TRUSTED_PROXIES", "198.51.100.0/24"),
];

fn measured(
    arena: &mut Arena,
    canary: &canary::Canary,
    name: &'static str,
    duration: Duration,
    attack: impl FnOnce(Instant),
) -> Row {
    let (before, metrics) = (arena.resident_bytes(), arena.metrics());
    let (begun, watch) = (Instant::now(), arena.watch_memory());
    attack(begun + duration);
    let ended = Instant::now();
    let peak = watch.end();
    let latencies = canary.between(begun, ended);
    let released = Instant::now();
    let mut after = arena.resident_bytes();
    // A little is left by every first time of anything; only what is far above is worth the wait.
    while after > before + (8 << 20) && released.elapsed() < RELEASED_MAX {
        std::thread::sleep(Duration::from_millis(50));
        after = arena.resident_bytes();
        if after <= before + (32 << 20) && released.elapsed() > Duration::from_secs(1) {
            break;
        }
    }
    let grown = arena.metrics().grown_since(&metrics);
    Row {
        name,
        duration: ended - begun,
        latencies,
        before,
        peak: peak.max(after),
        after,
        grown,
        audited: Metrics::default(),
        is_running: arena.is_running(),
        faults: Vec::new(),
    }
}
