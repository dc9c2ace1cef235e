//! What a stream's pipes have in common, whichever end of them is here: whose they are, when they are looked after, and who
//! watches at all of their ends.

use std::time::Instant;

use turnpike_wire::{Code, Failure, UserId};

use super::asks::{Fresh, LOOK_AGAIN_MS, Waiting};
use super::counters::Ignored;
use super::stream::{Stream, VIEWERS_NAMED_MAX};
use super::track::Origin;
use super::{Effect, Sfu};
use crate::Ask;
use crate::carry::{Delivered, FeedNews, PipeId};

/// A feed that has been attached tells within a round trip what the stream is; who comes meanwhile waits for that.
const WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(3);
/// Others come again.
const WAITING_MAX: usize = 512;

impl Sfu {
    /// Takes what has come through a pipe.
    pub(crate) fn deliver(&mut self, now: Instant, pipe: PipeId, word: Delivered) {
        let Some(key) = self.pipes.get(&pipe).copied() else {
            // It was on its way when the pipe was closed.
            return self.counters.ignore(Ignored::UnknownPeer);
        };
        match word {
            Delivered::Down(word) => self.fed(now, key, pipe, word),
            Delivered::Up(word) => self.told_by_branch(now, key, pipe, word),
        }
    }

    /// Forgets a pipe. A feed's tracks stay for a while if somebody watches them.
    pub(super) fn unpipe(&mut self, now: Instant, pipe: PipeId) {
        let Some(key) = self.pipes.remove(&pipe) else { return };
        let Some(stream) = self.streams.get_mut(key) else { return };
        if stream.branches.iter().any(|branch| branch.pipe.id == pipe) {
            stream.branches.retain(|branch| branch.pipe.id != pipe);
            self.branch_gone(now, key);
        } else if stream.is_watched() {
            self.feed_lost(now, key, None);
        } else {
            self.end_feed(key);
            self.sweep(key);
        }
    }

    /// The core has panicked at a word of that pipe.
    pub(super) fn cut(&mut self, pipe: PipeId) {
        let Some(key) = self.pipes.remove(&pipe) else { return };
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.branches.retain(|branch| branch.pipe.id != pipe);
        if stream.feed.as_ref().is_some_and(|feed| feed.pipe_id() == Some(pipe)) {
            let name = stream.name.clone();
            self.effects.push_back(Effect::Feed { stream: name, news: FeedNews::Blocked(pipe) });
            self.end_feed(key);
        }
        self.changed(key);
        self.sweep(key);
    }

    /// The stream is over for everyone.
    pub(super) fn end_pipes(&mut self, key: usize) {
        self.end_branches(key);
        let Some(stream) = self.streams.get(key) else { return };
        if let Some(pipe) = stream.feed.as_ref().and_then(|feed| feed.pipe_id()) {
            self.effects.push_back(Effect::Feed { stream: stream.name.clone(), news: FeedNews::Over(pipe) });
        }
        self.end_feed(key);
        self.sweep(key);
    }

    /// Does what is due for a stream's pipes, and notes when to look again.
    pub(super) fn look_after_pipes(&mut self, now: Instant, key: usize) {
        self.look_after_branches(now, key);
        self.look_after_feed(now, key);
        let Some(stream) = self.streams.get(key) else { return };
        let feed = stream.feed.as_ref().and_then(|feed| feed.due(stream, &self.tracks));
        let due = [feed, stream.branches_due].into_iter().flatten().min();
        self.carrying.note(key, due);
    }

    /// The stream that somebody wants to watch, if it is only just being attached and they can wait for it.
    pub(super) fn awaited(&self, ask: &Ask) -> Option<usize> {
        let Ask::Watch { stream, .. } = ask else { return None };
        let key = *self.stream_names.get(stream)?;
        let stream = &self.streams[key];
        let is_awaited = stream.tracks.is_empty()
            && stream.publishers.is_empty()
            && stream.feed.as_ref().is_some_and(|feed| feed.is_awaited());
        (is_awaited && stream.waiting.len() < WAITING_MAX).then_some(key)
    }

    pub(super) fn wait(&mut self, now: Instant, key: usize, ticket: u64, ask: Ask, fresh: Fresh) {
        let until = now + WAIT_MAX;
        self.streams[key].waiting.push(Waiting { ticket, ask, fresh, until });
        self.carrying.note(key, Some(until));
    }

    /// Answers those who have waited for the stream, or for too long.
    pub(super) fn answer_waiting(&mut self, now: Instant, key: usize, is_there: bool) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let (ready, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut stream.waiting).into_iter().partition(|w| is_there || w.until <= now);
        stream.waiting = rest;
        for Waiting { ticket, ask, fresh, .. } in ready {
            let answer = self.answer(now, ask, fresh);
            self.effects.push_back(Effect::Answer { ticket, answer });
        }
    }

    pub(super) fn refuse(&mut self, waiting: &Waiting) {
        let answer = Err(Failure::from(Code::NoSuchStream).retry_after_ms(LOOK_AGAIN_MS));
        self.effects.push_back(Effect::Answer { ticket: waiting.ticket, answer });
    }

    /// Who watches a stream here and further down: how many, and some by name.
    pub(super) fn audience(&self, stream: &Stream) -> (u64, Vec<UserId>) {
        let own = stream.viewers.iter().filter_map(|viewer| Some(self.peers.get(*viewer)?.user.clone()));
        let below = stream.branches.iter().flat_map(|branch| branch.named.iter().cloned());
        let mut named: Vec<UserId> = own.chain(below).collect();
        named.sort();
        named.dedup();
        named.truncate(VIEWERS_NAMED_MAX);
        (Self::viewers_below(stream), named)
    }

    /// Here and further down.
    fn viewers_below(stream: &Stream) -> u64 {
        let below = stream.branches.iter().fold(0_u64, |sum, branch| sum.saturating_add(branch.viewers));
        (stream.viewers.len() as u64).saturating_add(below)
    }

    /// How many watch at all relays, as far as is known here.
    pub(super) fn viewers_of_all(stream: &Stream) -> u64 {
        let told = stream.feed.as_ref().and_then(|feed| feed.viewers());
        told.unwrap_or_else(|| Self::viewers_below(stream))
    }

    /// Somebody publishes it, here or elsewhere.
    pub(super) fn is_live(&self, stream: &Stream) -> bool {
        let is_fed = |key: &usize| self.tracks.get(*key).is_some_and(|track| track.origin == Origin::Feed);
        !stream.publishers.is_empty() || stream.tracks.iter().any(is_fed)
    }
}
