//! The lower end of a pipe: where a stream comes from when nobody publishes it here. What is wanted of it, what the other end
//! was told of that, and for how long nobody has watched.
//!
//! It decides; what it decides about is put into tracks by `feeding`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use slab::Slab;
use turnpike_wire::UserId;

use super::stream::Stream;
use super::track::{Origin, Track};
use crate::carry::{Carried, PipeId, Up, Upward};

/// A layer that nobody wants any more may be wanted again in a moment, as when a viewer's path wavers.
const WANTED_FOR: Duration = Duration::from_secs(2);
/// How often it is looked whether something is wanted no more.
const WANTS_INTERVAL: Duration = Duration::from_millis(500);
/// The count has to be right within a second through several relays.
const AUDIENCE_INTERVAL: Duration = Duration::from_millis(100);
/// So long nobody may watch before that is said.
const UNWATCHED_FOR: Duration = Duration::from_secs(5);
/// So long tracks stay without a pipe: whoever attaches streams finds another one meanwhile, or gives up.
const LOST_FOR: Duration = Duration::from_secs(10);
/// A track that was not there when a feed was attached elsewhere may only not have been there yet.
const MISSED_FOR: Duration = Duration::from_secs(2);
/// Packets that came before the word by which they are understood: a keyframe. Others are asked for again.
const EARLY_MAX: usize = 256;

pub(crate) struct Feed {
    /// None: it is gone, and another is waited for.
    pipe: Option<Upward>,
    lost_at: Option<Instant>,
    /// The other end has told what the stream is.
    is_heard: bool,
    pub(crate) path: Vec<u64>,
    viewers: Option<u64>,
    /// Where it is published.
    pub(crate) is_recorded: bool,
    /// Track, layer, and when somebody last wanted it.
    wanted: Vec<(u16, u8, Instant)>,
    wants_told: Option<Vec<(u16, u8)>>,
    wants_due: Instant,
    audience_told: Option<(u64, Vec<UserId>)>,
    audience_at: Option<Instant>,
    audience_due: Option<Instant>,
    unwatched_since: Option<Instant>,
    early: VecDeque<Carried>,
    /// Tracks that have not come back since it was attached elsewhere.
    missed: Vec<(u16, Instant)>,
}

/// What has become of wants.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wants {
    /// To be told, if it is something else than before.
    pub(crate) told: Option<Vec<(u16, u8)>>,
    /// Track and layer that come no more.
    pub(crate) dropped: Vec<(u16, u8)>,
}

impl Feed {
    pub(crate) fn new(now: Instant, pipe: Upward) -> Self {
        Self {
            pipe: Some(pipe),
            lost_at: None,
            is_heard: false,
            path: Vec::new(),
            viewers: None,
            is_recorded: false,
            wanted: Vec::new(),
            wants_told: None,
            wants_due: now,
            audience_told: None,
            audience_at: None,
            audience_due: None,
            unwatched_since: None,
            early: VecDeque::new(),
            missed: Vec::new(),
        }
    }

    /// It comes from elsewhere from now on. Gives the pipe of before.
    pub(crate) fn attach(&mut self, now: Instant, pipe: Upward) -> Option<PipeId> {
        let before = self.lose(now);
        self.pipe = Some(pipe);
        self.lost_at = None;
        before
    }

    /// The pipe is gone.
    pub(crate) fn lose(&mut self, now: Instant) -> Option<PipeId> {
        let before = self.pipe.take().map(|pipe| pipe.id);
        self.lost_at.get_or_insert(now);
        (self.is_heard, self.wants_told, self.audience_told, self.audience_at) = (false, None, None, None);
        self.wants_due = now;
        self.early.clear();
        before
    }

    pub(crate) fn pipe_id(&self) -> Option<PipeId> {
        self.pipe.as_ref().map(|pipe| pipe.id)
    }

    /// Nothing has been heard of the stream yet.
    pub(crate) fn is_awaited(&self) -> bool {
        self.pipe.is_some() && !self.is_heard
    }

    pub(crate) fn is_heard(&self) -> bool {
        self.is_heard
    }

    /// True the first time since it was attached.
    pub(crate) fn heard(&mut self, path: Vec<u64>, viewers: u64, is_recorded: bool) -> bool {
        (self.path, self.viewers, self.is_recorded) = (path, Some(viewers), is_recorded);
        !std::mem::replace(&mut self.is_heard, true)
    }

    /// How many watch at all relays.
    pub(crate) fn viewers(&self) -> Option<u64> {
        self.viewers
    }

    /// Whether a new pipe was found in time.
    pub(crate) fn is_given_up(&self, now: Instant) -> bool {
        self.lost_at.is_some_and(|at| now >= at + LOST_FOR)
    }

    /// False if the other end does not take it.
    pub(crate) fn put(&self, word: Up) -> bool {
        self.pipe.as_ref().is_none_or(|pipe| pipe.put(word).is_ok())
    }

    pub(crate) fn is_wanted(&self, track: u16, layer: u8) -> bool {
        self.wanted.iter().any(|(number, wanted, _)| (*number, *wanted) == (track, layer))
    }

    /// What is wanted may be something else.
    pub(crate) fn look_at_wants(&mut self, now: Instant) {
        self.wants_due = now;
    }

    pub(crate) fn wants_are_due(&self, now: Instant) -> bool {
        now >= self.wants_due
    }

    /// Takes what is wanted now: more is told at once, less after a while.
    pub(crate) fn want(&mut self, now: Instant, wants: &[(u16, u8)]) -> Wants {
        self.wants_due = now + WANTS_INTERVAL;
        for (number, layers) in wants {
            for layer in (0..8).filter(|layer| layers & (1 << layer) != 0) {
                let known = self.wanted.iter_mut().find(|(n, l, _)| (*n, *l) == (*number, layer));
                match known {
                    Some((_, _, at)) => *at = now,
                    None => self.wanted.push((*number, layer, now)),
                }
            }
        }
        let mut dropped = Vec::new();
        self.wanted.retain(|(number, layer, at)| {
            let is_wanted = now < *at + WANTED_FOR;
            if !is_wanted {
                dropped.push((*number, *layer));
            }
            is_wanted
        });
        let mut told: Vec<(u16, u8)> = Vec::new();
        for (number, layer, _) in &self.wanted {
            match told.iter_mut().find(|(known, _)| known == number) {
                Some((_, layers)) => *layers |= 1 << layer,
                None => told.push((*number, 1 << layer)),
            }
        }
        told.sort_unstable();
        if self.wants_told.as_ref() == Some(&told) {
            return Wants { told: None, dropped };
        }
        self.wants_told = Some(told.clone());
        Wants { told: Some(told), dropped }
    }

    pub(crate) fn forget(&mut self, track: u16) {
        self.wanted.retain(|(number, _, _)| *number != track);
        self.missed.retain(|(number, _)| *number != track);
        self.early.retain(|packet| packet.track != track);
    }

    /// The audience, if it is to be told now.
    pub(crate) fn audience(&mut self, now: Instant, audience: (u64, Vec<UserId>)) -> Option<Up> {
        self.audience_due = None;
        if self.audience_told.as_ref() == Some(&audience) {
            return None;
        }
        if let Some(due) = self.audience_at.map(|at| at + AUDIENCE_INTERVAL).filter(|due| now < *due) {
            self.audience_due = Some(due);
            return None;
        }
        self.audience_at = Some(now);
        self.audience_told = Some(audience.clone());
        let (viewers, named) = audience;
        Some(Up::Audience { viewers, named })
    }

    /// Whether it is to be said that nobody watches.
    pub(crate) fn is_unwatched(&mut self, now: Instant, is_watched: bool) -> bool {
        if is_watched || self.pipe.is_none() {
            self.unwatched_since = None;
            return false;
        }
        let since = *self.unwatched_since.get_or_insert(now);
        let is_long = now >= since + UNWATCHED_FOR;
        if is_long {
            self.unwatched_since = Some(now);
        }
        is_long
    }

    /// Keeps a packet until it is understood.
    pub(crate) fn keep_early(&mut self, packet: Carried) {
        if self.early.len() >= EARLY_MAX {
            self.early.pop_front();
        }
        self.early.push_back(packet);
    }

    pub(crate) fn take_early(&mut self) -> VecDeque<Carried> {
        std::mem::take(&mut self.early)
    }

    /// A track is not among those that are told. True if that is the end of it.
    pub(crate) fn misses(&mut self, now: Instant, track: u16, is_first: bool) -> bool {
        let is_missed = self.missed.iter().any(|(number, _)| *number == track);
        if is_first && !is_missed {
            self.missed.push((track, now));
        }
        !is_first && !is_missed
    }

    pub(crate) fn found(&mut self, track: u16) {
        self.missed.retain(|(number, _)| *number != track);
    }

    /// Tracks that have been missed for too long.
    pub(crate) fn take_missed(&mut self, now: Instant) -> Vec<u16> {
        let is_over = |(_, since): &(u16, Instant)| now >= *since + MISSED_FOR;
        let over = self.missed.iter().filter(|missed| is_over(missed)).map(|(number, _)| *number).collect();
        self.missed.retain(|missed| !is_over(missed));
        over
    }

    /// When to look again.
    pub(crate) fn due(&self, stream: &Stream, tracks: &Slab<Track>) -> Option<Instant> {
        let waiting = stream.waiting.iter().map(|waiting| waiting.until).min();
        let lost = self.lost_at.map(|at| at + LOST_FOR);
        let missed = self.missed.iter().map(|(_, since)| *since + MISSED_FOR).min();
        let unwatched = self.unwatched_since.map(|since| since + UNWATCHED_FOR);
        if !self.is_heard {
            return [waiting, lost, missed, unwatched].into_iter().flatten().min();
        }
        let fed = || {
            let own = stream.tracks.iter().filter_map(|key| tracks.get(*key));
            own.filter(|track| track.origin == Origin::Feed).flat_map(|track| {
                track.layers.iter().enumerate().map(move |(index, layer)| (track, index as u8, layer))
            })
        };
        // By what is missing, and by keyframes that are asked for again.
        let missing = fed().filter_map(|(_, _, layer)| layer.receiver.due()).min();
        let keyframes = fed()
            .filter(|(track, index, layer)| self.can_ask(track, *index) && layer.keyframe.due().is_some())
            .filter_map(|(_, _, layer)| layer.keyframe.due())
            .min();
        let own = [missing, keyframes, self.audience_due, Some(self.wants_due)];
        [waiting, lost, missed, unwatched].into_iter().chain(own).flatten().min()
    }

    /// Whether there is a point in asking for a keyframe of that layer.
    pub(crate) fn can_ask(&self, track: &Track, layer: u8) -> bool {
        let is_active = track.layers.get(usize::from(layer)).and_then(|layer| layer.told.as_ref());
        !track.muted && is_active.is_some_and(|told| told.is_active) && self.is_wanted(track.number, layer)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::carry::{Blocked, Sink};

    struct Void;

    impl Sink<Up> for Void {
        fn put(&self, _: Up) -> Result<(), Blocked> {
            Ok(())
        }
    }

    fn feed(now: Instant) -> Feed {
        Feed::new(now, Upward::new(PipeId(1), Arc::new(Void)))
    }

    #[test]
    fn more_is_wanted_at_once_and_less_after_a_while() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut feed = feed(start);
        assert_eq!(feed.want(at(0), &[(7, 0b01)]).told, Some(vec![(7, 0b01)]));
        assert_eq!(feed.want(at(10), &[(7, 0b10)]), Wants { told: Some(vec![(7, 0b11)]), dropped: vec![] });
        assert_eq!(feed.want(at(1_900), &[(7, 0b10)]), Wants::default());
        let less = feed.want(at(2_000), &[(7, 0b10)]);
        assert_eq!(less, Wants { told: Some(vec![(7, 0b10)]), dropped: vec![(7, 0)] });
        assert!(feed.is_wanted(7, 1) && !feed.is_wanted(7, 0));
        // Elsewhere nothing of it is known.
        assert_eq!(feed.attach(at(2_100), Upward::new(PipeId(2), Arc::new(Void))), Some(PipeId(1)));
        assert_eq!(feed.want(at(2_100), &[]).told, Some(vec![(7, 0b10)]));
    }

    #[test]
    fn who_watches_is_told_often_but_not_always() {
        let (start, mut told) = (Instant::now(), Vec::new());
        let mut feed = feed(start);
        for ms in 0..1_000 {
            if feed.audience(start + Duration::from_millis(ms), (ms.min(650) / 7, Vec::new())).is_some() {
                told.push(ms);
            }
        }
        assert_eq!(told, [0, 100, 200, 300, 400, 500, 600, 700]);
        assert_eq!(feed.audience_told, Some((92, Vec::new())));
    }

    #[test]
    fn that_nobody_watches_is_said_again_and_again() {
        let (start, mut said) = (Instant::now(), Vec::new());
        let mut feed = feed(start);
        for second in 0..20 {
            if feed.is_unwatched(start + Duration::from_secs(second), second == 3) {
                said.push(second);
            }
        }
        assert_eq!(said, [9, 14, 19]);
    }

    #[test]
    fn what_came_too_early_is_bounded() {
        let mut feed = feed(Instant::now());
        for sequence in 0..10_000 {
            feed.keep_early(Carried {
                track: 1,
                layer: 0,
                life: 1,
                is_again: false,
                marker: false,
                sequence,
                timestamp: 0,
                extensions: bytes::Bytes::new(),
                payload: bytes::Bytes::new(),
            });
        }
        let early = feed.take_early();
        assert_eq!((early.len(), early.back().map(|packet| packet.sequence)), (EARLY_MAX, Some(9_999)));
    }
}
