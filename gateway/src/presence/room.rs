//! The presence of one room on this node: what its own users are there, who else is, and who is told.
//!
//! Pure: events and `now_ms` in, effects out. The caller carries them out in their order. `W` names a connection.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;

use turnpike_cluster::{Change, Incarnation, PresenceDelta, Roster as Read, RowKey};
use turnpike_wire::UserId;
use turnpike_wire::presence::Member;

use super::announcer::{Announcer, Changes, Entrance, Tally};
use super::look::Look;
use super::own::OwnRows;
use super::roster::{Changed, Roster};

/// A room that changes all the time is read no more often, and a large one less.
const READ_EVERY_MS: u64 = 250;
const READ_MS_PER_MEMBER: f64 = 0.1;
const RETRY_MS_MAX: u64 = 5_000;
/// How long it is kept who is in a room that nobody watches: somebody may ask for the next page. Less than a room is kept
/// open when nobody is in it.
const KEEP_MS: u64 = 5_000;

/// What is to be done for a room.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect<W> {
    /// To all watchers.
    Tell(Changes),
    /// To one.
    TellOne(W, Changes),
    /// Is to hear what all watchers hear.
    Admit(W),
    /// Is to hear it no more.
    Dismiss(W),
    /// To be written, and answered by [`Room::written`].
    Write(Vec<Change>),
    /// To be read, and answered by [`Room::was_read`].
    Read,
}

#[derive(Debug)]
pub(crate) struct Room<W> {
    own: OwnRows<W>,
    /// As long as somebody watches. Boxed: nobody watches the personal rooms, and they are the most.
    view: Option<Box<View<W>>>,
}

#[derive(Debug)]
struct View<W> {
    roster: Roster,
    announcer: Announcer<W>,
    /// Has been read at least once, or could not be: what is known is shown.
    is_ready: bool,
    read_not_before_ms: u64,
    /// Until then it is kept, though nobody watches.
    keep_until_ms: u64,
}

/// What one who asks is shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Shown {
    pub(crate) count: usize,
    pub(crate) members: Vec<Member>,
    /// There are more.
    pub(crate) more: bool,
}

impl<W: Copy + Eq + Hash> Room<W> {
    pub(crate) fn new(is_personal: bool) -> Self {
        Self { own: OwnRows::new(is_personal), view: None }
    }

    /// There is nothing to remember.
    pub(crate) fn is_empty(&self) -> bool {
        self.view.is_none() && self.own.is_empty()
    }

    /// The connection is in the room as this device from now on, or looks different.
    pub(crate) fn enter(&mut self, socket: W, key: &RowKey, look: &Look, now_ms: u64) {
        let gone = self.own.enter(socket, key, look);
        self.change(now_ms, |roster, _, changes| {
            roster.own(key, Some(look), changes);
            if let Some(gone) = gone {
                roster.own(&gone, None, changes);
            }
        });
        if let Some(view) = &mut self.view {
            view.announcer.show(&socket, look.is_visible());
        }
    }

    /// Whether the connection is in the room.
    pub(crate) fn has(&self, socket: &W, user: &UserId) -> bool {
        self.own.holds(user, socket)
    }

    /// The connection leaves on purpose, or is broken and may come back.
    pub(crate) fn exit(
        &mut self,
        socket: W,
        user: &UserId,
        is_broken: bool,
        now_ms: u64,
        effects: &mut Vec<Effect<W>>,
    ) {
        let gone = if is_broken {
            self.own.lose(user, &socket, now_ms);
            None
        } else {
            self.own.leave(user, &socket)
        };
        if let Some(view) = &mut self.view {
            if view.announcer.leave(&socket) && !is_broken {
                effects.push(Effect::Dismiss(socket));
            }
            view.keep_until_ms = view.keep_until_ms.max(now_ms + KEEP_MS);
        }
        if let Some(gone) = gone {
            self.change(now_ms, |roster, _, changes| roster.own(&gone, None, changes));
        }
    }

    /// Somebody wants to see who is in the room, which takes until it is ready.
    pub(crate) fn watch(&mut self, own: Incarnation, now_ms: u64, effects: &mut Vec<Effect<W>>) {
        let keep_until_ms = now_ms + KEEP_MS;
        if let Some(view) = &mut self.view {
            view.keep_until_ms = keep_until_ms;
            return;
        }
        let mut roster = Roster::new(own);
        roster.begin_reading();
        effects.push(Effect::Read);
        let announcer = Announcer::new();
        let view = View { roster, announcer, is_ready: false, read_not_before_ms: 0, keep_until_ms };
        self.view = Some(Box::new(view));
    }

    /// Whether this connection hears what all watchers hear.
    pub(crate) fn hears(&self, socket: &W) -> bool {
        self.view.as_ref().is_some_and(|view| view.announcer.hears(socket))
    }

    /// What was to be told has not been heard.
    pub(crate) fn was_not_told(&mut self, now_ms: u64) {
        if let Some(view) = &mut self.view {
            view.announcer.was_not_told(now_ms);
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.view.as_ref().is_some_and(|view| view.is_ready)
    }

    /// A watcher has seen the room, and hears from now on what changes. None: nobody watches the room.
    pub(crate) fn show(
        &mut self,
        socket: W,
        user: &UserId,
        members_max: usize,
        effects: &mut Vec<Effect<W>>,
    ) -> Option<Shown> {
        let is_visible = self.own.look(user, &socket).is_some_and(Look::is_visible);
        let view = self.view.as_mut()?;
        match (view.announcer.hears(&socket), view.announcer.enter(socket, is_visible)) {
            (false, Entrance::Now) => effects.push(Effect::Admit(socket)),
            (true, Entrance::Later) => effects.push(Effect::Dismiss(socket)),
            (true, Entrance::Now) | (false, Entrance::Later) => {}
        }
        Some(view.page(&socket, user, None, members_max))
    }

    /// A watcher has come back, who knows how the room was some time ago.
    pub(crate) fn come_back(&mut self, socket: W, user: &UserId, now_ms: u64) {
        let is_visible = self.own.look(user, &socket).is_some_and(Look::is_visible);
        if let Some(view) = &mut self.view {
            view.announcer.come_back(socket, is_visible, now_ms);
        }
    }

    /// A page of who is there. None: nobody watches the room, so it is not known.
    pub(crate) fn page(
        &self,
        socket: &W,
        user: &UserId,
        after: Option<&UserId>,
        members_max: usize,
    ) -> Option<Shown> {
        let view = self.view.as_ref().filter(|view| view.is_ready)?;
        Some(view.page(socket, user, after, members_max))
    }

    pub(crate) fn heard(&mut self, delta: &PresenceDelta, dead: &HashSet<Incarnation>, now_ms: u64) {
        if let Some(view) = &mut self.view {
            let mut changes = Vec::new();
            view.roster.heard(delta, dead, now_ms, &mut changes);
            view.announcer.changed(changes, view.roster.count(), now_ms);
        }
    }

    pub(crate) fn dead(&mut self, incarnation: Incarnation, now_ms: u64) {
        self.change(now_ms, |roster, now_ms, changes| roster.dead(incarnation, now_ms, changes));
    }

    pub(crate) fn alive(&mut self, incarnation: Incarnation) {
        if let Some(view) = &mut self.view {
            view.roster.alive(incarnation);
        }
    }

    /// The store has changed hands, and may have forgotten the latest.
    pub(crate) fn doubt(&mut self) {
        self.own.write_all_again();
        if let Some(view) = &mut self.view {
            view.roster.doubt();
        }
    }

    /// From here on the room is ready, whatever came of it. An error says after how long to try again.
    pub(crate) fn was_read(
        &mut self,
        own: Incarnation,
        read: Result<Read, u64>,
        dead: &HashSet<Incarnation>,
        now_ms: u64,
    ) {
        let Some(view) = &mut self.view else { return };
        match read {
            Ok(read) => {
                let rows = read.rows.iter().filter(|(incarnation, _, _)| *incarnation == own);
                let stored = rows.map(|(_, key, row)| (key.clone(), row.clone())).collect::<HashMap<_, _>>();
                let pause_ms = READ_EVERY_MS + (read.rows.len() as f64 * READ_MS_PER_MEMBER) as u64;
                view.read_not_before_ms = now_ms + pause_ms;
                self.own.compare(stored);
                let mut changes = Vec::new();
                view.roster.was_read(read, dead, now_ms, &mut changes);
                let count = view.roster.count();
                if view.is_ready {
                    view.announcer.changed(changes, count, now_ms);
                } else {
                    view.announcer.begin(count);
                }
            }
            Err(after_ms) => {
                view.read_not_before_ms = now_ms + after_ms.clamp(READ_EVERY_MS, RETRY_MS_MAX);
                view.roster.reading_failed();
            }
        }
        // This node's own come on top, as if somebody who cannot be seen had been watching already.
        if !std::mem::replace(&mut view.is_ready, true) {
            let mut changes = Vec::new();
            for (key, look) in self.own.rows() {
                view.roster.own(key, Some(look), &mut changes);
            }
            view.announcer.changed(changes, view.roster.count(), now_ms);
        }
    }

    pub(crate) fn written(&mut self, result: Result<(), u64>, now_ms: u64) {
        self.own.written(result, now_ms);
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, now_ms: u64, effects: &mut Vec<Effect<W>>) {
        let gone = self.own.expire(now_ms);
        self.change(now_ms, |roster, now_ms, changes| {
            roster.expire(now_ms, changes);
            for key in &gone {
                roster.own(key, None, changes);
            }
        });
        if let Some(changes) = self.own.batch(now_ms) {
            effects.push(Effect::Write(changes));
        }
        let Some(view) = &mut self.view else { return };
        if view.may_go() && view.keep_until_ms <= now_ms {
            self.view = None;
            return;
        }
        if view.roster.needs_reading() && view.read_not_before_ms <= now_ms {
            view.roster.begin_reading();
            effects.push(Effect::Read);
        }
        if view.is_ready {
            let View { roster, announcer, .. } = &mut **view;
            let told = announcer.tell(now_ms, roster.count(), |user| roster.look(user));
            let Some(told) = told else { return };
            effects.extend(told.all.map(Effect::Tell));
            for (socket, changes) in told.newcomers {
                effects.extend(changes.map(|changes| Effect::TellOne(socket, changes)));
                effects.push(Effect::Admit(socket));
            }
        }
    }

    /// What has become of changes since this was asked last.
    pub(crate) fn take_tally(&mut self) -> Tally {
        self.view.as_mut().map(|view| view.announcer.take_tally()).unwrap_or_default()
    }

    /// When to tick next: at once, if the number is in the past.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        let view = self.view.as_ref();
        let read = view.filter(|view| view.roster.needs_reading()).map(|view| view.read_not_before_ms);
        let tell = view.filter(|view| view.is_ready).and_then(|view| view.announcer.due_ms());
        let ghosts = view.and_then(|view| view.roster.next_expiry());
        let go = view.filter(|view| view.may_go()).map(|view| view.keep_until_ms);
        [self.own.due_ms(), read, tell, ghosts, go].into_iter().flatten().min()
    }

    /// Before the room is ready nothing counts but what is heard, which the reading keeps for itself.
    fn change(&mut self, now_ms: u64, work: impl FnOnce(&mut Roster, u64, &mut Vec<Changed>)) {
        if let Some(view) = self.view.as_mut().filter(|view| view.is_ready) {
            let mut changes = Vec::new();
            work(&mut view.roster, now_ms, &mut changes);
            view.announcer.changed(changes, view.roster.count(), now_ms);
        }
    }
}

impl<W: Copy + Eq + Hash> View<W> {
    /// It is not known any more, or not yet, that somebody watches.
    fn may_go(&self) -> bool {
        self.is_ready && !self.announcer.has_watchers()
    }

    /// Who is there, as this watcher has been told. Whoever asks is shown themselves as they are.
    fn page(&self, socket: &W, user: &UserId, after: Option<&UserId>, members_max: usize) -> Shown {
        let mut told = self.announcer.as_told_to(socket);
        told.remove(user);
        page(&self.roster, &told, after, members_max)
    }
}

impl Shown {
    /// A page of a roster as it is.
    pub(crate) fn of(roster: &Roster, after: Option<&UserId>, members_max: usize) -> Self {
        page(roster, &BTreeMap::new(), after, members_max)
    }
}

/// A page of the roster, but these users as they are said to look.
fn page(
    roster: &Roster,
    told: &BTreeMap<&UserId, Option<&Look>>,
    after: Option<&UserId>,
    members_max: usize,
) -> Shown {
    let there = |user: &UserId| roster.look(user).is_some();
    let came = told.iter().filter(|(user, before)| before.is_none() && there(user)).count();
    let went: Vec<(&UserId, &Look)> = told
        .iter()
        .filter(|(user, _)| !there(user))
        .filter_map(|(user, look)| Some((*user, (*look)?)))
        .collect();
    let mut shown = Shown { count: roster.count() + went.len() - came, members: Vec::new(), more: false };
    let mut went = went.into_iter().filter(|(user, _)| after.is_none_or(|after| *user > after)).peekable();
    let mut members = roster.members_after(after).peekable();
    loop {
        let went_is_next = match (went.peek(), members.peek()) {
            (None, None) => return shown,
            (Some((user, _)), Some(member)) => **user < member.shown.user,
            (went, _) => went.is_some(),
        };
        let member = if went_is_next {
            went.next().map(|(user, look)| Member { shown: look.shown(user), devices: Vec::new() })
        } else {
            members.next()
        };
        let Some(mut member) = member else { return shown };
        match told.get(&member.shown.user) {
            Some(None) => continue,
            Some(Some(look)) => member.shown = look.shown(&member.shown.user),
            None => {}
        }
        if shown.members.len() == members_max {
            shown.more = true;
            return shown;
        }
        shown.members.push(member);
    }
}

#[cfg(test)]
mod tests;
