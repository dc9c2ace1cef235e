//! What the sessions of a stream are told about it.

use std::time::Instant;

use turnpike_wire::media::{Mid, Phase, StreamState, Track as TrackState, TrackLayer};

use super::peer::Role;
use super::track::Track;
use super::{Effect, Sfu};
use crate::Notice;

impl Sfu {
    /// Tells the sessions of every stream in which something has changed.
    pub(super) fn tell_news(&mut self, now: Instant) {
        let news = std::mem::take(&mut self.news);
        for stream in news {
            let Some(found) = self.streams.get_mut(stream) else { continue };
            if found.tells(now) {
                self.tell(now, stream);
            } else if found.due().is_some() {
                self.news.push(stream);
            }
        }
    }

    fn tell(&mut self, now: Instant, key: usize) {
        let stream = &self.streams[key];
        let phase = if self.is_live(stream) { Phase::Live } else { Phase::Paused };
        let (viewers, audience) = (self.viewers_of_all(stream), self.audience(stream).1);
        for key in stream.publishers.iter().chain(&stream.viewers) {
            let Some(peer) = self.peers.get(*key) else { continue };
            let state = |track: &Track| TrackState {
                mid: None,
                kind: track.kind,
                user: track.user.clone(),
                muted: track.muted,
                layers: layers(now, track),
                current: None,
            };
            let tracks = stream.tracks.iter().filter_map(|key| {
                let track = self.tracks.get(*key)?;
                let state = state(track);
                Some(match &peer.role {
                    Role::Publisher(publisher) => {
                        let is_own = publisher.tracks.contains(key);
                        TrackState { mid: is_own.then(|| Mid::parse(&track.mid).ok()).flatten(), ..state }
                    }
                    Role::Viewer(viewer) => {
                        let own = viewer.forwarders.iter().find(|forwarder| forwarder.track == Some(*key));
                        let current =
                            own.and_then(|own| track.layers.get(usize::from(own.current()?))?.rid.clone());
                        TrackState { mid: own.and_then(|own| Mid::parse(&own.mid).ok()), current, ..state }
                    }
                })
            });
            let state = StreamState {
                phase,
                tracks: tracks.collect(),
                viewers,
                audience: peer.is_publisher().then(|| audience.clone()),
                speaker: None,
                recording: stream.tap.is_some(),
                code: None,
                ends_in_ms: None,
            };
            self.effects.push_back(Effect::Notice { session: peer.session, notice: Notice::State(state) });
        }
    }
}

fn layers(now: Instant, track: &Track) -> Vec<TrackLayer> {
    let named = track.layers.iter().filter_map(|layer| Some((layer, layer.rid.clone()?)));
    named
        .map(|(layer, rid)| TrackLayer {
            rid,
            active: layer.is_active(now),
            bitrate: layer.bits_per_second(),
            width: layer.size.map_or(0, |(width, _)| u32::from(width)),
            height: layer.size.map_or(0, |(_, height)| u32::from(height)),
        })
        .collect()
}
