//! Schedules of faults, each from a seed: nodes die, are cut off, stand still, come; the store fails over and forgets the latest.
//! Afterwards everything must be as if nothing had been, and no stream ever has two homes that may both act.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Fleet, played};
use crate::{Lease, Membership};

/// In the tests that run always.
const SCHEDULES: u64 = 8;

const FAULTS: usize = 8;

/// Nothing harms anybody after that for so long: a node that was cut off starts over, and what is lost is swept and made good.
const REST: Duration = Duration::from_secs(40);

/// After a failover that forgot a claim, another may be given it until its owner asks again.
const FORGOTTEN: Duration = Duration::from_secs(8);

async fn storm(seed: u64) -> Result<(), String> {
    let mut fleet = Fleet::of(3 + (seed % 9) as usize, seed).await;
    fleet.agreed().await;
    fleet.publish_all().await;
    let mut lenient_until = Instant::now();
    for _ in 0..FAULTS {
        lenient_until = lenient_until.max(fault(&mut fleet).await);
        let after = Duration::from_millis(fleet.random.below(4_000));
        calm(&mut fleet, after, lenient_until).await?;
    }
    fleet.members.values().for_each(|member| member.cut(false));
    calm(&mut fleet, REST, lenient_until).await?;
    fleet.agreed().await;
    fleet.publish_all().await;
    sleep(Duration::from_secs(10)).await;
    for stream in &fleet.streams {
        let homes = fleet.ledger.homes(stream);
        if homes.len() != 1 {
            return Err(format!("{stream} lives at {homes:?}"));
        }
    }
    let wrong = fleet.wrong_with_presence().await;
    wrong.first().map_or(Ok(()), |first| Err(format!("{first}, and {} more", wrong.len() - 1)))
}

/// Gives until when two may take a stream for theirs.
async fn fault(fleet: &mut Fleet) -> Instant {
    let somebody = fleet.somebody();
    match fleet.random.below(7) {
        0 if fleet.members.len() > 2 => fleet.kill(somebody.own.0),
        1 => fleet.join(1).await,
        2 => somebody.cut(true),
        3 => fleet.members.values().for_each(|member| member.cut(false)),
        4 => fleet.network.stand_still(somebody.own.0, Duration::from_millis(fleet.random.below(9_000))),
        5 => {
            let _ = somebody.stores.membership.leave().wait().await;
            fleet.kill(somebody.own.0);
            fleet.join(1).await;
        }
        _ => {
            let kept = fleet.network.snapshot();
            sleep(Duration::from_millis(fleet.random.below(800))).await;
            let were_cut: Vec<_> = fleet.members.values().cloned().collect();
            for member in &were_cut {
                member.cut(true);
            }
            let after = Duration::from_millis(500 + fleet.random.below(2_500));
            fleet.network.fail_over(kept, after).await;
            for member in &were_cut {
                member.cut(false);
            }
            return Instant::now() + FORGOTTEN;
        }
    }
    Instant::now()
}

/// Time goes on for so long.
async fn calm(fleet: &mut Fleet, time: Duration, lenient_until: Instant) -> Result<(), String> {
    let until = Instant::now() + time;
    while Instant::now() < until {
        let lost: Vec<u64> = fleet
            .members
            .values()
            .filter(|member| member.lease() == Lease::Lost)
            .map(|member| member.own.0)
            .collect();
        for number in &lost {
            fleet.kill(*number);
        }
        if !lost.is_empty() {
            fleet.join(lost.len()).await;
        }
        let somebody = fleet.somebody();
        let room = fleet.rooms[fleet.random.index(fleet.rooms.len())].clone();
        let user = format!("u{}", fleet.random.below(8));
        somebody.change(&room, &user, !somebody.is_here(&room, &user));
        let stream = fleet.streams[fleet.random.index(fleet.streams.len())].clone();
        // Nobody waits long for an answer.
        let _ = tokio::time::timeout(Duration::from_secs(1), fleet.publish(&somebody, &stream)).await;
        let doubles = fleet.doubles();
        if Instant::now() > lenient_until && !doubles.is_empty() {
            let homes = fleet.ledger.homes(&doubles[0]);
            let story = fleet.ledger.story(&homes, &doubles[0]);
            return Err(format!("{doubles:?} live at two places: {homes:?}\n{story}"));
        }
        sleep(Duration::from_millis(100)).await;
    }
    let faults = fleet.ledger.faults();
    faults.first().map_or(Ok(()), |first| Err(first.clone()))
}

fn hold(seeds: impl Iterator<Item = u64>) {
    for seed in seeds {
        if let Err(wrong) = played(storm(seed)) {
            panic!("SEED={seed}: {wrong}");
        }
    }
}

#[test]
fn storms_leave_everything_as_it_was() {
    if let Ok(seed) = std::env::var("SEED") {
        let number =
            |text: &str| text.parse::<u64>().expect("SEED is a number, or two with dots between them");
        return match seed.split_once("..") {
            Some((from, to)) => hold(number(from)..number(to)),
            None => hold(std::iter::once(number(&seed))),
        };
    }
    hold(0..SCHEDULES);
}
