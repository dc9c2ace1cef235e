//! Keeps rows and what is known of them level with the store, whatever was lost on the way: a failover may take back the
//! latest writes, and the bus may lose the last change of a room, behind which no gap shows.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use fred::types::Value;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};
use turnpike_wire::RoomId;

use super::access::{Access, bytes_of};
use super::presence::{RedisPresence, RoomKeys, lane_keys};
use super::{frame, reply};
use crate::{Lane, Lease, PresenceDelta, Signal, Unavailable, lane_of};

/// A change that was lost is made up for after two of them.
const PAUSE: Duration = Duration::from_secs(4);

/// Versions asked for in one call.
const ROOMS_PER_CALL_MAX: usize = 256;

/// Rooms of this node that are looked up at a time, when a lane is compared.
const ROOMS_PER_PAGE: usize = 500;

/// As long as the node lives.
pub(crate) async fn run(presence: Arc<RedisPresence>) {
    let mut lease = presence.membership.lease();
    let mut leaving = presence.membership.leaving();
    let check = async {
        let mut ticks = interval(PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // By lane, what each room was behind at the last look.
        let mut behind: HashMap<RoomId, u64> = HashMap::new();
        loop {
            ticks.tick().await;
            let mut lagging = HashMap::new();
            for lane in Lane::all() {
                if let Err(unavailable) = presence.check(lane, &behind, &mut lagging).await {
                    warn!(
                        lane = lane.index(),
                        error = &unavailable as &dyn std::error::Error,
                        "could not compare presence with the store"
                    );
                }
            }
            behind = lagging;
        }
    };
    tokio::select! {
        () = check => {}
        _ = leaving.wait_for(|leaving| *leaving) => {}
        _ = lease.wait_for(|lease| *lease == Lease::Lost) => {}
    }
}

impl RedisPresence {
    /// Of the rooms that somebody here has read, and whether the lane has another process.
    async fn check(
        self: &Arc<Self>,
        lane: Lane,
        behind: &HashMap<RoomId, u64>,
        lagging: &mut HashMap<RoomId, u64>,
    ) -> Result<(), Unavailable> {
        let mut followed = self.access.versions.rooms(lane);
        if let Some(lanes) = self.access.lanes.get().and_then(Weak::upgrade) {
            // Read once, for somebody who does not follow it; or closed while it was read.
            followed.retain(|room| {
                let follows = lanes.follows(room);
                if !follows {
                    self.access.versions.closed(room);
                }
                follows
            });
        }
        if followed.is_empty() && self.lane(lane).own().is_empty() {
            return Ok(());
        }
        // Without rooms as well, for the base.
        let mut rooms = &followed[..];
        loop {
            let some;
            (some, rooms) = rooms.split_at(rooms.len().min(ROOMS_PER_CALL_MAX));
            let versions = self.versions(lane, some).await?;
            for (room, version) in some.iter().zip(versions) {
                let known = self.access.versions.of(room);
                if known.is_none_or(|known| known >= version) {
                    continue;
                }
                // What is on its way arrives before the next look.
                if behind.get(room).is_some_and(|earlier| known < Some(*earlier)) {
                    nudge(&self.access, room).await?;
                } else {
                    lagging.insert(room.clone(), version);
                }
            }
            if rooms.is_empty() {
                return Ok(());
            }
        }
    }

    async fn versions(self: &Arc<Self>, lane: Lane, rooms: &[RoomId]) -> Result<Vec<u64>, Unavailable> {
        let access = &self.access;
        let mut keys = lane_keys(&access.keys, lane, access.own).to_vec();
        keys.extend(rooms.iter().map(|room| RoomKeys::new(&access.keys, room).version()));
        let args = vec![access.own_bytes(), bytes_of(0), bytes_of(1)];
        let checked = access.call("turnpike_presence_check", &keys, args, Checked::parse).await?;
        if checked.is_dead {
            self.membership.lose();
        }
        self.note_base(lane, checked.base);
        Ok(checked.versions)
    }

    /// The lane's process is another when its base is: what this node has written last may not have reached it.
    pub(super) fn note_base(self: &Arc<Self>, lane: Lane, base: u64) {
        let mut known = self.lane(lane).base.lock().unwrap_or_else(PoisonError::into_inner);
        if base <= *known {
            return;
        }
        let is_other = *known > 0;
        *known = base;
        drop(known);
        if is_other {
            let this = Arc::clone(self);
            self.access.runtime.spawn(async move { this.compare(lane).await });
        }
    }

    /// All rooms of this node in the lane, and those that the store takes for some.
    async fn compare(self: Arc<Self>, lane: Lane) {
        info!(lane = lane.index(), "presence is compared with the store, whose process has changed");
        let mut rooms: HashSet<RoomId> = self.lane(lane).own().rooms().cloned().collect();
        match self.rooms_in_store(lane).await {
            Ok(stored) => rooms.extend(stored),
            Err(_) => return self.forget_base(lane),
        }
        for room in rooms {
            let key = RoomKeys::new(&self.access.keys, &room).rows(self.access.own);
            let Ok(stored) = self.stored(&key).await else { return self.forget_base(lane) };
            let begin = self.lane(lane).own().compare(&room, &stored);
            if begin {
                self.access.runtime.spawn(Arc::clone(&self).write(room));
            }
        }
    }

    /// So that the next answer begins the comparison again.
    fn forget_base(&self, lane: Lane) {
        *self.lane(lane).base.lock().unwrap_or_else(PoisonError::into_inner) = 1;
    }

    async fn rooms_in_store(&self, lane: Lane) -> Result<Vec<RoomId>, Unavailable> {
        let access = &self.access;
        let keys = lane_keys(&access.keys, lane, access.own);
        let (mut rooms, mut cursor) = (Vec::new(), "0".to_owned());
        loop {
            let args = vec![access.own_bytes(), bytes_of(&cursor), bytes_of(ROOMS_PER_PAGE)];
            let checked = access.call("turnpike_presence_check", &keys, args, Checked::parse).await?;
            rooms.extend(checked.rooms);
            if checked.next == "0" {
                return Ok(rooms);
            }
            cursor = checked.next;
        }
    }
}

/// Has the room's next version mean nothing: whoever missed the last one sees a gap now.
async fn nudge(access: &Access, room: &RoomId) -> Result<(), Unavailable> {
    let nothing = PresenceDelta { incarnation: access.own, version: None, gone: false, rows: Vec::new() };
    let [base, _, _] = lane_keys(&access.keys, lane_of(room), access.own);
    let keys = [base, RoomKeys::new(&access.keys, room).version()];
    let channel = access.keys.channel(room);
    let signal = frame::signal(&access.seal.at(&channel), access.own, &Signal::Presence(nothing));
    let args = vec![channel.into(), signal];
    access.call("turnpike_presence_nudge", &keys, args, reply::number).await.map(drop)
}

struct Checked {
    base: u64,
    is_dead: bool,
    versions: Vec<u64>,
    next: String,
    rooms: Vec<RoomId>,
}

impl Checked {
    fn parse(answer: &Value) -> Option<Self> {
        let [base, is_dead, versions, next, rooms] = reply::array(answer)? else { return None };
        Some(Self {
            base: reply::number(base)?,
            is_dead: reply::number(is_dead)? == 1,
            versions: reply::array(versions)?.iter().map(reply::number).collect::<Option<_>>()?,
            next: reply::text(next)?.to_owned(),
            rooms: reply::array(rooms)?
                .iter()
                .map(|room| RoomId::parse(reply::text(room)?).ok())
                .collect::<Option<_>>()?,
        })
    }
}
