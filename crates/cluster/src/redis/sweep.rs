//! Clears away what the dead have left: their rows in rooms and their names at once, their sessions a recovery window
//! later. One node does it at a time, and slowly enough that nobody else feels it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fred::types::Value;
use futures_util::future::{try_join, try_join_all};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};
use turnpike_wire::RoomId;

use super::access::{Access, bytes_of, incarnation};
use super::membership::{Shared, nodes_keys};
use super::presence::{RoomKeys, lane_keys};
use super::standing::Grave;
use super::{directory, frame, reply, sessions};
use crate::{Incarnation, LANES, Lane, Lease, PresenceDelta, Signal, Unavailable};

/// Whoever claimed it and died is followed by somebody else after this.
const CLAIM: Duration = Duration::from_secs(10);
const CLAIM_RENEWAL: Duration = Duration::from_secs(3);

/// Between two batches, so that messages come through.
const PAUSE: Duration = Duration::from_millis(5);

/// A call of a function holds up its process; this many rooms or rows take well below a millisecond.
const ROOMS_PER_CALL_MAX: usize = 20;
const ROWS_PER_CALL_MAX: usize = 400;

/// Whose rows are cleared away side by side, in all lanes. Many may have died at once, and nobody is to wait for the last.
const DEAD_AT_ONCE: usize = 2;

/// Rooms of a dead incarnation that are looked up at a time, in one lane.
const ROOMS_PER_BATCH_MAX: usize = 100;

/// Buckets of sessions that are looked through at once.
const BUCKETS_AT_ONCE: u64 = 32;
const RECORDS_PER_CALL: u32 = 200;

/// After a sweep that failed.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// As long as this node lives.
pub(crate) async fn run(access: Arc<Access>, shared: Arc<Shared>) {
    let mut lease = shared.lease();
    let mut leaving = shared.leaving();
    let sweep = async {
        let mut graves = shared.graves();
        loop {
            let due = due(&graves.borrow_and_update(), access.client.config.recovery_window);
            if !due.is_empty()
                && let Err(unavailable) = sweep(&access, &shared, &due).await
            {
                warn!(
                    error = &unavailable as &dyn std::error::Error,
                    "could not clear away what the dead have left"
                );
                sleep(RETRY_PAUSE).await;
            }
            if graves.changed().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = sweep => {}
        _ = leaving.wait_for(|leaving| *leaving) => {}
        _ = lease.wait_for(|lease| *lease == Lease::Lost) => {}
    }
}

#[derive(Debug, Default, PartialEq)]
struct Due {
    /// Their rows and names.
    fresh: Vec<Incarnation>,
    /// Their sessions.
    old: Vec<Incarnation>,
}

impl Due {
    fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.old.is_empty()
    }
}

fn due(graves: &[Grave], window: Duration) -> Due {
    let incarnations = |wanted: &dyn Fn(&Grave) -> bool| {
        graves.iter().filter(|grave| wanted(grave)).map(|grave| grave.incarnation).collect()
    };
    Due {
        fresh: incarnations(&|grave| !grave.cleared),
        old: incarnations(&|grave| grave.cleared && grave.age >= window),
    }
}

async fn sweep(access: &Access, shared: &Shared, due: &Due) -> Result<(), Unavailable> {
    if !claim(access).await? {
        return Ok(());
    }
    let work = async {
        if !due.fresh.is_empty() {
            let begun = Instant::now();
            clear(access, &due.fresh).await?;
            shared.cleared(&due.fresh, false).await?;
            let (dead, took_ms) = (due.fresh.len(), begun.elapsed().as_millis() as u64);
            info!(dead, took_ms, "cleared away what dead nodes have left");
        }
        if !due.old.is_empty() {
            clear_sessions(access, shared, &due.old).await?;
        }
        Ok(())
    };
    let hold = async {
        loop {
            sleep(CLAIM_RENEWAL).await;
            // Two at once do no harm, only more work.
            let _ = claim(access).await;
        }
    };
    let done = tokio::select! {
        done = work => done,
        () = hold => unreachable!("it goes on until the work is done"),
    };
    access
        .call("turnpike_nodes_release", &claim_keys(access), vec![access.own_bytes()], reply::number)
        .await?;
    // What is left of the graves is seen with the next renewal; the same work is not begun again before.
    shared.refreshed().await;
    done
}

fn claim_keys(access: &Access) -> Vec<String> {
    let mut keys = nodes_keys(&access.keys);
    keys.push(format!("{{{}:nodes}}:sweeper", access.keys.prefix()));
    keys
}

async fn claim(access: &Access) -> Result<bool, Unavailable> {
    let args = vec![access.own_bytes(), bytes_of(CLAIM.as_millis())];
    Ok(access.call("turnpike_nodes_claim", &claim_keys(access), args, reply::number).await? == 1)
}

/// Rows and names of those who are dead. May be done again, and by several at once.
pub(crate) async fn clear(access: &Access, dead: &[Incarnation]) -> Result<(), Unavailable> {
    let rows = async {
        for some in dead.chunks(DEAD_AT_ONCE) {
            let lanes =
                Lane::all().flat_map(|lane| some.iter().map(move |dead| clear_lane(access, lane, *dead)));
            try_join_all(lanes.collect::<Vec<_>>()).await?;
        }
        Ok(())
    };
    // Names are looked through once, whoever had them.
    try_join(rows, clear_names(access, dead)).await.map(drop)
}

async fn clear_lane(access: &Access, lane: Lane, dead: Incarnation) -> Result<(), Unavailable> {
    let gone = PresenceDelta { incarnation: dead, version: None, gone: true, rows: Vec::new() };
    let gone = Signal::Presence(gone);
    let [base, graves, rooms_of_dead] = lane_keys(&access.keys, lane, dead);
    let bury_keys = [base.clone(), graves, rooms_of_dead.clone()];
    loop {
        // The first of these ends the rows for all who read; the rest is tidying.
        let args = vec![bytes_of(dead), bytes_of(ROOMS_PER_BATCH_MAX)];
        let rooms = access.call("turnpike_presence_bury", &bury_keys, args, rooms).await?;
        if rooms.is_empty() {
            return Ok(());
        }
        for rooms in rooms.chunks(ROOMS_PER_CALL_MAX) {
            let mut left = rooms;
            while !left.is_empty() {
                let (keys, args) = gone_call(access, &base, &rooms_of_dead, dead, &gone, left);
                let done = access.call("turnpike_presence_gone", &keys, args, reply::number).await?;
                left = left.get(done as usize..).unwrap_or_default();
                sleep(PAUSE).await;
            }
        }
    }
}

fn gone_call(
    access: &Access,
    base: &str,
    rooms_of_dead: &str,
    dead: Incarnation,
    gone: &Signal,
    rooms: &[RoomId],
) -> (Vec<String>, Vec<Bytes>) {
    let mut keys = vec![base.to_owned(), rooms_of_dead.to_owned()];
    let mut args = vec![bytes_of(dead), bytes_of(ROWS_PER_CALL_MAX)];
    for room in rooms {
        let of_room = RoomKeys::new(&access.keys, room);
        keys.extend([of_room.version(), of_room.incarnations(), of_room.rows(dead), of_room.last_seen_now()]);
        let channel = access.keys.channel(room);
        let signal = frame::signal(&access.seal.at(&channel), access.own, gone);
        args.extend([bytes_of(room), channel.into(), signal]);
    }
    (keys, args)
}

fn rooms(answer: &Value) -> Option<Vec<RoomId>> {
    reply::array(answer)?.iter().map(|room| RoomId::parse(reply::text(room)?).ok()).collect()
}

async fn clear_names(access: &Access, dead: &[Incarnation]) -> Result<(), Unavailable> {
    for bucket in 0..directory::BUCKETS {
        let keys = directory::bucket_keys(&access.keys, bucket);
        let mut cursor = "0".to_owned();
        loop {
            let mut args = vec![bytes_of(&cursor), bytes_of(RECORDS_PER_CALL)];
            args.extend(dead.iter().map(bytes_of));
            let next = |answer: &Value| reply::text(answer).map(str::to_owned);
            cursor = access.call("turnpike_directory_sweep", &keys, args, next).await?;
            if cursor == "0" {
                break;
            }
        }
    }
    Ok(())
}

/// All records of these. On the way it is seen whether there are some of incarnations that nobody knows: such as a node
/// has left that wrote once more, late, when all of it had been cleared away. They are buried.
async fn clear_sessions(access: &Access, shared: &Shared, dead: &[Incarnation]) -> Result<(), Unavailable> {
    let mut removed = 0;
    let mut strangers = HashSet::new();
    let known = known(shared);
    let mut bucket = 0;
    while bucket < sessions::BUCKETS {
        let some = bucket..sessions::BUCKETS.min(bucket + BUCKETS_AT_ONCE);
        let swept = some.map(|bucket| sweep_bucket(access, bucket, &known, dead));
        for (count, found) in try_join_all(swept).await? {
            removed += count;
            strangers.extend(found);
        }
        bucket += BUCKETS_AT_ONCE;
        sleep(PAUSE).await;
    }
    shared.cleared(dead, true).await?;
    info!(dead = dead.len(), records = removed, "cleared away the sessions of dead nodes");
    if !strangers.is_empty() {
        // Some may have joined meanwhile.
        shared.refreshed().await;
        let known = self::known(shared);
        let strangers: Vec<Incarnation> = strangers
            .into_iter()
            .filter(|stranger| !known.contains(stranger) && !dead.contains(stranger))
            .collect();
        if !strangers.is_empty() {
            shared.bury(&strangers).await?;
        }
    }
    Ok(())
}

/// Those who live or may do so, and those whose sessions still wait.
fn known(shared: &Shared) -> Vec<Incarnation> {
    let mut known = shared.expected().to_vec();
    known.extend(shared.graves().borrow().iter().map(|grave| grave.incarnation));
    known
}

async fn sweep_bucket(
    access: &Access,
    bucket: u64,
    known: &[Incarnation],
    dead: &[Incarnation],
) -> Result<(u64, Vec<Incarnation>), Unavailable> {
    let keys = [sessions::bucket_key(&access.keys, bucket)];
    let known = known.iter().filter(|one| !dead.contains(one)).map(bytes_of).collect::<Vec<_>>();
    let (mut cursor, mut removed, mut strangers) = ("0".to_owned(), 0, Vec::new());
    loop {
        let mut args = vec![bytes_of(&cursor), bytes_of(RECORDS_PER_CALL), bytes_of(known.len())];
        args.extend(known.iter().cloned());
        args.extend(dead.iter().map(bytes_of));
        let (next, count, found) = access.call("turnpike_session_sweep", &keys, args, swept).await?;
        removed += count;
        strangers.extend(found);
        if next == "0" {
            return Ok((removed, strangers));
        }
        cursor = next;
    }
}

fn swept(answer: &Value) -> Option<(String, u64, Vec<Incarnation>)> {
    let [next, removed, strangers] = reply::array(answer)? else { return None };
    // What is no incarnation is no record of ours.
    let strangers =
        reply::array(strangers)?.iter().filter_map(|one| incarnation(reply::text(one)?)).collect();
    Some((reply::text(next)?.to_owned(), reply::number(removed)?, strangers))
}

const _: () = assert!(LANES <= 64, "all lanes are cleared side by side");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_at_once_and_sessions_after_the_window() {
        let window = Duration::from_mins(2);
        let grave = |number, cleared, seconds| Grave {
            incarnation: Incarnation(number),
            cleared,
            age: Duration::from_secs(seconds),
        };
        let graves = [grave(1, false, 0), grave(2, true, 119), grave(3, true, 120), grave(4, false, 500)];
        let expected = Due { fresh: vec![Incarnation(1), Incarnation(4)], old: vec![Incarnation(3)] };
        assert_eq!(due(&graves, window), expected);
        assert!(due(&graves[1..2], window).is_empty());
    }
}
