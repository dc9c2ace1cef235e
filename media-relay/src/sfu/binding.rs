//! Which of a viewer's tracks shows which of what is published. A publisher that goes leaves its viewers' tracks empty, and
//! one that comes fills them again, so that a viewer stays as it is when a publisher is reloaded.

use std::time::Instant;

use super::Sfu;
use super::peer::Role;
use super::track::TrackKey;

impl Sfu {
    /// Fills the empty tracks of a stream's viewers with what is published.
    pub(super) fn bind_all(&mut self, now: Instant, stream: usize) {
        let Some(found) = self.streams.get(stream) else { return };
        for viewer in found.viewers.clone() {
            self.bind(now, viewer);
        }
    }

    /// Fills the empty tracks of a viewer.
    pub(super) fn bind(&mut self, now: Instant, key: usize) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let Role::Viewer(viewer) = &mut peer.role else { return };
        let Some(stream) = self.streams.get(peer.stream) else { return };
        for index in 0..viewer.forwarders.len() {
            if viewer.forwarders[index].track.is_some() {
                continue;
            }
            let forwarder = &viewer.forwarders[index];
            let free = stream.tracks.iter().copied().find(|track| {
                let is_shown = viewer.forwarders.iter().any(|forwarder| forwarder.track == Some(*track));
                !is_shown && self.tracks.get(*track).is_some_and(|track| forwarder.can_show(&track.sent))
            });
            let Some(track) = free else { continue };
            viewer.forwarders[index].bind(track, &self.tracks[track].sent);
            self.tracks[track].viewers.push((key, index));
            viewer.hurry(now);
            self.agenda.note(key, Some(now));
        }
    }

    /// A track is published no more.
    pub(super) fn remove_track(&mut self, key: TrackKey) {
        let Some(track) = self.tracks.try_remove(key) else { return };
        self.fresh.retain(|fresh| *fresh != key);
        for (viewer, index) in track.viewers {
            let viewer = self.peers.get_mut(viewer).and_then(super::peer::Peer::viewer);
            if let Some(forwarder) = viewer.and_then(|viewer| viewer.forwarders.get_mut(index)) {
                forwarder.unbind();
            }
        }
        if let Some(stream) = self.streams.get_mut(track.stream) {
            stream.tracks.retain(|known| *known != key);
        }
    }
}
