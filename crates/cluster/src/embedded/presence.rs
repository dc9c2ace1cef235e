//! Who is in a room: rows of this node's own users, in memory. They end with the process, as they must; when users were
//! last seen survives it on a disk.

mod rows;
mod works;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use turnpike_wire::{RoomId, UserId};

use self::rows::Rows;
use self::works::{Note, Whom};
use super::bounded::Bounded;
use super::broker::EmbeddedBroker;
use super::clock::{Clock, unix_ms};
use super::disk::{Earlier, Queue};
use crate::{
    Change, Incarnation, LANES, Presence, PresenceDelta, Roster, Row, RowKey, Signal, Soon, Status,
    Unavailable, lane_of,
};

/// Beyond it those who went longest ago are forgotten before their month is over.
const LAST_SEEN_MAX: usize = 262_144;
const LAST_SEEN_MS: u64 = 30 * 24 * 60 * 60 * 1000;

pub(super) struct EmbeddedPresence {
    own: Incarnation,
    clock: Clock,
    broker: Arc<EmbeddedBroker>,
    disk: Option<Arc<Queue>>,
    parts: [Mutex<Part>; LANES],
}

/// The rooms of one lane. There are as many rows as connections are in rooms, which the engine bounds.
struct Part {
    rooms: HashMap<RoomId, Room>,
    /// Rooms without rows are forgotten. None of them had a higher version, and one that comes back goes on from here.
    forgotten_version: u64,
    last_seen: Bounded<Whom, u64>,
}

struct Room {
    version: u64,
    rows: Rows,
}

impl Room {
    /// Whether others see the user there, on whatever device.
    fn shows(&self, user: &UserId) -> bool {
        self.rows.any_of(user, |row| row.status != Status::Invisible)
    }
}

impl EmbeddedPresence {
    pub(super) fn new(
        own: Incarnation,
        clock: Clock,
        broker: Arc<EmbeddedBroker>,
        disk: Option<Arc<Queue>>,
        earlier: &mut Earlier,
    ) -> Self {
        // An earlier process has made fewer changes than one a millisecond.
        let forgotten_version = unix_ms();
        let parts = std::array::from_fn(|_| {
            let last_seen = Bounded::new(LAST_SEEN_MAX / LANES);
            Mutex::new(Part { rooms: HashMap::new(), forgotten_version, last_seen })
        });
        let presence = Self { own, clock, broker, disk, parts };
        let mut note = Note::default();
        for (noted_ms, (room, user, unix_ms)) in earlier.last_seen.drain(..) {
            let mut part = presence.part(&room);
            part.last_seen.put((room, user), unix_ms, noted_ms, |whom| note.forgotten.push(whom));
        }
        presence.write(note);
        presence
    }

    fn write(&self, note: Note) {
        if let Some(disk) = self.disk.as_ref().filter(|_| !note.is_empty()) {
            disk.work(Box::new(note));
        }
    }

    pub(super) fn sweep(&self, steady_ms: u64) {
        let mut note = Note::default();
        for part in &self.parts {
            let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
            part.last_seen.expire(steady_ms.saturating_sub(LAST_SEEN_MS), |whom| note.forgotten.push(whom));
        }
        self.write(note);
    }

    fn part(&self, room: &RoomId) -> MutexGuard<'_, Part> {
        self.parts[lane_of(room).index()].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, room: &RoomId, version: Option<u64>, rows: Vec<(RowKey, Option<Row>)>) {
        if let Some(deliver) = self.broker.deliver() {
            let delta = PresenceDelta { incarnation: self.own, version, gone: false, rows };
            deliver.signal(room, &Signal::Presence(delta));
        }
    }
}

impl Presence for EmbeddedPresence {
    fn apply(&self, room: &RoomId, changes: Vec<Change>) -> Soon<Result<(), Unavailable>> {
        let now = self.clock.now();
        let mut part = self.part(room);
        let Part { rooms, forgotten_version, last_seen } = &mut *part;
        let place = rooms
            .entry(room.clone())
            .or_insert_with(|| Room { version: *forgotten_version, rows: Rows::new() });
        let mut moved = Vec::with_capacity(changes.len());
        let mut note = Note::default();
        for Change { key, row } in changes {
            let shown = place.shows(&key.user);
            let before = match row.clone() {
                Some(row) => place.rows.insert(key.clone(), row),
                None => place.rows.remove(&key),
            };
            if shown && !place.shows(&key.user) {
                let whom = (room.clone(), key.user.clone());
                note.seen.push((whom.clone(), now.unix_ms, now.steady_ms));
                last_seen.put(whom, now.unix_ms, now.steady_ms, |whom| note.forgotten.push(whom));
            }
            if before != row {
                moved.push((key, row));
            }
        }
        let version = place.version + u64::from(!moved.is_empty());
        place.version = version;
        if place.rows.is_empty() {
            *forgotten_version = version.max(*forgotten_version);
            rooms.remove(room);
        }
        if !moved.is_empty() {
            // Under the lock, so that versions are told in their order.
            self.tell(room, None, moved.clone());
            self.tell(room, Some(version), moved);
        }
        // Under the lock as well: who goes again later is written later.
        self.write(note);
        Soon::Now(Ok(()))
    }

    fn read(&self, room: &RoomId) -> Soon<Result<Roster, Unavailable>> {
        let part = self.part(room);
        let roster = match part.rooms.get(room) {
            Some(Room { version, rows }) => {
                let rows = rows.iter().map(|(key, row)| (self.own, key.clone(), row.clone())).collect();
                Roster { version: *version, rows }
            }
            None => Roster { version: part.forgotten_version, rows: Vec::new() },
        };
        Soon::Now(Ok(roster))
    }

    fn last_seen(&self, room: &RoomId, user: &UserId) -> Soon<Result<Option<u64>, Unavailable>> {
        let part = self.part(room);
        Soon::Now(Ok(part.last_seen.get(&(room.clone(), user.clone())).copied()))
    }
}
