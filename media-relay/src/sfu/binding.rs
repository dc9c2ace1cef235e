//! Which of a viewer's tracks shows which of what is published. A publisher that goes leaves its viewers' tracks empty, and
//! one that comes fills them again, so that a viewer stays as it is when a publisher is reloaded.

use std::time::Instant;

use super::Sfu;
use super::peer::Role;
use super::track::{Track, TrackKey};

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
            let forwarder = &viewer.forwarders[index];
            let shown = forwarder.track.and_then(|track| self.tracks.get(track));
            // What has fallen silent gives way to what is alive, as when a page was reloaded and its old session has not
            // been missed yet.
            if shown.is_some_and(|track| !track.is_dead(now)) {
                continue;
            }
            let is_first = shown.is_none();
            let fits = |track: &TrackKey| {
                let is_shown = viewer.forwarders.iter().any(|forwarder| forwarder.track == Some(*track));
                let fits =
                    |track: &Track| forwarder.can_show(&track.sent) && (is_first || track.is_alive(now));
                !is_shown && self.tracks.get(*track).is_some_and(fits)
            };
            let all = || stream.tracks.iter().copied().filter(fits);
            let is_dead = |track: &TrackKey| self.tracks.get(*track).is_some_and(|track| track.is_dead(now));
            let Some(track) = all().find(|track| !is_dead(track)).or_else(|| all().next()) else { continue };
            if let Some(old) = forwarder.track.and_then(|track| self.tracks.get_mut(track)) {
                old.viewers.retain(|viewer| *viewer != (key, index));
            }
            viewer.forwarders[index].bind(track, &self.tracks[track].sent);
            self.tracks[track].viewers.push((key, index));
            viewer.hurry(now);
            self.agenda.note(key, Some(now));
        }
        let stream = peer.stream;
        self.wants_changed(now, stream);
    }

    /// A track comes in another codec: its viewers get it as that, those who can.
    pub(super) fn rebind(&mut self, key: TrackKey) {
        let Some(track) = self.tracks.get_mut(key) else { return };
        let (sent, peers) = (track.sent, &mut self.peers);
        track.viewers.retain(|(viewer, index)| {
            let viewer = peers.get_mut(*viewer).and_then(super::peer::Peer::viewer);
            let forwarder = viewer.and_then(|viewer| viewer.forwarders.get_mut(*index));
            forwarder.is_some_and(|forwarder| {
                forwarder.bind(key, &sent);
                forwarder.track.is_some()
            })
        });
    }

    /// A track is published no more.
    pub(super) fn remove_track(&mut self, key: TrackKey) {
        let Some(track) = self.tracks.try_remove(key) else { return };
        self.counters.tracks(self.tracks.len());
        self.fresh.retain(|fresh| *fresh != key);
        for (viewer, index) in track.viewers {
            let viewer = self.peers.get_mut(viewer).and_then(super::peer::Peer::viewer);
            if let Some(forwarder) = viewer.and_then(|viewer| viewer.forwarders.get_mut(index)) {
                forwarder.unbind();
            }
        }
        if let Some(stream) = self.streams.get_mut(track.stream) {
            stream.tracks.retain(|known| *known != key);
            stream.is_urgent = true;
        }
    }
}
