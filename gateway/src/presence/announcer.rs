//! Tells the watchers of a room what has changed: merged, at most one event a second, the first after a quiet second
//! almost at once. Who comes and goes between two events is not heard of.
//!
//! Events say what has changed since the one before. Somebody who was shown the room in between has seen some of that
//! already, so a newcomer is told apart what came after, once, and only then hears what all hear. A list that is asked
//! for later shows what the events have said so far.
//!
//! Pure: changes and `now_ms` in, what is to be told out.

use std::collections::{BTreeMap, HashSet};

use turnpike_wire::UserId;
use turnpike_wire::presence::Shown;

use super::look::Look;
use super::roster::Changed;

/// The time between two events.
pub(crate) const EVERY_MS: u64 = 1_000;
/// The first change waits so long for those that come with it.
const SETTLE_MS: u64 = 30;
/// Larger rooms are told the count alone: with everybody in them coming and going, each member would be sent everybody's.
pub(crate) const LISTED_MEMBERS_MAX: usize = 1_000;
/// Changes between two events. What comes beyond is not listed, and the event says so.
const CHANGES_MAX: usize = 4_096;
/// What the lists of one event may weigh.
const LISTS_BYTES_MAX: usize = 64 * 1024;
/// Each newcomer is an event of its own. When there are more between two events, they are shown what all others have
/// been told so far, and hear the rest with them.
const NEWCOMERS_MAX: usize = 32;

/// What an event says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Changes {
    pub(crate) count: usize,
    pub(crate) joined: Vec<Shown>,
    pub(crate) left: Vec<UserId>,
    pub(crate) changed: Vec<Shown>,
    pub(crate) partial: bool,
}

#[derive(Debug)]
pub(crate) struct Announcer<W> {
    /// What has changed since the last event, in its order.
    log: Vec<Changed>,
    /// There was more than the log holds, or than is listed.
    unlisted: bool,
    /// Since when there is something to say.
    waits_since_ms: Option<u64>,
    last_ms: Option<u64>,
    /// What the last event said.
    count: usize,
    /// With how much of the log they have seen.
    newcomers: Vec<(W, usize)>,
    /// Who has seen what was there some time ago, over another connection.
    returning: HashSet<W>,
    /// Who hears the events.
    hearers: HashSet<W>,
}

/// How a watcher is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entrance {
    /// It hears everything from now on.
    Now,
    /// It will be told by [`Told::newcomers`].
    Later,
}

#[derive(Debug)]
pub(crate) struct Told<W> {
    /// To those who hear.
    pub(crate) all: Option<Changes>,
    /// To each of these alone, if there is anything. From here on they hear.
    pub(crate) newcomers: Vec<(W, Option<Changes>)>,
}

impl<W: Copy + Eq + std::hash::Hash> Announcer<W> {
    pub(crate) fn new() -> Self {
        Self {
            log: Vec::new(),
            unlisted: false,
            waits_since_ms: None,
            last_ms: None,
            count: 0,
            newcomers: Vec::new(),
            returning: HashSet::new(),
            hearers: HashSet::new(),
        }
    }

    pub(crate) fn has_watchers(&self) -> bool {
        !(self.hearers.is_empty() && self.newcomers.is_empty() && self.returning.is_empty())
    }

    /// Some users look different now. `count` is how many are there.
    pub(crate) fn changed(&mut self, changes: Vec<Changed>, count: usize, now_ms: u64) {
        if changes.is_empty() {
            return;
        }
        if !self.has_watchers() {
            // Whoever comes will be shown what is there then.
            self.count = count;
            return;
        }
        self.waits_since_ms.get_or_insert(now_ms);
        let free = CHANGES_MAX.saturating_sub(self.log.len());
        self.unlisted |= count > LISTED_MEMBERS_MAX || changes.len() > free;
        if count <= LISTED_MEMBERS_MAX {
            self.log.extend(changes.into_iter().take(free));
        }
    }

    /// Somebody is about to be shown what is there.
    pub(crate) fn enter(&mut self, who: W) -> Entrance {
        self.leave(&who);
        if self.log.is_empty() || self.unlisted || self.newcomers.len() >= NEWCOMERS_MAX {
            self.hearers.insert(who);
            return Entrance::Now;
        }
        self.newcomers.push((who, self.log.len()));
        Entrance::Later
    }

    /// Somebody comes back who was shown what was there when they went.
    pub(crate) fn come_back(&mut self, who: W, now_ms: u64) {
        self.leave(&who);
        self.waits_since_ms.get_or_insert(now_ms);
        self.returning.insert(who);
    }

    /// True if they hear events, and are to do so no more.
    pub(crate) fn leave(&mut self, who: &W) -> bool {
        self.newcomers.retain(|(other, _)| other != who);
        self.returning.remove(who);
        self.hearers.remove(who)
    }

    pub(crate) fn hears(&self, who: &W) -> bool {
        self.hearers.contains(who)
    }

    /// An event got lost on its way. The next says that it does not say everything.
    pub(crate) fn was_not_told(&mut self, now_ms: u64) {
        self.unlisted = true;
        self.waits_since_ms.get_or_insert(now_ms);
    }

    /// How users look that have changed since this watcher was told anything, as it was told. Everybody else looks as
    /// they do now.
    pub(crate) fn as_told_to(&self, who: &W) -> BTreeMap<&UserId, Option<&Look>> {
        let from = match self.newcomers.iter().find(|(other, _)| other == who) {
            Some((_, seen)) => *seen,
            None if self.hearers.contains(who) && !self.unlisted => 0,
            None => self.log.len(),
        };
        let mut before = BTreeMap::new();
        for (user, look) in &self.log[from..] {
            before.entry(user).or_insert(look.as_ref());
        }
        before
    }

    pub(crate) fn due_ms(&self) -> Option<u64> {
        let settled = self.waits_since_ms? + SETTLE_MS;
        Some(self.last_ms.map_or(settled, |last| settled.max(last + EVERY_MS)))
    }

    /// Tells what has changed, if it is time.
    pub(crate) fn tell(
        &mut self,
        now_ms: u64,
        count: usize,
        look: impl Fn(&UserId) -> Option<Look>,
    ) -> Option<Told<W>> {
        if self.due_ms().is_none_or(|due_ms| due_ms > now_ms) {
            return None;
        }
        self.waits_since_ms = None;
        let large = count > LISTED_MEMBERS_MAX;
        let unlisted = std::mem::take(&mut self.unlisted) || large;
        let log = std::mem::take(&mut self.log);
        let said = std::mem::replace(&mut self.count, count);
        let since = |seen: usize| {
            let mut changes = if large { Changes::default() } else { differences(&log[seen..], &look) };
            changes.count = count;
            changes.partial |= unlisted;
            let has_news = if large { count != said } else { count != said || !changes.is_empty() };
            has_news.then_some(changes)
        };
        let all = if self.hearers.is_empty() { None } else { since(0) };
        let newcomers = std::mem::take(&mut self.newcomers);
        let mut newcomers: Vec<(W, Option<Changes>)> = newcomers
            .into_iter()
            .map(|(who, seen)| (who, since(seen).filter(|changes| !changes.is_empty())))
            .collect();
        let reminder = Changes { count, partial: true, ..Changes::default() };
        newcomers.extend(self.returning.drain().map(|who| (who, Some(reminder.clone()))));
        if all.is_some() || newcomers.iter().any(|(_, changes)| changes.is_some()) {
            self.last_ms = Some(now_ms);
        }
        self.hearers.extend(newcomers.iter().map(|(who, _)| *who));
        Some(Told { all, newcomers })
    }
}

/// From how each user of the log looked at first to how they look now.
fn differences(log: &[Changed], look: &impl Fn(&UserId) -> Option<Look>) -> Changes {
    const ENTRY_BYTES: usize = 48;
    let mut changes = Changes::default();
    let mut told = HashSet::new();
    let mut bytes = 0;
    for (user, before) in log {
        if !told.insert(user) {
            continue;
        }
        let now = look(user);
        if now == *before {
            continue;
        }
        let activity = now.as_ref().and_then(|now| now.activity.as_ref());
        bytes += ENTRY_BYTES + user.len() + activity.map_or(0, |activity| activity.as_str().len());
        if bytes > LISTS_BYTES_MAX {
            changes.partial = true;
            break;
        }
        match (before, now) {
            (None, Some(now)) => changes.joined.push(now.shown(user)),
            (Some(_), None) => changes.left.push(user.clone()),
            (_, Some(now)) => changes.changed.push(now.shown(user)),
            (None, None) => {}
        }
    }
    changes
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.joined.is_empty() && self.left.is_empty() && self.changed.is_empty() && !self.partial
    }
}

#[cfg(test)]
mod tests;
