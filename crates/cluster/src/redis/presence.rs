//! Who is in which room: writes this node's rows and reads everybody's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use fred::types::Value;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tracing::warn;
use turnpike_wire::{RoomId, UserId};

use super::access::{Access, bytes_of, incarnation};
use super::keys::Keys;
use super::membership::Shared;
use super::own_rows::{OwnRows, Ticket, Write};
use super::{frame, reply, rows};
use crate::{
    Change, Incarnation, LANES, Lane, Lease, Node, Presence, PresenceDelta, Roster, Row, RowKey, Signal,
    Soon, Unavailable, lane_of,
};

/// In one call. A function holds up its process, and no announcement should be larger than a large message.
const ROWS_PER_WRITE_MAX: usize = 400;

/// What is read at once, and in a page. Larger rooms are read in pages, or others would wait for it.
const ROWS_PER_READ_MAX: usize = 2_000;
const ROWS_PER_PAGE: usize = 1_000;

/// After a write that failed.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Of so many nodes the rows are read with the first question, whether they have some in the room or not. Of more, only of those
/// of which the room says that they do: most rooms are of few nodes, and a question that names all would grow with them.
const NODES_ASKED_UNSEEN_MAX: usize = 8;

/// Last-seen times are in a key for each month, which goes as a whole.
const MONTH_MS: u64 = 30 * 24 * 60 * 60 * 1000;

pub(crate) struct RedisPresence {
    pub(super) access: Arc<Access>,
    pub(super) membership: Arc<Shared>,
    nodes: watch::Receiver<Arc<[Node]>>,
    pub(super) lanes: [LanePresence; LANES],
}

#[derive(Default)]
pub(super) struct LanePresence {
    own: Mutex<OwnRows>,
    /// What versions of this lane are above since its process changed. Zero: not known yet.
    pub(super) base: Mutex<u64>,
    /// Something was written, or could not be.
    progress: Notify,
}

impl LanePresence {
    pub(super) fn own(&self) -> MutexGuard<'_, OwnRows> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where versions begin, whose rows count no more, rooms of that incarnation.
pub(crate) fn lane_keys(keys: &Keys, lane: Lane, of: Incarnation) -> [String; 3] {
    [keys.lane(lane, "pb"), keys.lane(lane, "pg"), keys.lane(lane, &format!("pi:{of}"))]
}

/// Keys of one room.
pub(crate) struct RoomKeys<'a> {
    keys: &'a Keys,
    room: &'a RoomId,
    lane: Lane,
}

impl<'a> RoomKeys<'a> {
    pub(crate) fn new(keys: &'a Keys, room: &'a RoomId) -> Self {
        Self { keys, room, lane: lane_of(room) }
    }

    pub(crate) fn version(&self) -> String {
        self.keys.lane(self.lane, &format!("pv:{}", self.room))
    }

    pub(crate) fn incarnations(&self) -> String {
        self.keys.lane(self.lane, &format!("ps:{}", self.room))
    }

    pub(crate) fn rows(&self, of: Incarnation) -> String {
        self.keys.lane(self.lane, &format!("pr:{of}:{}", self.room))
    }

    pub(crate) fn last_seen_now(&self) -> String {
        self.last_seen(month())
    }

    fn last_seen(&self, month: u64) -> String {
        self.keys.lane(self.lane, &format!("ls:{month}:{}", self.room))
    }
}

/// Only says under which key something is kept; whoever reads looks at those beside it as well, so it need not be exact.
fn month() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64 / MONTH_MS
}

impl RedisPresence {
    pub(crate) fn new(access: Arc<Access>, membership: Arc<Shared>) -> Arc<Self> {
        let nodes = membership.nodes();
        Arc::new(Self { access, membership, nodes, lanes: Default::default() })
    }

    pub(super) fn lane(&self, lane: Lane) -> &LanePresence {
        &self.lanes[lane.index()]
    }

    /// Writes what there is of the room until nothing is left.
    pub(super) async fn write(self: Arc<Self>, room: RoomId) {
        let lane = self.lane(lane_of(&room));
        let (mut lease, mut leaving) = (self.membership.lease(), self.membership.leaving());
        loop {
            let writes = lane.own().next(&room, ROWS_PER_WRITE_MAX);
            if writes.is_empty() {
                return;
            }
            let written = self.write_some(&room, &writes).await;
            if written.is_ok() {
                lane.own().written(&room);
            } else {
                lane.own().failed(&room);
            }
            lane.progress.notify_waiters();
            if written.is_err() {
                tokio::select! {
                    biased;
                    // What is this node's goes with its incarnation.
                    _ = lease.wait_for(|lease| *lease == Lease::Lost) => return,
                    _ = leaving.wait_for(|leaving| *leaving) => return,
                    () = sleep(RETRY_PAUSE) => {}
                }
            }
        }
    }

    async fn write_some(self: &Arc<Self>, room: &RoomId, writes: &[Write]) -> Result<(), Unavailable> {
        let access = &self.access;
        let of_room = RoomKeys::new(&access.keys, room);
        let [base, graves, rooms] = lane_keys(&access.keys, lane_of(room), access.own);
        let keys = [
            base,
            graves,
            rooms,
            of_room.version(),
            of_room.incarnations(),
            of_room.rows(access.own),
            of_room.last_seen_now(),
        ];
        let channel = access.keys.channel(room);
        let delta = Signal::Presence(delta_of(access.own, writes));
        let signal = frame::signal(&access.seal.at(&channel), access.own, &delta);
        let mut args = vec![access.own_bytes(), bytes_of(room), channel.into(), signal];
        args.extend(writes.iter().flat_map(|(field, value)| [bytes_of(field), bytes_of(value)]));
        let (base, is_dead) = access.call("turnpike_presence_apply", &keys, args, applied).await?;
        if is_dead {
            self.membership.lose();
            return Err(Unavailable { retry_after_ms: 1_000 });
        }
        self.note_base(lane_of(room), base);
        Ok(())
    }

    async fn written(&self, room: RoomId, ticket: Ticket) -> Result<(), Unavailable> {
        let lane = self.lane(lane_of(&room));
        let limit = self.access.client.config.call_deadline;
        let waited = timeout(limit, async {
            loop {
                let progress = lane.progress.notified();
                tokio::pin!(progress);
                progress.as_mut().enable();
                if lane.own().is_written(&room, ticket) {
                    return;
                }
                progress.await;
            }
        });
        // It goes on being tried.
        waited.await.map_err(|_| Unavailable { retry_after_ms: 1_000 })
    }

    async fn read_room(&self, room: RoomId) -> Result<Roster, Unavailable> {
        let access = &self.access;
        let of_room = RoomKeys::new(&access.keys, &room);
        let [base, graves, _] = lane_keys(&access.keys, lane_of(&room), access.own);
        let own = access.own;
        let read = async |of: &[Incarnation]| {
            let keys = [base.clone(), graves.clone(), of_room.version(), of_room.incarnations()];
            let keys: Vec<String> = keys.into_iter().chain(of.iter().map(|one| of_room.rows(*one))).collect();
            let args = std::iter::once(bytes_of(ROWS_PER_READ_MAX)).chain(of.iter().map(bytes_of)).collect();
            access.call("turnpike_presence_read", &keys, args, Found::parse).await
        };
        let mut others: Vec<Incarnation> = self.nodes.borrow().iter().map(|node| node.incarnation).collect();
        others.retain(|node| *node != own);
        others.truncate(if others.len() > NODES_ASKED_UNSEEN_MAX { 0 } else { NODES_ASKED_UNSEEN_MAX });
        let mut found = read(&others).await?;
        let unread: Vec<Incarnation> = found.paged.iter().copied().filter(|owner| *owner != own).collect();
        if others.is_empty() && !unread.is_empty() {
            // All of them at once, and at one moment.
            found = read(&unread).await?;
        }
        let mut roster = Roster { version: found.version, rows: Vec::new() };
        for (owner, words) in &found.whole {
            self.collect(*owner, words, &mut roster.rows);
        }
        for owner in found.paged.into_iter().filter(|owner| *owner != own) {
            for (key, row) in self.read_pages(&of_room.rows(owner)).await? {
                roster.rows.push((owner, key, row));
            }
        }
        // Of its own rows a node knows better than the store.
        let lane = self.lane(lane_of(&room));
        let readable = |(field, value)| Some((own, rows::key(field)?, rows::row(value)?));
        roster.rows.extend(lane.own().rows(&room).filter_map(readable));
        // Changes that came while pages were read may be in them already; being told of them again changes nothing.
        access.versions.read(&room, found.version);
        Ok(roster)
    }

    /// A page may bring what another has brought already.
    async fn read_pages(&self, key: &str) -> Result<HashMap<RowKey, Row>, Unavailable> {
        let mut found = HashMap::new();
        for (field, value) in self.stored(key).await? {
            match (rows::key(&field), rows::row(&value)) {
                (Some(key), Some(row)) => drop(found.insert(key, row)),
                _ => self.access.client.metrics.undecodable.inc(),
            }
        }
        Ok(found)
    }

    /// All of one incarnation in one room.
    pub(super) async fn stored(&self, key: &str) -> Result<HashMap<Box<str>, Box<str>>, Unavailable> {
        let mut found = HashMap::new();
        let mut cursor = Bytes::from_static(b"0");
        loop {
            let args = vec![cursor, bytes_of(ROWS_PER_PAGE)];
            let (next, some) =
                self.access.call("turnpike_presence_page", &[key.to_owned()], args, page).await?;
            found.extend(some);
            if &*next == b"0" {
                return Ok(found);
            }
            cursor = next;
        }
    }

    fn collect(&self, owner: Incarnation, words: &[Value], into: &mut Vec<(Incarnation, RowKey, Row)>) {
        for pair in words.chunks(2) {
            let [field, value] = pair else { continue };
            let row = reply::text(value).and_then(rows::row);
            match (reply::text(field).and_then(rows::key), row) {
                (Some(key), Some(row)) => into.push((owner, key, row)),
                _ => self.access.client.metrics.undecodable.inc(),
            }
        }
    }
}

/// Cheap to clone, because whoever writes holds it.
pub(crate) struct PresenceHandle(pub(crate) Arc<RedisPresence>);

impl Presence for PresenceHandle {
    fn apply(&self, room: &RoomId, changes: Vec<Change>) -> Soon<Result<(), Unavailable>> {
        if changes.is_empty() {
            return Soon::Now(Ok(()));
        }
        let this = &self.0;
        let lane = this.lane(lane_of(room));
        let writes: Vec<Write> = changes
            .iter()
            .map(|Change { key, row }| {
                (rows::field(key).into(), row.as_ref().map(rows::value).unwrap_or_default().into())
            })
            .collect();
        let (ticket, begin) = {
            let mut own = lane.own();
            let changed = own.change(room, writes);
            // With the lock, so that this node hears of its changes in the order in which they are made.
            if let Some(lanes) = this.access.lanes.get().and_then(Weak::upgrade) {
                let rows = changes.into_iter().map(|Change { key, row }| (key, row)).collect();
                let delta = PresenceDelta { incarnation: this.access.own, version: None, gone: false, rows };
                lanes.signal(room, &Signal::Presence(delta));
            }
            changed
        };
        if begin {
            // Of its own, because it must go on when nobody waits for it.
            this.access.runtime.spawn(Arc::clone(this).write(room.clone()));
        }
        let (this, room) = (Arc::clone(this), room.clone());
        Soon::later(async move { this.written(room, ticket).await })
    }

    fn read(&self, room: &RoomId) -> Soon<Result<Roster, Unavailable>> {
        let (this, room) = (Arc::clone(&self.0), room.clone());
        Soon::later(async move { this.read_room(room).await })
    }

    fn last_seen(&self, room: &RoomId, user: &UserId) -> Soon<Result<Option<u64>, Unavailable>> {
        let access = Arc::clone(&self.0.access);
        let of_room = RoomKeys::new(&access.keys, room);
        let month = month();
        let keys = [month, month + 1, month.saturating_sub(1)].map(|month| of_room.last_seen(month));
        let args = vec![bytes_of(user)];
        Soon::later(
            async move { access.find("turnpike_presence_last_seen", &keys, args, reply::number).await },
        )
    }
}

/// What others are told. It names what this node has written itself, so nothing of it is unreadable.
fn delta_of(own: Incarnation, writes: &[Write]) -> PresenceDelta {
    let rows = writes.iter().filter_map(|(field, value)| match (rows::key(field), rows::row(value)) {
        (Some(key), row) if row.is_some() || value.is_empty() => Some((key, row)),
        // Surplus in the store, of a release that knew more. It goes all the same.
        _ => {
            warn!("a row that cannot be read is written over");
            None
        }
    });
    PresenceDelta { incarnation: own, version: None, gone: false, rows: rows.collect() }
}

/// Base of the lane, and whether this incarnation is dead.
fn applied(answer: &Value) -> Option<(u64, bool)> {
    let [base, is_dead, _version] = reply::array(answer)? else { return None };
    Some((reply::number(base)?, reply::number(is_dead)? == 1))
}

struct Found {
    version: u64,
    whole: Vec<(Incarnation, Vec<Value>)>,
    paged: Vec<Incarnation>,
}

impl Found {
    fn parse(answer: &Value) -> Option<Self> {
        let [_base, version, whole, paged] = reply::array(answer)? else { return None };
        let whole = reply::array(whole)?.chunks(2).map(|pair| {
            let [owner, rows] = pair else { return None };
            Some((incarnation(reply::text(owner)?)?, reply::array(rows)?.to_vec()))
        });
        let paged = reply::array(paged)?.iter().map(|owner| incarnation(reply::text(owner)?));
        Some(Self {
            version: reply::number(version)?,
            whole: whole.collect::<Option<_>>()?,
            paged: paged.collect::<Option<_>>()?,
        })
    }
}

fn page(answer: &Value) -> Option<(Bytes, Vec<Write>)> {
    let [next, words] = reply::array(answer)? else { return None };
    let pairs = reply::array(words)?.chunks(2).map(|pair| {
        let [field, value] = pair else { return None };
        Some((reply::text(field)?.into(), reply::text(value)?.into()))
    });
    Some((reply::bytes(next)?, pairs.collect::<Option<_>>()?))
}
