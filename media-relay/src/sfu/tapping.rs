//! From a track to whoever records its stream: of several layers the best that flows.

use std::time::Instant;

use super::Sfu;
use super::track::{Track, TrackKey};
use crate::record::{Fed, Piece};

impl Sfu {
    /// Gives what came of a track in this round to the stream's recorder, if there is one.
    pub(super) fn record(&mut self, now: Instant, key: TrackKey) {
        let Some(track) = self.tracks.get(key) else { return };
        let Some(stream) = self.streams.get_mut(track.stream) else { return };
        let Some(tap) = &stream.tap else { return };
        if tap.is_over() {
            stream.tap = None;
            self.changed(track.stream);
            return;
        }
        // What nobody is to hear or see now is not kept either.
        let Some(index) = best_layer(now, track).filter(|_| !track.muted) else { return };
        let layer = &track.layers[usize::from(index)];
        for fresh in track.fresh.iter().filter(|fresh| fresh.layer == index) {
            let Some(cached) = layer.cache.get(fresh.seq) else { continue };
            tap.feed(Fed {
                track: key,
                source: layer.source.0,
                publisher: track.publisher as usize,
                tracks: stream.tracks.len(),
                clock_hz: track.clock_hz,
                clock: layer.clock.map(|(clock, _)| clock),
                seq: cached.seq,
                arrived: cached.arrived,
                piece: Piece {
                    codec: track.codec,
                    timestamp: cached.timestamp,
                    marker: cached.marker,
                    payload: cached.payload.clone(),
                },
            });
        }
        if tap.takes_wish(key) {
            self.want_keyframe(now, key, index);
        }
    }
}

pub(super) fn best_layer(now: Instant, track: &Track) -> Option<u8> {
    let is_active =
        |index: &u8| track.layers.get(usize::from(*index)).is_some_and(|layer| layer.is_active(now));
    track.order.iter().rev().copied().find(is_active)
}
