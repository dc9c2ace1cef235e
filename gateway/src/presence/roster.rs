//! Who is in a room, as this node knows it: the rows of all nodes, put together from what was read and what was heard
//! since. It says of each change how the user looked before.
//!
//! - A user looks like the best of their devices. Invisible devices are not kept at all, so that nothing can depend on
//!   them.
//! - Rows of a node that died stay for a grace: who comes back elsewhere meanwhile was never gone.
//! - The version never goes back. A version that is missing is made good by reading.
//!
//! Pure: `now_ms` in, changes out. What this node's own users are is told by `own` alone; what comes back from the store
//! of them is older.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::ops::Bound;

use smallvec::SmallVec;
use turnpike_cluster::{Incarnation, PresenceDelta, Roster as Read, RowKey};
use turnpike_wire::UserId;
use turnpike_wire::limits::DEVICES_NAMED_MAX;
use turnpike_wire::presence::Member;

use super::look::Look;

/// With the three seconds of a lease, the second until its end is noticed and the one until an event may go, a crash is
/// visible after eight.
pub(crate) const GRACE_MS: u64 = 3_000;

/// Rows that are remembered while a reading is under way. When there are more, what was read is used nevertheless, and
/// read once more.
const HEARD_ROWS_MAX: usize = 4_096;

/// Somebody looks different from before. None: was not there.
pub(crate) type Changed = (UserId, Option<Look>);

#[derive(Debug)]
pub(crate) struct Roster {
    own: Incarnation,
    users: BTreeMap<UserId, User>,
    /// None: not read yet.
    version: Option<u64>,
    /// Something was missed.
    stale: bool,
    reading: Option<Reading>,
    /// Users with rows of the dead, and until when these stay. All stay equally long, so the first is always the next.
    ghosts: VecDeque<(u64, UserId)>,
}

#[derive(Debug, Default)]
struct User {
    seats: SmallVec<[Seat; 1]>,
}

/// A visible device.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seat {
    incarnation: Incarnation,
    device: Box<str>,
    look: Look,
    /// Its node is dead.
    until_ms: Option<u64>,
}

#[derive(Debug, Default)]
struct Reading {
    heard: Vec<PresenceDelta>,
    rows: usize,
    /// Of what was heard, remembered or not.
    highest: u64,
}

impl Roster {
    pub(crate) fn new(own: Incarnation) -> Self {
        Self {
            own,
            users: BTreeMap::new(),
            version: None,
            stale: false,
            reading: None,
            ghosts: VecDeque::new(),
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.users.len()
    }

    #[cfg(test)]
    pub(crate) fn version(&self) -> Option<u64> {
        self.version
    }

    pub(crate) fn look(&self, user: &str) -> Option<Look> {
        self.users.get(user).map(User::look)
    }

    /// Members behind that user, in their order.
    pub(crate) fn members_after<'a>(
        &'a self,
        after: Option<&'a UserId>,
    ) -> impl Iterator<Item = Member> + 'a {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.users
            .range::<UserId, _>((from, Bound::Unbounded))
            .map(|(user, seats)| Member { shown: seats.look().shown(user), devices: seats.devices() })
    }

    /// A row of this node's own.
    pub(crate) fn own(&mut self, key: &RowKey, look: Option<&Look>, changes: &mut Vec<Changed>) {
        self.put(self.own, key, look, changes);
    }

    /// Something was heard. Nothing that the dead have said counts.
    pub(crate) fn heard(
        &mut self,
        delta: &PresenceDelta,
        dead: &HashSet<Incarnation>,
        now_ms: u64,
        changes: &mut Vec<Changed>,
    ) {
        // This node's own, before they are confirmed.
        let Some(version) = delta.version else { return };
        if let Some(reading) = &mut self.reading {
            reading.remember(delta, version);
        }
        let Some(known) = self.version else { return };
        if version <= known {
            return;
        }
        self.stale |= version != known + 1;
        self.version = Some(version);
        self.apply(delta, dead, now_ms, changes);
    }

    fn apply(
        &mut self,
        delta: &PresenceDelta,
        dead: &HashSet<Incarnation>,
        now_ms: u64,
        changes: &mut Vec<Changed>,
    ) {
        if delta.incarnation == self.own || (dead.contains(&delta.incarnation) && !delta.gone) {
            return;
        }
        if delta.gone {
            self.dead(delta.incarnation, now_ms, changes);
            return;
        }
        for (key, row) in &delta.rows {
            self.put(delta.incarnation, key, row.as_ref().map(Look::of).as_ref(), changes);
        }
    }

    fn put(
        &mut self,
        incarnation: Incarnation,
        key: &RowKey,
        look: Option<&Look>,
        changes: &mut Vec<Changed>,
    ) {
        let look = look.filter(|look| look.is_visible());
        if look.is_none() && !self.users.contains_key(&key.user) {
            return;
        }
        let user = self.users.entry(key.user.clone()).or_default();
        let before = user.visible();
        let of_key = |seat: &Seat| seat.incarnation == incarnation && seat.device == key.device;
        match (user.seats.iter().position(of_key), look) {
            (Some(index), Some(look)) => {
                user.seats[index].look = look.clone();
                user.seats[index].until_ms = None;
            }
            (Some(index), None) => drop(user.seats.remove(index)),
            (None, Some(look)) => user.seats.push(Seat {
                incarnation,
                device: key.device.clone(),
                look: look.clone(),
                until_ms: None,
            }),
            (None, None) => {}
        }
        self.settle(&key.user, before, changes);
    }

    /// A node is dead. Its users stay for the grace.
    pub(crate) fn dead(&mut self, incarnation: Incarnation, now_ms: u64, changes: &mut Vec<Changed>) {
        if incarnation == self.own {
            return;
        }
        for (name, user) in &mut self.users {
            for seat in &mut user.seats {
                if seat.incarnation == incarnation && seat.until_ms.is_none() {
                    seat.until_ms = Some(now_ms + GRACE_MS);
                    self.ghosts.push_back((now_ms + GRACE_MS, name.clone()));
                }
            }
        }
        self.expire(now_ms, changes);
    }

    /// A node was taken for dead, and is not.
    pub(crate) fn alive(&mut self, incarnation: Incarnation) {
        for user in self.users.values_mut() {
            for seat in &mut user.seats {
                if seat.incarnation == incarnation {
                    seat.until_ms = None;
                }
            }
        }
        // Rows of it may have been passed over meanwhile.
        self.stale = true;
    }

    /// What was heard so far may not be all.
    pub(crate) fn doubt(&mut self) {
        self.stale = true;
    }

    /// Lets those go whose grace is over.
    pub(crate) fn expire(&mut self, now_ms: u64, changes: &mut Vec<Changed>) {
        while let Some((until_ms, _)) = self.ghosts.front()
            && *until_ms <= now_ms
        {
            let Some((_, name)) = self.ghosts.pop_front() else { return };
            let Some(user) = self.users.get_mut(&name) else { continue };
            let before = user.visible();
            user.seats.retain(|seat| seat.until_ms.is_none_or(|until_ms| until_ms > now_ms));
            self.settle(&name, before, changes);
        }
    }

    pub(crate) fn next_expiry(&self) -> Option<u64> {
        self.ghosts.front().map(|(until_ms, _)| *until_ms)
    }

    /// What was read, and nothing else is known.
    pub(crate) fn read_once(&mut self, read: Read, dead: &HashSet<Incarnation>) {
        let mut changes = Vec::new();
        for (incarnation, key, row) in read.rows {
            if !dead.contains(&incarnation) {
                self.put(incarnation, &key, Some(&Look::of(&row)), &mut changes);
            }
        }
    }

    /// Whether it has to be read.
    pub(crate) fn needs_reading(&self) -> bool {
        self.reading.is_none() && (self.stale || self.version.is_none())
    }

    pub(crate) fn begin_reading(&mut self) {
        self.stale = false;
        self.reading = Some(Reading::default());
    }

    pub(crate) fn reading_failed(&mut self) {
        self.reading = None;
        self.stale = true;
    }

    /// What was read takes the place of what was known of the other nodes, and what was heard meanwhile comes on top.
    pub(crate) fn was_read(
        &mut self,
        read: Read,
        dead: &HashSet<Incarnation>,
        now_ms: u64,
        changes: &mut Vec<Changed>,
    ) {
        let Some(reading) = self.reading.take() else { return };
        let known = self.version.unwrap_or(0);
        let heard_to = reading.follow(read.version);
        if heard_to < known {
            // Older than what is known here.
            self.stale = true;
            return;
        }
        self.stale |= reading.highest > heard_to;
        self.version = Some(heard_to);
        let mut users: BTreeMap<UserId, SmallVec<[Seat; 1]>> = BTreeMap::new();
        for (incarnation, key, row) in read.rows {
            let look = Look::of(&row);
            if incarnation != self.own && !dead.contains(&incarnation) && look.is_visible() {
                let seat = Seat { incarnation, device: key.device, look, until_ms: None };
                users.entry(key.user).or_default().push(seat);
            }
        }
        // Of those who were heard of meanwhile, only what comes out in the end is a change.
        let mut steps = Vec::new();
        let known: Vec<UserId> = self.users.keys().cloned().collect();
        let came: Vec<UserId> =
            users.keys().filter(|user| !self.users.contains_key(*user)).cloned().collect();
        for name in known.into_iter().chain(came) {
            let seats = users.remove(&name).unwrap_or_default();
            let user = self.users.entry(name.clone()).or_default();
            let before = user.visible();
            // Of this node's own only this node knows, and of the dead nothing is to be read any more.
            user.seats.retain(|seat| seat.incarnation == self.own || seat.until_ms.is_some());
            user.seats.extend(seats);
            self.settle(&name, before, &mut steps);
        }
        for delta in reading.heard {
            if delta.version.is_some_and(|version| version > read.version) {
                self.apply(&delta, dead, now_ms, &mut steps);
            }
        }
        let mut first = HashSet::new();
        steps.retain(|(user, before)| first.insert(user.clone()) && self.look(user) != *before);
        changes.append(&mut steps);
    }

    fn settle(&mut self, name: &UserId, before: Option<Look>, changes: &mut Vec<Changed>) {
        let Some(user) = self.users.get(name) else { return };
        let after = user.visible();
        if after.is_none() {
            self.users.remove(name);
        }
        if before != after {
            changes.push((name.clone(), before));
        }
    }
}

impl User {
    /// The best of the devices; of those equally good, the first one that says what it is doing. The same on every node.
    fn visible(&self) -> Option<Look> {
        let best = self.seats.iter().min_by(|one, other| one.rank().cmp(&other.rank()));
        best.map(|seat| seat.look.clone())
    }

    fn look(&self) -> Look {
        self.visible().expect("users without a visible device are not kept")
    }

    fn devices(&self) -> Vec<Box<str>> {
        let mut devices: Vec<Box<str>> = self.seats.iter().map(|seat| seat.device.clone()).collect();
        devices.sort_unstable();
        devices.dedup();
        devices.truncate(DEVICES_NAMED_MAX);
        devices
    }
}

impl Seat {
    fn rank(&self) -> impl Ord + '_ {
        (self.look.status, self.look.activity.is_none(), &*self.device, self.incarnation)
    }
}

impl Reading {
    fn remember(&mut self, delta: &PresenceDelta, version: u64) {
        self.highest = self.highest.max(version);
        self.rows += delta.rows.len() + 1;
        if self.rows <= HEARD_ROWS_MAX {
            self.heard.push(delta.clone());
        }
    }

    /// How far what was heard goes on from there without a gap.
    fn follow(&self, version: u64) -> u64 {
        let next = |at, heard| if heard == at + 1 { heard } else { at };
        self.heard.iter().filter_map(|delta| delta.version).fold(version, next)
    }
}

#[cfg(test)]
mod tests;
