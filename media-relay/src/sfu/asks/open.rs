//! Sessions that begin.

use std::time::Instant;

use turnpike_rtp::rewriter::{Seeds, Source};
use turnpike_rtp::{Codec, ExtensionKind, ExtensionMap};
use turnpike_sdp::{
    Available, AvailableTrack, Candidate, CandidateProtocol, ExtensionIds, Fingerprint, Local, Offer,
    PublishedTrack, Rules, TcpKind, Watched, Word, answer_publisher, answer_viewer,
};
use turnpike_transport::{DtlsRole, IceMode, Setup, Transport};
use turnpike_wire::media::{Kind, MediaSession, Rid};
use turnpike_wire::{Code, Failure, RoomId, UserId};

use super::{Fresh, described, refused, remote, role};
use crate::sfu::Sfu;
use crate::sfu::chance::Chance;
use crate::sfu::forwarder::Forwarder;
use crate::sfu::forwarding::CNAME;
use crate::sfu::peer::{Peer, Role};
use crate::sfu::publisher::{Payload, Publisher};
use crate::sfu::stream::Stream;
use crate::sfu::track::{Layer, Origin, Track, TrackKey};
use crate::sfu::viewer::Viewer;
use crate::{Most, Opened, Told};

/// A viewer's answer to our offer may take so long.
pub(super) const ANSWER_WITHIN: std::time::Duration = std::time::Duration::from_secs(30);
/// Whoever finds the stream not live yet may look again.
pub(in crate::sfu) const LOOK_AGAIN_MS: u64 = 2_000;
const FULL_RETRY_MS: u64 = 5_000;

impl Sfu {
    #[allow(clippy::too_many_arguments, reason = "they are the ask's own")]
    pub(super) fn publish(
        &mut self,
        now: Instant,
        session: MediaSession,
        stream: &RoomId,
        user: UserId,
        offer: &str,
        most: Most,
        fresh: Fresh,
    ) -> Result<Told, Failure> {
        self.has_room(session)?;
        let publishers = self.stream_names.get(stream).map_or(0, |key| self.streams[*key].publishers.len());
        if publishers >= self.config.limits.publishers_per_stream_max {
            return Err(Code::StreamTaken.into());
        }
        let local = self.local(&fresh);
        let (sdp, published) =
            answer_publisher(offer, &local, &rules(most)).map_err(|error| refused(&error))?;
        if published.tracks.is_empty() {
            return Err(Failure::new(Code::BadSdp, "nothing is sent in what is offered".to_owned()));
        }
        let setup = Setup {
            local: fresh.credentials.clone(),
            remote: Some(remote(&published.peer)?),
            dtls: role(published.peer.role),
            controlling: false,
        };
        let Fresh { etag, mut chance, .. } = fresh;
        let transport = Transport::new(&self.config.transport, setup, now);
        let publisher = Publisher::new(now, chance.number());
        let sections = published.tracks.iter().map(|track| (track.kind, track.mid.clone())).collect();
        let stream = self.stream(stream);
        let key = self.enter(Peer {
            session,
            stream,
            user,
            transport,
            role: Role::Publisher(Box::new(publisher)),
            ufrags: vec![local.credentials.ufrag().into()],
            local,
            chance,
            most,
            sections,
            theirs: Some(published.peer.credentials.ufrag().into()),
            etag,
            addresses: Vec::new(),
        });
        self.streams[stream].publishers.push(key);
        self.take_candidates(key, &published.peer.candidates);
        for track in &published.tracks {
            self.add_track(key, track);
        }
        self.bind_all(now, stream);
        self.offer_all(now, stream);
        self.opened(now, key);
        Ok(Told::Opened(Opened { sdp, etag, answer_within: None }))
    }

    #[allow(clippy::too_many_arguments, reason = "they are the ask's own")]
    pub(super) fn watch(
        &mut self,
        now: Instant,
        session: MediaSession,
        stream: &RoomId,
        user: UserId,
        offer: Option<&str>,
        most: Most,
        fresh: Fresh,
    ) -> Result<Told, Failure> {
        self.has_room(session)?;
        let not_live = || Failure::from(Code::NoSuchStream).retry_after_ms(LOOK_AGAIN_MS);
        let stream = *self.stream_names.get(stream).ok_or_else(not_live)?;
        let available = self.available(now, stream, most);
        if available.tracks.is_empty() {
            return Err(not_live());
        }
        let local = self.local(&fresh);
        let Fresh { credentials, etag, mut chance } = fresh;
        let is_lite = self.config.transport.ice == IceMode::Lite;
        let (sdp, setup, watched, offered) = if let Some(offer) = offer {
            let (sdp, watched) =
                answer_viewer(offer, &local, &available, &rules(most), &mut || chance.number())
                    .map_err(|error| refused(&error))?;
            let dtls = role(watched.peer.role);
            let remote = Some(remote(&watched.peer)?);
            let setup = Setup { local: credentials, remote, dtls, controlling: false };
            (sdp, setup, Some(watched), None)
        } else {
            let offer = Offer::new(&local, &available, &mut || chance.number());
            let setup =
                Setup { local: credentials, remote: None, dtls: DtlsRole::Server, controlling: !is_lite };
            (offer.text().to_owned(), setup, None, Some((offer, now)))
        };
        let transport = Transport::new(&self.config.transport, setup, now);
        let mut viewer = Viewer::new(now, chance.number() as u16, self.config.estimator);
        viewer.offered = offered;
        viewer.offered_tracks = available.tracks.iter().map(|track| track.key).collect();
        let answer_within = viewer.offered.is_some().then_some(ANSWER_WITHIN);
        let key = self.enter(Peer {
            session,
            stream,
            user,
            transport,
            role: Role::Viewer(Box::new(viewer)),
            ufrags: vec![local.credentials.ufrag().into()],
            local,
            chance,
            most,
            sections: Vec::new(),
            theirs: watched.as_ref().map(|watched| watched.peer.credentials.ufrag().into()),
            etag,
            addresses: Vec::new(),
        });
        self.streams[stream].viewers.push(key);
        if let Some(watched) = watched {
            self.take_candidates(key, &watched.peer.candidates);
            self.agree(now, key, watched);
        }
        self.opened(now, key);
        Ok(Told::Opened(Opened { sdp, etag, answer_within }))
    }

    /// What was agreed with a viewer becomes its tracks: those that it has keep what they show.
    pub(super) fn agree(&mut self, now: Instant, key: usize, watched: Watched) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.sections = watched.tracks().map(|track| (track.kind, track.mid.clone())).collect();
        let Peer { role: Role::Viewer(viewer), chance, .. } = peer else { return };
        viewer.extensions = extension_map(watched.tracks().map(|track| &track.extensions));
        // What is not in the description any more is sent no more.
        for (index, forwarder) in viewer.forwarders.iter_mut().enumerate() {
            if watched.tracks().any(|track| track.mid.as_str() == forwarder.mid) {
                continue;
            }
            if let Some(shown) = forwarder.track.and_then(|shown| self.tracks.get_mut(shown)) {
                shown.viewers.retain(|viewer| *viewer != (key, index));
            }
            forwarder.close();
        }
        let mut wanted: Vec<(usize, TrackKey)> = Vec::new();
        // Most have one or two for as long as they stay.
        viewer.forwarders.reserve_exact(watched.tracks().count().saturating_sub(viewer.forwarders.len()));
        for track in watched.tracks() {
            let known = viewer.forwarders.iter().position(|forwarder| forwarder.mid == track.mid.as_str());
            let index = match known {
                Some(index) if viewer.forwarders[index].ssrc == track.ssrc => index,
                // Another description gave the section another source.
                Some(index) => {
                    let old = std::mem::replace(
                        &mut viewer.forwarders[index],
                        Forwarder::new(track, &seeds(chance)),
                    );
                    if let Some(shown) = old.track.and_then(|shown| self.tracks.get_mut(shown)) {
                        shown.viewers.retain(|viewer| *viewer != (key, index));
                    }
                    index
                }
                None => {
                    let forwarder = Forwarder::new(track, &seeds(chance));
                    // A place whose section is gone, else there would be more with every offer.
                    let free = viewer.forwarders.iter().position(|forwarder| {
                        !watched.tracks().any(|track| track.mid.as_str() == forwarder.mid)
                    });
                    if let Some(index) = free {
                        viewer.forwarders[index] = forwarder;
                        index
                    } else {
                        viewer.forwarders.push(forwarder);
                        viewer.forwarders.len() - 1
                    }
                }
            };
            if let Some(shown) = track.key {
                wanted.push((index, shown));
            }
        }
        viewer.watched = Some(watched);
        viewer.offered = None;
        for (index, shown) in wanted {
            let viewer = self.peers.get_mut(key).and_then(Peer::viewer);
            let Some(forwarder) = viewer.and_then(|viewer| viewer.forwarders.get_mut(index)) else {
                continue;
            };
            if forwarder.track.is_some() {
                continue;
            }
            if let Some(track) = self.tracks.get_mut(shown).filter(|track| forwarder.can_show(&track.sent)) {
                forwarder.bind(shown, &track.sent);
                track.viewers.push((key, index));
            }
        }
        if let Some(viewer) = self.peers.get_mut(key).and_then(Peer::viewer) {
            viewer.hurry(now);
        }
        self.bind(now, key);
    }

    /// What of a stream somebody is shown.
    pub(super) fn available(&self, now: Instant, stream: usize, most: Most) -> Available {
        let word = |text: &str| Word::parse(text).expect("it is made of letters and digits");
        let mut tracks = Vec::new();
        let (mut audio, mut video) = (0, 0);
        // What has fallen silent comes last.
        let mut keys = self.streams[stream].tracks.clone();
        keys.sort_by_key(|key| self.tracks.get(*key).is_none_or(|track| track.is_dead(now)));
        for key in &keys {
            let Some(track) = self.tracks.get(*key) else { continue };
            let count = if track.is_video() { &mut video } else { &mut audio };
            *count += 1;
            if (most == Most::OneOfEach && *count > 1)
                || tracks.len() >= self.config.limits.tracks_per_viewer_max
            {
                continue;
            }
            tracks.push(AvailableTrack { key: *key, id: word(&format!("track-{key}")), codec: track.sent });
        }
        let cname = std::str::from_utf8(CNAME).expect("it is letters");
        Available { stream: word("turnpike"), cname: word(cname), tracks }
    }

    /// A publisher's section becomes a track.
    pub(super) fn add_track(&mut self, key: usize, published: &PublishedTrack) {
        let Some(agreed) = published.codecs.first() else { return };
        let Some(codec) = Codec::parse(agreed.codec.name()) else { return };
        let Some(peer) = self.peers.get_mut(key) else { return };
        let (stream, user) = (peer.stream, peer.user.clone());
        // Not the same again after a publisher has come back elsewhere.
        let mut number = peer.chance.number() as u16;
        let Role::Publisher(publisher) = &peer.role else { return };
        let publisher = publisher.own_ssrc;
        let is_taken = |number| {
            let all = self.streams.get(stream).map(|stream| &stream.tracks);
            all.into_iter().flatten().any(|key| self.tracks.get(*key).is_some_and(|t| t.number == number))
        };
        while is_taken(number) {
            number = number.wrapping_add(1);
        }
        let kind = if published.kind == turnpike_sdp::Kind::Video { Kind::Video } else { Kind::Audio };
        let clock_hz = agreed.codec.clock_hz();
        let named = published.layers.iter().map(|layer| Rid::parse(layer.rid.as_str()).ok());
        let mut rids: Vec<Option<Rid>> = named.collect();
        if rids.is_empty() {
            rids = vec![None; published.sources.len().max(1)];
        }
        let layers: Vec<Layer> = rids
            .into_iter()
            .map(|rid| Layer::new(self.next_source(), rid, clock_hz, kind == Kind::Video))
            .collect();
        let order = (0..layers.len() as u8).collect();
        let track = self.tracks.insert(Track {
            stream,
            origin: Origin::Peer(key),
            number,
            publisher,
            user,
            mid: published.mid.as_str().to_owned(),
            kind,
            codec,
            sent: agreed.codec,
            is_other: false,
            is_news: true,
            clock_hz,
            muted: false,
            layers,
            order,
            viewers: Vec::new(),
            fresh: Vec::new(),
        });
        self.streams[stream].tracks.push(track);
        let Some(publisher) = self.peers.get_mut(key).and_then(Peer::publisher) else { return };
        publisher.tracks.push(track);
        publisher.know(extension_map([&published.extensions]));
        for agreed in &published.codecs {
            let Some(codec) = Codec::parse(agreed.codec.name()) else { continue };
            publisher.payloads.push(Payload {
                number: agreed.payload_type,
                repair: agreed.rtx,
                track,
                codec,
                sent: agreed.codec,
            });
        }
        if published.layers.is_empty() {
            for (layer, source) in published.sources.iter().enumerate() {
                publisher.announce(source.ssrc, track, layer as u8, false);
                if let Some(rtx) = source.rtx {
                    publisher.announce(rtx, track, layer as u8, true);
                }
                self.tracks[track].layers[layer].ssrc = Some(source.ssrc);
                self.tracks[track].layers[layer].repair_ssrc = source.rtx;
            }
        }
    }

    pub(in crate::sfu) fn next_source(&mut self) -> Source {
        self.sources = self.sources.wrapping_add(1) & 0xff_ffff;
        Source(self.sources)
    }

    pub(super) fn take_candidates(&mut self, key: usize, candidates: &[Candidate]) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        for candidate in candidates {
            if candidate.protocol == CandidateProtocol::Udp
                && let Some(address) = candidate.socket_address()
            {
                peer.transport.add_remote_candidate(address, candidate.priority);
            }
        }
    }

    fn has_room(&self, session: MediaSession) -> Result<(), Failure> {
        if self.sessions.contains_key(&session) {
            return Err(Failure::new(Code::LimitReached, "the session has begun already".to_owned()));
        }
        if self.peers.len() >= self.config.limits.peers_max {
            return Err(Failure::from(Code::NoRelay).retry_after_ms(FULL_RETRY_MS));
        }
        Ok(())
    }

    fn local(&self, fresh: &Fresh) -> Local {
        let config = &self.config;
        let fingerprint = config.transport.certificate().fingerprint().to_string();
        let candidates = |addresses: &[std::net::SocketAddr], protocol| {
            let of = move |(index, address): (usize, &std::net::SocketAddr)| {
                Candidate::host(*address, protocol, u16::MAX - index.min(1_000) as u16)
            };
            addresses.iter().enumerate().map(of).collect::<Vec<_>>()
        };
        let udp = candidates(&config.candidates, CandidateProtocol::Udp);
        let tcp = candidates(&config.tcp_candidates, CandidateProtocol::Tcp(TcpKind::Passive));
        Local {
            session_id: fresh.etag,
            credentials: described(&fresh.credentials),
            fingerprint: Fingerprint::parse(&fingerprint).expect("it is of a certificate of ours"),
            candidates: [udp, tcp].concat(),
            ice_lite: config.transport.ice == IceMode::Lite,
        }
    }

    pub(in crate::sfu) fn stream(&mut self, name: &RoomId) -> usize {
        if let Some(key) = self.stream_names.get(name) {
            return *key;
        }
        let key = self.streams.insert(Stream::new(name.clone()));
        self.stream_names.insert(name.clone(), key);
        key
    }

    fn enter(&mut self, peer: Peer) -> usize {
        let (session, ufrags) = (peer.session, peer.ufrags.clone());
        let key = self.peers.insert(peer);
        self.sessions.insert(session, key);
        self.by_ufrag.extend(ufrags.into_iter().map(|ufrag| (ufrag, key)));
        key
    }

    fn opened(&mut self, now: Instant, key: usize) {
        self.counters.joined();
        self.count();
        self.touched.push(key);
        self.agenda.note(key, Some(now));
        if let Some(peer) = self.peers.get(key) {
            self.changed(peer.stream);
        }
    }
}

pub(super) fn rules(most: Most) -> Rules {
    match most {
        Most::All => Rules::SIGNALING,
        Most::OneOfEach => Rules::WHIP,
    }
}

pub(super) fn extension_map<'e>(all: impl IntoIterator<Item = &'e ExtensionIds>) -> ExtensionMap {
    let mut map = ExtensionMap::default();
    for (extension, id) in all.into_iter().flat_map(ExtensionIds::iter) {
        if let Some(kind) = ExtensionKind::parse(extension.uri()) {
            map.insert(id, kind);
        }
    }
    map
}

fn seeds(chance: &mut Chance) -> Seeds {
    let number = chance.draw();
    Seeds {
        // In the lower half, so that a viewer that counts up from it does not meet the wrap at once.
        sequence: number as u16 & 0x7fff,
        timestamp: (number >> 16) as u32,
        picture_id: (number >> 48) as u16,
        tl0: chance.number() as u8,
    }
}
