//! Coming back: the session is taken, its rooms are opened, what was missed is found in the rings or read, and joined with
//! the present without a gap or an overlap. The steps are those of a gateway.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::client::Frame;
use super::node::{Offset, Purpose, Request, Waiter};
use super::planted::Planted;
use super::store::ReadRange;
use super::world::{World, lane_of};
use crate::redis::follow::Part;
use crate::{Continuity, LanePosition, Message, Standing};

const PAGE: usize = 16;

/// How often the node may have moved on between reading and looking.
const TURNS_MAX: u32 = 8;

#[derive(Debug)]
pub(super) struct Resume {
    session: u64,
    from: Vec<LanePosition>,
    heard: Vec<u64>,
    rooms: BTreeMap<String, Missed>,
    /// Answers that are waited for.
    outstanding: usize,
    turns: u32,
}

#[derive(Debug)]
struct Missed {
    joined: LanePosition,
    messages: Vec<Arc<Message>>,
    /// Where the room stood when it was read.
    through: Option<Standing>,
    broken: bool,
    levelled: bool,
}

enum Here {
    Found {
        messages: Vec<Arc<Message>>,
        broken: bool,
    },
    Read(LanePosition),
    /// What was read is of an epoch that is over.
    Anew(LanePosition),
    Behind,
    /// This node may be with a master that is none any more.
    Elsewhere,
}

impl World {
    pub(super) fn resume(&mut self, node: usize, connection: u64, session: u64, offset: Option<Offset>) {
        let at = self.here(node);
        let Some(record) = self.sessions.get_mut(&session) else { return self.fresh(node, connection) };
        // One winner. Whoever had it lets go of the socket.
        let (owner, old) = (record.owner, record.connection);
        (record.owner, record.connection) = (at, connection);
        let rooms = record.rooms.clone();
        if self.is_up(owner) && self.nodes[owner.node].sockets.contains_key(&old) && old != connection {
            self.dismiss(owner.node, old);
        }
        let vector = self.nodes[node].vector();
        let nothing = || Offset {
            places: vector.iter().map(|at| LanePosition { pos: 0, ..*at }).collect(),
            heard: vec![0; vector.len()],
        };
        let Offset { places: from, heard } = offset.unwrap_or_else(nothing);
        let missed =
            |joined| Missed { joined, messages: Vec::new(), through: None, broken: false, levelled: false };
        let resume = Resume {
            session,
            from,
            heard,
            outstanding: rooms.len() + 1,
            turns: 0,
            rooms: rooms.into_iter().map(|(room, joined)| (room, missed(joined))).collect(),
        };
        let names: Vec<String> = resume.rooms.keys().cloned().collect();
        self.nodes[node].resumes.insert(connection, resume);
        for room in names {
            self.open(node, &room, Waiter::Resume { connection });
        }
        self.resume_opened(node, connection);
    }

    /// One of the answers that were waited for is here.
    pub(super) fn resume_opened(&mut self, node: usize, connection: u64) {
        let Some(resume) = self.nodes[node].resumes.get_mut(&connection) else { return };
        resume.outstanding -= 1;
        if resume.outstanding == 0 {
            self.look(node, connection);
        }
    }

    pub(super) fn resume_read(&mut self, node: usize, connection: u64, room: &str, part: Option<Part>) {
        let Some(resume) = self.nodes[node].resumes.get_mut(&connection) else { return };
        let Some(part) = part else { return self.give_up(node, connection) };
        let Some(missed) = resume.rooms.get_mut(room) else { return };
        match part.continuity {
            Continuity::Whole => {}
            Continuity::Truncated => missed.broken = true,
            Continuity::Gone => {
                missed.broken = true;
                missed.messages.clear();
            }
        }
        missed.through = Some(part.standing);
        missed.messages.extend(part.messages.into_iter().map(|(_, message)| message));
        match missed.messages.last() {
            Some(last) if part.more => {
                let after = last.at;
                self.read_missed(node, connection, room, after);
            }
            _ => self.resume_opened(node, connection),
        }
    }

    fn read_missed(&mut self, node: usize, connection: u64, room: &str, after: LanePosition) {
        let range = ReadRange::Lane { pos: after.pos, epoch: after.epoch };
        let request = Request::Read { room: room.to_owned(), range, messages_max: PAGE };
        let purpose = Purpose::Resume { connection, room: room.to_owned(), after };
        self.ask(node, lane_of(room), purpose, request);
    }

    /// The client tries again, here or elsewhere.
    fn give_up(&mut self, node: usize, connection: u64) {
        self.nodes[node].resumes.remove(&connection);
        self.dismiss(node, connection);
    }

    fn look(&mut self, node: usize, connection: u64) {
        let Some(mut resume) = self.nodes[node].resumes.remove(&connection) else { return };
        resume.turns += 1;
        let mut found = BTreeMap::new();
        let (mut to_read, mut to_level, mut anew) = (Vec::new(), Vec::new(), Vec::new());
        for (room, missed) in &resume.rooms {
            match self.look_at(node, &resume, room, missed) {
                Here::Found { messages, broken } => drop(found.insert(room.clone(), (messages, broken))),
                Here::Read(after) => to_read.push((room.clone(), after)),
                Here::Anew(after) => {
                    anew.push(room.clone());
                    to_read.push((room.clone(), after));
                }
                Here::Behind => to_level.push(room.clone()),
                Here::Elsewhere => return self.dismiss(node, connection),
            }
        }
        if to_read.is_empty() && to_level.is_empty() {
            return self.take_up(node, connection, &resume, &found);
        }
        if resume.turns > TURNS_MAX {
            return self.dismiss(node, connection);
        }
        resume.outstanding = to_read.len() + to_level.len();
        for room in &anew {
            let missed = resume.rooms.get_mut(room).expect("it is one of them");
            (missed.messages, missed.through) = (Vec::new(), None);
        }
        for room in &to_level {
            resume.rooms.get_mut(room).expect("it is one of them").levelled = true;
        }
        self.nodes[node].resumes.insert(connection, resume);
        for (room, after) in to_read {
            self.read_missed(node, connection, &room, after);
        }
        for room in to_level {
            self.level(node, &room, Waiter::Resume { connection });
        }
    }

    fn look_at(&self, node: usize, resume: &Resume, room: &str, missed: &Missed) -> Here {
        let lane = &self.nodes[node].lanes[lane_of(room)];
        let Some(view) = lane.rooms.get(room) else { return Here::Behind };
        let tail = |after: &dyn Fn(&Message) -> bool| -> Vec<Arc<Message>> {
            view.ring.iter().filter(|message| after(message)).cloned().collect()
        };
        let after = resume.from[lane_of(room)].or_joined(missed.joined);
        if missed.broken {
            return Here::Found { messages: Vec::new(), broken: true };
        }
        // The client has been told that the lane went on. What this node has in the earlier epoch may be lost.
        if resume.heard[lane_of(room)] > lane.at.epoch.max(view.standing.lane.epoch) {
            return if missed.levelled { Here::Elsewhere } else { Here::Behind };
        }
        // It was broken, and goes on in an epoch that this node is about to hear of.
        if view.standing.lane.epoch > lane.at.epoch {
            return Here::Behind;
        }
        // Frames of other lanes bear where this node is in this one. That must not be behind what the client gets.
        let gets =
            if after.epoch == lane.at.epoch { after.pos.max(view.standing.pos) } else { view.standing.pos };
        if let Some(through) = missed.through {
            if lane.at.epoch > through.lane.epoch {
                return Here::Anew(after);
            }
            if lane.at.epoch < through.lane.epoch || view.standing.seq < through.seq || gets > lane.at.pos {
                return Here::Behind;
            }
            let last = missed.messages.last().map_or(through.seq, |last| last.seq.max(through.seq));
            if view.floor_seq > last {
                return Here::Read(missed.messages.last().map_or(after, |last| last.at));
            }
            let mut messages = missed.messages.clone();
            messages.extend(tail(&|message| message.seq > last));
            return Here::Found { messages, broken: false };
        }
        if after.epoch != lane.at.epoch || view.floor.pos > after.pos || missed.levelled && gets > lane.at.pos
        {
            return Here::Read(after);
        }
        if gets > lane.at.pos {
            return Here::Behind;
        }
        Here::Found { messages: tail(&|message| message.at.pos > after.pos), broken: false }
    }

    /// All was found at one moment: what is sent now and what is handed on later fit together.
    fn take_up(
        &mut self,
        node: usize,
        connection: u64,
        resume: &Resume,
        found: &BTreeMap<String, (Vec<Arc<Message>>, bool)>,
    ) {
        let at = self.here(node);
        if self
            .sessions
            .get(&resume.session)
            .is_none_or(|record| (record.owner, record.connection) != (at, connection))
        {
            return self.dismiss(node, connection);
        }
        if found.values().any(|(_, broken)| *broken) {
            self.sessions.remove(&resume.session);
            return self.fresh(node, connection);
        }
        let reached = self.nodes[node].vector();
        let mut given: Vec<LanePosition> = resume
            .from
            .iter()
            .zip(&reached)
            .enumerate()
            .map(|(lane, (from, now))| {
                // A place of an earlier epoch says nothing here; where each room was found to go on does.
                let after = resume.rooms.iter().filter(|(room, _)| lane_of(room) == lane);
                let after = after.map(|(_, missed)| from.or_joined(missed.joined).pos).min();
                let pos =
                    if from.epoch == now.epoch { from.pos } else { after.unwrap_or(from.pos.min(now.pos)) };
                LanePosition { pos, ..*now }
            })
            .collect();
        let session = resume.session;
        let heard = self.nodes[node].offset().heard;
        let offset = |places: &Vec<LanePosition>| Offset { places: places.clone(), heard: heard.clone() };
        let frame = Frame::Session { session, recovered: true, offset: offset(&given) };
        self.send_frame(node, connection, frame);
        let mut rooms = BTreeMap::new();
        for (room, missed) in &resume.rooms {
            let now = reached[lane_of(room)];
            // Nothing behind that was lost, so it is a place of the present epoch as well.
            let after = resume.from[lane_of(room)].or_joined(missed.joined);
            let is_present = missed.joined.epoch == now.epoch;
            let joined = if is_present { missed.joined } else { LanePosition { pos: after.pos, ..now } };
            rooms.insert(room.clone(), joined);
        }
        let mut frames = Vec::new();
        for lane in 0..reached.len() {
            let of_lane = found.iter().filter(|(room, _)| lane_of(room) == lane);
            let mut missed: Vec<&Arc<Message>> = of_lane.flat_map(|(_, (messages, _))| messages).collect();
            missed.sort_by_key(|message| message.at.pos);
            for message in missed {
                given[lane].pos = message.at.pos;
                frames.push((Arc::clone(message), given.clone()));
            }
            given[lane].pos = reached[lane].pos.max(given[lane].pos);
        }
        let overlap = usize::from(self.planted == Planted::DoubleOnOpening);
        for (message, places) in frames.iter().take(overlap).chain(&frames) {
            let places = if self.planted == Planted::CursorBeforeSend { &given } else { places };
            let frame = Frame::Message { message: Arc::clone(message), offset: offset(places) };
            self.send_frame(node, connection, frame);
        }
        for room in rooms.keys() {
            if let Some(view) = self.nodes[node].lanes[lane_of(room)].rooms.get_mut(room) {
                view.members.insert(connection);
            }
        }
        if let Some(record) = self.sessions.get_mut(&session) {
            record.rooms.clone_from(&rooms);
        }
        if let Some(socket) = self.nodes[node].sockets.get_mut(&connection) {
            (socket.session, socket.rooms) = (session, rooms);
        }
    }
}
