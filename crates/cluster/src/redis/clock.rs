//! The clock of this machine against those of Redis. When tokens and bans end is a question of wall clocks, and a machine
//! whose own is wrong lets in whom others refuse.

use std::sync::Arc;
use std::time::Duration;

use fred::types::Value;
use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{info, warn};

use super::access::Access;
use super::config::Report;
use super::link::Command;
use super::{CLOCK_OFFSET_MAX, reply};
use crate::board::unix_ms;

/// Clocks go wrong slowly, or are set; either is soon seen.
const LOOK_PAUSE: Duration = Duration::from_secs(10);

/// An answer that took longer says too little about the moment at which it was given.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(1);

pub(crate) async fn run(access: Arc<Access>, mut leaving: watch::Receiver<bool>) {
    let mut pause = interval(LOOK_PAUSE);
    pause.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_right = true;
    loop {
        tokio::select! {
            () = async { drop(leaving.wait_for(|leaving| *leaving).await) } => return,
            _ = pause.tick() => {}
        }
        let Some(offset_ms) = look(&access).await else { continue };
        access.client.metrics.clock_offset.set(offset_ms as f64 / 1_000.0);
        let was_right = std::mem::replace(&mut is_right, is_within(offset_ms));
        if was_right != is_right {
            if is_right {
                info!(offset_ms, "the clock of this machine is right again");
            } else {
                warn!(
                    offset_ms,
                    "the clock of this machine differs from that of Redis: tokens and bans end at other times here"
                );
            }
            if let Some(report) = &access.client.config.report {
                report(Report::Clock { offset_ms, is_right });
            }
        }
    }
}

fn is_within(offset_ms: i64) -> bool {
    offset_ms.unsigned_abs() <= CLOCK_OFFSET_MAX.as_millis() as u64
}

/// By how much this machine is ahead of Redis, as most of its masters see it.
async fn look(access: &Access) -> Option<i64> {
    let topology = access.client.surveyor.topology();
    let asked = topology.a_slot_each().into_iter().map(|slot| ask(access, slot));
    median(join_all(asked).await.into_iter().flatten().collect())
}

async fn ask(access: &Access, slot: u16) -> Option<i64> {
    let link = access.client.link(slot).await.ok()?;
    let (sent, sent_ms) = (Instant::now(), unix_ms());
    let answer = link.send(Command::new("TIME")).await.ok()?;
    let took = sent.elapsed();
    (took <= ROUND_TRIP_MAX).then(|| ahead(sent_ms, took, time_of(&answer)?)).flatten()
}

/// Redis has answered in the middle of the way there and back, as far as can be known.
fn ahead(sent_ms: u64, took: Duration, redis_ms: u64) -> Option<i64> {
    let here = i64::try_from(sent_ms).ok()?.checked_add(i64::try_from(took.as_millis() / 2).ok()?)?;
    here.checked_sub(i64::try_from(redis_ms).ok()?)
}

fn time_of(answer: &Value) -> Option<u64> {
    let [seconds, micros] = reply::array(answer)? else { return None };
    reply::number(seconds)?.checked_mul(1_000)?.checked_add(reply::number(micros)? / 1_000)
}

/// One master whose clock is wrong does not make ours so.
fn median(mut offsets: Vec<i64>) -> Option<i64> {
    offsets.sort_unstable();
    offsets.get(offsets.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_way_is_not_held_against_the_clock() {
        assert_eq!(ahead(10_000, Duration::from_millis(200), 10_100), Some(0));
        assert_eq!(ahead(10_000, Duration::ZERO, 17_000), Some(-7_000));
        assert_eq!(ahead(u64::MAX, Duration::ZERO, 0), None);
        assert!(is_within(5_000) && is_within(-5_000) && !is_within(5_001) && !is_within(i64::MIN));
    }

    #[test]
    fn most_masters_are_believed() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3]), Some(3));
        assert_eq!(median(vec![9_000, 10, -5]), Some(10));
    }

    #[test]
    fn the_answer_is_seconds_and_millionths() {
        assert_eq!(time_of(&Value::Array(vec!["12".into(), "345678".into()])), Some(12_345));
        for odd in [Value::Null, Value::Array(vec!["12".into()]), Value::Array(vec!["x".into(), "1".into()])]
        {
            assert_eq!(time_of(&odd), None);
        }
    }
}
