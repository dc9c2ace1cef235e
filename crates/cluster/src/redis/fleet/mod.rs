//! A fleet of up to a hundred nodes in one process and in virtual time, each from a seed: the stores, leases, followers and
//! placement of production on every node, the function library of production word for word over keys in memory, and a network
//! that is slow, cut, or stands still. What it costs a node to be one of many is counted as it would be on the wire.
//!
//! `SEED=7 cargo test -p turnpike-cluster fleet::storms` runs one schedule again; `SEED=7000..9000` runs many others.

mod eyes;
mod functions;
mod keyspace;
mod ledger;
mod member;
mod network;
mod storm;
mod traffic;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};
use turnpike_wire::RoomId;

use self::ledger::Ledger;
use self::member::Member;
use self::network::Network;
use crate::placement::{Relays, Side};
use crate::redis::simulation::random::Random;
use crate::{Directory, Incarnation, Lease, Membership, Presence};

/// Rooms and streams for each node that there is at the beginning, and how many nodes look at a room.
const ROOMS_PER_NODE: usize = 2;
const STREAMS_PER_NODE: usize = 2;
const LOOKING: usize = 3;

/// How often somebody whose stream has no home tries again.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

struct Fleet {
    network: Arc<Network>,
    ledger: Arc<Ledger>,
    random: Random,
    members: BTreeMap<u64, Arc<Member>>,
    /// What each gateway has sent where.
    placing: BTreeMap<u64, Relays>,
    loads: BTreeMap<u64, u32>,
    rooms: Vec<RoomId>,
    streams: Vec<String>,
    joined: u64,
}

impl Fleet {
    async fn of(count: usize, seed: u64) -> Self {
        let mut fleet = Self {
            network: Network::new(seed),
            ledger: Arc::default(),
            random: Random::new(seed ^ 1),
            members: BTreeMap::new(),
            placing: BTreeMap::new(),
            loads: BTreeMap::new(),
            rooms: (0..count * ROOMS_PER_NODE).map(room).collect(),
            streams: (0..count * STREAMS_PER_NODE).map(|number| format!("live:{number}")).collect(),
            joined: 0,
        };
        fleet.join(count).await;
        let rooms = fleet.rooms.clone();
        let members: Vec<Arc<Member>> = fleet.members.values().cloned().collect();
        join_all(rooms.iter().enumerate().flat_map(|(number, room)| {
            let looking = (0..LOOKING).map(move |step| (number / ROOMS_PER_NODE + step) % count);
            let looking: BTreeSet<usize> = looking.collect();
            let members = &members;
            looking.into_iter().map(move |index| members[index].open(room))
        }))
        .await;
        fleet
    }

    /// So many more nodes, which begin at about the same time.
    async fn join(&mut self, count: usize) {
        let joining = (0..count as u64).map(|step| {
            let (network, ledger) = (Arc::clone(&self.network), Arc::clone(&self.ledger));
            let (number, after) = (self.joined + step + 1, Duration::from_millis(self.random.below(1_000)));
            async move {
                sleep(after).await;
                Member::join(&network, &ledger, number).await
            }
        });
        let joined = join_all(joining.collect::<Vec<_>>()).await;
        self.joined += count as u64;
        for member in joined {
            self.loads.insert(member.own.0, 0);
            self.members.insert(member.own.0, member);
        }
    }

    fn kill(&mut self, number: u64) {
        if let Some(member) = self.members.remove(&number) {
            member.kill();
        }
        self.placing.remove(&number);
        self.loads.remove(&number);
    }

    fn somebody(&mut self) -> Arc<Member> {
        let index = self.random.index(self.members.len());
        Arc::clone(self.members.values().nth(index).expect("somebody is left"))
    }

    /// A second of what users and relays do: on each node somebody comes or goes, and the load changes a little.
    async fn second(&mut self) {
        let members: Vec<Arc<Member>> = self.members.values().cloned().collect();
        let pause = Duration::from_secs(1) / members.len() as u32;
        let begun = Instant::now();
        for (index, member) in members.iter().enumerate() {
            let room = self.rooms[self.random.index(self.rooms.len())].clone();
            let user = format!("u{}", self.random.below(8));
            let here = !member.is_here(&room, &user);
            member.change(&room, &user, here);
            if let Some(load) = self.loads.get_mut(&member.own.0) {
                *load = (*load + 20).saturating_sub(self.random.below(40) as u32).min(900);
                member.offer(*load);
            }
            tokio::time::sleep_until(begun + pause * (index as u32 + 1)).await;
        }
    }

    /// Somebody would publish the stream, through that gateway. True: it has a home.
    async fn publish(&mut self, gateway: &Arc<Member>, stream: &str) -> bool {
        let Ok(found) = gateway.stores.directory.find(&format!("stream:{stream}")).wait().await else {
            return false;
        };
        let nodes = gateway.nodes();
        let home = found.map(|claimed| claimed.owner);
        let home = home.filter(|home| nodes.iter().any(|node| node.incarnation == *home && !node.draining));
        let now = Instant::now().into_std();
        let placing = self.placing.entry(gateway.own.0).or_default();
        let relay = home.or_else(|| {
            let found = placing.find(stream, Side::Publish, Some(gateway.own), &nodes, |_| true, now)?;
            placing.sent(found.incarnation, nodes.len(), now);
            Some(found.incarnation)
        });
        // Whoever is not there any more does not answer.
        let Some(relay) = relay.and_then(|relay| self.members.get(&relay.0)).cloned() else { return false };
        relay.claim(stream).await == Some(relay.own)
    }

    async fn publish_all(&mut self) {
        for stream in self.streams.clone() {
            for tries in 0.. {
                assert!(tries < 100, "{stream} has no home");
                let gateway = self.somebody();
                if self.publish(&gateway, &stream).await {
                    break;
                }
                sleep(AGAIN_AFTER).await;
            }
        }
    }

    /// Until everybody who lives sees those who live and nobody else.
    async fn agreed(&self) -> Duration {
        let begun = Instant::now();
        let living: Vec<Incarnation> = self.members.keys().copied().map(Incarnation).collect();
        for member in self.members.values() {
            let mut nodes = member.stores.membership.nodes();
            let agrees =
                nodes.wait_for(|nodes| nodes.iter().map(|node| node.incarnation).eq(living.iter().copied()));
            let agreed = tokio::time::timeout(Duration::from_mins(1), agrees).await;
            assert!(agreed.is_ok(), "{} does not see who lives: {:?}", member.name, names(&member.nodes()));
        }
        begun.elapsed()
    }

    /// What is not as it is to be at rest.
    async fn wrong_with_presence(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for room in &self.rooms {
            let mut there = BTreeSet::new();
            for member in self.members.values() {
                there.extend(member.users(room).into_iter().map(|user| (member.own, user)));
            }
            // One of those that look at it, and two others.
            for (index, member) in self.members.values().enumerate() {
                let is_open = member.eyes.is_open(room);
                if !is_open && index > 1 {
                    continue;
                }
                let Ok(roster) = member.stores.presence.read(room).wait().await else {
                    wrong.push(format!("{} cannot read {room}", member.name));
                    continue;
                };
                let read = roster.rows.into_iter().map(|(owner, key, _)| (owner, key.user.to_string()));
                let read: BTreeSet<(Incarnation, String)> = read.collect();
                if read != there {
                    wrong.push(format!("{} reads of {room} {read:?} instead of {there:?}", member.name));
                }
                let seen =
                    member.eyes.rows(room).into_iter().map(|(owner, key)| (owner, key.user.to_string()));
                let seen: BTreeSet<(Incarnation, String)> = seen.collect();
                if is_open && seen != there {
                    wrong.push(format!("{} sees of {room} {seen:?} instead of {there:?}", member.name));
                }
            }
        }
        wrong
    }

    /// Streams that two nodes take for theirs who both hold their lease.
    fn doubles(&self) -> Vec<String> {
        let is_held =
            |own: Incarnation| self.members.get(&own.0).is_some_and(|member| member.lease() == Lease::Held);
        self.ledger.doubles(is_held)
    }
}

fn room(number: usize) -> RoomId {
    RoomId::parse(&format!("chat:{number}")).expect("it is a room")
}

fn names(nodes: &[crate::Node]) -> Vec<&str> {
    nodes.iter().map(|node| node.name.as_str()).collect()
}

/// In virtual time of its own.
fn played<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("it needs nothing").block_on(work)
}

/// How long those who are left took to know of deaths, streams to have another home, and rows to be gone.
struct FailedOver {
    known: Duration,
    streams: Duration,
    rows: Duration,
}

async fn fail_over(fleet: &mut Fleet, deaths: usize) -> FailedOver {
    let mut dead = BTreeSet::new();
    while dead.len() < deaths {
        dead.insert(fleet.somebody().own.0);
    }
    let mut orphans: BTreeSet<String> =
        dead.iter().flat_map(|number| fleet.ledger.streams_of(Incarnation(*number))).collect();
    let is_of_dead = |room: &&RoomId| dead.iter().any(|number| !fleet.members[number].users(room).is_empty());
    // Some of those that the dead were in.
    let rooms: Vec<RoomId> = fleet.rooms.iter().filter(is_of_dead).take(20).cloned().collect();
    for number in &dead {
        fleet.kill(*number);
    }
    let died = Instant::now();
    let (mut known, mut streams) = (None, None);
    let rows = loop {
        if known.is_none() {
            let sees =
                |member: &Arc<Member>| member.nodes().iter().any(|node| dead.contains(&node.incarnation.0));
            if !fleet.members.values().any(sees) {
                known = Some(died.elapsed());
            }
        }
        // All of their publishers try at once, and again.
        for stream in orphans.clone() {
            let gateway = fleet.somebody();
            if fleet.publish(&gateway, &stream).await {
                orphans.remove(&stream);
            }
        }
        if orphans.is_empty() {
            streams = streams.or_else(|| Some(died.elapsed()));
        }
        let mut is_seen = false;
        for room in &rooms {
            let member = fleet.somebody();
            let rows =
                member.stores.presence.read(room).wait().await.map(|roster| roster.rows).unwrap_or_default();
            is_seen |= rows.iter().any(|(owner, ..)| dead.contains(&owner.0));
            if is_seen {
                break;
            }
        }
        if !is_seen && streams.is_some() && known.is_some() {
            break died.elapsed();
        }
        assert!(
            died.elapsed() < Duration::from_mins(1),
            "known {known:?}, streams {streams:?}, rows {is_seen}"
        );
        sleep(Duration::from_millis(50)).await;
    };
    FailedOver { known: known.unwrap_or_default(), streams: streams.unwrap_or_default(), rows }
}

#[test]
fn a_hundred_nodes_lose_one_and_ten_and_thirty_at_once() {
    played(async {
        let mut fleet = Fleet::of(100, 7).await;
        fleet.agreed().await;
        fleet.publish_all().await;
        for deaths in [1, 10, 30] {
            for _ in 0..3 {
                fleet.second().await;
            }
            let moves = fleet.ledger.moves();
            let homes: BTreeMap<String, Vec<Incarnation>> =
                fleet.streams.iter().map(|stream| (stream.clone(), fleet.ledger.homes(stream))).collect();
            let FailedOver { known, streams, rows } = fail_over(&mut fleet, deaths).await;
            println!(
                "{deaths} of a hundred: known after {known:?}, streams after {streams:?}, rows after {rows:?}"
            );
            assert!(known < Duration::from_secs(4), "known after {known:?}");
            assert!(streams < Duration::from_secs(4), "streams are back after {streams:?}");
            assert!(rows < Duration::from_secs(8), "rows are gone after {rows:?}");
            // Nothing else has moved.
            let dead = |home: &Incarnation| !fleet.members.contains_key(&home.0);
            for (stream, before) in &homes {
                assert!(
                    before.iter().any(dead) || *before == fleet.ledger.homes(stream),
                    "{stream} has moved"
                );
            }
            assert!(fleet.ledger.moves() - moves <= deaths as u64 * 6, "few streams have moved");
            let wrong = fleet.wrong_with_presence().await;
            assert!(wrong.is_empty(), "{:#?}", &wrong[..wrong.len().min(5)]);
            assert_eq!((fleet.ledger.faults(), fleet.doubles()), (vec![], vec![]));
            fleet.join(deaths).await;
            fleet.agreed().await;
        }
    });
}

#[test]
fn streams_are_spread_over_relays_and_stay_where_they_are() {
    played(async {
        let mut fleet = Fleet::of(3, 5).await;
        fleet.agreed().await;
        fleet.streams = (0..60).map(|number| format!("live:{number}")).collect();
        fleet.publish_all().await;
        let homes = |fleet: &Fleet| -> BTreeMap<String, Vec<Incarnation>> {
            fleet.streams.iter().map(|stream| (stream.clone(), fleet.ledger.homes(stream))).collect()
        };
        let loads = |fleet: &Fleet| -> Vec<usize> {
            let members = fleet.members.values();
            members.map(|member| fleet.ledger.streams_of(member.own).len()).collect()
        };
        let before = homes(&fleet);
        assert!(loads(&fleet).iter().all(|load| *load <= 60 * 125 / 300), "{:?}", loads(&fleet));
        fleet.join(1).await;
        fleet.agreed().await;
        fleet.publish_all().await;
        assert_eq!(homes(&fleet), before, "one that comes takes nothing away");
        let (gone, had) = (1, fleet.ledger.streams_of(Incarnation(1)).len() as u64);
        let moves = fleet.ledger.moves();
        fleet.kill(gone);
        fleet.agreed().await;
        fleet.publish_all().await;
        assert_eq!(fleet.ledger.moves() - moves, had, "those of the one that went, and no others");
        let after = homes(&fleet);
        assert!(before.iter().all(|(stream, home)| *home == [Incarnation(gone)] || after[stream] == *home));
    });
}
