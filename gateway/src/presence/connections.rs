//! In which rooms each connection is shown, besides its personal one, whatever becomes of its session.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use smallvec::SmallVec;
use turnpike_engine::SocketRef;
use turnpike_wire::RoomId;

const PARTS: usize = 16;

type Rooms = SmallVec<[RoomId; 1]>;

#[derive(Default)]
pub(crate) struct Connections {
    parts: [Mutex<HashMap<SocketRef, Rooms>>; PARTS],
    hasher: RandomState,
}

impl Connections {
    pub(crate) fn enter(&self, socket: SocketRef, room: &RoomId) {
        let mut part = self.part(&socket);
        let rooms = part.entry(socket).or_default();
        if !rooms.contains(room) {
            rooms.push(room.clone());
        }
    }

    pub(crate) fn exit(&self, socket: &SocketRef, room: &RoomId) {
        let mut part = self.part(socket);
        let Some(rooms) = part.get_mut(socket) else { return };
        rooms.retain(|other| other != room);
        if rooms.is_empty() {
            part.remove(socket);
        }
    }

    pub(crate) fn rooms(&self, socket: &SocketRef) -> Rooms {
        self.part(socket).get(socket).cloned().unwrap_or_default()
    }

    fn part(&self, socket: &SocketRef) -> MutexGuard<'_, HashMap<SocketRef, Rooms>> {
        let index = self.hasher.hash_one(socket) as usize % PARTS;
        self.parts[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
