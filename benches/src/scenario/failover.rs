//! The master behind a room is killed under a publisher: how long is nothing acknowledged? The floor is Redis itself:
//! beside it a plain loop writes a key of the same slot, to the same master and, when there is one, to the next.
//!
//! Twice: with two replicas a master, so that the next master still has one; and with one replica, where the next has none
//! and nothing can be called replicated before the killed process is back. It is started again, as its supervisor would
//! do, when another serves its slot.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use turnpike_lab::{RedisCluster, redis::slot_of};

use super::{Bench, Contender, Figure, Sample, Scenario, account_for_order, open};
use crate::{
    load::{
        command::{Command, Rooms},
        verify,
    },
    packets::Body,
    system::System,
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "failover",
    figures: &[
        Figure {
            key: "outage_seconds",
            title: "master of a room's slot killed (node timeout 1 s, two replicas a master): longest time without an acknowledged message",
            unit: "s",
            goal: None,
        },
        Figure {
            key: "redis_outage_seconds",
            title: "the same kill: longest time without a successful SET of a plain client in the same slot",
            unit: "s",
            goal: None,
        },
        Figure { key: "outage_beyond_redis_seconds", title: "the difference", unit: "s", goal: Some(0.3) },
        Figure {
            key: "one_replica_outage_seconds",
            title: "with a single replica, the killed process started again when the replica has taken over",
            unit: "s",
            goal: None,
        },
        Figure {
            key: "one_replica_redis_outage_seconds",
            title: "the same kill: a plain client",
            unit: "s",
            goal: None,
        },
    ],
    contenders: &[Contender::Turnpike],
    rounds: 5,
    turn_seconds: 40.0,
    measure,
};

/// As many lanes there are, each in a slot of its own.
const LANES: u32 = 16;
const ROOM: u32 = 0;
/// Between two attempts, of either side.
const PAUSE: Duration = Duration::from_millis(5);
/// Two to three seconds are what a failover takes.
const SECONDS: f64 = 8.0;
/// Both sides are under way before the kill.
const BEFORE: Duration = Duration::from_secs(1);
/// Beyond it there is none.
const FAILOVER_MAX: Duration = Duration::from_secs(15);
/// No failover is that short.
const FELT: Duration = Duration::from_millis(500);

fn measure(bench: &Bench<'_>) -> anyhow::Result<Sample> {
    let mut sample = Sample::new();
    let two = outage(bench, 2, &mut sample)?;
    sample.insert("outage_seconds", two.ours);
    sample.insert("redis_outage_seconds", two.redis);
    sample.insert("outage_beyond_redis_seconds", two.ours - two.redis);
    sample.insert("refusals", two.refusals);
    // A test has no time for both.
    if !bench.size.quick {
        let one = outage(bench, 1, &mut sample)?;
        sample.insert("one_replica_outage_seconds", one.ours);
        sample.insert("one_replica_redis_outage_seconds", one.redis);
        sample.insert("one_replica_refusals", one.refusals);
    }
    Ok(sample)
}

/// In seconds.
struct Outage {
    ours: f64,
    redis: f64,
    refusals: f64,
}

fn outage(bench: &Bench<'_>, replicas: usize, sample: &mut Sample) -> anyhow::Result<Outage> {
    let system = System::start(bench.contender, 2, replicas, bench.places, bench.server_core)?;
    let mut driver = bench.driver(&system.servers[0], 0)?;
    // The publisher, and who holds it to what it has sent, on the other node.
    driver.call(&open(1, Rooms::One(ROOM)))?;
    driver.call(&Command::Aim { target: system.servers[1].address })?;
    driver.call(&open(1, Rooms::One(ROOM)))?;
    let unbroken =
        |seconds| Command::Unbroken { seconds, pause_ms: PAUSE.as_millis() as u64, body: Body::Text(128) };
    driver.call(&unbroken(0.5))?;

    let key = bare_key(&system.redis)?;
    let stop = AtomicBool::new(false);
    let (report, redis) = thread::scope(|scope| {
        let bare = scope.spawn(|| longest_gap(&system.redis, &key, &stop));
        let report = (|| {
            driver.send(&unbroken(bench.seconds(SECONDS, SECONDS)))?;
            thread::sleep(BEFORE);
            let master = system.redis.master_of_key(&key)?;
            system.redis.kill(master);
            if replicas == 1 {
                system.redis.wait_served(FAILOVER_MAX)?;
                system.redis.restart(master)?;
            }
            driver.report()
        })();
        stop.store(true, Ordering::Relaxed);
        let gap = bare.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        anyhow::Ok((report?, gap?.as_secs_f64()))
    })?;
    anyhow::ensure!(redis > FELT.as_secs_f64(), "the kill was not felt: {redis} s without a SET");
    let outage = Outage { ours: report.gap_seconds, redis, refusals: report.refusals as f64 };
    let disordered = verify(&mut [&mut driver], &[report])?;
    account_for_order(bench, disordered, sample)?;
    Ok(outage)
}

/// A key in the slot of the room's lane, which is found by where the room's history lies.
fn bare_key(redis: &RedisCluster) -> anyhow::Result<String> {
    for lane in 0..LANES {
        let log = format!("{{tp:l{lane}}}:log:bench-{ROOM}");
        let found = redis.command(redis.master_of_key(&log)?, &["EXISTS", &log])?.sound()?;
        if found.integer() == Some(1) {
            return Ok(format!("{{tp:l{lane}}}:bench-bare"));
        }
    }
    anyhow::bail!("the room's history is in none of the lanes")
}

/// Of a client without any cleverness: it asks who has the slot, and writes until that fails.
fn longest_gap(redis: &RedisCluster, key: &str, stop: &AtomicBool) -> anyhow::Result<Duration> {
    let slot = slot_of(key.as_bytes());
    let mut connection = None;
    let mut last = Instant::now();
    let mut longest = Duration::ZERO;
    let mut written = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        let mut attempt = || -> anyhow::Result<()> {
            if connection.is_none() {
                connection = Some(redis.connect(redis.master_of_slot(slot)?)?);
            }
            let open = connection.as_mut().context("it was just opened")?;
            open.command(&["SET", key, &written.to_string()])?.sound()?;
            Ok(())
        };
        match attempt() {
            Ok(()) => {
                written += 1;
                longest = longest.max(last.elapsed());
                last = Instant::now();
            }
            Err(_) => connection = None,
        }
        thread::sleep(PAUSE);
    }
    anyhow::ensure!(written > 0, "not one SET succeeded");
    Ok(longest.max(last.elapsed()))
}
