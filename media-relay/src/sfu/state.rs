//! What the sessions of a stream are told about it.
//!
//! What all see is told to all, and made once. What only one viewer sees, as which layer it gets, is told to that one: with
//! thousands of viewers such things change all the time.

use std::sync::Arc;
use std::time::Instant;

use smallvec::SmallVec;
use turnpike_wire::media::{
    LayerLook, Mid, Phase, StreamLook, StreamState, TRACKS_NAMED_MAX, Track as TrackState, TrackLayer,
    TrackLook,
};

use super::peer::{Peer, Role};
use super::stream::{LayerShown, Stream};
use super::track::{Layer, Track};
use super::viewer::Viewer;
use super::{Effect, Sfu};
use crate::Notice;

/// Viewers with the same sections and layers are told the same. Of so many kinds the state is kept while all are told.
const KINDS_MAX: usize = 16;

/// Where a viewer has each track of its stream: in which section, and which layer of it.
type Places<'p> = SmallVec<[Option<(&'p str, Option<u8>)>; 4]>;

impl Sfu {
    /// Something has changed that all of a stream's sessions see.
    pub(super) fn changed(&mut self, stream: usize) {
        let Some(found) = self.streams.get_mut(stream) else { return };
        if !std::mem::replace(&mut found.is_touched, true) {
            self.changed.push(stream);
        }
        found.news.changed();
        // Before anything was ever told it is told at once.
        self.news.note(stream, Some(found.news.due().unwrap_or(self.epoch)));
    }

    /// Tells the sessions of every stream in which something has changed.
    pub(super) fn tell_news(&mut self, now: Instant) {
        while let Some(stream) = self.news.pop(now) {
            let Some(found) = self.streams.get_mut(stream) else { continue };
            if found.looks(now) && self.look(now, stream) {
                self.streams[stream].news.changed();
            }
            let found = &mut self.streams[stream];
            let tells = found.news.tells(now);
            self.news.note(stream, found.due());
            if tells {
                self.tell_all(now, stream);
            }
        }
    }

    /// Tells a viewer how it is with its own tracks, if that is another than it was told. For calling now and then.
    pub(super) fn tell_own(&mut self, now: Instant, key: usize) {
        let Some(viewer) = self.peers.get_mut(key).and_then(Peer::viewer) else { return };
        if !viewer.own.tells(now, shown(&viewer.forwarders)) {
            return;
        }
        viewer.own.told(now, shown(&viewer.forwarders));
        let Some(Peer { session, stream, role: Role::Viewer(viewer), .. }) = self.peers.get(key) else {
            return;
        };
        let (session, stream) = (*session, &self.streams[*stream]);
        let state = placed(&self.common(now, stream), &self.places(stream, viewer), stream, &self.tracks);
        self.effects.push_back(Effect::Notice { session, notice: Notice::State(Arc::new(state)) });
    }

    /// Looks at the sound and the layers of a stream. True if there is something to tell.
    fn look(&mut self, now: Instant, key: usize) -> bool {
        let Some(stream) = self.streams.get_mut(key) else { return false };
        let tracks = &self.tracks;
        let own = || stream.tracks.iter().filter_map(|key| Some((*key, tracks.get(*key)?)));
        let voices =
            own().filter(|(_, track)| !track.is_video() && !track.muted).filter_map(|(key, track)| {
                let loudness = track.layers.first()?.voice.loudness(now);
                Some((key, loudness))
            });
        let is_other = stream.speaker.look(now, voices);
        let layers = own().flat_map(|(_, track)| &track.layers).filter(|layer| layer.rid.is_some());
        let mut told = stream.shown.iter();
        let mut differs = false;
        for layer in layers {
            differs |= told.next().is_none_or(|told| layer_shown(now, layer).differs(told));
        }
        is_other || differs || told.next().is_some()
    }

    fn tell_all(&mut self, now: Instant, key: usize) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.shown.clear();
        for track in stream.tracks.iter().filter_map(|key| self.tracks.get(*key)) {
            let named = track.layers.iter().filter(|layer| layer.rid.is_some());
            stream.shown.extend(named.map(|layer| layer_shown(now, layer)));
        }
        let stream = &self.streams[key];
        let common = self.common(now, stream);
        let audience = if stream.publishers.is_empty() { None } else { Some(self.audience(stream).1) };
        for key in &stream.publishers {
            let Some(Peer { session, role: Role::Publisher(publisher), .. }) = self.peers.get(*key) else {
                continue;
            };
            let mut state = common.clone();
            state.audience.clone_from(&audience);
            let there = stream.tracks.iter().filter(|key| self.tracks.contains(**key));
            for (key, track) in there.zip(&mut state.tracks) {
                let own = self.tracks.get(*key).filter(|_| publisher.tracks.contains(key));
                track.mid = own.and_then(|own| Mid::parse(&own.mid).ok());
            }
            let notice = Notice::State(Arc::new(state));
            self.effects.push_back(Effect::Notice { session: *session, notice });
        }
        let mut kinds: Vec<(Places<'_>, Arc<StreamState>)> = Vec::new();
        for key in &stream.viewers {
            let Some(Peer { session, role: Role::Viewer(viewer), .. }) = self.peers.get(*key) else {
                continue;
            };
            let places = self.places(stream, viewer);
            let known = kinds.iter().find(|(known, _)| *known == places);
            let known = known.map(|(_, state)| Arc::clone(state));
            let state = if let Some(state) = known {
                state
            } else {
                let state = Arc::new(placed(&common, &places, stream, &self.tracks));
                if kinds.len() < KINDS_MAX {
                    kinds.push((places, Arc::clone(&state)));
                }
                state
            };
            self.effects.push_back(Effect::Notice { session: *session, notice: Notice::State(state) });
        }
        drop(kinds);
        for key in &stream.viewers {
            if let Some(viewer) = self.peers.get_mut(*key).and_then(Peer::viewer) {
                viewer.own.told(now, shown(&viewer.forwarders));
            }
        }
    }

    /// What all see.
    fn common(&self, now: Instant, stream: &Stream) -> StreamState {
        let speaker = stream.speaker.now().and_then(|key| self.tracks.get(key));
        let state = |track: &Track| TrackState {
            mid: None,
            kind: track.kind,
            user: track.user.clone(),
            muted: track.muted,
            layers: layers(now, track),
            current: None,
        };
        StreamState {
            phase: if self.is_live(stream) { Phase::Live } else { Phase::Paused },
            tracks: stream.tracks.iter().filter_map(|key| self.tracks.get(*key)).map(state).collect(),
            viewers: Self::viewers_of_all(stream),
            speaker: speaker.map(|track| track.user.clone()),
            recording: stream.is_recorded(),
            ..StreamState::ended(None)
        }
    }

    /// What an operator sees who looks into the cluster.
    pub(super) fn looked_at(&self, now: Instant, stream: &Stream) -> StreamLook {
        let tracks: Vec<&Track> = stream.tracks.iter().filter_map(|key| self.tracks.get(*key)).collect();
        let layer = |layer: &Layer| LayerLook {
            rid: layer.rid.clone(),
            active: layer.is_active(now),
            bits_per_second: if layer.is_active(now) { layer.bits_per_second() } else { 0 },
            size: layer.size,
        };
        let track = |track: &&Track| TrackLook {
            user: track.user.clone(),
            kind: track.kind,
            muted: track.muted,
            layers: track.layers.iter().map(layer).collect(),
        };
        StreamLook {
            phase: if self.is_live(stream) { Phase::Live } else { Phase::Paused },
            viewers: stream.viewers.len() as u64,
            recording: stream.is_recorded(),
            is_fed: stream.feed.is_some(),
            from: None,
            gives_to: u32::try_from(stream.branches.len()).unwrap_or(u32::MAX),
            tracks: tracks.iter().take(TRACKS_NAMED_MAX).map(track).collect(),
            more: tracks.len().saturating_sub(TRACKS_NAMED_MAX) as u64,
        }
    }

    fn places<'p>(&self, stream: &Stream, viewer: &'p Viewer) -> Places<'p> {
        let there = stream.tracks.iter().filter(|key| self.tracks.contains(**key));
        let place = |key: &usize| {
            let own = viewer.forwarders.iter().find(|forwarder| forwarder.track == Some(*key))?;
            Some((own.mid.as_str(), own.current()))
        };
        there.map(place).collect()
    }
}

/// The state as it is for whoever has its tracks there.
fn placed(
    common: &StreamState,
    places: &Places<'_>,
    stream: &Stream,
    tracks: &slab::Slab<Track>,
) -> StreamState {
    let mut state = common.clone();
    let published = stream.tracks.iter().filter_map(|key| tracks.get(*key));
    for ((track, place), published) in state.tracks.iter_mut().zip(places).zip(published) {
        let Some((mid, current)) = place else { continue };
        track.mid = Mid::parse(mid).ok();
        track.current = current
            .and_then(|layer| published.layers.get(usize::from(layer)))
            .and_then(|layer| layer.rid.clone());
    }
    state
}

fn shown(forwarders: &[super::forwarder::Forwarder]) -> impl Iterator<Item = super::news::Shown> + '_ {
    forwarders.iter().map(|forwarder| (forwarder.track, forwarder.current()))
}

fn layer_shown(now: Instant, layer: &Layer) -> LayerShown {
    LayerShown { is_active: layer.is_active(now), size: layer.size, bits_per_second: layer.bits_per_second() }
}

fn layers(now: Instant, track: &Track) -> Vec<TrackLayer> {
    let named = track.layers.iter().filter_map(|layer| Some((layer, layer.rid.clone()?)));
    named
        .map(|(layer, rid)| TrackLayer {
            rid,
            active: layer.is_active(now),
            // It is measured by what comes, and nothing does.
            bitrate: if layer.is_active(now) { layer.bits_per_second() } else { 0 },
            width: layer.size.map_or(0, |(width, _)| u32::from(width)),
            height: layer.size.map_or(0, |(_, height)| u32::from(height)),
        })
        .collect()
}
