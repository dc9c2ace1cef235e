//! The scheduler: what happens when, by virtual time and a seed. Everything else is told what has happened, and says what
//! is to happen later.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;

use turnpike_history::{Event, What};

use super::client::{Frame, Publisher, Subscriber};
use super::faults::Fault;
use super::node::{Node, Offset, Request};
use super::planted::Planted;
use super::random::Random;
use super::shard::{Link, Shard};
use super::store::{Audit, Entry, Published, ReadAnswer, Rules};
use crate::LanePosition;

pub(super) const LANES: usize = 2;
pub(super) const ROOMS: [(&str, usize); 4] = [("a", 0), ("b", 0), ("c", 1), ("d", 1)];

pub(super) fn lane_of(room: &str) -> usize {
    ROOMS.iter().find(|(name, _)| *name == room).map_or(0, |(_, lane)| *lane)
}

/// Where the clock stands at the beginning.
const BEGIN_MS: u64 = 1_000_000;

/// Of one start of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    pub(super) node: usize,
    pub(super) start: u64,
}

#[derive(Debug)]
pub(super) enum Happening {
    Publisher(usize),
    Subscriber(usize),
    /// A request reaches the master that the link is with.
    Asked {
        lane: usize,
        link: Link,
        request: u64,
        asked: Request,
    },
    Answered {
        at: At,
        lane: usize,
        link: Link,
        request: u64,
        answer: Answer,
    },
    WaitOver {
        lane: usize,
        link: Link,
        request: u64,
    },
    /// `sent` rises with time.
    Bus {
        at: At,
        lane: usize,
        link: Link,
        sent: u64,
        room: String,
        entry: Arc<Entry>,
    },
    Replicate(usize),
    LinkLost {
        at: At,
        lane: usize,
        number: u64,
    },
    Connect {
        at: At,
        lane: usize,
    },
    Wake {
        at: At,
        lane: usize,
    },
    LaneReady {
        at: At,
        lane: usize,
        from: LanePosition,
    },
    /// The store of sessions has kept a record of this connection, or refused it.
    Kept {
        at: At,
        connection: u64,
        room: String,
        seq: u64,
    },
    ToNode {
        at: At,
        connection: u64,
        said: Said,
    },
    ToClient {
        subscriber: usize,
        connection: u64,
        frame: Frame,
    },
    Publication {
        at: At,
        publisher: usize,
        id: String,
        room: String,
        attempt: u64,
    },
    ToPublisher {
        publisher: usize,
        id: String,
        attempt: u64,
        outcome: Outcome,
    },
    Fault(Fault),
    Over(Fault),
    Calm,
}

/// What a client says to its node.
#[derive(Debug)]
pub(super) enum Said {
    Connect { subscriber: usize, resume: Option<(u64, Option<Offset>)> },
    Join { room: String },
    Gone,
}

#[derive(Debug)]
pub(super) enum Answer {
    Subscribed,
    Audit(Audit),
    Read(ReadAnswer),
    Published(Published),
    NotReplicated,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Acked { epoch: u64, seq: u64 },
    Refused,
}

/// Who may come back to which rooms.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) owner: At,
    pub(super) connection: u64,
    pub(super) rooms: BTreeMap<String, LanePosition>,
}

/// Schedules from this seed on have clients that are late. Those before are what they were when faults were found with them.
pub(super) const LATE_FROM: u64 = 1_000_000;

pub(super) struct World {
    pub(super) now_ms: u64,
    pub(super) random: Random,
    pub(super) planted: Planted,
    pub(super) rules: Rules,
    pub(super) shards: Vec<Shard>,
    pub(super) nodes: Vec<Node>,
    pub(super) publishers: Vec<Publisher>,
    pub(super) subscribers: Vec<Subscriber>,
    pub(super) sessions: HashMap<u64, Record>,
    pub(super) calm: bool,
    pub(super) faults_left: u32,
    /// What clients ask for may come late, and is done to the end though they have gone and come elsewhere meanwhile.
    pub(super) late: bool,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    happenings: HashMap<u64, Happening>,
    drawn: u64,
    history: Vec<Event>,
    at_us: u64,
}

impl World {
    pub(super) fn new(seed: u64, planted: Planted) -> Self {
        let mut random = Random::new(seed);
        let messages_max = if random.percent(15) { 24 } else { 10_000 };
        let rules = Rules {
            window_ms: 600_000,
            messages_max,
            no_fence: planted == Planted::NoFence,
            append_first: planted == Planted::DedupeAfterAppend,
        };
        let nodes = random.between(2, 3) as usize;
        let mut world = Self {
            now_ms: BEGIN_MS,
            planted,
            rules,
            shards: (0..LANES).map(Shard::new).collect(),
            nodes: Vec::new(),
            publishers: Vec::new(),
            subscribers: Vec::new(),
            sessions: HashMap::new(),
            calm: false,
            faults_left: random.between(2, 10) as u32,
            late: seed >= LATE_FROM,
            queue: BinaryHeap::new(),
            happenings: HashMap::new(),
            drawn: 0,
            history: Vec::new(),
            at_us: 0,
            random,
        };
        for node in 0..nodes {
            world.nodes.push(Node::down(node));
            world.start_node(node);
        }
        for publisher in 0..3 {
            world.publishers.push(Publisher::new(publisher));
            world.later(50, Happening::Publisher(publisher));
        }
        for subscriber in 0..4 {
            world.subscribers.push(Subscriber::new(subscriber));
            let after = world.random.below(200);
            world.later(after, Happening::Subscriber(subscriber));
        }
        for lane in 0..LANES {
            world.later(1, Happening::Replicate(lane));
        }
        let first = world.random.between(300, 1_500);
        world.later(first, Happening::Fault(Fault::Any));
        world.later(12_000, Happening::Calm);
        world
    }

    /// Until everybody has had time to come to rest.
    pub(super) fn run(mut self) -> Vec<Event> {
        const REST_MS: u64 = 40_000;
        while let Some(Reverse((at_ms, number))) = self.queue.pop() {
            if at_ms > BEGIN_MS + REST_MS {
                break;
            }
            self.now_ms = at_ms;
            let happening = self.happenings.remove(&number).expect("it was put there");
            self.happen(happening);
        }
        self.finish();
        self.history
    }

    pub(super) fn later(&mut self, after_ms: u64, happening: Happening) {
        self.at(self.now_ms + after_ms, happening);
    }

    pub(super) fn at(&mut self, at_ms: u64, happening: Happening) {
        let number = self.draw();
        self.queue.push(Reverse((at_ms.max(self.now_ms), number)));
        self.happenings.insert(number, happening);
    }

    pub(super) fn draw(&mut self) -> u64 {
        self.drawn += 1;
        self.drawn
    }

    pub(super) fn record(&mut self, who: &str, what: What) {
        self.at_us = (self.at_us + 1).max(self.now_ms * 1_000);
        self.history.push(Event { at_us: self.at_us, who: who.to_owned(), what });
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Publisher(publisher) => self.publisher_acts(publisher),
            Happening::Subscriber(subscriber) => self.subscriber_acts(subscriber),
            Happening::Asked { lane, link, request, asked } => self.asked(lane, link, request, asked),
            Happening::Answered { at, lane, link, request, answer } => {
                if self.is_up(at) && self.nodes[at.node].lanes[lane].link == Some(link.number) {
                    self.answered(at.node, lane, request, Some(answer));
                }
            }
            Happening::WaitOver { lane, link, request } => self.wait_over(lane, link, request),
            Happening::Bus { at, lane, link, sent, room, entry } => {
                let here = self.is_up(at).then(|| &self.nodes[at.node].lanes[lane]);
                if here.is_some_and(|lane| lane.link == Some(link.number) && sent > lane.lost_before) {
                    self.brought(at.node, lane, &room, &entry);
                }
            }
            Happening::Replicate(lane) => self.replicate(lane),
            Happening::LinkLost { at, lane, number } => {
                if self.is_up(at) && self.nodes[at.node].lanes[lane].link == Some(number) {
                    self.link_lost(at.node, lane);
                }
            }
            Happening::Connect { at, lane } => {
                if self.is_up(at) && self.nodes[at.node].lanes[lane].link.is_none() {
                    self.connect(at.node, lane);
                }
            }
            Happening::Wake { at, lane } => {
                if self.is_up(at) {
                    self.pump(at.node, lane);
                }
            }
            Happening::LaneReady { at, lane, from } => {
                if self.is_up(at) {
                    self.lane_ready(at.node, lane, from);
                }
            }
            Happening::Kept { at, connection, room, seq } => {
                if self.is_up(at) {
                    self.kept(at, connection, &room, seq);
                }
            }
            Happening::ToNode { at, connection, said } => {
                if self.is_up(at) {
                    self.heard(at.node, connection, said);
                }
            }
            Happening::ToClient { subscriber, connection, frame } => {
                self.client_gets(subscriber, connection, frame);
            }
            Happening::Publication { at, publisher, id, room, attempt } => {
                if self.is_up(at) {
                    self.publish(at.node, publisher, id, room, attempt);
                }
            }
            Happening::ToPublisher { publisher, id, attempt, outcome } => {
                self.answer_publisher(publisher, &id, attempt, outcome);
            }
            Happening::Fault(fault) => self.fault(fault),
            Happening::Over(fault) => self.fault_over(fault),
            Happening::Calm => self.calm(),
        }
    }

    pub(super) fn is_up(&self, at: At) -> bool {
        let node = &self.nodes[at.node];
        node.up && node.start == at.start
    }

    pub(super) fn here(&self, node: usize) -> At {
        At { node, start: self.nodes[node].start }
    }

    /// A request has reached a master, if there is one at the other end of the link.
    fn asked(&mut self, lane: usize, link: Link, request: u64, asked: Request) {
        use super::shard::Write;
        use super::store::Now;
        let rules = self.rules;
        let ms = self.now_ms;
        let shard = &mut self.shards[lane];
        // Nobody is there to answer: the node will learn that the link is lost.
        let Some(master) = shard.of(link) else { return };
        let now = Now { run: master.process.run, ms };
        let answer = match asked {
            Request::Subscribe { room } => {
                master.links.entry(link).or_default().insert(room);
                Answer::Subscribed
            }
            Request::Unsubscribe { room } => {
                master.links.entry(link).or_default().remove(&room);
                return;
            }
            Request::Audit { rooms, quiet } => {
                shard.write(link, Write::Fence(now), &rules);
                let master = shard.of(link).expect("it was there");
                Answer::Audit(master.process.store.audit(now, &rules, &rooms, quiet))
            }
            Request::Read { room, range, messages_max } => {
                shard.write(link, Write::Fence(now), &rules);
                let master = shard.of(link).expect("it was there");
                Answer::Read(master.process.store.read(now, &rules, &room, range, messages_max))
            }
            Request::Publish(publish) => {
                let room = publish.room.clone();
                let (done, offset) =
                    shard.write(link, Write::Publish(now, publish), &rules).expect("it was there");
                let done = done.expect("a publication gives one");
                if let Published::New(_, entry) = &done {
                    self.spread(lane, link, &room, entry);
                }
                self.wait(lane, link, request, offset, done);
                return;
            }
        };
        self.answer(lane, link, request, answer);
    }

    /// The bus: to every link that follows the room, in order.
    fn spread(&mut self, lane: usize, from: Link, room: &str, entry: &Arc<Entry>) {
        let Some(master) = self.shards[lane].of(from) else { return };
        let to: Vec<Link> =
            master.links.iter().filter(|(_, rooms)| rooms.contains(room)).map(|(link, _)| *link).collect();
        for link in to {
            let at_ms = self.arrival(link, lane);
            let (at, sent) = (self.here(link.node), self.draw());
            let (room, entry) = (room.to_owned(), Arc::clone(entry));
            self.at(at_ms, Happening::Bus { at, lane, link, sent, room, entry });
        }
    }

    /// What a master sends on a link arrives in its order.
    fn arrival(&mut self, link: Link, lane: usize) -> u64 {
        let slow = if self.random.percent(2) { self.random.below(300) } else { 0 };
        let at_ms = self.now_ms + self.random.between(0, 3) + slow;
        let last = &mut self.nodes[link.node].lanes[lane].last_arrival_ms;
        *last = (*last).max(at_ms);
        *last
    }

    pub(super) fn answer(&mut self, lane: usize, link: Link, request: u64, answer: Answer) {
        let at_ms = match answer {
            // The bus and what is asked go over links of their own.
            Answer::Subscribed => self.arrival(link, lane),
            _ => self.now_ms + self.random.between(0, 4),
        };
        let at = self.here(link.node);
        self.at(at_ms, Happening::Answered { at, lane, link, request, answer });
    }

    /// The log and the end.
    fn finish(&mut self) {
        for lane in 0..LANES {
            let Some(master) = self.shards[lane].current() else { continue };
            let store = master.process.store.clone();
            for (room, head, log) in store.rooms() {
                let start = log.front().map_or(head + 1, |entry| entry.header.seq);
                self.record("log", What::LogStart { room: room.clone(), seq: start });
                for entry in log {
                    let (id, from) = super::client::parse(&entry.payload);
                    let what = What::Logged {
                        room: room.clone(),
                        epoch: entry.header.at.epoch,
                        seq: entry.header.seq,
                        id: id.to_owned(),
                        from: from.to_owned(),
                        body: entry.payload.clone(),
                    };
                    self.record("log", what);
                }
            }
        }
        self.record("machine", What::End);
    }
}
