//! The master behind a room is killed under a publisher: how long is nothing acknowledged? The floor is Redis itself:
//! beside it a plain loop writes a key of the same slot, to the same master and, when there is one, to the next.

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
            title: "master of a room's slot killed (node timeout 1 s): longest time without an acknowledged message",
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
    ],
    contenders: &[Contender::Turnpike],
    rounds: 5,
    measure,
};

/// As many lanes there are, each in a slot of its own.
const LANES: u32 = 16;
const ROOM: u32 = 0;
/// Between two attempts, of either side.
const PAUSE: Duration = Duration::from_millis(5);
/// Two to three seconds are what a failover takes; beyond this it has failed.
const SECONDS: f64 = 8.0;

fn measure(bench: &Bench<'_>) -> anyhow::Result<Sample> {
    let system = System::start(bench.contender, 2, bench.places, bench.server_core)?;
    let mut driver = bench.driver(&system.servers[0], 0)?;
    // The publisher, and who holds it to what it has sent, on the other node.
    driver.call(&open(1, Rooms::One(ROOM)))?;
    driver.call(&Command::Aim { target: system.servers[1].address })?;
    driver.call(&open(1, Rooms::One(ROOM)))?;
    let unbroken =
        |seconds| Command::Unbroken { seconds, pause_ms: PAUSE.as_millis() as u64, body: Body::Text(128) };
    let before = driver.call(&unbroken(0.5))?;

    let key = bare_key(&system.redis)?;
    let stop = AtomicBool::new(false);
    let (report, redis_gap) = thread::scope(|scope| {
        let bare = scope.spawn(|| longest_gap(&system.redis, &key, &stop));
        let report = (|| {
            driver.send(&unbroken(bench.seconds(SECONDS, SECONDS)))?;
            thread::sleep(Duration::from_secs(1));
            system.redis.kill(system.redis.master_of_key(&key)?);
            driver.report()
        })();
        stop.store(true, Ordering::Relaxed);
        let gap = bare.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        anyhow::Ok((report?, gap?))
    })?;

    let (ours, redis) = (report.gap_seconds, redis_gap.as_secs_f64());
    anyhow::ensure!(redis > before.gap_seconds.max(0.5), "the kill was not felt: {redis} s without a SET");
    let mut sample = Sample::new();
    sample.insert("outage_seconds", ours);
    sample.insert("redis_outage_seconds", redis);
    sample.insert("outage_beyond_redis_seconds", ours - redis);
    sample.insert("longest_gap_before_seconds", before.gap_seconds);
    sample.insert("refusals", report.refusals as f64);
    sample.insert("acks", report.operations as f64);
    let disordered = verify(&mut [&mut driver], &[report])?;
    account_for_order(bench, disordered, &mut sample)?;
    Ok(sample)
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
