//! A model of clients that are cut, return, fall behind and are refilled, over the real broker, offsets and replay.
//!
//! What must hold, whatever happens: of every room a client gets exactly the messages from its join on, in order, none
//! twice and none missing; or it is told that the room was lost.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;

use proptest::prelude::*;
use serde_json::value::RawValue;
use turnpike_wire::UserId;

use super::*;
use crate::broker::{Broker, HistoryLimits, Publication};
use crate::clock::Moment;
use crate::offset::{self, Boot};

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
    Sweep,
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
        1 => Just(Op::Sweep),
    ]
}

#[derive(Debug, Clone)]
enum Event {
    Message { room: usize, seq: u64, offset: String },
    Resync { room: usize, seq: u64, offset: String },
}

#[derive(Default)]
struct Client {
    online: bool,
    behind: bool,
    rooms: Vec<Membership>,
    queue: VecDeque<Event>,
    /// Of the last event that was queued, and of the last that arrived.
    queued_offset: Option<String>,
    offset: Option<String>,
    /// What the next message of each room must be. Set by a join, moved by messages and by being told of a loss.
    expected: HashMap<usize, u64>,
    got: usize,
}

struct World {
    broker: Broker,
    rooms: Vec<RoomId>,
    clients: Vec<Client>,
    now_ms: u64,
    told_lost: usize,
}

impl World {
    fn new(limits: &HistoryLimits) -> Self {
        // Few rooms over few lanes: some share a lane, some do not.
        let rooms = ["chat:a", "chat:b", "chat:c", "chat:general", "user:alice", "x"];
        Self {
            broker: Broker::new(Boot(7), 1, limits),
            rooms: rooms.iter().map(|name| RoomId::parse(name).unwrap()).collect(),
            clients: (0..CLIENTS).map(|_| Client { online: true, ..Client::default() }).collect(),
            now_ms: 1_000,
            told_lost: 0,
        }
    }

    fn index(&self, room: &RoomId) -> usize {
        self.rooms.iter().position(|other| other == room).unwrap()
    }

    fn publish(&mut self, index: usize) {
        self.now_ms += 1;
        let (room, from) = (&self.rooms[index], UserId::parse("bob").unwrap());
        let body = RawValue::from_string("1".to_owned()).unwrap();
        let publication = Publication { room, from: &from, id: None, body: &body, attachments: &[] };
        let now = Moment { unix_ms: self.now_ms, steady_ms: self.now_ms };
        let (clients, boot) = (&mut self.clients, self.broker.boot());
        self.broker
            .publish(&publication, now, |stored, vector| {
                let offset = offset::write(boot, vector).as_str().to_owned();
                for client in clients.iter_mut().filter(|client| client.online && !client.behind) {
                    if client.rooms.iter().any(|membership| membership.room == *room) {
                        client.queued_offset = Some(offset.clone());
                        let offset = offset.clone();
                        client.queue.push_back(Event::Message { room: index, seq: stored.seq, offset });
                    }
                }
                Ok::<_, Infallible>(())
            })
            .unwrap();
    }

    fn join(&mut self, client: usize, index: usize) {
        let room = self.rooms[index].clone();
        let member = &mut self.clients[client];
        if !member.online || member.rooms.iter().any(|membership| membership.room == room) {
            return;
        }
        let mut lane = self.broker.lane_of(&room);
        lane.enter(&room);
        member.rooms.push(Membership { joined: lane.head(), room: room.clone() });
        member.expected.insert(index, lane.seq(&room) + 1);
    }

    fn leave(&mut self, client: usize, index: usize) {
        let member = &mut self.clients[client];
        let room = &self.rooms[index];
        if !member.online || !member.rooms.iter().any(|membership| membership.room == *room) {
            return;
        }
        self.broker.lane_of(room).leave(room);
        member.rooms.retain(|membership| membership.room != *room);
        // What waits of this room may still be lost by a cut, and nobody has a right to it any more.
        member.queue.retain(|event| {
            !matches!(event, Event::Message { room, .. } | Event::Resync { room, .. } if *room == index)
        });
    }

    fn receive(&mut self, client: usize, count: usize) {
        let member = &mut self.clients[client];
        for event in member.queue.drain(..count.min(member.queue.len())) {
            match event {
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
                    self.told_lost += 1;
                }
            }
        }
    }

    /// What a recovery and a refill have in common.
    fn catch_up(&mut self, client: usize, from: Option<String>) {
        let from = from.map_or(Vector::default(), |text| offset::read(&text).unwrap().1);
        assert!(from.is_within(&self.broker.vector()));
        let memberships = self.clients[client].rooms.clone();
        let lanes = self.broker.lanes(memberships.iter().map(Membership::lane));
        let replay = replay(&lanes, &memberships, from);
        drop(lanes);
        let mut events = Vec::new();
        for (piece, offset) in replay.pieces() {
            let offset = offset::write(self.broker.boot(), offset).as_str().to_owned();
            self.clients[client].queued_offset = Some(offset.clone());
            events.push(match piece {
                Piece::Lost { room, seq } => Event::Resync { room: self.index(room), seq, offset },
                Piece::Message(message) => {
                    let named = |room: &RoomId| message.data.contains(&format!("\"{room}\""));
                    let room = self.rooms.iter().position(named).unwrap();
                    Event::Message { room, seq: message.seq, offset }
                }
            });
        }
        self.clients[client].queue.extend(events);
    }

    fn run(&mut self, op: &Op) {
        match *op {
            Op::Publish { room } => self.publish(room),
            Op::Join { client, room } => self.join(client, room),
            Op::Leave { client, room } => self.leave(client, room),
            Op::Receive { client, count } => self.receive(client, count),
            Op::Cut { client, arrive } => {
                if self.clients[client].online {
                    self.receive(client, arrive);
                    let member = &mut self.clients[client];
                    member.queue.clear();
                    (member.online, member.behind) = (false, false);
                }
            }
            Op::Recover { client } => {
                if !self.clients[client].online {
                    self.clients[client].online = true;
                    let offset = self.clients[client].offset.clone();
                    self.clients[client].queued_offset.clone_from(&offset);
                    self.catch_up(client, offset);
                }
            }
            Op::FallBehind { client } => self.clients[client].behind = self.clients[client].online,
            Op::Refill { client } => {
                if self.clients[client].behind {
                    self.clients[client].behind = false;
                    let offset = self.clients[client].queued_offset.clone();
                    self.catch_up(client, offset);
                }
            }
            Op::Sweep => self.broker.sweep(self.now_ms),
        }
    }

    /// Everybody returns and gets what is theirs.
    fn settle(&mut self) {
        for client in 0..CLIENTS {
            self.run(&Op::Recover { client });
            self.run(&Op::Refill { client });
            self.receive(client, usize::MAX);
            for membership in &self.clients[client].rooms {
                let head = self.broker.lane_of(&membership.room).seq(&membership.room);
                let expected = self.clients[client].expected[&self.index(&membership.room)];
                assert_eq!(expected, head + 1, "client {client} misses the end of {}", membership.room);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_message_once_and_in_order(ops in proptest::collection::vec(op(), 1..120)) {
        let mut world = World::new(&HistoryLimits::default());
        for op in &ops {
            world.run(op);
        }
        world.settle();
        prop_assert_eq!(world.told_lost, 0, "the history was long enough for all");
    }

    #[test]
    fn or_the_loss_is_told(ops in proptest::collection::vec(op(), 1..120), room_messages_max in 1..4usize, age_ms_max in 3..40u64) {
        let limits = HistoryLimits { room_messages_max, age_ms_max, ..HistoryLimits::default() };
        let mut world = World::new(&limits);
        for op in &ops {
            world.run(op);
        }
        world.settle();
    }
}

/// The case that a shared offset in replayed frames would break, step by step.
#[test]
fn cut_in_the_middle_of_a_replay() {
    let mut world = World::new(&HistoryLimits::default());
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
    assert_eq!(world.clients[0].got, ROOMS * 2, "one of each replay arrived");
    world.run(&Op::Recover { client: 0 });
    world.run(&Op::Cut { client: 0, arrive: 0 });
    world.settle();
    assert_eq!(world.clients[0].got, ROOMS * 2 + 1);
}
