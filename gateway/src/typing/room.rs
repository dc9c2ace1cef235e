//! Who is typing in one room, on this node and on others.
//!
//! - A typist is forgotten after a while without a new start, at their own message, or when they leave.
//! - Members are told at most twice a second, and nobody of themselves. One of the two is kept for those who have
//!   stopped, so that an indicator does not outlive the message that it announced.
//! - Other nodes are told as often, of this node's typists alone.
//!
//! Pure: events and `now_ms` in, effects out. `W` names a connection.

use std::collections::{BTreeMap, HashMap};

use turnpike_cluster::TypingChange;
use turnpike_wire::UserId;
use turnpike_wire::limits::TYPISTS_NAMED_MAX;

use super::pace::Pace;
use crate::agenda::Timed;

/// The time between two starts of a user that are taken.
pub(crate) const START_EVERY_MS: u64 = 3_000;
/// A start holds a little less than the six seconds of the clients: with the second that the next event may have to wait,
/// no indicator is seven seconds old.
const HOLDS_MS: u64 = 5_900;
/// On other nodes the start has been under way for half a second before.
const HOLDS_ELSEWHERE_MS: u64 = 5_400;
/// An indicator that has not changed is told again, because clients let it go.
const REPEAT_MS: u64 = 2_500;
/// How long it is known that somebody has typed here: what is heard of them comes from here as well, and late.
const REMEMBERED_MS: u64 = 10_000;
/// More are not counted. It is far more than anybody reads, and a member has to be told of each coming and going.
pub(crate) const TYPISTS_MAX: usize = 2_000;
/// Up to so many typists, each is told how many others there are. In a larger crowd only those who would read their own
/// name are told apart.
const APART_MAX: usize = 16;
/// Changes in one signal; the rest comes with the next.
const SIGNAL_CHANGES_MAX: usize = 1_000;

#[derive(Debug)]
pub(crate) struct Room<W> {
    typists: HashMap<UserId, Typist<W>>,
    /// When each user's last start was taken here.
    taken: HashMap<UserId, u64>,
    started: u64,
    /// Nobody has to be forgotten before. Asked for at every start, so it is not looked for each time.
    forget_ms: Option<u64>,
    /// What members have not been told yet.
    untold: Option<Urgency>,
    told: Told,
    tellings: Pace,
    /// What other nodes have not been told yet.
    unsent: BTreeMap<UserId, bool>,
    sendings: Pace,
}

#[derive(Debug)]
struct Typist<W> {
    /// Who began first stands first.
    number: u64,
    until_ms: u64,
    /// The connection that they are typing on, if it is one of this node's.
    here: Option<W>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    CanWait,
    Urgent,
}

/// What members were told last.
#[derive(Debug, Default)]
struct Told {
    view: View,
    typists: usize,
    at_ms: u64,
}

/// What a member sees.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct View {
    pub(crate) users: Vec<UserId>,
    pub(crate) more: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// To the members, but to these users what is said beside them, if anything.
    Tell { view: View, apart: Vec<(UserId, Option<View>)> },
    /// To the other nodes.
    Send(Vec<TypingChange>),
}

impl<W: Copy + Eq> Room<W> {
    pub(crate) fn new() -> Self {
        Self {
            typists: HashMap::new(),
            taken: HashMap::new(),
            started: 0,
            forget_ms: None,
            untold: None,
            told: Told::default(),
            tellings: Pace::default(),
            unsent: BTreeMap::new(),
            sendings: Pace::default(),
        }
    }

    /// False: not taken, it is too soon after the one before.
    pub(crate) fn start(&mut self, user: &UserId, socket: W, now_ms: u64) -> bool {
        let too_soon = self.taken.get(user).is_some_and(|taken_ms| now_ms < taken_ms + START_EVERY_MS);
        let too_many = self.taken.len() >= TYPISTS_MAX && !self.taken.contains_key(user);
        if too_soon || too_many || !self.types(user, now_ms + HOLDS_MS, Some(socket)) {
            return false;
        }
        self.taken.insert(user.clone(), now_ms);
        self.forget_by(now_ms + REMEMBERED_MS);
        self.unsent.insert(user.clone(), true);
        true
    }

    /// The user has stopped, or gone, on this connection.
    pub(crate) fn stop(&mut self, user: &UserId, socket: W) {
        if self.typists.get(user).is_some_and(|typist| typist.here == Some(socket)) {
            self.spoke(user);
        }
    }

    /// The user has said what was being typed.
    pub(crate) fn spoke(&mut self, user: &str) {
        let Some((user, typist)) = self.typists.remove_entry(user) else { return };
        self.untold = Some(Urgency::Urgent);
        if typist.here.is_some() {
            self.unsent.insert(user, false);
        }
    }

    /// Another node says so, or this one has.
    pub(crate) fn heard(&mut self, changes: &[TypingChange], now_ms: u64) {
        for TypingChange { user, typing } in changes {
            // Of who types here this node knows more, and sooner.
            if self.taken.contains_key(user) {
                continue;
            }
            if *typing {
                self.types(user, now_ms + HOLDS_ELSEWHERE_MS, None);
            } else if self.typists.remove(user).is_some() {
                self.untold = Some(Urgency::Urgent);
            }
        }
    }

    fn types(&mut self, user: &UserId, until_ms: u64, here: Option<W>) -> bool {
        if let Some(typist) = self.typists.get_mut(user) {
            typist.until_ms = until_ms;
            typist.here = here;
        } else {
            if self.typists.len() >= TYPISTS_MAX {
                return false;
            }
            self.started += 1;
            self.typists.insert(user.clone(), Typist { number: self.started, until_ms, here });
        }
        self.untold = self.untold.max(Some(Urgency::CanWait));
        self.forget_by(until_ms);
        true
    }

    fn forget_by(&mut self, at_ms: u64) {
        self.forget_ms = Some(self.forget_ms.map_or(at_ms, |earlier_ms| earlier_ms.min(at_ms)));
    }

    fn forget(&mut self, now_ms: u64) {
        if self.forget_ms.is_none_or(|at_ms| now_ms < at_ms) {
            return;
        }
        self.taken.retain(|_, taken_ms| now_ms < *taken_ms + REMEMBERED_MS);
        let before = self.typists.len();
        self.typists.retain(|_, typist| now_ms < typist.until_ms);
        if self.typists.len() < before {
            self.untold = Some(Urgency::Urgent);
        }
        let taken = self.taken.values().map(|taken_ms| taken_ms + REMEMBERED_MS);
        self.forget_ms = self.typists.values().map(|typist| typist.until_ms).chain(taken).min();
    }

    fn tell(&mut self, now_ms: u64) -> Option<Effect> {
        // One more than is named, for those who are left out of their own view.
        let mut first: Vec<(u64, &UserId)> = Vec::with_capacity(APART_MAX + 1);
        let apart_max = if self.typists.len() <= APART_MAX { APART_MAX } else { TYPISTS_NAMED_MAX };
        for (user, typist) in &self.typists {
            let at = first.partition_point(|(number, _)| *number < typist.number);
            if at <= apart_max {
                first.insert(at, (typist.number, user));
                first.truncate(apart_max + 1);
            }
        }
        let first: Vec<&UserId> = first.into_iter().map(|(_, user)| user).collect();
        let view = |but: Option<&UserId>| {
            let others = self.typists.len() - usize::from(but.is_some());
            let users = first.iter().copied().filter(|user| Some(*user) != but);
            let users: Vec<UserId> = users.take(TYPISTS_NAMED_MAX).cloned().collect();
            let more = others - users.len();
            View { users, more }
        };
        let all = view(None);
        let repeats = all == self.told.view && self.typists.len() == self.told.typists;
        if repeats && (all.users.is_empty() || now_ms < self.told.at_ms + REPEAT_MS) {
            return None;
        }
        // Who was told of nobody else, and still is alone, need not hear it.
        let was_alone = self.told.typists <= 1 && self.typists.len() <= 1;
        let apart = first.iter().take(apart_max);
        let apart = apart.map(|user| ((*user).clone(), (!was_alone).then(|| view(Some(user))))).collect();
        self.told = Told { view: all.clone(), typists: self.typists.len(), at_ms: now_ms };
        self.tellings.go(now_ms);
        Some(Effect::Tell { view: all, apart })
    }
}

impl<W: Copy + Eq> Timed for Room<W> {
    type Effect = Effect;

    /// When to tick next: at once, if the number is in the past.
    fn due_ms(&self) -> Option<u64> {
        let tell = self.untold.map(|urgency| self.tellings.next_ms(urgency == Urgency::Urgent));
        let is_urgent = self.unsent.values().any(|typing| !typing);
        let send = (!self.unsent.is_empty()).then(|| self.sendings.next_ms(is_urgent));
        // Paces are forgotten with the room, so not before they have rested.
        let rest = Some(self.tellings.next_ms(false).max(self.sendings.next_ms(false)));
        [tell, send, self.forget_ms].into_iter().flatten().min().or(rest)
    }

    fn tick(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        self.forget(now_ms);
        if let Some(urgency) = self.untold
            && self.tellings.next_ms(urgency == Urgency::Urgent) <= now_ms
        {
            self.untold = None;
            effects.extend(self.tell(now_ms));
        }
        let is_urgent = self.unsent.values().any(|typing| !typing);
        if !self.unsent.is_empty() && self.sendings.next_ms(is_urgent) <= now_ms {
            let mut changes = Vec::new();
            while changes.len() < SIGNAL_CHANGES_MAX
                && let Some((user, typing)) = self.unsent.pop_first()
            {
                changes.push(TypingChange { user, typing });
            }
            self.sendings.go(now_ms);
            effects.push(Effect::Send(changes));
        }
    }

    /// Nobody types, and nothing is to be remembered.
    fn is_empty(&self, now_ms: u64) -> bool {
        self.typists.is_empty()
            && self.taken.is_empty()
            && self.untold.is_none()
            && self.unsent.is_empty()
            && self.tellings.is_rested(now_ms)
            && self.sendings.is_rested(now_ms)
    }
}

#[cfg(test)]
mod tests;
