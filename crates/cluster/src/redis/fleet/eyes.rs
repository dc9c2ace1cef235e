//! What a node sees of who is in its rooms: what it has read, and what it was told since.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use turnpike_wire::RoomId;

use crate::{
    Control, Deliver, Full, Incarnation, Lane, LanePosition, Message, PresenceDelta, Roster, RowKey, Signal,
    Soon, Standing,
};

#[derive(Default)]
pub(super) struct Eyes(Mutex<BTreeMap<RoomId, Seen>>);

#[derive(Default)]
struct Seen {
    /// None: it was not read, or something is missing.
    version: Option<u64>,
    rows: BTreeSet<(Incarnation, RowKey)>,
    /// Told while it is read.
    behind: Vec<PresenceDelta>,
}

impl Eyes {
    /// The room is looked at from here on.
    pub(super) fn open(&self, room: &RoomId) {
        self.0.lock().unwrap().entry(room.clone()).or_default();
    }

    pub(super) fn is_open(&self, room: &RoomId) -> bool {
        self.0.lock().unwrap().contains_key(room)
    }

    /// Rooms that are to be read.
    pub(super) fn stale(&self) -> Vec<RoomId> {
        let seen = self.0.lock().unwrap();
        seen.iter().filter(|(_, seen)| seen.version.is_none()).map(|(room, _)| room.clone()).collect()
    }

    pub(super) fn read(&self, room: &RoomId, roster: Roster) {
        let mut all = self.0.lock().unwrap();
        let Some(seen) = all.get_mut(room) else { return };
        seen.version = Some(roster.version);
        seen.rows = roster.rows.into_iter().map(|(owner, key, _)| (owner, key)).collect();
        for delta in std::mem::take(&mut seen.behind) {
            seen.hear(delta);
        }
    }

    pub(super) fn rows(&self, room: &RoomId) -> BTreeSet<(Incarnation, RowKey)> {
        self.0.lock().unwrap().get(room).map(|seen| seen.rows.clone()).unwrap_or_default()
    }
}

impl Seen {
    fn hear(&mut self, delta: PresenceDelta) {
        match (delta.version, self.version) {
            (Some(_), None) => return self.behind.push(delta),
            (Some(version), Some(known)) if version <= known => return,
            (Some(version), Some(known)) if version > known + 1 => {
                self.version = None;
                return self.behind.push(delta);
            }
            (Some(version), Some(_)) => self.version = Some(version),
            // Its own, which it knows before the store does.
            (None, _) => {}
        }
        if delta.gone {
            self.rows.retain(|(owner, _)| *owner != delta.incarnation);
        }
        for (key, row) in delta.rows {
            let row_of = (delta.incarnation, key);
            if row.is_some() {
                self.rows.insert(row_of)
            } else {
                self.rows.remove(&row_of)
            };
        }
    }
}

impl Deliver for Eyes {
    fn lane(&self, _: Lane, _: LanePosition) -> Soon<()> {
        Soon::Now(())
    }
    fn opened(&self, _: &RoomId, _: &Standing) {}
    fn message(&self, _: &Arc<Message>) -> Result<(), Full> {
        Ok(())
    }
    fn verified(&self, _: &RoomId, _: LanePosition) {}
    fn broken(&self, _: &RoomId, _: &Standing) {}
    fn signal(&self, room: &RoomId, signal: &Signal) {
        if let Signal::Presence(delta) = signal
            && let Some(seen) = self.0.lock().unwrap().get_mut(room)
        {
            seen.hear(delta.clone());
        }
    }
    fn control(&self, _: Control) {}
}
