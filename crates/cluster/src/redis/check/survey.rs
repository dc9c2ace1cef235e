//! What is asked of every process, and nothing about what it means.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fred::types::Value;
use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use super::fields::Fields;
use super::knock;
use crate::redis::address::Address;
use crate::redis::config::RedisConfig;
use crate::redis::fault::Fault;
use crate::redis::link::{Command, Link};
use crate::redis::reply;
use crate::redis::slot::slot_of;
use crate::redis::topology::{Topology, View};

/// Of one process, all questions together, as a multiple of what one answer may take.
const REPLIES: u32 = 5;
/// The middle one counts: a single one may have met something else that the machine does.
const PINGS: usize = 5;
/// A connection may be lost by chance; one that answers when it is asked in plain words deserves another try.
const ATTEMPTS: u32 = 3;
/// What settings are read, as patterns of `CONFIG GET`.
const SETTINGS: [&str; 5] =
    ["append*", "client-output-buffer-limit", "cluster-*", "min-replicas-*", "stop-writes-on-bgsave-error"];

pub(super) struct Survey {
    pub(super) nodes: Vec<Asked>,
    pub(super) topology: Topology,
}

/// A process that was asked.
pub(super) struct Asked {
    pub(super) address: Address,
    /// Named in the configuration, and not only by others of the cluster.
    pub(super) is_seed: bool,
    pub(super) answer: Result<Answers, Fault>,
}

pub(super) struct Answers {
    pub(super) info: Fields,
    pub(super) cluster: Fields,
    /// None if this user may not read it.
    pub(super) settings: Option<Fields>,
    /// None if there is no function library of ours.
    pub(super) library: Option<u64>,
    /// How much its clock is ahead of this machine's, in milliseconds.
    pub(super) clock_ahead_ms: i64,
    pub(super) ping: Duration,
    /// How long a message took to come back on a channel of its own, or what came instead. None for a replica.
    pub(super) bus: Option<Result<Duration, Fault>>,
}

impl Survey {
    pub(super) fn answering(&self) -> impl Iterator<Item = (&Address, &Answers)> {
        self.nodes.iter().filter_map(|node| Some((&node.address, node.answer.as_ref().ok()?)))
    }

    /// Those that serve slots and answer.
    pub(super) fn masters(&self) -> impl Iterator<Item = (&Address, &Answers)> {
        self.answering().filter(|(address, _)| self.topology.at(address).is_some())
    }
}

pub(super) async fn survey(config: &RedisConfig) -> Survey {
    let seeds: BTreeSet<Address> =
        config.nodes.iter().map(|(host, port)| Address::new(host, *port)).collect();
    let mut opened = open(seeds.iter().cloned(), config).await;
    let views: Vec<View> = opened.iter().filter_map(|opened| opened.view.clone().ok()).collect();
    let known = Topology::merge(&views).everybody;
    // The same process may be named by a host's name here and by an address there.
    let met: BTreeSet<Box<str>> = opened.iter().filter_map(|opened| opened.id.clone()).collect();
    let others = open(known.difference(&seeds).cloned(), config).await;
    opened.extend(others.into_iter().filter(|other| other.id.as_ref().is_none_or(|id| !met.contains(id))));

    let views: Vec<View> = opened.iter().filter_map(|opened| opened.view.clone().ok()).collect();
    let topology = Topology::merge(&views);
    let nodes = opened.into_iter().map(|opened| {
        let (topology, seeds) = (&topology, &seeds);
        async move {
            let Opened { address, link, view, .. } = opened;
            let answer = match (link, view) {
                (Some(link), Ok(_)) => {
                    let channel = channel(&address, topology, config);
                    timeout(config.reply_deadline * REPLIES, ask(&link, channel))
                        .await
                        .unwrap_or_else(|_| Err(Fault::Lost("no answers in time".into())))
                }
                (_, Err(fault)) => Err(fault),
                (None, Ok(_)) => Err(Fault::Lost("no connection".into())),
            };
            Asked { is_seed: seeds.contains(&address), address, answer }
        }
    });
    Survey { nodes: join_all(nodes).await, topology }
}

/// A process with the connection to it and what it says of the others.
struct Opened {
    address: Address,
    link: Option<Link>,
    id: Option<Box<str>>,
    view: Result<View, Fault>,
}

async fn open(addresses: impl Iterator<Item = Address>, config: &RedisConfig) -> Vec<Opened> {
    let opening = addresses.map(|address| async move {
        let mut attempts = 1..=ATTEMPTS;
        let (link, text) = loop {
            let last = attempts.next().is_none_or(|attempt| attempt == ATTEMPTS);
            let asked = timeout(config.reply_deadline * REPLIES, async {
                let link = Link::connect(&address, config).await?;
                let text = text(link.send(Command::new("CLUSTER").arg("NODES")).await);
                Ok((link, text))
            });
            match asked.await.unwrap_or_else(|_| Err(Fault::Lost("no answer in time".into()))) {
                Ok((link, text)) => break (Some(link), text),
                Err(fault) => match knock::why(&address, config).await {
                    Some(fault) => break (None, Err(fault)),
                    None if last => break (None, Err(fault)),
                    None => {}
                },
            }
        };
        let own = |text: &String| {
            text.lines()
                .find(|line| line.contains("myself"))
                .and_then(|line| line.split(' ').next())
                .map(Box::from)
        };
        let id = text.as_ref().ok().and_then(own);
        let view = text.map(|text| View { from: address.clone(), text });
        Opened { address, link, id, view }
    });
    join_all(opening).await
}

async fn ask(link: &Link, channel: Option<String>) -> Result<Answers, Fault> {
    let info = Fields::of_lines(&text(link.send(Command::new("INFO")).await)?);
    let cluster = Fields::of_lines(&text(link.send(Command::new("CLUSTER").arg("INFO")).await)?);
    let get = SETTINGS.iter().fold(Command::new("CONFIG").arg("GET"), |get, pattern| get.arg(*pattern));
    // Who may not read it has an operator who decided so.
    let settings = link.send(get).await.ok().map(Fields::of_pairs);
    let version = Command::new("FCALL_RO").arg("turnpike_version").arg(0i64);
    let library = match link.send(version).await {
        Ok(answer) => reply::array(&answer).and_then(|parts| reply::number(parts.first()?)),
        Err(_) => None,
    };
    let clock_ahead_ms = clock(link).await?;
    let mut pings = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let before = Instant::now();
        link.send(Command::new("PING")).await?;
        pings.push(before.elapsed());
    }
    pings.sort_unstable();
    let bus = match channel {
        None => None,
        Some(channel) => Some(round_trip(link, &channel).await),
    };
    Ok(Answers { info, cluster, settings, library, clock_ahead_ms, ping: pings[PINGS / 2], bus })
}

/// Against the middle between question and answer.
async fn clock(link: &Link) -> Result<i64, Fault> {
    let own = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
    let before = own();
    let answer = link.send(Command::new("TIME")).await?;
    let middle = i64::midpoint(before, own());
    let theirs = reply::array(&answer)
        .and_then(|parts| Some(reply::number(parts.first()?)? * 1000 + reply::number(parts.get(1)?)? / 1000));
    theirs
        .map(|theirs| theirs.cast_signed() - middle)
        .ok_or_else(|| Fault::Refused("TIME answers something else".into()))
}

async fn round_trip(link: &Link, channel: &str) -> Result<Duration, Fault> {
    let mut heard = link.announcements();
    link.subscribe(channel).await?;
    let before = Instant::now();
    link.send(Command::new("SPUBLISH").arg(channel).arg("?")).await?;
    // Nothing else is subscribed to on this connection. Whoever waits for this has set a limit.
    loop {
        match heard.recv().await {
            Ok(message) if *message.channel == *channel => return Ok(before.elapsed()),
            Ok(_) => {}
            Err(_) => return Err(Fault::Lost("the announcement did not come".into())),
        }
    }
}

/// One whose slot the process serves, so that nobody is sent elsewhere.
fn channel(address: &Address, topology: &Topology, config: &RedisConfig) -> Option<String> {
    /// A master with a thousandth of the slots is found by then.
    const TRIES: u32 = 10_000;
    topology.at(address)?;
    let own =
        |channel: &String| topology.master(slot_of(channel)).is_some_and(|master| master.address == *address);
    let process = std::process::id();
    (0..TRIES).map(|number| format!("{{{}:c{number}}}:check:{process}", config.prefix)).find(own)
}

fn text(answer: Result<Value, Fault>) -> Result<String, Fault> {
    answer?.into_string().ok_or_else(|| Fault::Refused("an answer is no text".into()))
}
