//! Sends the publications of all lanes of one master.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use fred::types::Value;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use super::queue::Entry;
use super::{Shared, Stored};
use crate::redis::address::Address;
use crate::redis::config::Durability;
use crate::redis::fault::Fault;
use crate::redis::library;
use crate::redis::link::{Command, Link};
use crate::redis::reply;
use crate::{LANES, Lane};

/// Redis does nothing else while it works on a group, and its replies wait for the last.
const GROUP_MAX: usize = 256;
const GROUP_BYTES_MAX: usize = 1024 * 1024;

/// What one WAIT waits. It is asked again as long as somebody has time.
const WAIT: Duration = Duration::from_millis(250);

const PAUSE_MIN: Duration = Duration::from_millis(5);

/// While a master is missing the map is looked at every 50 ms.
const PAUSE_MAX: Duration = Duration::from_millis(40);

/// Without a bell: work may have come back while nobody had the lane.
const IDLE: Duration = Duration::from_secs(1);

type Group = Vec<(Lane, Vec<Entry>)>;

/// Until the process is no master any more.
pub(super) async fn run(shared: Arc<Shared>, address: Address, bell: Arc<Notify>) {
    let mut link: Option<Link> = None;
    let mut pause = PAUSE_MIN;
    let mut next_lane = 0;
    loop {
        if shared.closed.load(Ordering::Relaxed) || shared.client.surveyor.topology().at(&address).is_none() {
            return;
        }
        let group = gather(&shared, &address, &mut next_lane);
        if group.is_empty() {
            let _ = timeout(IDLE, bell.notified()).await;
            continue;
        }
        match commit(&shared, &address, &mut link, group).await {
            Ok(()) => pause = PAUSE_MIN,
            Err(fault) => {
                shared.client.failed("turnpike_publish", &fault);
                if !matches!(fault, Fault::NoFunction) {
                    shared.client.surveyor.look_soon();
                }
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// Takes what waits in this master's lanes, a lane after the other, each time beginning with another.
fn gather(shared: &Shared, address: &Address, next_lane: &mut usize) -> Group {
    let topology = shared.client.surveyor.topology();
    let mut group = Group::new();
    let (mut entries, mut bytes) = (0, 0);
    *next_lane += 1;
    for lane in (0..LANES).filter_map(|index| Lane::new((index + *next_lane) % LANES)) {
        let owner = topology.master(shared.lanes[lane.index()].slot);
        if entries >= GROUP_MAX
            || bytes >= GROUP_BYTES_MAX
            || owner.is_none_or(|owner| owner.address != *address)
        {
            continue;
        }
        shared.expire(lane);
        let taken = shared.queue(lane).take(GROUP_MAX - entries, GROUP_BYTES_MAX - bytes);
        if !taken.is_empty() {
            entries += taken.len();
            bytes += taken.iter().map(|entry| entry.work.payload.len()).sum::<usize>();
            group.push((lane, taken));
        }
    }
    group
}

/// An error says that something of it, or all, is to be sent again.
async fn commit(
    shared: &Shared,
    address: &Address,
    held: &mut Option<Link>,
    mut group: Group,
) -> Result<(), Fault> {
    let link = match connected(shared, address, held).await {
        Ok(link) => link,
        Err(fault) => return Err(give_back(shared, group, fault)),
    };
    let client = &shared.client;
    let commands: Vec<Command> =
        group.iter_mut().flat_map(|(lane, entries)| calls(shared, *lane, entries)).collect();
    let count = commands.len();
    client.metrics.batches.inc();
    client.metrics.commands.with_label_values(&["turnpike_publish"]).inc_by(count as u64);

    let mut commands = commands;
    let needed = needed(shared, address);
    if needed > 0 {
        client.metrics.commands.with_label_values(&["WAIT"]).inc();
        commands.push(wait(needed));
    }
    let begun = Instant::now();
    let mut answers = link.send_all(commands, client.config.reply_deadline + WAIT).await;
    client.took("turnpike_publish", begun);
    let mut acknowledged =
        if needed > 0 { answers.pop().map(|answer| answer.map(|value| reply::number(&value))) } else { None };

    // Written, but not everywhere yet. What follows on this connection waits behind it, and would not fare better.
    while let Some(Ok(Some(replicas))) = &acknowledged
        && (*replicas as usize) < needed
    {
        let late = latest_deadline(&group);
        if late.is_none_or(|late| late <= Instant::now()) || client.surveyor.topology().at(address).is_none()
        {
            break;
        }
        client.surveyor.look_soon();
        answer_expired(shared, &mut group, &mut answers);
        client.metrics.commands.with_label_values(&["WAIT"]).inc();
        let again = link.send_within(wait(needed), client.config.reply_deadline + WAIT).await;
        acknowledged = Some(again.map(|value| reply::number(&value)));
    }
    let safe = match acknowledged {
        None => Ok(()),
        Some(Ok(Some(replicas))) if replicas as usize >= needed => Ok(()),
        Some(Ok(_)) => Err(Fault::NotNow("too few replicas have it".into())),
        Some(Err(fault)) => Err(fault),
    };
    match safe {
        Ok(()) => settle(shared, link, group, answers).await,
        Err(fault) => {
            // An answer of the calls themselves says more than that of the WAIT behind them.
            let fault = answers.into_iter().find_map(Result::err).unwrap_or(fault);
            Err(give_back(shared, group, fault))
        }
    }
}

async fn connected<'a>(
    shared: &Shared,
    address: &Address,
    held: &'a mut Option<Link>,
) -> Result<&'a Link, Fault> {
    if held.as_ref().is_some_and(Link::has_ended) {
        *held = None;
        shared.client.disconnected(address);
    }
    if held.is_none() {
        match Link::connect(address, &shared.client.config).await {
            Ok(link) => {
                shared.client.connected(address);
                *held = Some(link);
            }
            Err(fault) => {
                shared.client.disconnected(address);
                return Err(fault);
            }
        }
    }
    Ok(held.as_ref().expect("it was made if it was not there"))
}

/// As many as there are, but never fewer than the operator demands.
fn needed(shared: &Shared, address: &Address) -> usize {
    match shared.client.config.durability {
        Durability::Stored => 0,
        Durability::Replicated => {
            let topology = shared.client.surveyor.topology();
            let replicas = topology.at(address).map_or(0, |master| master.replicas);
            replicas.max(shared.client.config.replicas_min)
        }
    }
}

fn wait(replicas: usize) -> Command {
    Command::new("WAIT").arg(replicas.cast_signed() as i64).arg(WAIT.as_millis() as i64)
}

/// The calls of a lane, in its order. Each of a room but the first names the one before it, and is refused if that is not
/// there: what makes one fail may be over when the next comes.
fn calls(shared: &Shared, lane: Lane, entries: &mut [Entry]) -> Vec<Command> {
    let keys = &shared.lanes[lane.index()];
    let config = &shared.client.config;
    let number = |number: u64| Bytes::from(number.to_string());
    let mut before: HashMap<Box<str>, Bytes> = HashMap::new();
    entries
        .iter_mut()
        .map(|entry| {
            if entry.tries > 0 {
                shared.client.metrics.publish_retries.inc();
            }
            entry.tries += 1;
            let work = &entry.work;
            let [a, b, c] = keys.ids.clone();
            let predecessor = before.insert(work.room.clone(), work.id.clone()).unwrap_or_default();
            Command::fcall(
                "turnpike_publish",
                &[keys.meta.clone(), keys.heads.clone(), work.log.clone(), a, b, c],
                &[
                    Bytes::copy_from_slice(work.room.as_bytes()),
                    Bytes::copy_from_slice(work.channel.as_bytes()),
                    work.id.clone(),
                    work.attempt.clone(),
                    predecessor,
                    number(config.history.dedupe_ms),
                    number(config.history.room_messages_max as u64),
                    number(config.history.room_bytes_max as u64),
                    number(config.history.age_ms_max),
                    work.payload.clone(),
                ],
            )
        })
        .collect()
}

/// Everything was sent and, where it was done, is safe: answers what was done, and gives back the rest.
async fn settle(
    shared: &Shared,
    link: &Link,
    group: Group,
    answers: Vec<Result<Value, Fault>>,
) -> Result<(), Fault> {
    let mut answers = answers.into_iter();
    let mut worst = None;
    for (lane, entries) in group {
        let mut again = Vec::new();
        let mut done = Vec::new();
        for entry in entries {
            match answers.next().map(|answer| answer.map(|value| stored(&value))) {
                Some(Ok(Some(stored))) => done.push((entry, stored)),
                Some(Err(Fault::Refused(text))) => {
                    warn!(%text, "a publication is refused");
                    shared.answer(entry, Err(shared.unavailable(lane).into()));
                }
                Some(Err(fault)) => {
                    worst = Some(fault);
                    again.push(entry);
                }
                // Refused because the one before it was: it goes with that.
                Some(Ok(None)) | None => again.push(entry),
            }
        }
        let mut queue = shared.queue(lane);
        if again.is_empty() {
            queue.succeeded();
        } else {
            queue.failed(Instant::now());
        }
        queue.give_back(again);
        drop(queue);
        for (entry, stored) in done {
            shared.answer(entry, Ok(stored));
        }
        shared.ring(lane);
    }
    match worst {
        None => Ok(()),
        Some(Fault::NoFunction) => {
            library::ensure(link).await?;
            Err(Fault::NoFunction)
        }
        Some(fault) => Err(fault),
    }
}

fn stored(answer: &Value) -> Option<Stored> {
    let parts = reply::array(answer)?;
    let number = |index: usize| parts.get(index).and_then(reply::number);
    let duplicate = number(0)?;
    (duplicate < 2).then_some(())?;
    Some(Stored { epoch: number(1)?, seq: number(2)?, ts: number(3)?, duplicate: duplicate == 1 })
}

fn give_back(shared: &Shared, group: Group, fault: Fault) -> Fault {
    let now = Instant::now();
    for (lane, entries) in group {
        let mut queue = shared.queue(lane);
        queue.failed(now);
        queue.give_back(entries);
        drop(queue);
        shared.expire(lane);
        shared.ring(lane);
    }
    fault
}

fn latest_deadline(group: &Group) -> Option<Instant> {
    group.iter().flat_map(|(_, entries)| entries).map(|entry| entry.deadline).max()
}

/// Takes those out of the group whose time is over, and their answers with them.
fn answer_expired(shared: &Shared, group: &mut Group, answers: &mut Vec<Result<Value, Fault>>) {
    let now = Instant::now();
    let mut given = std::mem::take(answers).into_iter();
    for (lane, entries) in group {
        let mut left = Vec::new();
        for entry in entries.drain(..) {
            let answer = given.next();
            if entry.deadline <= now {
                shared.answer(entry, Err(shared.unavailable(*lane).into()));
            } else {
                left.push(entry);
                answers.extend(answer);
            }
        }
        *entries = left;
    }
}
