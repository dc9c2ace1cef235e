//! How far the users of one room have come: what this node's clients say is written in batches, and what all nodes have
//! written is told to the members, merged.
//!
//! Pure: events and `now_ms` in, effects out.

use std::collections::{HashMap, VecDeque};

use turnpike_cluster::Mark;
use turnpike_wire::UserId;
use turnpike_wire::event::server::UserMark;

use super::paced::{Full, Merge, Paced};
use crate::agenda::Timed;

/// The time between two batches.
const WRITE_EVERY_MS: u64 = 250;
/// The time between two events: four a second.
const TELL_EVERY_MS: u64 = 250;
/// Marks in one batch; the rest comes with the next.
const WRITTEN_MAX: usize = 500;
/// Marks in one event; the rest comes with the next, as it is then.
pub(crate) const TOLD_MAX: usize = 100;
/// Users of whom there is news that nobody was told yet. There are more only if so many move within minutes, and then
/// nobody follows; they are told when they move again.
const NEWS_MAX: usize = 20_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    pub(crate) received: u64,
    pub(crate) read: u64,
}

impl Merge for Progress {
    fn merge(&mut self, other: &Self) {
        self.received = self.received.max(other.received);
        self.read = self.read.max(other.read);
    }
}

#[derive(Debug, Default)]
pub(crate) struct Room {
    said: Paced<UserId, Progress>,
    /// The batch that is under way.
    writing: Vec<(UserId, Progress)>,
    not_before_ms: u64,
    news: HashMap<UserId, Progress>,
    /// Whose news come first.
    order: VecDeque<UserId>,
    tell_not_before_ms: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// To be written, and answered by [`Room::written`].
    Write(Vec<Mark>),
    Tell(Vec<UserMark>),
}

impl Room {
    /// A client says how far its user has come.
    pub(crate) fn say(&mut self, user: &UserId, progress: Progress) -> Result<(), Full> {
        self.said.put(user.clone(), progress)
    }

    /// Some have moved.
    pub(crate) fn heard(&mut self, marks: &[Mark]) {
        for mark in marks {
            let progress = Progress { received: mark.received, read: mark.read };
            if let Some(news) = self.news.get_mut(&mark.user) {
                news.merge(&progress);
            } else if self.news.len() < NEWS_MAX {
                self.news.insert(mark.user.clone(), progress);
                self.order.push_back(mark.user.clone());
            }
        }
    }

    pub(crate) fn written(&mut self, result: Result<(), u64>, now_ms: u64) {
        for (user, progress) in std::mem::take(&mut self.writing) {
            self.said.written(&user, &progress, result, now_ms);
        }
    }
}

impl Timed for Room {
    type Effect = Effect;

    /// When to tick next: at once, if the number is in the past.
    fn due_ms(&self) -> Option<u64> {
        let write = self.said.due_ms().filter(|_| self.writing.is_empty());
        let write = write.map(|due_ms| due_ms.max(self.not_before_ms));
        let tell = (!self.order.is_empty()).then_some(self.tell_not_before_ms);
        write.into_iter().chain(tell).min()
    }

    fn tick(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        if self.writing.is_empty() && self.not_before_ms <= now_ms {
            self.writing = self.said.take(now_ms, WRITTEN_MAX);
            if !self.writing.is_empty() {
                self.not_before_ms = now_ms + WRITE_EVERY_MS;
                // What was read has been received.
                let mark = |(user, progress): &(UserId, Progress)| Mark {
                    user: user.clone(),
                    received: progress.received.max(progress.read),
                    read: progress.read,
                };
                effects.push(Effect::Write(self.writing.iter().map(mark).collect()));
            }
        }
        if !self.order.is_empty() && self.tell_not_before_ms <= now_ms {
            self.tell_not_before_ms = now_ms + TELL_EVERY_MS;
            let count = self.order.len().min(TOLD_MAX);
            let told = self.order.drain(..count).filter_map(|user| {
                let Progress { received, read } = self.news.remove(&user)?;
                Some(UserMark { user, received, read: (read > 0).then_some(read) })
            });
            effects.push(Effect::Tell(told.collect()));
        }
    }

    fn is_empty(&self, now_ms: u64) -> bool {
        self.said.is_empty()
            && self.writing.is_empty()
            && self.news.is_empty()
            && self.tell_not_before_ms <= now_ms
    }
}

#[cfg(test)]
mod tests;
