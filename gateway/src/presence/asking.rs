//! What rooms ask of the store, and its answers. Never under a lock: the store may call back at once.

use std::sync::Arc;

use turnpike_cluster::{Change, Roster as Read, Soon, Unavailable, lane_of};
use turnpike_wire::RoomId;

use super::Presences;

impl Presences {
    pub(super) fn write(self: &Arc<Self>, room: &RoomId, changes: Vec<Change>) {
        match self.presence.apply(room, changes) {
            Soon::Now(result) => self.written(room, result),
            Soon::Later(result) => {
                let (this, room) = (Arc::clone(self), room.clone());
                self.background.spawn(async move { this.written(&room, result.await) });
            }
        }
    }

    fn written(self: &Arc<Self>, room: &RoomId, result: Result<(), Unavailable>) {
        self.work_if_there(room, |room, now_ms, effects| {
            room.written(result.map_err(|error| error.retry_after_ms), now_ms);
            // What has changed meanwhile need not wait for the next tick.
            room.tick(now_ms, effects);
        });
    }

    pub(super) fn read(self: &Arc<Self>, room: &RoomId) {
        match self.presence.read(room) {
            Soon::Now(result) => self.was_read(room, result),
            Soon::Later(result) => {
                let (this, room) = (Arc::clone(self), room.clone());
                self.background.spawn(async move { this.was_read(&room, result.await) });
            }
        }
    }

    fn was_read(self: &Arc<Self>, room: &RoomId, read: Result<Read, Unavailable>) {
        let (own, dead) = (self.own, self.nodes.dead());
        self.work_if_there(room, |room, now_ms, _| {
            room.was_read(own, read.map_err(|error| error.retry_after_ms), &dead, now_ms);
        });
        let waiting = self.lane(lane_of(room)).waiting.remove(room);
        for waits in waiting.into_iter().flatten() {
            // Whoever waited may have hung up.
            let _ = waits.send(());
        }
    }
}
