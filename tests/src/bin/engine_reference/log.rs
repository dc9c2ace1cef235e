//! What recovery needs: the reliable events of all rooms in one order, and who was in which room since when.
//!
//! It must not know the engine's sockets: positions and names in, positions and names out.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use turnpike_engine::SocketId;

/// More than any test sends; what is older cannot be recovered.
const ENTRIES_MAX: usize = 50_000;

#[derive(Clone)]
pub(crate) struct Entry {
    pub position: u64,
    pub namespace: String,
    pub room: String,
    pub name: &'static str,
    pub argument: String,
    pub attachments: Vec<Bytes>,
}

/// One socket, beyond the connection that it is on.
#[derive(Default)]
pub(crate) struct Session {
    /// Room and the position at which it was joined.
    pub rooms: HashMap<String, u64>,
    /// When its connection was lost.
    pub lost: Option<Instant>,
}

#[derive(Default)]
pub(crate) struct Log {
    head: u64,
    entries: VecDeque<Entry>,
    sessions: HashMap<(String, SocketId), Session>,
}

impl Log {
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    /// Gives the new event's position.
    pub(crate) fn append(
        &mut self,
        namespace: &str,
        room: &str,
        name: &'static str,
        argument: &str,
        attachments: &[Bytes],
    ) -> u64 {
        self.head += 1;
        if self.entries.len() == ENTRIES_MAX {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry {
            position: self.head,
            namespace: namespace.to_owned(),
            room: room.to_owned(),
            name,
            argument: argument.to_owned(),
            attachments: attachments.to_vec(),
        });
        self.head
    }

    pub(crate) fn open(&mut self, namespace: &str, id: SocketId) {
        self.sessions.insert((namespace.to_owned(), id), Session::default());
    }

    pub(crate) fn session(&mut self, namespace: &str, id: SocketId) -> Option<&mut Session> {
        self.sessions.get_mut(&(namespace.to_owned(), id))
    }

    pub(crate) fn end(&mut self, namespace: &str, id: SocketId) {
        self.sessions.remove(&(namespace.to_owned(), id));
    }

    /// Whether the socket may go on from this position: known, not away for too long, and nothing forgotten since.
    pub(crate) fn can_resume(&self, namespace: &str, id: SocketId, from: u64, window: Duration) -> bool {
        let oldest = self.entries.front().map_or(self.head + 1, |entry| entry.position);
        let session = self.sessions.get(&(namespace.to_owned(), id));
        let in_time = session.is_some_and(|session| session.lost.is_none_or(|lost| lost.elapsed() < window));
        in_time && from <= self.head && from + 1 >= oldest
    }

    /// What the socket missed behind the position, in order.
    pub(crate) fn missed(&self, namespace: &str, id: SocketId, from: u64) -> Vec<Entry> {
        let Some(session) = self.sessions.get(&(namespace.to_owned(), id)) else { return Vec::new() };
        let of_it = |entry: &&Entry| {
            entry.position > from
                && entry.namespace == namespace
                && session.rooms.get(&entry.room).is_some_and(|joined| entry.position > *joined)
        };
        self.entries.iter().filter(of_it).cloned().collect()
    }
}
