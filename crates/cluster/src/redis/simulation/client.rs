//! Clients: publishers that try again under the same id, subscribers that are cut off and recover elsewhere. They write down
//! what they see.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use turnpike_history::{Level, What};

use super::node::Offset;
use super::world::{Happening, Outcome, ROOMS, Said, World};
use crate::{Message, Standing};

pub(super) struct Publisher {
    name: String,
    sent: u64,
    /// The node that it is with, and when what it said last gets there.
    node: Option<usize>,
    last_arrival_ms: u64,
    /// Not answered yet: the room, the number of attempts.
    open: BTreeMap<String, (String, u64)>,
}

pub(super) struct Subscriber {
    name: String,
    /// With which node, under which number.
    pub(super) connection: Option<(usize, u64)>,
    pub(super) last_arrival_ms: u64,
    /// The session, and how far it has got.
    session: Option<u64>,
    offset: Option<Offset>,
    established: bool,
    rooms: BTreeSet<&'static str>,
    joined: BTreeSet<String>,
    /// What came of a room before its join was answered.
    early: BTreeMap<String, Vec<Arc<Message>>>,
    /// Where a room went on that was broken before its join was answered.
    broken_early: BTreeMap<String, (u64, u64)>,
    stalled: u64,
}

/// What a node sends to a subscriber.
#[derive(Debug, Clone)]
pub(super) enum Frame {
    Session { session: u64, recovered: bool, offset: Offset },
    Joined { room: String, epoch: u64, seq: u64 },
    Message { message: Arc<Message>, offset: Offset },
    Resync { room: String, standing: Standing, offset: Offset },
    Closed,
}

impl Publisher {
    pub(super) fn new(number: usize) -> Self {
        Self { name: format!("p{number}"), sent: 0, node: None, last_arrival_ms: 0, open: BTreeMap::new() }
    }
}

impl Subscriber {
    pub(super) fn new(number: usize) -> Self {
        Self {
            name: format!("s{number}"),
            connection: None,
            last_arrival_ms: 0,
            session: None,
            offset: None,
            established: false,
            rooms: BTreeSet::new(),
            joined: BTreeSet::new(),
            early: BTreeMap::new(),
            broken_early: BTreeMap::new(),
            stalled: 0,
        }
    }

    /// The connection is over, and with it what was on its way.
    fn cut(&mut self) {
        self.connection = None;
        self.established = false;
        self.early.clear();
        self.broken_early.clear();
    }
}

/// A payload says who sent it under which id.
pub(super) fn parse(payload: &str) -> (&str, &str) {
    payload.split_once(' ').map_or((payload, ""), |(id, rest)| (id, rest.split(' ').next().unwrap_or("")))
}

pub(super) fn payload(id: &str) -> String {
    let from = id.split('-').next().unwrap_or_default();
    format!("{id} {from} says something")
}

impl World {
    fn any_node(&mut self) -> Option<usize> {
        let up: Vec<usize> = self.nodes.iter().filter(|node| node.up).map(|node| node.number).collect();
        self.random.pick(&up).copied()
    }

    pub(super) fn publisher_acts(&mut self, number: usize) {
        let next = self.random.between(5, 120);
        if !self.calm {
            self.later(next, Happening::Publisher(number));
            if self.publishers[number].open.len() < 3 {
                let publisher = &mut self.publishers[number];
                publisher.sent += 1;
                let id = format!("{}-{}", publisher.name, publisher.sent);
                let room = ROOMS[self.random.index(ROOMS.len())].0.to_owned();
                self.publishers[number].open.insert(id.clone(), (room, 0));
                self.send(number, &id);
            }
        }
    }

    fn send(&mut self, number: usize, id: &str) {
        let Some((room, attempts)) = self.publishers[number].open.get_mut(id) else { return };
        *attempts += 1;
        let (room, attempt) = (room.clone(), *attempts);
        let name = self.publishers[number].name.clone();
        let body = payload(id);
        let what = What::Send { room: room.clone(), id: id.to_owned(), from: name.clone(), body };
        self.record(&name, what);
        if self.publishers[number].node.is_none() {
            self.publishers[number].node = self.any_node();
        }
        if let Some(node) = self.publishers[number].node {
            let at_ms = self.now_ms + self.random.between(0, 5);
            let last = &mut self.publishers[number].last_arrival_ms;
            *last = (*last).max(at_ms);
            let at_ms = *last;
            let (at, id) = (self.here(node), id.to_owned());
            self.at(at_ms, Happening::Publication { at, publisher: number, id, room, attempt });
        }
        // No answer is an answer, too.
        let (id, outcome) = (id.to_owned(), Outcome::Refused);
        self.later(1_500, Happening::ToPublisher { publisher: number, id, attempt, outcome });
    }

    /// To another node, and all that is open once more, in its order.
    fn publisher_moves(&mut self, number: usize) {
        let publisher = &mut self.publishers[number];
        publisher.node = None;
        let mut open: Vec<String> = publisher.open.keys().cloned().collect();
        open.sort_by_key(|id| id.rsplit('-').next().and_then(|count| count.parse::<u64>().ok()));
        for id in open {
            self.send(number, &id);
        }
    }

    pub(super) fn answer_publisher(&mut self, number: usize, id: &str, attempt: u64, outcome: Outcome) {
        let publisher = &mut self.publishers[number];
        let Some((room, attempts)) = publisher.open.get(id) else { return };
        let (room, is_last, from) = (room.clone(), *attempts == attempt, publisher.name.clone());
        let id = id.to_owned();
        match outcome {
            Outcome::Acked { epoch, seq } => {
                publisher.open.remove(&id);
                let what = What::Ack { room, id, from: from.clone(), epoch, seq, level: Level::Replicated };
                self.record(&from, what);
            }
            Outcome::Refused if is_last => {
                let refused = What::Refused { room, id: id.clone(), from: from.clone(), retryable: true };
                self.record(&from, refused);
                if self.random.percent(30) {
                    self.publisher_moves(number);
                } else {
                    self.send(number, &id);
                }
            }
            Outcome::Refused => {}
        }
    }

    pub(super) fn subscriber_acts(&mut self, number: usize) {
        let next = self.random.between(50, 600);
        self.later(next, Happening::Subscriber(number));
        let cut = !self.calm && self.random.percent(12);
        let leave_alone = self.calm || self.random.percent(50);
        match self.subscribers[number].connection {
            None => self.subscriber_connects(number),
            Some((node, connection)) if cut => self.cut_subscriber(number, node, connection),
            Some(_) if !self.subscribers[number].established => {
                // A node that does not answer is left for another.
                self.subscribers[number].stalled += 1;
                if self.subscribers[number].stalled > 10 {
                    self.subscribers[number].cut();
                }
            }
            Some((node, connection)) => {
                let wanted = ROOMS[self.random.index(ROOMS.len())].0;
                let subscriber = &mut self.subscribers[number];
                if !leave_alone {
                    subscriber.rooms.insert(wanted);
                }
                let missing: Vec<String> = subscriber
                    .rooms
                    .iter()
                    .map(|room| (*room).to_owned())
                    .filter(|room| !subscriber.joined.contains(room))
                    .collect();
                for room in missing {
                    let (at, delay) = (self.here(node), self.random.between(0, 3));
                    self.later(delay, Happening::ToNode { at, connection, said: Said::Join { room } });
                }
            }
        }
    }

    fn subscriber_connects(&mut self, number: usize) {
        let Some(node) = self.any_node() else { return };
        let connection = self.draw();
        let now_ms = self.now_ms;
        let subscriber = &mut self.subscribers[number];
        subscriber.connection = Some((node, connection));
        subscriber.last_arrival_ms = now_ms;
        subscriber.stalled = 0;
        let resume = subscriber.session.map(|session| (session, subscriber.offset.clone()));
        let name = subscriber.name.clone();
        self.record(&name, What::Connect { user: name.clone(), device: String::new() });
        let is_late = self.late && self.random.percent(15);
        let delay = if is_late { self.random.between(0, 2_000) } else { self.random.between(0, 5) };
        let at = self.here(node);
        let said = Said::Connect { subscriber: number, resume };
        self.later(delay, Happening::ToNode { at, connection, said });
    }

    fn cut_subscriber(&mut self, number: usize, node: usize, connection: u64) {
        self.subscriber_is_cut(number);
        // The node may learn of it only when it pings.
        let at = self.here(node);
        let delay = self.random.between(0, 1_500);
        self.later(delay, Happening::ToNode { at, connection, said: Said::Gone });
    }

    pub(super) fn subscriber_is_cut(&mut self, number: usize) {
        let name = self.subscribers[number].name.clone();
        self.record(&name, What::Disconnect { clean: false });
        self.subscribers[number].cut();
    }

    /// All who are with this node.
    pub(super) fn cut_clients_of(&mut self, node: usize) {
        for number in 0..self.subscribers.len() {
            if self.subscribers[number].connection.is_some_and(|(at, _)| at == node) {
                self.subscriber_is_cut(number);
            }
        }
    }

    pub(super) fn client_gets(&mut self, number: usize, connection: u64, frame: Frame) {
        if self.subscribers[number].connection.is_none_or(|(_, current)| current != connection) {
            return;
        }
        let name = self.subscribers[number].name.clone();
        match frame {
            Frame::Session { session, recovered, offset } => {
                let subscriber = &mut self.subscribers[number];
                (subscriber.session, subscriber.offset) = (Some(session), Some(offset));
                subscriber.established = true;
                if !recovered {
                    subscriber.joined.clear();
                }
                self.record(&name, What::Session { recovered });
            }
            Frame::Joined { room, epoch, seq } => {
                let early = self.subscribers[number].early.remove(&room).unwrap_or_default();
                let broken = self.subscribers[number].broken_early.remove(&room);
                let (epoch, seq) = broken.unwrap_or((epoch, seq));
                if self.subscribers[number].joined.insert(room.clone()) {
                    self.record(&name, What::Join { room, epoch, seq, recovered: false });
                    for message in early.into_iter().filter(|message| message.seq > seq) {
                        self.given(&name, &message);
                    }
                }
            }
            Frame::Message { message, offset } => {
                let subscriber = &mut self.subscribers[number];
                subscriber.offset = Some(offset);
                if subscriber.joined.contains(message.room.as_str()) {
                    self.given(&name, &message);
                } else {
                    subscriber.early.entry(message.room.as_str().to_owned()).or_default().push(message);
                }
            }
            Frame::Resync { room, standing, offset } => {
                self.subscribers[number].offset = Some(offset);
                let (epoch, seq) = (standing.epoch, standing.seq);
                if self.subscribers[number].joined.contains(&room) {
                    self.record(&name, What::Resync { room, epoch, seq });
                } else {
                    self.subscribers[number].early.remove(&room);
                    self.subscribers[number].broken_early.insert(room, (epoch, seq));
                }
            }
            Frame::Closed => self.subscriber_is_cut(number),
        }
    }

    fn given(&mut self, name: &str, message: &Message) {
        let (id, from) = parse(&message.data);
        let what = What::Message {
            room: message.room.as_str().to_owned(),
            epoch: message.at.epoch,
            seq: message.seq,
            id: id.to_owned(),
            from: from.to_owned(),
            body: message.data.to_string(),
        };
        self.record(name, what);
    }
}
