//! Tells the watchers of a room what has changed: merged, at most one event a second, the first after a quiet second
//! almost at once. Who comes and goes between two events is not heard of.
//!
//! Events say what has changed since the one before. Somebody who was shown the room in between has seen some of that
//! already, so a newcomer is told apart what came after, once, and only then hears what all hear. A list that is asked
//! for later shows what the events have said so far.
//!
//! Whoever watches without being seen must not be noticed by when the others are told: what those have heard is what
//! counts for the time of the next event.
//!
//! Pure: changes and `now_ms` in, what is to be told out.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;

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
    /// The last event said the count alone.
    was_large: bool,
    /// Since when there is something to say.
    waits_since_ms: Option<u64>,
    /// When anybody was told anything, and when somebody was who can be seen.
    last_ms: Option<u64>,
    last_visible_ms: Option<u64>,
    /// What the last event said.
    count: usize,
    watchers: HashMap<W, Watcher>,
    /// Those who do not hear yet, and some who have gone.
    waiting: Vec<W>,
    /// How many can be seen.
    visible: usize,
    /// Changes since the last event.
    pending: u64,
    tally: Tally,
}

/// Since somebody last counted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    /// Changes of how a user looks, coming and going among them.
    pub(crate) changes: u64,
    /// Those of them that no event speaks of: undone before it was time, overtaken by others, or in a large room.
    pub(crate) suppressed: u64,
}

#[derive(Debug, Clone, Copy)]
struct Watcher {
    is_visible: bool,
    knows: Knows,
}

/// What a watcher has been shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Knows {
    /// What the events have said, which it hears.
    Events,
    /// So much of the log.
    Log(usize),
    /// What was there some time ago, over another connection.
    Past,
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

impl<W: Copy + Eq + Hash> Announcer<W> {
    pub(crate) fn new() -> Self {
        Self {
            log: Vec::new(),
            unlisted: false,
            was_large: false,
            waits_since_ms: None,
            last_ms: None,
            last_visible_ms: None,
            count: 0,
            watchers: HashMap::new(),
            waiting: Vec::new(),
            visible: 0,
            pending: 0,
            tally: Tally::default(),
        }
    }

    pub(crate) fn has_watchers(&self) -> bool {
        !self.watchers.is_empty()
    }

    pub(crate) fn hears(&self, who: &W) -> bool {
        self.watchers.get(who).is_some_and(|watcher| watcher.knows == Knows::Events)
    }

    /// Some users look different now. `count` is how many are there.
    pub(crate) fn changed(&mut self, changes: Vec<Changed>, count: usize, now_ms: u64) {
        if changes.is_empty() {
            return;
        }
        self.waits_since_ms.get_or_insert(now_ms);
        self.pending += changes.len() as u64;
        let free = CHANGES_MAX.saturating_sub(self.log.len());
        self.unlisted |= count > LISTED_MEMBERS_MAX || changes.len() > free;
        if count <= LISTED_MEMBERS_MAX {
            self.log.extend(changes.into_iter().take(free));
        }
    }

    /// What was read for the first time: nobody has been told anything.
    pub(crate) fn begin(&mut self, count: usize) {
        self.count = count;
    }

    /// Somebody has been shown what is there.
    pub(crate) fn enter(&mut self, who: W, is_visible: bool) -> Entrance {
        self.leave(&who);
        let like_this = |other: &&W| self.watchers.get(other).is_some_and(|it| it.is_visible == is_visible);
        let crowded = self.waiting.iter().filter(like_this).take(NEWCOMERS_MAX).count() == NEWCOMERS_MAX;
        let (knows, entrance) = if self.log.is_empty() || self.unlisted || crowded {
            (Knows::Events, Entrance::Now)
        } else {
            (Knows::Log(self.log.len()), Entrance::Later)
        };
        self.insert(who, Watcher { is_visible, knows });
        entrance
    }

    /// Somebody comes back who was shown what was there when they went.
    pub(crate) fn come_back(&mut self, who: W, is_visible: bool, now_ms: u64) {
        self.leave(&who);
        self.waits_since_ms.get_or_insert(now_ms);
        self.insert(who, Watcher { is_visible, knows: Knows::Past });
    }

    /// Whether a watcher can be seen by the others.
    pub(crate) fn show(&mut self, who: &W, is_visible: bool) {
        if let Some(mut watcher) = self.watchers.get(who).copied() {
            self.visible -= usize::from(watcher.is_visible);
            watcher.is_visible = is_visible;
            self.visible += usize::from(is_visible);
            self.watchers.insert(*who, watcher);
        }
    }

    fn insert(&mut self, who: W, watcher: Watcher) {
        self.visible += usize::from(watcher.is_visible);
        if watcher.knows != Knows::Events {
            self.waiting.push(who);
        }
        self.watchers.insert(who, watcher);
    }

    /// True if they hear events, and are to do so no more.
    pub(crate) fn leave(&mut self, who: &W) -> bool {
        let Some(watcher) = self.watchers.remove(who) else { return false };
        self.visible -= usize::from(watcher.is_visible);
        if watcher.knows != Knows::Events {
            self.waiting.retain(|other| other != who);
        }
        watcher.knows == Knows::Events
    }

    /// An event got lost on its way. The next says that it does not say everything.
    pub(crate) fn was_not_told(&mut self, now_ms: u64) {
        self.unlisted = true;
        self.waits_since_ms.get_or_insert(now_ms);
    }

    /// How users look that have changed since this watcher was told anything, as it was told. Everybody else looks as
    /// they do now.
    pub(crate) fn as_told_to(&self, who: &W) -> BTreeMap<&UserId, Option<&Look>> {
        let from = match self.watchers.get(who).map(|watcher| watcher.knows) {
            Some(Knows::Log(seen)) => seen,
            Some(Knows::Events) if !self.unlisted => 0,
            _ => self.log.len(),
        };
        let mut before = BTreeMap::new();
        for (user, look) in &self.log[from..] {
            before.entry(user).or_insert(look.as_ref());
        }
        before
    }

    pub(crate) fn due_ms(&self) -> Option<u64> {
        let settled = self.waits_since_ms? + SETTLE_MS;
        let last = if self.visible > 0 { self.last_visible_ms } else { self.last_ms };
        Some(last.map_or(settled, |last| settled.max(last + EVERY_MS)))
    }

    pub(crate) fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
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
        // What was said of the room while it was large was not all, so the first list is not either.
        let unlisted = std::mem::take(&mut self.unlisted) || self.was_large || large;
        self.was_large = large;
        let log = std::mem::take(&mut self.log);
        let said = std::mem::replace(&mut self.count, count);
        let since = |seen: usize| {
            let mut changes = if large { Changes::default() } else { differences(&log[seen..], &look) };
            changes.count = count;
            changes.partial |= unlisted;
            let has_news = if large { count != said } else { count != said || !changes.is_empty() };
            has_news.then_some(changes)
        };
        let waiting = std::mem::take(&mut self.waiting);
        let hear = self.watchers.len() - waiting.len();
        let all = if hear == 0 { None } else { since(0) };
        let mut newcomers = Vec::with_capacity(waiting.len());
        let mut visible_told = false;
        for who in waiting {
            let Some(watcher) = self.watchers.get_mut(&who) else { continue };
            let changes = match std::mem::replace(&mut watcher.knows, Knows::Events) {
                Knows::Log(seen) => since(seen).filter(|changes| !changes.is_empty()),
                Knows::Past => Some(Changes { count, partial: true, ..Changes::default() }),
                Knows::Events => None,
            };
            visible_told |= watcher.is_visible && changes.is_some();
            newcomers.push((who, changes));
        }
        let said = all.iter().chain(newcomers.iter().filter_map(|(_, changes)| changes.as_ref()));
        let said = said.map(Changes::listed).max().unwrap_or(0) as u64;
        let pending = std::mem::take(&mut self.pending);
        self.tally.changes += pending;
        self.tally.suppressed += pending.saturating_sub(said);
        let told = all.is_some() || newcomers.iter().any(|(_, changes)| changes.is_some());
        if told {
            self.last_ms = Some(now_ms);
        }
        // Of those who hear, some can be seen: there are more of these than have just come.
        let came = newcomers.iter().filter(|(who, _)| self.watchers[who].is_visible).count();
        if visible_told || (all.is_some() && self.visible > came) {
            self.last_visible_ms = Some(now_ms);
        }
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
    /// How many users it speaks of.
    fn listed(&self) -> usize {
        self.joined.len() + self.left.len() + self.changed.len()
    }

    fn is_empty(&self) -> bool {
        self.joined.is_empty() && self.left.is_empty() && self.changed.is_empty() && !self.partial
    }
}

#[cfg(test)]
mod tests;
