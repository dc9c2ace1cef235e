//! The core of the relay: datagrams, commands and the time go in, datagrams and effects come out. No socket, clock, thread
//! or runtime; a shard drives it, a round at a time:
//!
//! 1. every datagram that has arrived goes into [`Sfu::datagram`], every command into [`Sfu::command`];
//! 2. [`Sfu::advance`] sends what follows from them and what is due, viewer by viewer, so that consecutive datagrams to one
//!    address can leave in one system call;
//! 3. [`Sfu::next_effect`] gives answers and notices for whoever asked.

mod agenda;
mod arrival;
mod asks;
mod binding;
mod branch;
mod branching;
mod carrying;
mod chance;
mod config;
mod counters;
mod feed;
mod feeding;
mod flow;
mod forwarder;
mod forwarding;
mod keyframe;
mod lately;
mod news;
mod peer;
mod publisher;
mod rate;
mod receiver;
mod requests;
mod send_cache;
mod speaker;
mod state;
mod stream;
mod tapping;
mod track;
mod viewer;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use slab::Slab;
use turnpike_congestion::history::Report;
use turnpike_transport::{Event, Input, Path, demux, stun};
use turnpike_wire::media::MediaSession;
use turnpike_wire::{Failure, RoomId};

pub use self::config::Limits;
pub(crate) use self::config::SfuConfig;
pub(crate) use self::counters::{Counters, Ignored};

use self::agenda::Agenda;
use self::peer::{Peer, Role};
use self::stream::Stream;
use self::track::{Track, TrackKey};
use crate::carry::{Delivered, FeedNews, PipeId};
use crate::shard::Suspect;
use crate::{Ask, Ended, Notice, Told};

/// Peers that are looked at in one round because their time has come: a fifth of a millisecond, for which packets wait. The
/// others are looked at in the next.
const DUE_PER_ROUND: usize = 64;
const PASSES_PER_ROUND: usize = 4;

/// Where datagrams are written to, in place.
pub(crate) trait Outlet {
    /// Room for one datagram that goes that way. What is not committed is not sent.
    fn slot(&mut self, path: Path, bytes_max: usize) -> &mut [u8];

    fn commit(&mut self, bytes: usize);
}

/// Which way a datagram came, and when: that may have been before the time at which it was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Came {
    pub(crate) path: Path,
    pub(crate) at: Instant,
}

/// Something that is asked of this shard.
pub(crate) struct Command {
    /// Given back with the answer.
    pub(crate) ticket: u64,
    pub(crate) ask: Ask,
    /// For what the command makes: the core has no source of chance.
    pub(crate) chance: [u8; 64],
}

pub(crate) enum Effect {
    Answer { ticket: u64, answer: Result<Told, Failure> },
    Notice { session: MediaSession, notice: Notice },
    Feed { stream: RoomId, news: FeedNews },
}

pub(crate) struct Sfu {
    config: SfuConfig,
    counters: Arc<Counters>,
    peers: Slab<Peer>,
    sessions: HashMap<MediaSession, usize>,
    by_address: HashMap<SocketAddr, usize>,
    by_ufrag: HashMap<Box<str>, usize>,
    streams: Slab<Stream>,
    stream_names: HashMap<RoomId, usize>,
    tracks: Slab<Track>,
    /// Peers that have to be looked at.
    agenda: Agenda,
    /// Streams with a feed or branches that have to be looked at.
    carrying: Agenda,
    /// Streams by the pipes that end here.
    pipes: HashMap<PipeId, usize>,
    /// Times of packets count from here.
    epoch: Instant,
    /// Layers that ever were.
    sources: u32,
    /// Tracks that got packets in this round.
    fresh: Vec<TrackKey>,
    /// Peers whose transport may have something to send or to tell.
    touched: Vec<usize>,
    /// Streams that have lost tracks, whose viewers may be shown others.
    orphaned: Vec<usize>,
    /// Peers that have been told goodbye.
    leaving: Vec<(usize, Ended)>,
    /// When streams have something to tell, or are to be looked for it.
    news: Agenda,
    /// Streams in which something has changed that the other ends of their pipes may have to know.
    changed: Vec<usize>,
    effects: VecDeque<Effect>,
    /// For whom it works at the moment.
    busy: Option<Busy>,
    /// Room to read a viewer's feedback in, for all of them.
    reports: Vec<Report>,
}

#[derive(Debug, Clone, Copy)]
enum Busy {
    Peer(usize),
    /// Those of a stream.
    Pipes(usize),
}

impl Sfu {
    pub(crate) fn new(config: SfuConfig, counters: Arc<Counters>, now: Instant) -> Self {
        Self {
            config,
            counters,
            peers: Slab::new(),
            sessions: HashMap::new(),
            by_address: HashMap::new(),
            by_ufrag: HashMap::new(),
            streams: Slab::new(),
            stream_names: HashMap::new(),
            tracks: Slab::new(),
            agenda: Agenda::default(),
            carrying: Agenda::default(),
            pipes: HashMap::new(),
            epoch: now,
            sources: 0,
            fresh: Vec::new(),
            touched: Vec::new(),
            orphaned: Vec::new(),
            leaving: Vec::new(),
            news: Agenda::default(),
            changed: Vec::new(),
            effects: VecDeque::new(),
            busy: None,
            reports: Vec::new(),
        }
    }

    /// Takes a datagram.
    pub(crate) fn datagram(&mut self, now: Instant, came: Came, bytes: &mut [u8]) {
        let Some(key) = self.peer_of(came.path.remote, bytes) else {
            return self.counters.ignore(Ignored::UnknownPeer);
        };
        let peer = &mut self.peers[key];
        match peer.transport.handle(now, came.path, bytes) {
            Input::Rtp(packet) => {
                self.counters.packet_in(packet.len());
                if let Role::Publisher(publisher) = &mut peer.role
                    && let Some(track) =
                        publisher.packet(now, came.at, &mut self.tracks, packet, &self.counters)
                    && let Some(published) = self.tracks.get(track)
                    && published.fresh.len() == 1
                {
                    self.fresh.push(track);
                }
                self.agenda.note(key, Some(now));
            }
            Input::Rtcp(compound) => match &mut peer.role {
                Role::Publisher(publisher) => {
                    publisher.rtcp(now, &mut self.tracks, compound, &self.counters);
                    // Clocks are handed on.
                    let stream = peer.stream;
                    self.branches_due(now, stream);
                }
                Role::Viewer(viewer) => {
                    let (tracks, reports) = (&mut self.tracks, &mut self.reports);
                    let asked = requests::rtcp(now, viewer, tracks, reports, compound, &self.counters);
                    // All else waits for the viewer's own time.
                    if !viewer.repairs.is_empty() {
                        self.agenda.note(key, Some(now));
                    }
                    if peer.transport.has_output() {
                        self.touched.push(key);
                    }
                    if let Some(track) = asked {
                        self.look_at_origin(now, track);
                    }
                }
            },
            Input::Consumed => self.touched.push(key),
            Input::Dropped(_) => self.counters.ignore(Ignored::Transport),
        }
    }

    /// Sends what follows from what came in, and what is due.
    pub(crate) fn advance(&mut self, now: Instant, out: &mut impl Outlet) {
        // One by one, so that nobody else is forgotten should one of them make this panic.
        self.touched.sort_unstable_by(|one, other| other.cmp(one));
        self.touched.dedup();
        while let Some(key) = self.touched.pop() {
            self.attend(now, key, out);
        }
        while let Some((key, ended)) = self.leaving.pop() {
            self.attend(now, key, out);
            self.remove(key, ended);
        }
        while let Some(stream) = self.orphaned.pop() {
            self.bind_all(now, stream);
        }
        // What came in this round, for everyone who watches it.
        let mut fresh = std::mem::take(&mut self.fresh);
        for track in fresh.drain(..) {
            self.record(now, track);
            self.forward(now, track, out);
        }
        self.fresh = fresh;
        self.note_touched(now);
        // What is found out about a viewer may be of interest to a stream, and the other way about.
        for _ in 0..PASSES_PER_ROUND {
            for _ in 0..DUE_PER_ROUND {
                let Some(stream) = self.carrying.pop(now) else { break };
                self.busy = Some(Busy::Pipes(stream));
                self.look_after_pipes(now, stream);
            }
            for _ in 0..DUE_PER_ROUND {
                let Some(key) = self.agenda.pop(now) else { break };
                self.look_after(now, key, out);
            }
            self.note_touched(now);
            if self.carrying.next().is_none_or(|next| next > now) {
                break;
            }
        }
        self.busy = None;
        self.tell_news(now);
    }

    /// It ends: all that is given to others is over.
    pub(crate) fn close(&mut self) {
        let keys: Vec<usize> = self.streams.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.end_branches(key);
        }
    }

    pub(crate) fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`Self::advance`] is to be called if nothing comes in before.
    pub(crate) fn due(&self) -> Option<Instant> {
        [self.agenda.next(), self.carrying.next(), self.news.next()].into_iter().flatten().min()
    }

    /// The core has panicked, while it took something from there or else while it worked for somebody: whoever it was is not
    /// to be trusted any more, and is not on the agenda any more either.
    pub(crate) fn abandon(&mut self, from: Option<Suspect>) {
        self.fresh.clear();
        for (_, track) in &mut self.tracks {
            track.fresh.clear();
        }
        match from {
            Some(Suspect::Address(from)) => {
                if let Some(key) = self.by_address.get(&from).copied() {
                    self.remove(key, Ended::Refused);
                }
            }
            Some(Suspect::Pipe(pipe)) => self.cut(pipe),
            None => match self.busy.take() {
                Some(Busy::Peer(key)) => self.remove(key, Ended::Refused),
                Some(Busy::Pipes(stream)) => {
                    let pipes = self.pipes.iter().filter(|(_, of)| **of == stream).map(|(pipe, _)| *pipe);
                    for pipe in pipes.collect::<Vec<_>>() {
                        self.cut(pipe);
                    }
                }
                None => {}
            },
        }
    }

    fn peer_of(&self, from: SocketAddr, bytes: &[u8]) -> Option<usize> {
        // Checks name whom they are for. An address may come to belong to another peer, as behind a NAT.
        if demux::classify(bytes) == demux::Kind::Stun
            && let Some(ufrag) = stun::local_ufrag(bytes)
        {
            return self.by_ufrag.get(ufrag).copied();
        }
        self.by_address.get(&from).copied()
    }

    /// Sends and tells what a peer's transport has to.
    fn attend(&mut self, now: Instant, key: usize, out: &mut impl Outlet) {
        self.busy = Some(Busy::Peer(key));
        let Some(peer) = self.peers.get_mut(key) else { return };
        while let Some(transmit) = peer.transport.poll_transmit() {
            let path = Path { local: transmit.local, remote: transmit.to };
            let slot = out.slot(path, transmit.data.len());
            slot[..transmit.data.len()].copy_from_slice(&transmit.data);
            out.commit(transmit.data.len());
        }
        let mut closed = None;
        while let Some(event) = peer.transport.poll_event() {
            match event {
                Event::Bound(path) => {
                    peer.addresses.push(path.remote);
                    self.by_address.insert(path.remote, key);
                }
                Event::Unbound(path) => {
                    peer.addresses.retain(|address| *address != path.remote);
                    if self.by_address.get(&path.remote) == Some(&key) {
                        self.by_address.remove(&path.remote);
                    }
                }
                Event::Connected { .. } => {
                    self.effects
                        .push_back(Effect::Notice { session: peer.session, notice: Notice::Connected });
                    if let Role::Viewer(viewer) = &mut peer.role {
                        viewer.is_ready = true;
                    }
                    self.agenda.note(key, Some(now));
                }
                Event::PathChanged(_) => {}
                Event::Closed(reason) => closed = Some(reason),
            }
        }
        self.agenda.note(key, peer.transport.due());
        if let Some(reason) = closed {
            tracing::debug!(session = ?peer.session, %reason, "a media session has ended");
            let ended = Ended::from(&reason);
            self.remove(key, ended);
        }
    }

    /// Does what is due for a peer, and notes when to look again.
    fn look_after(&mut self, now: Instant, key: usize, out: &mut impl Outlet) {
        self.busy = Some(Busy::Peer(key));
        let Some(peer) = self.peers.get_mut(key) else { return };
        if peer.transport.due().is_some_and(|due| due <= now) {
            peer.transport.tick(now);
        }
        self.attend(now, key, out);
        let Some(peer) = self.peers.get_mut(key) else { return };
        let due = match &mut peer.role {
            Role::Publisher(publisher) => {
                if let Some(path) = peer.transport.path() {
                    let transport = &mut peer.transport;
                    publisher.tell(now, &mut self.tracks, &self.counters, |compound| {
                        forwarding::send_rtcp(transport, path, compound, out);
                    });
                    publisher.due(now, &self.tracks)
                } else {
                    None
                }
            }
            Role::Viewer(_) => {
                self.serve(now, key, out);
                self.peers.get(key).and_then(|peer| match &peer.role {
                    Role::Viewer(viewer) if viewer.is_ready => Some(viewer.due()),
                    _ => None,
                })
            }
        };
        self.agenda.note(key, due);
        let transport_due = self.peers.get(key).and_then(|peer| peer.transport.due());
        self.agenda.note(key, transport_due);
    }

    /// Takes a peer away with everything that it had.
    pub(crate) fn remove(&mut self, key: usize, ended: Ended) {
        let Some(peer) = self.peers.try_remove(key) else { return };
        self.agenda.forget(key);
        // Its place may be another's before the round ends.
        self.leaving.retain(|(leaving, _)| *leaving != key);
        self.sessions.remove(&peer.session);
        for ufrag in &peer.ufrags {
            self.by_ufrag.remove(ufrag);
        }
        for address in &peer.addresses {
            if self.by_address.get(address) == Some(&key) {
                self.by_address.remove(address);
            }
        }
        match &peer.role {
            Role::Publisher(publisher) => {
                for track in publisher.tracks.clone() {
                    self.remove_track(track);
                }
                self.orphaned.push(peer.stream);
            }
            Role::Viewer(viewer) => {
                for track in viewer.forwarders.iter().filter_map(|forwarder| forwarder.track) {
                    if let Some(track) = self.tracks.get_mut(track) {
                        track.viewers.retain(|(viewer, _)| *viewer != key);
                    }
                }
            }
        }
        let stream = &mut self.streams[peer.stream];
        stream.publishers.retain(|publisher| *publisher != key);
        stream.viewers.retain(|viewer| *viewer != key);
        self.changed(peer.stream);
        self.sweep(peer.stream);
        self.effects.push_back(Effect::Notice { session: peer.session, notice: Notice::Ended(ended) });
        self.count();
    }

    fn count(&self) {
        let publishers = self.peers.iter().filter(|(_, peer)| peer.is_publisher()).count();
        self.counters.now(publishers, self.peers.len() - publishers, self.streams.len());
        self.counters.tracks(self.tracks.len());
    }

    /// What has changed in a stream may be of interest at the other ends of its pipes.
    fn note_touched(&mut self, now: Instant) {
        for key in self.changed.drain(..) {
            let Some(stream) = self.streams.get_mut(key) else { continue };
            if std::mem::take(&mut stream.is_touched) && stream.has_pipes() {
                stream.branches_due = (!stream.branches.is_empty()).then_some(now);
                self.carrying.note(key, Some(now));
            }
        }
    }

    /// Forgets a stream with which nobody has anything to do any more.
    fn sweep(&mut self, key: usize) {
        if self.streams.get(key).is_none_or(|stream| !stream.is_empty()) {
            return;
        }
        self.end_branches(key);
        for waiting in std::mem::take(&mut self.streams[key].waiting) {
            self.refuse(&waiting);
        }
        let stream = self.streams.remove(key);
        for track in stream.tracks {
            self.remove_track(track);
        }
        self.stream_names.remove(&stream.name);
        self.news.forget(key);
        self.carrying.forget(key);
        self.count();
    }
}

impl crate::shard::Core for Sfu {
    fn datagram(&mut self, now: Instant, came: Came, bytes: &mut [u8]) {
        self.datagram(now, came, bytes);
    }

    fn command(&mut self, now: Instant, command: Command) {
        self.command(now, command);
    }

    fn deliver(&mut self, now: Instant, pipe: PipeId, word: Delivered) {
        self.deliver(now, pipe, word);
    }

    fn advance(&mut self, now: Instant, out: &mut impl Outlet) {
        self.advance(now, out);
    }

    fn close(&mut self) {
        self.close();
    }

    fn next_effect(&mut self) -> Option<Effect> {
        self.next_effect()
    }

    fn is_bound(&self, address: SocketAddr) -> bool {
        self.by_address.contains_key(&address)
    }

    fn due(&self) -> Option<Instant> {
        self.due()
    }

    fn abandon(&mut self, from: Option<Suspect>) {
        self.abandon(from);
    }
}
