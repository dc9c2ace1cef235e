//! What is asked of sessions that are there.

use std::time::Instant;

use turnpike_sdp::{Available, AvailableTrack, Fragment, answer_publisher};
use turnpike_transport::Credentials;
use turnpike_wire::media::{LayerWish, MediaSession, Mute, Quality};
use turnpike_wire::{Code, Failure};

use super::open::rules;
use super::{Fresh, described, refused, remote, role};
use crate::sfu::forwarder::wanted_of;
use crate::sfu::peer::{Peer, Role};
use crate::sfu::track::Origin;
use crate::sfu::{Effect, Sfu};
use crate::{Most, Notice, Told};

/// ICE sessions of one peer whose first datagrams may still come.
const UFRAGS_MAX: usize = 4;

impl Sfu {
    /// The answer to our offer.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        session: MediaSession,
        sdp: &str,
    ) -> Result<Told, Failure> {
        let key = self.find(session)?;
        let no_offer = || Failure::new(Code::BadRequest, "no offer waits for an answer".to_owned());
        let peer = &mut self.peers[key];
        let viewer = peer.viewer().ok_or_else(no_offer)?;
        let (offer, _) = viewer.offered.as_ref().ok_or_else(no_offer)?;
        let watched = offer.answered(sdp).map_err(|error| refused(&error))?;
        let is_first = viewer.watched.is_none();
        if is_first {
            let (their, dtls) = (remote(&watched.peer)?, role(watched.peer.role));
            peer.transport.set_remote(their, dtls, now);
        }
        let candidates = watched.peer.candidates.clone();
        self.take_candidates(key, &candidates);
        self.agree(now, key, watched);
        self.touched.push(key);
        // What has come since the offer was made. What was offered and refused is not offered again.
        let available = self.available(now, self.peers[key].stream, Most::All);
        let is_known = |track: &AvailableTrack| {
            let Role::Viewer(viewer) = &self.peers[key].role else { return true };
            viewer.offered_tracks.contains(&track.key)
        };
        if !available.tracks.iter().all(is_known) {
            self.offer(now, key, &available);
        }
        Ok(Told::Done)
    }

    /// Another offer of the peer's.
    pub(super) fn renegotiate(
        &mut self,
        now: Instant,
        session: MediaSession,
        sdp: &str,
        fresh: Fresh,
    ) -> Result<Told, Failure> {
        let key = self.find(session)?;
        let (stream, most) = (self.peers[key].stream, self.peers[key].most);
        let available = self.available(now, stream, most);
        let peer = &mut self.peers[key];
        // Whether ICE begins anew shows in the offer, whose answer has to bear our new credentials then.
        let offered = turnpike_sdp::Description::parse(sdp).map_err(|error| refused(&error))?;
        let theirs = offered.media.iter().find_map(|media| media.credentials.clone());
        let restarts = theirs.is_some_and(|theirs| peer.theirs.as_deref() != Some(theirs.ufrag()));
        let mut local = peer.local.clone();
        if restarts {
            local.credentials = described(&fresh.credentials);
        }
        let (text, their, candidates) = match &peer.role {
            Role::Publisher(_) => {
                let (text, published) =
                    answer_publisher(sdp, &local, &rules(most)).map_err(|error| refused(&error))?;
                let their = remote(&published.peer)?;
                let candidates = published.peer.candidates.clone();
                self.republish(key, &published);
                (text, their, candidates)
            }
            Role::Viewer(viewer) => {
                let chance = &mut peer.chance;
                let before = viewer.watched.as_ref();
                let before = before.ok_or_else(|| {
                    Failure::new(Code::BadRequest, "our offer waits for its answer".to_owned())
                })?;
                let (text, watched) = before
                    .answer(sdp, &local, &available, &rules(most), &mut || chance.number())
                    .map_err(|error| refused(&error))?;
                let their = remote(&watched.peer)?;
                let candidates = watched.peer.candidates.clone();
                self.agree(now, key, watched);
                (text, their, candidates)
            }
        };
        if restarts {
            self.restarted(key, fresh.credentials, their.credentials, fresh.etag);
        }
        self.take_candidates(key, &candidates);
        self.bind_all(now, stream);
        self.offer_all(now, stream);
        self.changed(stream);
        Ok(Told::Sdp(text))
    }

    fn republish(&mut self, key: usize, published: &turnpike_sdp::Published) {
        let known: Vec<(usize, String)> = match &self.peers[key].role {
            Role::Publisher(publisher) => publisher
                .tracks
                .iter()
                .filter_map(|track| Some((*track, self.tracks.get(*track)?.mid.clone())))
                .collect(),
            Role::Viewer(_) => return,
        };
        for (track, mid) in &known {
            if !published.tracks.iter().any(|published| published.mid.as_str() == mid) {
                if let Some(publisher) = self.peers[key].publisher() {
                    publisher.forget(*track);
                }
                self.remove_track(*track);
            }
        }
        for track in &published.tracks {
            if !known.iter().any(|(_, mid)| mid == track.mid.as_str()) {
                self.add_track(key, track);
            }
        }
        self.peers[key].sections =
            published.tracks.iter().map(|track| (track.kind, track.mid.clone())).collect();
    }

    pub(super) fn trickle(&mut self, session: MediaSession, fragment: &str) -> Result<Told, Failure> {
        let key = self.find(session)?;
        let fragment = Fragment::parse(fragment).map_err(|error| refused(&error))?;
        let candidates: Vec<_> = fragment.candidates().cloned().collect();
        self.take_candidates(key, &candidates);
        Ok(Told::Done)
    }

    pub(super) fn restart(
        &mut self,
        now: Instant,
        session: MediaSession,
        fragment: &str,
        fresh: Fresh,
    ) -> Result<Told, Failure> {
        let key = self.find(session)?;
        let fragment = Fragment::parse(fragment).map_err(|error| refused(&error))?;
        let theirs = Credentials::new(fragment.credentials.ufrag(), fragment.credentials.pwd())
            .map_err(|_| Failure::new(Code::BadSdp, "the ICE credentials cannot be used".to_owned()))?;
        let candidates: Vec<_> = fragment.candidates().cloned().collect();
        let etag = fresh.etag;
        self.restarted(key, fresh.credentials, theirs, etag);
        self.take_candidates(key, &candidates);
        self.touched.push(key);
        self.agenda.note(key, Some(now));
        let peer = &self.peers[key];
        let sections = peer.sections.iter().cloned();
        let local = &peer.local;
        let answer = Fragment::of_restart(
            local.credentials.clone(),
            local.candidates.clone(),
            local.ice_lite,
            sections,
        );
        Ok(Told::Fragment { fragment: answer.to_string(), etag })
    }

    fn restarted(&mut self, key: usize, ours: Credentials, theirs: Credentials, etag: u64) {
        let peer = &mut self.peers[key];
        let ufrag: Box<str> = ours.ufrag().into();
        peer.local.credentials = described(&ours);
        peer.theirs = Some(theirs.ufrag().into());
        peer.etag = etag;
        peer.ufrags.push(ufrag.clone());
        self.by_ufrag.insert(ufrag, key);
        // A peer that restarts again and again is only known by the latest.
        if peer.ufrags.len() > UFRAGS_MAX {
            let oldest = peer.ufrags.remove(0);
            self.by_ufrag.remove(&oldest);
        }
        peer.transport.restart(ours, Some(theirs));
    }

    /// Which picture a viewer wants.
    pub(super) fn layer(
        &mut self,
        now: Instant,
        session: MediaSession,
        wish: &LayerWish,
    ) -> Result<Told, Failure> {
        let key = self.find(session)?;
        let no_such = |what: &str| Failure::new(Code::BadRequest, format!("there is no {what} of that name"));
        let Peer { role: Role::Viewer(viewer), .. } = &mut self.peers[key] else {
            return Err(Failure::new(Code::BadRequest, "only who watches chooses layers".to_owned()));
        };
        let mut is_found = false;
        for forwarder in &mut viewer.forwarders {
            let is_meant = wish.mid.as_ref().is_none_or(|mid| mid.as_str() == forwarder.mid);
            if !is_meant || (wish.mid.is_none() && !forwarder.is_video) {
                continue;
            }
            is_found = true;
            let track = forwarder.track.and_then(|track| self.tracks.get(track));
            let layers = track.map_or(1, |track| track.layers.len().max(1)) as u8;
            let by_rid = match (&wish.rid, track) {
                (Some(rid), Some(track)) => {
                    Some(track.rank_of(rid.as_str()).ok_or_else(|| no_such("layer"))?)
                }
                _ => None,
            };
            let by_quality = match wish.quality {
                Some(Quality::Low) => Some(0),
                Some(Quality::Medium) => Some((layers - 1) / 2),
                Some(Quality::High | Quality::Auto | Quality::Off) | None => None,
            };
            let spatial = by_rid.or(wish.spatial).or(by_quality);
            let is_hidden = wish.quality == Some(Quality::Off);
            forwarder.want(wanted_of(spatial, wish.temporal, wish.height, is_hidden), wish.rid.clone());
        }
        if !is_found {
            return Err(no_such("track"));
        }
        viewer.hurry(now);
        self.agenda.note(key, Some(now));
        Ok(Told::Done)
    }

    pub(super) fn mute(&mut self, now: Instant, session: MediaSession, mute: &Mute) -> Result<Told, Failure> {
        let key = self.find(session)?;
        let peer = &mut self.peers[key];
        let is_kind = |is_video: bool| {
            mute.kind.is_none_or(|kind| (kind == turnpike_wire::media::Kind::Video) == is_video)
        };
        let mut is_found = false;
        let mut muted: Vec<usize> = Vec::new();
        match &mut peer.role {
            Role::Publisher(publisher) => {
                for key in &publisher.tracks {
                    let Some(track) = self.tracks.get(*key) else { continue };
                    if is_kind(track.is_video())
                        && mute.mid.as_ref().is_none_or(|mid| mid.as_str() == track.mid)
                    {
                        is_found = true;
                        muted.push(*key);
                    }
                }
            }
            Role::Viewer(viewer) => {
                for forwarder in &mut viewer.forwarders {
                    let is_meant = mute.mid.as_ref().is_none_or(|mid| mid.as_str() == forwarder.mid);
                    if is_kind(forwarder.is_video) && is_meant {
                        is_found = true;
                        forwarder.mute(mute.muted);
                    }
                }
                viewer.hurry(now);
            }
        }
        if !is_found {
            return Err(Failure::new(Code::BadRequest, "there is no track of that name".to_owned()));
        }
        for track in muted {
            self.mute_track(now, track, mute.muted);
        }
        self.agenda.note(key, Some(now));
        Ok(Told::Done)
    }

    /// A track is silent or dark from now on, or is not any more.
    pub(in crate::sfu) fn mute_track(&mut self, now: Instant, key: usize, muted: bool) {
        let Some(track) = self.tracks.get_mut(key).filter(|track| track.muted != muted) else { return };
        (track.muted, track.is_news) = (muted, true);
        for layer in &mut track.layers {
            layer.mute(muted);
            if track.origin == Origin::Feed {
                // What is not shown does not come through a pipe.
                layer.receiver.leap();
            }
        }
        for (viewer, index) in &track.viewers {
            if let Some(forwarder) =
                self.peers.get_mut(*viewer).and_then(Peer::viewer).and_then(|v| v.forwarders.get_mut(*index))
            {
                forwarder.pause();
            }
            self.agenda.note(*viewer, Some(now));
        }
        let stream = track.stream;
        if let Some(stream) = self.streams.get_mut(stream) {
            stream.is_urgent = true;
        }
        self.changed(stream);
    }

    /// Offers what has come or gone to everyone who takes all.
    pub(in crate::sfu) fn offer_all(&mut self, now: Instant, stream: usize) {
        let Some(found) = self.streams.get(stream) else { return };
        let viewers = found.viewers.clone();
        let available = self.available(now, stream, Most::All);
        for key in viewers {
            self.offer(now, key, &available);
        }
    }

    fn offer(&mut self, now: Instant, key: usize, available: &Available) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let Peer { role: Role::Viewer(viewer), most: Most::All, local, chance, session, .. } = peer else {
            return;
        };
        let shows = |track: &AvailableTrack| {
            viewer.forwarders.iter().any(|forwarder| forwarder.track == Some(track.key))
        };
        // What went leaves its place empty, and costs nothing there.
        if available.tracks.iter().all(shows) {
            return;
        }
        // One whose first answer is still to come is offered the rest then.
        let Some(watched) = &viewer.watched else { return };
        let offer = watched.offer(local, available, &mut || chance.number());
        let notice = Notice::Offer(offer.text().to_owned());
        viewer.offered = Some((offer, now));
        viewer.offered_tracks = available.tracks.iter().map(|track| track.key).collect();
        self.effects.push_back(Effect::Notice { session: *session, notice });
    }
}
