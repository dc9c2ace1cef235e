//! As little of a gateway as recovery needs: rooms with a ring, sockets in them, and frames that bear the vector of lane
//! positions.

use std::collections::BTreeMap;
use std::sync::Arc;

use turnpike_wire::RoomId;

use super::client::Frame;
use super::node::{Socket, View, Waiter};
use super::planted::Planted;
use super::world::{At, Happening, Record, Said, World, lane_of};
use crate::{LanePosition, Message, Standing};

const RING_MAX: usize = 8;

impl World {
    pub(super) fn opened(&mut self, node: usize, lane: usize, room: &RoomId, standing: Standing) {
        let floor = LanePosition { epoch: standing.epoch, pos: standing.pos };
        let view = View { standing, floor, floor_seq: standing.seq, ..View::default() };
        let rooms = &mut self.nodes[node].lanes[lane].rooms;
        assert!(rooms.insert(room.to_string(), view).is_none(), "it was open already");
    }

    pub(super) fn deliver(&mut self, node: usize, lane: usize, message: &Arc<Message>) {
        let here = &mut self.nodes[node].lanes[lane];
        let Some(view) = here.rooms.get_mut(message.room.as_str()) else { return };
        // What is planted may well make the follower do so.
        let sound = self.planted == Planted::Nothing;
        assert!(!sound || view.standing.seq + 1 == message.seq, "the follower left something out");
        assert!(!sound || message.at > here.at, "the follower went back in the lane");
        view.standing = Standing {
            epoch: message.at.epoch,
            seq: message.seq,
            pos: message.at.pos,
            lane: view.standing.lane,
        };
        view.ring.push_back(Arc::clone(message));
        if view.ring.len() > RING_MAX
            && let Some(oldest) = view.ring.pop_front()
        {
            (view.floor, view.floor_seq) = (oldest.at, oldest.seq);
        }
        here.at = message.at;
        let members: Vec<u64> = view.members.iter().copied().collect();
        let offset = self.nodes[node].offset();
        for connection in members {
            let frame = Frame::Message { message: Arc::clone(message), offset: offset.clone() };
            self.send_frame(node, connection, frame);
        }
    }

    pub(super) fn broken(&mut self, node: usize, lane: usize, room: &RoomId, standing: Standing) {
        let here = &mut self.nodes[node].lanes[lane];
        let Some(view) = here.rooms.get_mut(room.as_str()) else { return };
        // Whoever is told has heard of the epoch, though its place is still one of the earlier.
        here.heard = here.heard.max(standing.lane.epoch);
        view.standing = standing;
        view.floor = LanePosition { epoch: standing.epoch, pos: standing.pos };
        view.floor_seq = standing.seq;
        view.ring.clear();
        let members: Vec<u64> = view.members.iter().copied().collect();
        let offset = self.nodes[node].offset();
        for connection in members {
            let frame = Frame::Resync { room: room.to_string(), standing, offset: offset.clone() };
            self.send_frame(node, connection, frame);
        }
    }

    pub(super) fn send_frame(&mut self, node: usize, connection: u64, frame: Frame) {
        let Some(socket) = self.nodes[node].sockets.get(&connection) else { return };
        let subscriber = socket.subscriber;
        let slow = if self.random.percent(5) { self.random.below(200) } else { 0 };
        let at_ms = self.now_ms + self.random.between(0, 3) + slow;
        let last = &mut self.subscribers[subscriber].last_arrival_ms;
        *last = (*last).max(at_ms);
        let at_ms = *last;
        self.at(at_ms, Happening::ToClient { subscriber, connection, frame });
    }

    pub(super) fn heard(&mut self, node: usize, connection: u64, said: Said) {
        match said {
            Said::Connect { subscriber, resume } => {
                if !self.nodes[node].is_ready() {
                    return;
                }
                let session = resume.as_ref().map_or_else(|| self.draw(), |(session, _)| *session);
                let socket = Socket { subscriber, session, rooms: BTreeMap::new() };
                self.nodes[node].sockets.insert(connection, socket);
                match resume {
                    Some((session, offset)) => self.resume(node, connection, session, offset),
                    None => self.fresh(node, connection),
                }
            }
            Said::Join { room } => {
                let Some(socket) = self.nodes[node].sockets.get(&connection) else { return };
                if !socket.rooms.contains_key(&room) && !self.nodes[node].resumes.contains_key(&connection) {
                    self.open(node, &room.clone(), Waiter::Join { connection, room });
                }
            }
            Said::Gone => self.unseat(node, connection),
        }
    }

    /// A new session.
    pub(super) fn fresh(&mut self, node: usize, connection: u64) {
        let session = self.draw();
        let Some(socket) = self.nodes[node].sockets.get_mut(&connection) else { return };
        socket.session = session;
        socket.rooms.clear();
        let record = Record { owner: self.here(node), connection, rooms: BTreeMap::new() };
        self.sessions.insert(session, record);
        let offset = self.nodes[node].offset();
        self.send_frame(node, connection, Frame::Session { session, recovered: false, offset });
    }

    /// The waiter is told when the room is open.
    pub(super) fn open(&mut self, node: usize, room: &str, waiter: Waiter) {
        let (lane, number) = (lane_of(room), self.draw());
        self.nodes[node].waiters.insert(number, waiter);
        let room = RoomId::parse(room).expect("rooms have names");
        self.follow(node, lane, |follower| follower.open(&room, number));
    }

    pub(super) fn level(&mut self, node: usize, room: &str, waiter: Waiter) {
        let (lane, number) = (lane_of(room), self.draw());
        self.nodes[node].waiters.insert(number, waiter);
        let room = RoomId::parse(room).expect("rooms have names");
        self.follow(node, lane, |follower| follower.level(&room, number));
    }

    pub(super) fn done(&mut self, node: usize, waiter: u64) {
        match self.nodes[node].waiters.remove(&waiter) {
            Some(Waiter::Join { connection, room }) => self.join(node, connection, &room),
            Some(Waiter::Resume { connection }) => self.resume_opened(node, connection),
            None => {}
        }
    }

    /// Into the room, then into the record, then the answer.
    fn join(&mut self, node: usize, connection: u64, room: &str) {
        let lane = &mut self.nodes[node].lanes[lane_of(room)];
        let Some(view) = lane.rooms.get_mut(room) else { return };
        // A room that was broken goes on before its lane does.
        let joined = LanePosition { epoch: lane.at.epoch.max(view.standing.epoch), pos: view.standing.pos };
        let (seq, at) = (view.standing.seq, self.here(node));
        let Some(socket) = self.nodes[node].sockets.get_mut(&connection) else { return };
        if socket.rooms.insert(room.to_owned(), joined).is_some() {
            return;
        }
        if let Some(view) = self.nodes[node].lanes[lane_of(room)].rooms.get_mut(room) {
            view.members.insert(connection);
        }
        let (delay, room) = (self.random.between(0, 15), room.to_owned());
        self.later(delay, Happening::Kept { at, connection, room, seq });
    }

    pub(super) fn kept(&mut self, at: At, connection: u64, room: &str, seq: u64) {
        let node = at.node;
        let Some(socket) = self.nodes[node].sockets.get(&connection) else { return };
        let (session, rooms) = (socket.session, socket.rooms.clone());
        let epoch = self.nodes[node].lanes[lane_of(room)].at.epoch;
        match self.sessions.get_mut(&session) {
            Some(record) if record.owner == at && record.connection == connection => {
                record.rooms = rooms;
                self.send_frame(node, connection, Frame::Joined { room: room.to_owned(), epoch, seq });
            }
            // Somebody else has it now.
            _ => self.dismiss(node, connection),
        }
    }

    pub(super) fn dismiss(&mut self, node: usize, connection: u64) {
        self.send_frame(node, connection, Frame::Closed);
        self.unseat(node, connection);
    }

    /// The socket is gone; the session may come back.
    pub(super) fn unseat(&mut self, node: usize, connection: u64) {
        self.nodes[node].sockets.remove(&connection);
        if !self.late {
            self.nodes[node].resumes.remove(&connection);
        }
        for lane in &mut self.nodes[node].lanes {
            for view in lane.rooms.values_mut() {
                view.members.remove(&connection);
            }
        }
    }
}
