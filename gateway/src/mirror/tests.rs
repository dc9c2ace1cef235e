//! A model of clients that are cut, return, fall behind and are refilled, over the real broker, mirror, offsets and replay.
//!
//! What must hold, whatever happens: of every room a client gets exactly the messages from its join on, in order, none
//! twice and none missing; or it is told that the room was lost.

mod heard;
mod turning;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use proptest::prelude::*;
use turnpike_cluster::{
    Cluster, Control, Full, HistoryLimits, LANES, LanePosition, Message, Publication, Signal, Standing,
    embedded, lane_of,
};
use turnpike_wire::{RoomId, UserId};

use super::{Mirror, Outlet, Receiver, RingLimits};
use crate::clock::Clock;
use crate::offset;
use crate::past::{After, Wanted, find};
use crate::references::References;
use crate::replay::{Member, Piece, replay};

const ROOMS: usize = 6;
const CLIENTS: usize = 3;

#[derive(Debug, Clone)]
enum Op {
    Publish {
        room: usize,
    },
    Join {
        client: usize,
        room: usize,
    },
    Leave {
        client: usize,
        room: usize,
    },
    Receive {
        client: usize,
        count: usize,
    },
    /// The connection breaks; this many of the waiting frames still arrive.
    Cut {
        client: usize,
        arrive: usize,
    },
    Recover {
        client: usize,
    },
    /// From here on nothing is queued for it.
    FallBehind {
        client: usize,
    },
    Refill {
        client: usize,
    },
    /// Offsets are written against another base from here on.
    Renew,
    CloseIdle,
}

fn op() -> impl Strategy<Value = Op> {
    let client = 0..CLIENTS;
    prop_oneof![
        8 => (0..ROOMS).prop_map(|room| Op::Publish { room }),
        2 => (client.clone(), 0..ROOMS).prop_map(|(client, room)| Op::Join { client, room }),
        1 => (client.clone(), 0..ROOMS).prop_map(|(client, room)| Op::Leave { client, room }),
        3 => (client.clone(), 1..6usize).prop_map(|(client, count)| Op::Receive { client, count }),
        2 => (client.clone(), 0..6usize).prop_map(|(client, arrive)| Op::Cut { client, arrive }),
        3 => client.clone().prop_map(|client| Op::Recover { client }),
        1 => client.clone().prop_map(|client| Op::FallBehind { client }),
        2 => client.prop_map(|client| Op::Refill { client }),
        1 => Just(Op::Renew),
        1 => Just(Op::CloseIdle),
    ]
}

#[derive(Debug, Clone)]
enum Event {
    Message { room: RoomId, seq: u64, offset: String },
    Resync { room: RoomId, seq: u64, offset: String },
}

#[derive(Default)]
struct Client {
    online: bool,
    behind: bool,
    rooms: Vec<Member>,
    queue: VecDeque<Event>,
    /// Of the last event that was queued, and of the last that arrived.
    queued_offset: Option<String>,
    offset: Option<String>,
    /// What the next message of each room must be. Set by a join, moved by messages and by being told of a loss.
    expected: HashMap<RoomId, u64>,
    got: usize,
}

#[derive(Default)]
struct Clients(Mutex<Vec<Client>>);

impl Outlet for Clients {
    fn message(&self, message: &Message, offset: &str) -> Result<(), Full> {
        for client in self.0.lock().unwrap().iter_mut().filter(|client| client.online && !client.behind) {
            if client.rooms.iter().any(|member| member.room == message.room) {
                client.queued_offset = Some(offset.to_owned());
                let (room, offset) = (message.room.clone(), offset.to_owned());
                client.queue.push_back(Event::Message { room, seq: message.seq, offset });
            }
        }
        Ok(())
    }

    fn resync(&self, _: &RoomId, _: &Standing, _: &str) {
        unreachable!("one process loses nothing");
    }

    fn delivered(&self, _: &Message) {}

    fn signal(&self, _: &RoomId, _: &Signal) {}

    fn control(&self, _: Control) {}
}

struct World {
    cluster: Cluster,
    mirror: Arc<Mirror>,
    references: Arc<References>,
    clients: Arc<Clients>,
    rooms: Vec<RoomId>,
    told_lost: usize,
}

/// Everything is at hand in one process.
fn at_once<T>(work: impl Future<Output = T>) -> T {
    work.now_or_never().expect("nothing waits in one process")
}

impl World {
    fn new(history: HistoryLimits, ring: RingLimits) -> Self {
        // Few rooms over few lanes: some share a lane, some do not.
        let rooms = ["chat:a", "chat:b", "chat:c", "chat:general", "user:alice", "x"];
        let cluster = embedded::start(&embedded::Config { history, ..embedded::Config::new("n1") }).unwrap();
        let clients = Arc::new(Clients::default());
        clients.0.lock().unwrap().extend((0..CLIENTS).map(|_| Client { online: true, ..Client::default() }));
        let references = Arc::new(References::new(Arc::clone(&cluster.sessions)));
        let mirror = Mirror::new(ring, Clock::start(), Arc::clone(&clients) as _, Arc::clone(&references));
        let receiver = Arc::new(Receiver(Arc::clone(&mirror)));
        at_once(cluster.broker.start(receiver).wait()).unwrap();
        Self {
            references,
            rooms: rooms.iter().map(|name| RoomId::parse(name).unwrap()).collect(),
            cluster,
            mirror,
            clients,
            told_lost: 0,
        }
    }

    fn with<T>(&self, client: usize, work: impl FnOnce(&mut Client) -> T) -> T {
        work(&mut self.clients.0.lock().unwrap()[client])
    }

    fn publish(&self, room: usize) {
        let publication = Publication {
            room: self.rooms[room].clone(),
            from: UserId::parse("bob").unwrap(),
            id: None,
            age_ms: 0,
            body: "1".into(),
            attachments: Vec::new(),
        };
        at_once(self.cluster.broker.publish(publication).wait()).unwrap();
    }

    fn join(&self, client: usize, room: usize) {
        let room = &self.rooms[room];
        let is_in = |client: &mut Client| client.rooms.iter().any(|member| member.room == *room);
        if self.with(client, |client| !client.online || is_in(client)) {
            return;
        }
        let (room, opening) = self.mirror.lane_of(room).enter(room).unwrap();
        if opening {
            at_once(self.cluster.broker.open(&room).wait()).unwrap();
        }
        let lane = self.mirror.lane_of(&room);
        let standing = *lane.room(&room).unwrap().standing().unwrap();
        let epoch = self.mirror.reached().at(lane_of(&room)).epoch;
        let joined = LanePosition { epoch, pos: standing.pos };
        self.with(client, |client| {
            client.expected.insert(room.clone(), standing.seq + 1);
            client.rooms.push(Member { room, joined, presence: false });
        });
    }

    fn leave(&self, client: usize, room: usize) {
        let room = &self.rooms[room];
        let left = self.with(client, |client| {
            let before = client.rooms.len();
            if client.online {
                client.rooms.retain(|member| member.room != *room);
            }
            // What waits of this room may still be lost by a cut, and nobody has a right to it any more.
            client.queue.retain(|event| {
                !matches!(event, Event::Message { room: of, .. } | Event::Resync { room: of, .. } if of == room)
            });
            client.rooms.len() < before
        });
        if left {
            self.mirror.leave(room);
        }
    }

    fn receive(&mut self, client: usize, count: usize) {
        let events: Vec<Event> =
            self.with(client, |client| client.queue.drain(..count.min(client.queue.len())).collect());
        for event in events {
            let lost = matches!(event, Event::Resync { .. });
            self.with(client, |member| match event {
                Event::Message { room, seq, offset } => {
                    let expected = member.expected.get_mut(&room).expect("only of rooms that were joined");
                    assert_eq!(seq, *expected, "client {client} in room {room}");
                    *expected = seq + 1;
                    member.offset = Some(offset);
                    member.got += 1;
                }
                Event::Resync { room, seq, offset } => {
                    // Told again if the first telling may not have arrived, but never back to before it.
                    assert!(
                        seq + 1 >= member.expected[&room],
                        "client {client} was sent back in room {room}"
                    );
                    member.expected.insert(room, seq + 1);
                    member.offset = Some(offset);
                }
            });
            self.told_lost += usize::from(lost);
        }
    }

    /// What a recovery and a refill have in common.
    fn catch_up(&self, client: usize, from: Option<&str>) {
        let reached = self.mirror.reached();
        let from: [LanePosition; LANES] = from.map_or_else(
            || reached.positions().map(|position| LanePosition { pos: 0, ..position }),
            |text| {
                let offset = offset::read(text).unwrap();
                let base =
                    at_once(self.references.find(offset.base).wait()).unwrap().expect("bases are kept");
                offset.against(&base).unwrap()
            },
        );
        let members = self.with(client, |client| client.rooms.clone());
        let wanted: Vec<Wanted> = members
            .iter()
            .map(|member| {
                let after = After::Lane(from[member.lane().index()].or_joined(member.joined));
                Wanted { room: member.room.clone(), after }
            })
            .collect();
        let (lanes, found) = at_once(find(&self.mirror, &*self.cluster.broker, &wanted)).unwrap();
        let reached = self.mirror.reached();
        let replay = replay(found, &from, &reached);
        drop(lanes);
        assert!(replay.from().is_within(&reached.vector), "nobody is ahead of the node");
        self.with(client, |client| {
            for (piece, given) in replay.pieces() {
                let offset = offset::write(&reached.reference, given).as_str().to_owned();
                client.queued_offset = Some(offset.clone());
                client.queue.push_back(match piece {
                    Piece::Lost(loss) => Event::Resync { room: loss.room.clone(), seq: loss.seq, offset },
                    Piece::Message(message) => {
                        Event::Message { room: message.room.clone(), seq: message.seq, offset }
                    }
                });
            }
        });
    }

    fn run(&mut self, op: &Op) {
        match *op {
            Op::Publish { room } => self.publish(room),
            Op::Join { client, room } => self.join(client, room),
            Op::Leave { client, room } => self.leave(client, room),
            Op::Receive { client, count } => self.receive(client, count),
            Op::Cut { client, arrive } => {
                if self.with(client, |client| client.online) {
                    self.receive(client, arrive);
                    self.with(client, |client| {
                        client.queue.clear();
                        (client.online, client.behind) = (false, false);
                    });
                }
            }
            Op::Recover { client } => {
                let returns = self.with(client, |client| {
                    (!std::mem::replace(&mut client.online, true)).then(|| {
                        client.queued_offset.clone_from(&client.offset);
                        client.offset.clone()
                    })
                });
                if let Some(offset) = returns {
                    self.catch_up(client, offset.as_deref());
                }
            }
            Op::FallBehind { client } => self.with(client, |client| client.behind = client.online),
            Op::Refill { client } => {
                let was_behind = self.with(client, |client| {
                    std::mem::replace(&mut client.behind, false).then(|| client.queued_offset.clone())
                });
                if let Some(offset) = was_behind {
                    self.catch_up(client, offset.as_deref());
                }
            }
            Op::Renew => at_once(self.mirror.renew_reference().wait()),
            Op::CloseIdle => self.mirror.close_idle(|room| self.cluster.broker.close(room)),
        }
    }

    /// Everybody returns and gets what is theirs.
    fn settle(&mut self) {
        for client in 0..CLIENTS {
            self.run(&Op::Recover { client });
            self.run(&Op::Refill { client });
            self.receive(client, usize::MAX);
            let (members, expected) =
                self.with(client, |client| (client.rooms.clone(), client.expected.clone()));
            for member in members {
                let lane = self.mirror.lane_of(&member.room);
                let head = lane.room(&member.room).unwrap().standing().unwrap().seq;
                assert_eq!(
                    expected[&member.room],
                    head + 1,
                    "client {client} misses the end of {}",
                    member.room
                );
            }
        }
    }
}

/// Rings so small that most of the past is read from the broker.
fn small_rings() -> RingLimits {
    RingLimits { room_messages_max: 2, linger_ms: 0, ..RingLimits::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_message_once_and_in_order(ops in proptest::collection::vec(op(), 1..120), small: bool) {
        let ring = if small { small_rings() } else { RingLimits::default() };
        let mut world = World::new(HistoryLimits::default(), ring);
        for op in &ops {
            world.run(op);
        }
        world.settle();
        prop_assert_eq!(world.told_lost, 0, "the history was long enough for all");
    }

    #[test]
    fn or_the_loss_is_told(ops in proptest::collection::vec(op(), 1..120), room_messages_max in 1..4usize, ring in 1..4usize) {
        let history = HistoryLimits { room_messages_max, ..HistoryLimits::default() };
        let mut world = World::new(history, RingLimits { room_messages_max: ring, ..small_rings() });
        for op in &ops {
            world.run(op);
        }
        world.settle();
    }
}

/// The case that a shared offset in replayed frames would break, step by step.
#[test]
fn cut_in_the_middle_of_a_replay() {
    let mut world = World::new(HistoryLimits::default(), small_rings());
    for room in 0..ROOMS {
        world.join(0, room);
    }
    world.publish(0);
    world.receive(0, 1);
    world.run(&Op::Cut { client: 0, arrive: 0 });
    for room in (0..ROOMS).chain(0..ROOMS) {
        world.publish(room);
    }
    for _ in 0..ROOMS * 2 - 1 {
        world.run(&Op::Recover { client: 0 });
        world.run(&Op::Cut { client: 0, arrive: 1 });
    }
    assert_eq!(world.with(0, |client| client.got), ROOMS * 2, "one of each replay arrived");
    world.run(&Op::Recover { client: 0 });
    world.run(&Op::Cut { client: 0, arrive: 0 });
    world.settle();
    assert_eq!(world.with(0, |client| client.got), ROOMS * 2 + 1);
}
