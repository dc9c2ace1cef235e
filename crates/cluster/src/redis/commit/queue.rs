//! What waits to be sent in one lane.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Stored, Work};
use crate::PublishError;

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) work: Work,
    pub(super) since: Instant,
    pub(super) deadline: Instant,
    pub(super) tries: u32,
    pub(super) reply: oneshot::Sender<Result<Stored, PublishError>>,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) waiting: VecDeque<Entry>,
    /// Some have been sent and are not answered; nobody else may send for this lane meanwhile.
    pub(super) busy: bool,
    /// Nothing has succeeded since.
    pub(super) failing_since: Option<Instant>,
}

impl Queue {
    /// So much from the front, unless some are under way.
    pub(super) fn take(&mut self, entries_max: usize, bytes_max: usize) -> Vec<Entry> {
        if self.busy {
            return Vec::new();
        }
        let mut bytes = 0;
        let count = self
            .waiting
            .iter()
            .take(entries_max)
            .enumerate()
            .take_while(|(index, entry)| {
                bytes += entry.work.payload.len();
                *index == 0 || bytes <= bytes_max
            })
            .count();
        self.busy = count > 0;
        self.waiting.drain(..count).collect()
    }

    /// Those that were sent come back, to be sent again before all others.
    pub(super) fn give_back(&mut self, entries: Vec<Entry>) {
        for entry in entries.into_iter().rev() {
            self.waiting.push_front(entry);
        }
        self.busy = false;
    }

    pub(super) fn take_expired(&mut self, now: Instant) -> Vec<Entry> {
        if self.waiting.iter().all(|entry| entry.deadline > now) {
            return Vec::new();
        }
        let (expired, waiting) =
            std::mem::take(&mut self.waiting).into_iter().partition(|entry| entry.deadline <= now);
        self.waiting = waiting;
        Vec::from(expired as VecDeque<Entry>)
    }

    pub(super) fn succeeded(&mut self) {
        self.failing_since = None;
    }

    pub(super) fn failed(&mut self, now: Instant) {
        self.failing_since.get_or_insert(now);
    }

    /// Failing for so long, and somebody is trying already.
    pub(super) fn is_away(&self, patience: Duration) -> bool {
        (self.busy || !self.waiting.is_empty())
            && self.failing_since.is_some_and(|since| since.elapsed() > patience)
    }
}
