//! From a feed to the tracks of its stream: what comes through the pipe, and what is asked for there.

use std::time::Instant;

use turnpike_rtp::Codec;
use turnpike_wire::RoomId;
use turnpike_wire::media::Kind;

use super::arrival::Arriving;
use super::branch::LAYERS_MAX;
use super::counters::Ignored;
use super::feed::{Feed, Wants};
use super::peer::Role;
use super::receiver::Receiver;
use super::stream::Stream;
use super::tapping::best_layer;
use super::track::{Layer, Origin, Told, Track, TrackKey};
use super::{Effect, Sfu};
use crate::carry::{Carried, CarriedLayer, CarriedStream, CarriedTrack, Down, FeedNews, PipeId, Up, Upward};

/// Of one stream: more than its publishers may have.
const TRACKS_MAX: usize = 256;
/// Of one word.
const AGAIN_MAX: usize = 512;
/// Layers within a layer.
const RUNGS_MAX: usize = 16;
const RTP_HEADER_BYTES: usize = 12;

impl Sfu {
    /// Takes a stream from a pipe, in place of the one that it came from before.
    pub(super) fn feed(&mut self, now: Instant, name: &RoomId, pipe: Upward) {
        self.unpipe(now, pipe.id);
        let key = self.stream(name);
        self.pipes.insert(pipe.id, key);
        let stream = &mut self.streams[key];
        if let Some(feed) = &mut stream.feed {
            if let Some(before) = feed.attach(now, pipe) {
                self.pipes.remove(&before);
            }
        } else {
            stream.feed = Some(Box::new(Feed::new(now, pipe)));
        }
        self.carrying.note(key, Some(now));
        self.count();
    }

    /// The feed's pipe is gone.
    pub(super) fn feed_lost(&mut self, now: Instant, key: usize, news: Option<fn(PipeId) -> FeedNews>) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Some(pipe) = stream.feed.as_mut().and_then(|feed| feed.lose(now)) else { return };
        self.pipes.remove(&pipe);
        if let Some(news) = news {
            self.effects.push_back(Effect::Feed { stream: stream.name.clone(), news: news(pipe) });
        }
        self.carrying.note(key, Some(now));
    }

    /// The stream comes from nowhere any more.
    pub(super) fn end_feed(&mut self, key: usize) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Some(feed) = stream.feed.take() else { return };
        if let Some(pipe) = feed.pipe_id() {
            self.pipes.remove(&pipe);
        }
        for (track, _) in self.fed_tracks(key) {
            self.remove_track(track);
        }
        self.orphaned.push(key);
        self.changed(key);
    }

    /// A word of the feed's.
    pub(super) fn fed(&mut self, now: Instant, key: usize, pipe: PipeId, word: Down) {
        let feed = self.streams.get(key).and_then(|stream| stream.feed.as_ref());
        if feed.is_none_or(|feed| feed.pipe_id() != Some(pipe)) {
            return;
        }
        match word {
            Down::Packet(packet) => self.fed_packet(now, key, packet),
            Down::Stream(stream) => self.fed_stream(now, key, stream),
            Down::Clock { track, layer, clock, age_ms } => {
                let age = std::time::Duration::from_millis(u64::from(age_ms));
                let layer = self
                    .fed_track(key, track)
                    .and_then(|track| self.tracks.get_mut(track)?.layers.get_mut(usize::from(layer)));
                if let Some(layer) = layer {
                    layer.clock = Some((clock, now.checked_sub(age).unwrap_or(now)));
                    self.branches_due(now, key);
                }
            }
            Down::Over => self.feed_lost(now, key, Some(FeedNews::Over)),
        }
    }

    fn fed_packet(&mut self, now: Instant, key: usize, packet: Carried) {
        let Some(track_key) = self.fed_track(key, packet.track) else {
            return self.counters.ignore(Ignored::UnknownSource);
        };
        let Some(feed) = self.streams.get_mut(key).and_then(|stream| stream.feed.as_mut()) else { return };
        let Some(track) = self.tracks.get_mut(track_key) else { return };
        let Some(layer) = track.layers.get(usize::from(packet.layer)) else { return };
        // It was on its way when nobody wanted it any more, or is of a life that is over.
        let ahead = packet.life.wrapping_sub(layer.life).cast_signed();
        if !feed.is_wanted(packet.track, packet.layer) || ahead < 0 {
            return self.counters.ignore(Ignored::Repeated);
        }
        // What it is is told on another way, which may be slower.
        if ahead > 0 {
            return feed.keep_early(packet);
        }
        let arriving = Arriving {
            layer: packet.layer,
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            marker: packet.marker,
            is_repair: packet.is_again,
            extensions: &packet.extensions,
            payload: &packet.payload,
            bytes: RTP_HEADER_BYTES + packet.extensions.len() + packet.payload.len(),
        };
        let arrived = track.arrive(now, &arriving, &self.counters);
        let missing = track.layers[usize::from(packet.layer)].receiver.due();
        self.carrying.note(key, missing);
        let Some(arrived) = arrived else { return };
        if !arrived.stands_alone {
            track.fresh.push(arrived);
            if track.fresh.len() == 1 {
                self.fresh.push(track_key);
            }
        } else if packet.marker {
            // A whole picture, for those who have none.
            for (viewer, _) in &track.viewers {
                self.agenda.note(*viewer, Some(now));
            }
            self.branches_due(now, key);
        }
    }

    fn fed_stream(&mut self, now: Instant, key: usize, carried: CarriedStream) {
        let before = self.fed_tracks(key);
        let Some(feed) = self.streams.get_mut(key).and_then(|stream| stream.feed.as_mut()) else { return };
        let is_first = feed.heard(carried.path, carried.viewers, carried.is_recorded);
        let mut there = Vec::new();
        let mut has_more = false;
        for track in carried.tracks.into_iter().take(TRACKS_MAX) {
            let known = before.iter().find(|(_, number)| *number == track.number).map(|(key, _)| *key);
            let is_same = |key: &TrackKey| self.tracks.get(*key).is_some_and(|known| is_same(known, &track));
            if let Some(known) = known.filter(is_same) {
                there.push(track.number);
                self.update(now, known, track);
                continue;
            }
            if let Some(other) = known {
                self.remove_fed(key, other);
            }
            there.push(track.number);
            has_more |= self.add_fed(key, track);
        }
        for (track, number) in before {
            let Some(feed) = self.streams.get_mut(key).and_then(|stream| stream.feed.as_mut()) else {
                return;
            };
            if there.contains(&number) {
                feed.found(number);
            } else if feed.misses(now, number, is_first) {
                self.remove_fed(key, track);
            } else if let Some(missed) = self.tracks.get_mut(track) {
                // Whoever watches it is shown something else soon, if there is something.
                let told = missed.layers.iter_mut().filter_map(|layer| layer.told.as_mut());
                told.for_each(|told| told.is_active = false);
            }
        }
        self.bind_all(now, key);
        if has_more {
            self.offer_all(now, key);
        }
        if let Some(stream) = self.streams.get_mut(key)
            && let Some(feed) = &mut stream.feed
        {
            for packet in feed.take_early() {
                self.fed_packet(now, key, packet);
            }
        }
        self.changed(key);
        self.wants_changed(now, key);
        self.branches_due(now, key);
        self.answer_waiting(now, key, true);
    }

    fn add_fed(&mut self, key: usize, carried: CarriedTrack) -> bool {
        let is_taken = self.track_of(key, carried.number).is_some();
        let Some(codec) = Codec::parse(carried.codec.name()).filter(|_| !is_taken) else { return false };
        let clock_hz = carried.codec.clock_hz();
        let count = carried.layers.len();
        if count == 0 || count > LAYERS_MAX {
            return false;
        }
        let layers = carried.layers.into_iter().map(|told| {
            let is_video = carried.kind == Kind::Video;
            let mut layer = Layer::new(self.next_source(), told.rid.clone(), clock_hz, is_video);
            layer.receiver = Receiver::of_pipe(clock_hz, is_video);
            layer.life = told.life;
            tell(&mut layer, told);
            layer
        });
        let mut track = Track {
            stream: key,
            origin: Origin::Feed,
            number: carried.number,
            publisher: carried.publisher,
            layers: layers.collect(),
            user: carried.user,
            mid: carried.mid,
            kind: carried.kind,
            codec,
            sent: carried.codec,
            is_other: false,
            is_news: true,
            clock_hz,
            muted: carried.muted,
            order: (0..count as u8).collect(),
            viewers: Vec::new(),
            fresh: Vec::new(),
        };
        track.put_in_order();
        let track = self.tracks.insert(track);
        self.counters.tracks(self.tracks.len());
        self.streams[key].tracks.push(track);
        true
    }

    fn update(&mut self, now: Instant, key: TrackKey, carried: CarriedTrack) {
        let Some(track) = self.tracks.get(key) else { return };
        if track.muted != carried.muted {
            self.mute_track(now, key, carried.muted);
        }
        let Some(track) = self.tracks.get_mut(key) else { return };
        let (clock_hz, asks) = (carried.codec.clock_hz(), track.is_video());
        if track.sent != carried.codec
            && let Some(codec) = Codec::parse(carried.codec.name())
        {
            track.recode(codec, carried.codec);
            track.clock_hz = clock_hz;
            track.layers.iter_mut().for_each(|layer| layer.receiver = Receiver::of_pipe(clock_hz, asks));
        }
        (track.user, track.mid) = (carried.user, carried.mid);
        for (index, told) in carried.layers.into_iter().enumerate() {
            if track.layers[index].life != told.life {
                track.restart(index);
                track.layers[index].receiver = Receiver::of_pipe(clock_hz, asks);
                track.layers[index].life = told.life;
                track.is_news = true;
            }
            tell(&mut track.layers[index], told);
        }
        track.put_in_order();
    }

    fn remove_fed(&mut self, key: usize, track: TrackKey) {
        let number = self.tracks.get(track).map(|track| track.number);
        let feed = self.streams.get_mut(key).and_then(|stream| stream.feed.as_mut());
        if let (Some(feed), Some(number)) = (feed, number) {
            feed.forget(number);
        }
        self.remove_track(track);
        self.orphaned.push(key);
        self.changed(key);
    }

    fn fed_track(&self, key: usize, number: u16) -> Option<TrackKey> {
        let fits = |track: &Track| track.number == number && track.origin == Origin::Feed;
        let tracks = &self.streams.get(key)?.tracks;
        tracks.iter().copied().find(|key| self.tracks.get(*key).is_some_and(fits))
    }

    fn fed_tracks(&self, key: usize) -> Vec<(TrackKey, u16)> {
        let Some(stream) = self.streams.get(key) else { return Vec::new() };
        let fed = stream.tracks.iter().filter_map(|key| Some((*key, self.tracks.get(*key)?)));
        fed.filter(|(_, track)| track.origin == Origin::Feed)
            .map(|(key, track)| (key, track.number))
            .collect()
    }

    /// What is wanted of the stream may be something else.
    pub(super) fn wants_changed(&mut self, now: Instant, key: usize) {
        let Some(feed) = self.streams.get_mut(key).and_then(|stream| stream.feed.as_mut()) else { return };
        feed.look_at_wants(now);
        self.carrying.note(key, Some(now));
    }

    /// Does what is due for the feed of a stream.
    pub(super) fn look_after_feed(&mut self, now: Instant, key: usize) {
        self.answer_waiting(now, key, false);
        let Some(feed) = self.streams.get_mut(key).and_then(|stream| stream.feed.as_mut()) else { return };
        if feed.is_given_up(now) {
            self.end_feed(key);
            return self.sweep(key);
        }
        for number in feed.take_missed(now) {
            if let Some(track) = self.fed_track(key, number) {
                self.remove_fed(key, track);
            }
        }
        let Some(stream) = self.streams.get(key) else { return };
        let is_watched = stream.is_watched();
        let is_due = stream.feed.as_ref().is_some_and(|feed| feed.is_heard() && feed.wants_are_due(now));
        let wanted = is_due.then(|| self.wanted(now, stream));
        let audience = self.audience(stream);
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Some(feed) = &mut stream.feed else { return };
        if let Some(pipe) = feed.pipe_id().filter(|_| feed.is_unwatched(now, is_watched)) {
            let news = FeedNews::Unwatched(pipe);
            self.effects.push_back(Effect::Feed { stream: stream.name.clone(), news });
        }
        if !feed.is_heard() {
            return;
        }
        let mut is_taken = true;
        if let Some(wanted) = wanted {
            let Wants { told, dropped } = feed.want(now, &wanted);
            is_taken &= told.is_none_or(|told| feed.put(Up::Want(told)));
            for (number, layer) in dropped {
                let track = stream.tracks.iter().find(|key| {
                    self.tracks.get(**key).is_some_and(|t| t.number == number && t.origin == Origin::Feed)
                });
                if let Some(track) = track.and_then(|key| self.tracks.get_mut(*key)) {
                    track.come_no_more(usize::from(layer));
                }
            }
        }
        is_taken &= feed.audience(now, audience).is_none_or(|word| feed.put(word));
        let mut missed = Vec::new();
        for key in &stream.tracks {
            let Some(track) = self.tracks.get_mut(*key).filter(|track| track.origin == Origin::Feed) else {
                continue;
            };
            for index in 0..track.layers.len() {
                let can_ask = feed.can_ask(track, index as u8);
                let layer = &mut track.layers[index];
                missed.clear();
                if layer.receiver.nacks(now, &mut missed) && can_ask {
                    layer.keyframe.want();
                }
                let (number, index) = (track.number, index as u8);
                self.counters.nacks_sent(missed.len());
                for sequences in missed.chunks(AGAIN_MAX) {
                    let sequences = sequences.to_vec();
                    is_taken &= feed.put(Up::Again { track: number, layer: index, sequences });
                }
                if can_ask && layer.keyframe.ask(now) {
                    self.counters.keyframe_asked();
                    is_taken &= feed.put(Up::Keyframe { track: number, layer: index });
                }
            }
        }
        if !is_taken {
            self.feed_lost(now, key, Some(FeedNews::Blocked));
        }
    }

    /// Which layers somebody here or further down is shown or waits for.
    fn wanted(&self, now: Instant, stream: &Stream) -> Vec<(u16, u8)> {
        let mut wanted = Vec::new();
        for track in stream.tracks.iter().filter_map(|key| self.tracks.get(*key)) {
            if track.origin != Origin::Feed {
                continue;
            }
            let mut layers = 0;
            for (viewer, index) in &track.viewers {
                let Some(Role::Viewer(viewer)) = self.peers.get(*viewer).map(|peer| &peer.role) else {
                    continue;
                };
                let Some(forwarder) = viewer.forwarders.get(*index) else { continue };
                // Of what there is only one of it is known before the viewer's path is secured.
                let is_joining = !viewer.is_ready && track.layers.len() == 1;
                layers |= forwarder.layers(track) | u8::from(is_joining);
            }
            for branch in &stream.branches {
                layers |= branch.wanted(track.number);
            }
            if stream.tap.is_some()
                && let Some(best) = best_layer(now, track)
            {
                layers |= 1_u8.checked_shl(u32::from(best)).unwrap_or(0);
            }
            layers &= u8::MAX >> (LAYERS_MAX - track.layers.len().clamp(1, LAYERS_MAX));
            if layers != 0 {
                wanted.push((track.number, layers));
            }
        }
        wanted
    }
}

impl Track {
    /// Nobody wants that layer, so it does not come here any more. What was here of it will be old when it comes again.
    fn come_no_more(&mut self, index: usize) {
        let (clock_hz, asks) = (self.clock_hz, self.is_video());
        self.restart(index);
        let Some(layer) = self.layers.get_mut(index) else { return };
        layer.receiver = Receiver::of_pipe(clock_hz, asks);
        layer.latest = None;
        layer.keyframe.came();
    }
}

fn is_same(known: &Track, carried: &CarriedTrack) -> bool {
    let rids = |track: &CarriedTrack| track.layers.iter().map(|layer| layer.rid.clone()).collect::<Vec<_>>();
    known.publisher == carried.publisher
        && known.kind == carried.kind
        && known.layers.iter().map(|layer| layer.rid.clone()).eq(rids(carried))
}

fn tell(layer: &mut Layer, told: CarriedLayer) {
    let mut rungs = told.rungs;
    rungs.truncate(RUNGS_MAX);
    layer.size = told.size;
    layer.told = Some(Told { is_active: told.is_active, rungs });
}
