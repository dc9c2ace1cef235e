//! A node: the real follower of each lane, driven by what happens. Over it stands as little of a gateway as recovery needs:
//! see `gateway`.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use turnpike_wire::RoomId;

use super::answers::{comparison, message, outcome, part};
use super::planted::Planted;
use super::resume::Resume;
use super::shard::{Link, Wait};
use super::store::{Entry, Publish, Published, ReadRange};
use super::world::{Answer, At, Happening, LANES, Outcome, World, lane_of};
use crate::redis::follow::{Effect, Follower, Place, Unanswered};
use crate::{LanePosition, Message, Standing};

/// A page of a read is this long, so that there are several.
const PAGE: usize = 16;

/// What a node asks of a master.
#[derive(Debug)]
pub(super) enum Request {
    Subscribe { room: String },
    Unsubscribe { room: String },
    Audit { rooms: Vec<(String, Option<Place>)>, quiet: Option<LanePosition> },
    Read { room: String, range: ReadRange, messages_max: usize },
    Publish(Publish),
}

/// Who asked.
#[derive(Debug)]
pub(super) enum Purpose {
    /// Where the lane stands, to begin with.
    Begin,
    Subscribe {
        room: RoomId,
        number: u64,
    },
    Compare {
        number: u64,
    },
    Read {
        number: u64,
        room: RoomId,
        from: LanePosition,
    },
    Publish {
        publisher: usize,
        id: String,
        attempt: u64,
        done: Option<(u64, u64)>,
    },
    /// For whoever comes back on this connection.
    Resume {
        connection: u64,
        room: String,
        after: LanePosition,
    },
}

/// Who waits for the follower.
#[derive(Debug)]
pub(super) enum Waiter {
    Join { connection: u64, room: String },
    Resume { connection: u64 },
}

pub(super) struct Lane {
    pub(super) follower: Option<Follower>,
    pub(super) link: Option<u64>,
    pub(super) last_arrival_ms: u64,
    last_sent_ms: u64,
    /// What was sent over the bus up to here and had not arrived is lost.
    pub(super) lost_before: u64,
    pub(super) asked: HashMap<u64, Purpose>,
    pub(super) rooms: BTreeMap<String, View>,
    pub(super) at: LanePosition,
    /// A room went on in this epoch, which the lane is about to be announced in, or has been.
    pub(super) heard: u64,
    wake_ms: Option<u64>,
}

/// A room as the node has it.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) standing: Standing,
    /// The latest message that the ring does not hold.
    pub(super) floor: LanePosition,
    pub(super) floor_seq: u64,
    pub(super) ring: VecDeque<Arc<Message>>,
    pub(super) members: BTreeSet<u64>,
}

pub(super) struct Socket {
    pub(super) subscriber: usize,
    pub(super) session: u64,
    pub(super) rooms: BTreeMap<String, LanePosition>,
}

/// How far somebody has got in each lane, and which epochs they have heard of.
#[derive(Debug, Clone)]
pub(super) struct Offset {
    pub(super) places: Vec<LanePosition>,
    pub(super) heard: Vec<u64>,
}

pub(super) struct Node {
    pub(super) number: usize,
    pub(super) start: u64,
    pub(super) up: bool,
    pub(super) lanes: Vec<Lane>,
    pub(super) sockets: BTreeMap<u64, Socket>,
    pub(super) waiters: HashMap<u64, Waiter>,
    pub(super) resumes: BTreeMap<u64, Resume>,
}

impl Lane {
    fn new() -> Self {
        Self {
            follower: None,
            link: None,
            last_arrival_ms: 0,
            last_sent_ms: 0,
            lost_before: 0,
            asked: HashMap::new(),
            rooms: BTreeMap::new(),
            at: LanePosition::default(),
            heard: 0,
            wake_ms: None,
        }
    }
}

impl Node {
    pub(super) fn down(number: usize) -> Self {
        Self {
            number,
            start: 0,
            up: false,
            lanes: Vec::new(),
            sockets: BTreeMap::new(),
            waiters: HashMap::new(),
            resumes: BTreeMap::new(),
        }
    }

    /// What frames of this moment bear.
    pub(super) fn offset(&self) -> Offset {
        Offset { places: self.vector(), heard: self.lanes.iter().map(|lane| lane.heard).collect() }
    }

    pub(super) fn vector(&self) -> Vec<LanePosition> {
        self.lanes.iter().map(|lane| lane.at).collect()
    }

    /// It can take clients in.
    pub(super) fn is_ready(&self) -> bool {
        self.lanes.iter().all(|lane| lane.at != LanePosition::default())
    }
}

impl World {
    pub(super) fn start_node(&mut self, number: usize) {
        let start = self.nodes[number].start + 1;
        let lanes = (0..LANES).map(|_| Lane::new()).collect();
        self.nodes[number] = Node { start, up: true, lanes, ..Node::down(number) };
        for lane in 0..LANES {
            let delay = self.random.between(1, 20);
            self.later(delay, Happening::Connect { at: At { node: number, start }, lane });
        }
    }

    pub(super) fn stop_node(&mut self, number: usize) {
        self.nodes[number].up = false;
        for lane in 0..LANES {
            for master in &mut self.shards[lane].masters {
                master.links.retain(|link, _| link.node != number);
            }
        }
        self.cut_clients_of(number);
    }

    /// A new link to the master, if there is one.
    pub(super) fn connect(&mut self, node: usize, lane: usize) {
        let (at, number) = (self.here(node), self.draw());
        let link = Link { node, number };
        let Some(master) = self.shards[lane].current() else {
            let delay = self.random.between(20, 80);
            return self.later(delay, Happening::Connect { at, lane });
        };
        master.links.insert(link, BTreeSet::new());
        self.nodes[node].lanes[lane].link = Some(number);
        self.nodes[node].lanes[lane].last_arrival_ms = self.now_ms;
        if self.nodes[node].lanes[lane].follower.is_some() {
            self.follow(node, lane, Follower::bus_up);
        } else {
            let request = Request::Audit { rooms: Vec::new(), quiet: None };
            self.ask(node, lane, Purpose::Begin, request);
        }
    }

    pub(super) fn link_lost(&mut self, node: usize, lane: usize) {
        let here = &mut self.nodes[node].lanes[lane];
        if let Some(number) = here.link.take() {
            let link = Link { node, number };
            for master in &mut self.shards[lane].masters {
                master.links.remove(&link);
            }
        }
        let here = &mut self.nodes[node].lanes[lane];
        let open: Vec<u64> = here.asked.keys().copied().collect();
        if here.follower.is_some() {
            self.follow(node, lane, Follower::bus_down);
        }
        let mut open = open;
        open.sort_unstable();
        for request in open {
            self.answered(node, lane, request, None);
        }
        let (at, delay) = (self.here(node), self.random.between(1, 60));
        self.later(delay, Happening::Connect { at, lane });
    }

    /// The reader of the bus was too slow.
    pub(super) fn lag(&mut self, node: usize, lane: usize) {
        self.nodes[node].lanes[lane].lost_before = self.draw();
        self.follow(node, lane, Follower::lagged);
    }

    pub(super) fn ask(&mut self, node: usize, lane: usize, purpose: Purpose, asked: Request) {
        let request = self.draw();
        let at = self.here(node);
        self.nodes[node].lanes[lane].asked.insert(request, purpose);
        let Some(number) = self.nodes[node].lanes[lane].link else {
            // Nobody to ask: as if it had been refused, but not on this stack.
            return self.later(1, Happening::LinkLost { at, lane, number: u64::MAX });
        };
        self.request(lane, Link { node, number }, request, asked);
    }

    /// What a node asks arrives in its order.
    fn request(&mut self, lane: usize, link: Link, request: u64, asked: Request) {
        let at_ms = self.now_ms + self.random.between(0, 3);
        let last = &mut self.nodes[link.node].lanes[lane].last_sent_ms;
        *last = (*last).max(at_ms);
        let at_ms = *last;
        self.at(at_ms, Happening::Asked { lane, link, request, asked });
    }

    /// Lets the follower know something, and does what it wants done.
    pub(super) fn follow(&mut self, node: usize, lane: usize, tell: impl FnOnce(&mut Follower)) {
        if let Some(follower) = &mut self.nodes[node].lanes[lane].follower {
            tell(follower);
        }
        self.pump(node, lane);
    }

    pub(super) fn pump(&mut self, node: usize, lane: usize) {
        let now_ms = self.now_ms;
        while let Some(effect) =
            self.nodes[node].lanes[lane].follower.as_mut().and_then(|follower| follower.next(now_ms))
        {
            self.effect(node, lane, effect);
        }
        let here = &mut self.nodes[node].lanes[lane];
        let Some(follower) = &here.follower else { return };
        let wake_ms = follower.wake_ms(now_ms);
        if here.wake_ms != Some(wake_ms) {
            here.wake_ms = Some(wake_ms);
            let at = self.here(node);
            self.at(wake_ms, Happening::Wake { at, lane });
        }
    }

    fn effect(&mut self, node: usize, lane: usize, effect: Effect) {
        match effect {
            Effect::Subscribe { room, number } => {
                let request = Request::Subscribe { room: room.to_string() };
                self.ask(node, lane, Purpose::Subscribe { room, number }, request);
            }
            Effect::Unsubscribe { room } => {
                if let Some(number) = self.nodes[node].lanes[lane].link {
                    let (link, asked) =
                        (Link { node, number }, Request::Unsubscribe { room: room.to_string() });
                    self.later(1, Happening::Asked { lane, link, request: 0, asked });
                }
            }
            Effect::Compare { number, rooms, quiet } => {
                let rooms = rooms.into_iter().map(|(room, place)| (room.to_string(), place)).collect();
                self.ask(node, lane, Purpose::Compare { number }, Request::Audit { rooms, quiet });
            }
            Effect::Read { number, room, from } => {
                let range = ReadRange::Lane { pos: from.pos, epoch: from.epoch };
                let request = Request::Read { room: room.to_string(), range, messages_max: PAGE };
                self.ask(node, lane, Purpose::Read { number, room, from }, request);
            }
            Effect::Lane(from) => {
                // A base must be written down before anybody is given an offset against it.
                let (at, delay) = (self.here(node), self.random.between(0, 20));
                self.later(delay, Happening::LaneReady { at, lane, from });
            }
            Effect::Opened(room, standing) => self.opened(node, lane, &room, standing),
            Effect::Message(message) => {
                if self.random.percent(1) && !self.calm {
                    let now_ms = self.now_ms;
                    if let Some(follower) = &mut self.nodes[node].lanes[lane].follower {
                        follower.refused(message, now_ms);
                    }
                } else {
                    self.deliver(node, lane, &message);
                }
            }
            Effect::Verified(_, up_to) => {
                let at = &mut self.nodes[node].lanes[lane].at;
                if at.epoch == up_to.epoch {
                    *at = up_to.max(*at);
                }
            }
            Effect::Broken(room, standing) => self.broken(node, lane, &room, standing),
            Effect::Done(waiter) => self.done(node, waiter),
            Effect::Noticed(_) => {}
        }
    }

    pub(super) fn lane_ready(&mut self, node: usize, lane: usize, from: LanePosition) {
        self.nodes[node].lanes[lane].at = from;
        self.follow(node, lane, Follower::lane_ready);
    }

    /// Something came over the bus.
    pub(super) fn brought(&mut self, node: usize, lane: usize, room: &str, entry: &Entry) {
        let message = message(room, entry);
        if self.planted == Planted::VectorOverGap && self.nodes[node].lanes[lane].at < entry.header.at {
            // Straight on to the members.
            return self.deliver(node, lane, &message);
        }
        let header = entry.header;
        self.follow(node, lane, |follower| follower.message(header, message));
    }

    pub(super) fn answered(&mut self, node: usize, lane: usize, request: u64, answer: Option<Answer>) {
        let now_ms = self.now_ms;
        let Some(purpose) = self.nodes[node].lanes[lane].asked.remove(&request) else { return };
        match (purpose, answer) {
            (Purpose::Begin, Some(Answer::Audit(audit))) => {
                let follower = Follower::new(audit.lane, now_ms);
                self.nodes[node].lanes[lane].follower = Some(follower);
                self.follow(node, lane, Follower::bus_up);
            }
            (Purpose::Subscribe { room, number }, Some(Answer::Subscribed)) => {
                self.follow(node, lane, |follower| follower.subscribed(&room, number));
            }
            (Purpose::Compare { number }, answer) => {
                let answer = match answer {
                    Some(Answer::Audit(audit)) => Ok(comparison(audit)),
                    _ => Err(Unanswered),
                };
                self.follow(node, lane, |follower| follower.compared(number, answer, now_ms));
            }
            (Purpose::Read { number, room, from }, answer) => {
                let answer = match answer {
                    Some(Answer::Read(answer)) => Ok(part(&answer, &room, from)),
                    _ => Err(Unanswered),
                };
                self.follow(node, lane, |follower| follower.read(number, answer, now_ms));
            }
            (Purpose::Publish { publisher, id, attempt, done }, answer) => {
                let outcome = match (answer, done) {
                    (Some(Answer::Published(published)), _) => outcome(&published),
                    (None | Some(_), _) => Outcome::Refused,
                };
                let delay = self.random.between(0, 4);
                self.later(delay, Happening::ToPublisher { publisher, id, attempt, outcome });
            }
            (Purpose::Resume { connection, room, after }, answer) => {
                let answer = match answer {
                    Some(Answer::Read(answer)) => Some(part(&answer, &room, after)),
                    _ => None,
                };
                self.resume_read(node, connection, &room, answer);
            }
            (Purpose::Begin | Purpose::Subscribe { .. }, _) => {}
        }
    }

    pub(super) fn publish(&mut self, node: usize, publisher: usize, id: String, room: String, attempt: u64) {
        let lane = lane_of(&room);
        let publish = Publish {
            room,
            payload: super::client::payload(&id),
            id: id.clone(),
            attempt: attempt.to_string(),
            before: String::new(),
        };
        let purpose = Purpose::Publish { publisher, id, attempt, done: None };
        self.ask(node, lane, purpose, Request::Publish(publish));
    }

    /// It is written; now it must be on the replica.
    pub(super) fn wait(&mut self, lane: usize, link: Link, request: u64, offset: u64, done: Published) {
        if self.planted == Planted::NoWait {
            return self.answer(lane, link, request, Answer::Published(done));
        }
        let Some(Purpose::Publish { done: kept, .. }) =
            self.nodes[link.node].lanes[lane].asked.get_mut(&request)
        else {
            return;
        };
        let Outcome::Acked { epoch, seq } = outcome(&done) else { return };
        *kept = Some((epoch, seq));
        self.shards[lane].waits.push(Wait { link, request, offset });
        self.later(400, Happening::WaitOver { lane, link, request });
    }

    pub(super) fn replicate(&mut self, lane: usize) {
        let next = if self.random.percent(10) { self.random.between(5, 60) } else { 1 };
        self.later(next, Happening::Replicate(lane));
        let (writes, rules) = (self.random.between(1, 20) as usize, self.rules);
        for (link, request) in self.shards[lane].replicate(writes, &rules) {
            // A master that is cut off hears nothing of it.
            let reaches = self.shards[lane].of(link).is_some_and(|master| !master.isolated);
            if let Some(Purpose::Publish { done: Some((epoch, seq)), .. }) =
                self.nodes[link.node].lanes.get(lane).and_then(|lane| lane.asked.get(&request))
                && reaches
            {
                let answer = super::store::Answer { epoch: *epoch, seq: *seq, ts: 0 };
                self.answer(lane, link, request, Answer::Published(Published::Seen(answer)));
            }
        }
    }

    pub(super) fn wait_over(&mut self, lane: usize, link: Link, request: u64) {
        let before = self.shards[lane].waits.len();
        self.shards[lane].waits.retain(|wait| (wait.link, wait.request) != (link, request));
        if self.shards[lane].waits.len() != before {
            self.answer(lane, link, request, Answer::NotReplicated);
        }
    }
}
