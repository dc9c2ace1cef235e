//! From a track to the branches of its stream, one copy each whatever the number of viewers further down; and what they ask
//! for.

use std::time::Instant;

use smallvec::SmallVec;
use turnpike_wire::{Code, Failure, RoomId};

use super::Sfu;
use super::branch::{Branch, LAYERS_MAX};
use super::counters::Ignored;
use super::stream::Stream;
use super::track::TrackKey;
use crate::Told;
use crate::carry::{Carried, CarriedLayer, CarriedStream, CarriedTrack, Down, Downward, PipeId, Up};

/// How often it is looked whether layers cost something else by now.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(500);
/// Of one word; who has missed more is helped by a keyframe.
const AGAIN_MAX: usize = 2_048;
const FULL_RETRY_MS: u64 = 1_000;

impl Sfu {
    /// Gives a stream through a pipe as well.
    pub(super) fn branch(&mut self, now: Instant, name: &RoomId, pipe: Downward) -> Result<Told, Failure> {
        let key = *self.stream_names.get(name).ok_or(Code::NoSuchStream)?;
        let limit = self.config.limits.branches_per_stream_max;
        let stream = &mut self.streams[key];
        if stream.branches.len() >= limit {
            return Err(Failure::from(Code::NoRelay).retry_after_ms(FULL_RETRY_MS));
        }
        if self.pipes.contains_key(&pipe.id) {
            return Err(Code::BadRequest.into());
        }
        self.pipes.insert(pipe.id, key);
        stream.branches.push(Branch::new(pipe));
        self.branches_due(now, key);
        Ok(Told::Done)
    }

    /// Gives what came of a track in this round to the branches that want it.
    pub(super) fn pour(&mut self, now: Instant, key: TrackKey) {
        let Some(track) = self.tracks.get_mut(key) else { return };
        let stream_key = track.stream;
        let Some(stream) = self.streams.get_mut(stream_key).filter(|stream| !stream.branches.is_empty())
        else {
            return;
        };
        if std::mem::take(&mut track.is_news) || stream.is_urgent {
            // Nobody gets a packet of what it does not know.
            self.tell_branches(now, stream_key);
        }
        let (Some(track), Some(stream)) = (self.tracks.get(key), self.streams.get_mut(stream_key)) else {
            return;
        };
        if track.muted {
            return;
        }
        for fresh in &track.fresh {
            let mut packet: Option<Carried> = None;
            for branch in stream.branches.iter_mut().filter(|b| b.takes(track.number, fresh.layer)) {
                let layer = track.layers.get(usize::from(fresh.layer));
                let Some(cached) = layer.and_then(|layer| layer.cache.get(fresh.seq)) else { break };
                let packet =
                    packet.get_or_insert_with(|| Carried::of(track, fresh.layer, cached, false)).clone();
                if branch.packet(packet) {
                    self.counters.ignore(Ignored::Piped);
                }
            }
        }
        if stream.branches.iter().any(|branch| branch.waits(track.number) || branch.is_broken) {
            self.carrying.note(stream_key, Some(now));
        }
    }

    /// The branches of a stream are looked at in this round.
    pub(super) fn branches_due(&mut self, now: Instant, key: usize) {
        let Some(stream) = self.streams.get_mut(key).filter(|stream| !stream.branches.is_empty()) else {
            return;
        };
        stream.branches_due = Some(now);
        self.carrying.note(key, Some(now));
    }

    /// Does what is due for the branches of a stream.
    pub(super) fn look_after_branches(&mut self, now: Instant, key: usize) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        if stream.branches.is_empty() {
            stream.branches_due = None;
            return;
        }
        if stream.is_urgent || stream.branches_due.is_none_or(|due| due <= now) {
            self.tell_branches(now, key);
        }
        let Some(stream) = self.streams.get_mut(key) else { return };
        for track in stream.tracks.iter().filter_map(|key| self.tracks.get(*key)) {
            for branch in &mut stream.branches {
                if branch.waits(track.number) {
                    branch.begin(now, track);
                }
                branch.tell_clocks(now, track);
            }
        }
        self.drop_broken(now, key);
    }

    fn tell_branches(&mut self, now: Instant, key: usize) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let is_unknown =
            stream.tracks.is_empty() && stream.feed.as_ref().is_some_and(|feed| !feed.is_heard());
        if is_unknown {
            // It is not known here yet what there is; nothing would be taken for nothing.
            stream.branches_due = Some(now + LOOK_EVERY);
            return;
        }
        let Some(stream) = self.streams.get(key) else { return };
        let carried = self.carried(now, stream);
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.is_urgent = false;
        let mut due = now + LOOK_EVERY;
        for branch in &mut stream.branches {
            if let Some(again) = branch.tell(now, &carried) {
                due = due.min(again);
            }
        }
        stream.branches_due = Some(due);
    }

    fn drop_broken(&mut self, now: Instant, key: usize) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let mut broken: SmallVec<[PipeId; 2]> = SmallVec::new();
        stream.branches.retain(|branch| {
            if branch.is_broken {
                broken.push(branch.pipe.id);
            }
            !branch.is_broken
        });
        for pipe in &broken {
            self.pipes.remove(pipe);
        }
        if !broken.is_empty() {
            self.branch_gone(now, key);
        }
    }

    pub(super) fn branch_gone(&mut self, now: Instant, key: usize) {
        self.changed(key);
        self.wants_changed(now, key);
        self.sweep(key);
    }

    /// Tells all branches that the stream is over.
    pub(super) fn end_branches(&mut self, key: usize) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        for mut branch in std::mem::take(&mut stream.branches) {
            let _ = branch.put(Down::Over);
            self.pipes.remove(&branch.pipe.id);
        }
    }

    /// A branch has something to say.
    pub(super) fn told_by_branch(&mut self, now: Instant, key: usize, pipe: PipeId, word: Up) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Some(index) = stream.branches.iter().position(|branch| branch.pipe.id == pipe) else { return };
        let branch = &mut stream.branches[index];
        branch.is_heard = true;
        match word {
            Up::Want(wanted) => {
                branch.want(&wanted);
                self.wants_changed(now, key);
                self.branches_due(now, key);
            }
            Up::Keyframe { track, layer } => {
                let Some(track_key) = self.track_of(key, track) else { return };
                let branch = &self.streams[key].branches[index];
                if !branch.has_keyframe(now, &self.tracks[track_key], layer) {
                    self.want_keyframe(now, track_key, layer);
                }
            }
            Up::Again { track, layer, sequences } => {
                if let Some(track) = self.track_of(key, track) {
                    self.again(now, key, index, track, layer, &sequences);
                }
            }
            Up::Audience { viewers, named } => {
                if branch.audience(viewers, named) {
                    self.changed(key);
                }
                self.sweep(key);
            }
        }
    }

    fn again(
        &mut self,
        now: Instant,
        key: usize,
        index: usize,
        track: TrackKey,
        layer: u8,
        sequences: &[u16],
    ) {
        let Some(branch) = self.streams.get_mut(key).and_then(|s| s.branches.get_mut(index)) else { return };
        let Some(track) = self.tracks.get(track).filter(|track| !track.muted) else { return };
        let Some(found) = track.layers.get(usize::from(layer)) else { return };
        for sequence in sequences.iter().take(AGAIN_MAX) {
            self.counters.nack_in();
            if !branch.may_repair(now) {
                return;
            }
            if let Some(cached) = found.again(*sequence)
                && !branch.packet(Carried::of(track, layer, cached, true))
            {
                self.counters.piped_again();
            }
        }
    }

    pub(super) fn track_of(&self, key: usize, number: u16) -> Option<TrackKey> {
        let tracks = &self.streams.get(key)?.tracks;
        tracks.iter().copied().find(|key| self.tracks.get(*key).is_some_and(|track| track.number == number))
    }

    /// A stream, for whoever is further down.
    fn carried(&self, now: Instant, stream: &Stream) -> CarriedStream {
        let track = |key: &TrackKey| {
            let track = self.tracks.get(*key)?;
            let layers = track.layers.iter().take(LAYERS_MAX).map(|layer| CarriedLayer {
                rid: layer.rid.clone(),
                life: layer.life,
                is_active: layer.is_active(now),
                rungs: layer.rungs().to_vec(),
                size: layer.size,
            });
            Some(CarriedTrack {
                number: track.number,
                publisher: track.publisher,
                user: track.user.clone(),
                mid: track.mid.clone(),
                kind: track.kind,
                codec: track.sent,
                muted: track.muted,
                layers: layers.collect(),
            })
        };
        CarriedStream {
            path: stream.feed.as_ref().map(|feed| feed.path.clone()).unwrap_or_default(),
            tracks: stream.tracks.iter().filter_map(track).collect(),
            viewers: Self::viewers_of_all(stream),
            is_recorded: stream.is_recorded(),
        }
    }
}
