//! One secured path to the relay: a socket, a session that was asked for, and a transport that goes through ICE and the
//! handshake as a browser does.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Instant, SystemTime},
};

use turnpike_transport::{
    Credentials, Dropped, Event, Input, Path, RANDOM_BYTES, Setup, Transport, TransportConfig,
    srtp::OVERHEAD_BYTES_MAX,
    stun::{Class, Writer},
};
use turnpike_udp::{Limits, Options, Outgoing, Received, Socket};

use super::{
    command::Dialect,
    description::{Ours, Role, Terms, Theirs},
    janus,
    path::BadPath,
    whip,
};

/// Every viewer must get everything, so its buffer takes what comes while the others are read.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;
/// The relay is the only one who checks nothing here; any candidate of its kind has this priority.
const PRIORITY: u32 = 2_130_706_431;

/// Requests from one address; a relay has a limit for these, and hundreds of people do not share one.
const REQUESTS_PER_SOURCE: u32 = 20;

/// Where requests go, and with what.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) target: SocketAddr,
    pub(crate) dialect: Dialect,
    /// Where our own sockets are.
    pub(crate) home: Ipv4Addr,
    pub(crate) token: String,
    pub(crate) config: Arc<TransportConfig>,
    pub(crate) requests: u32,
}

impl Door {
    /// From where the next request comes.
    fn source(&mut self) -> Ipv4Addr {
        let number = self.requests / REQUESTS_PER_SOURCE;
        self.requests += 1;
        Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + number % 0xffff)
    }
}

/// A peer that has not asked yet.
pub(crate) struct Newcomer {
    socket: Socket,
    credentials: Credentials,
    role: Role,
    stream: u32,
    source: Ipv4Addr,
    pub(crate) asked: Instant,
}

impl Newcomer {
    pub(crate) fn new(door: &mut Door, role: Role, stream: u32) -> anyhow::Result<Self> {
        let asked = Instant::now();
        // What is told of delays must not be those of this process, which reads for hundreds.
        let options = Options {
            receive_buffer_bytes: Some(RECEIVE_BUFFER_BYTES),
            note_time: true,
            ..Options::default()
        };
        let socket = Socket::bind((door.home, 0).into(), options)?;
        let mut chance = [0; RANDOM_BYTES];
        chance.fill_with(random);
        let credentials = Credentials::from_random(&chance);
        Ok(Self { socket, credentials, role, stream, source: door.source(), asked })
    }

    /// Asks for a session, and waits for it.
    pub(crate) fn ask(&self, door: &Door) -> anyhow::Result<Theirs> {
        let ours = Ours {
            credentials: &self.credentials,
            fingerprint: door.config.certificate().fingerprint(),
            address: self.socket.local_addr(),
        };
        let (source, target, role, stream) = (self.source, door.target, self.role, self.stream);
        match door.dialect {
            Dialect::Whip => whip::negotiate(source, target, &door.token, role, stream, &ours),
            Dialect::Janus => janus::negotiate(source, target, role, stream, &ours),
        }
    }

    /// Begins to look for the path.
    pub(crate) fn enter(self, theirs: Theirs, door: &Door) -> anyhow::Result<Peer> {
        let Self { socket, credentials: ours, role, stream, asked, .. } = self;
        let now = Instant::now();
        let is_offerer = door.dialect == Dialect::Whip || role == Role::Publisher;
        let Theirs { remote, address, dtls, terms, .. } = theirs;
        let names = (ours.clone(), remote.credentials.clone());
        let setup = Setup { local: ours, remote: Some(remote), dtls, controlling: is_offerer };
        let mut transport = Transport::new(&door.config, setup, now);
        transport.add_remote_candidate(address, PRIORITY);
        // Our transport waits for a check before it sends one, since a relay must. A client need not: what it would
        // hear from a relay that checks, it is told here.
        if is_offerer {
            let mut transaction = [0; 12];
            transaction.fill_with(random);
            let mut heard = Writer::new(Class::Request, &transaction)
                .username(names.0.ufrag(), names.1.ufrag())
                .priority(PRIORITY)
                .controlled(0)
                .finish(names.0.pwd());
            let path = Path { local: socket.local_addr(), remote: address };
            let first = transport.handle(now, path, &mut heard);
            anyhow::ensure!(matches!(first, Input::Consumed), "the first check was {first:?}");
        }
        let outgoing = Outgoing::new(&socket, Limits::default());
        let mut peer = Peer {
            socket,
            outgoing,
            transport,
            remote: address,
            terms,
            stream,
            asked,
            connected: None,
            failed: None,
            faults: 0,
            path: None,
            replayed: 0,
        };
        peer.settle(now);
        Ok(peer)
    }
}

pub(crate) enum Media<'m> {
    Rtp(&'m [u8]),
    Rtcp(&'m [u8]),
}

pub(crate) struct Peer {
    pub(crate) socket: Socket,
    outgoing: Outgoing,
    transport: Transport,
    remote: SocketAddr,
    pub(crate) terms: Terms,
    pub(crate) stream: u32,
    pub(crate) asked: Instant,
    pub(crate) connected: Option<Instant>,
    pub(crate) failed: Option<String>,
    /// Packets that were not genuine, or not sent.
    pub(crate) faults: u64,
    /// None for one that is short and loses nothing.
    pub(crate) path: Option<BadPath>,
    /// Came twice, which is no fault of a server that was asked twice.
    pub(crate) replayed: u64,
}

impl Peer {
    pub(crate) fn open(door: &mut Door, role: Role, stream: u32) -> anyhow::Result<Self> {
        let newcomer = Newcomer::new(door, role, stream)?;
        let theirs = newcomer.ask(door)?;
        newcomer.enter(theirs, door)
    }

    /// Takes what has come, and says when.
    pub(crate) fn read(
        &mut self,
        received: &mut Received,
        now: Instant,
        mut take: impl FnMut(Media<'_>, Instant),
    ) -> anyhow::Result<()> {
        loop {
            let messages = self.socket.receive(received)?;
            let (mut is_for_us, clock) = (false, SystemTime::now());
            while let Some(datagram) = received.take_next() {
                let ago = datagram.time.and_then(|time| clock.duration_since(time).ok()).unwrap_or_default();
                let came = now.checked_sub(ago).unwrap_or(now);
                match &mut self.path {
                    Some(path) => path.send(came, datagram.from, datagram.bytes),
                    None => is_for_us |= self.open_one(now, came, datagram.from, datagram.bytes, &mut take),
                }
            }
            if is_for_us {
                self.settle(now);
            }
            if messages < Received::CAPACITY {
                return Ok(());
            }
        }
    }

    /// Takes what has been under way for long enough.
    pub(crate) fn read_late(&mut self, now: Instant, mut take: impl FnMut(Media<'_>, Instant)) {
        let mut is_for_us = false;
        while let Some(mut arrival) = self.path.as_mut().and_then(|path| path.arrived(now)) {
            is_for_us |= self.open_one(now, arrival.at, arrival.from, &mut arrival.bytes, &mut take);
        }
        if is_for_us {
            self.settle(now);
        }
    }

    /// Whether it was for the transport.
    fn open_one(
        &mut self,
        now: Instant,
        came: Instant,
        from: SocketAddr,
        bytes: &mut [u8],
        take: &mut impl FnMut(Media<'_>, Instant),
    ) -> bool {
        let path = Path { local: self.socket.local_addr(), remote: from };
        match self.transport.handle(now, path, bytes) {
            Input::Rtp(packet) => take(Media::Rtp(packet), came),
            Input::Rtcp(packet) => take(Media::Rtcp(packet), came),
            Input::Consumed => return true,
            Input::Dropped(Dropped::MediaReplayed) => self.replayed += 1,
            Input::Dropped(
                Dropped::Unknown | Dropped::MediaMalformed | Dropped::MediaForged | Dropped::MediaStreams,
            ) => self.faults += 1,
            // Late answers, flights that came twice, and what overtook the end of the handshake: a busy machine has those.
            Input::Dropped(_) => {}
        }
        false
    }

    pub(crate) fn tick(&mut self, now: Instant) {
        if self.transport.due().is_some_and(|due| due <= now) {
            self.transport.tick(now);
            self.settle(now);
        }
    }

    fn settle(&mut self, now: Instant) {
        while let Some(transmit) = self.transport.poll_transmit() {
            self.outgoing.push(transmit.to, &transmit.data);
        }
        self.flush();
        while let Some(event) = self.transport.poll_event() {
            match event {
                Event::Connected { .. } => self.connected = Some(now),
                Event::Closed(reason) => self.failed = Some(reason.to_string()),
                _ => {}
            }
        }
        if let Some(remote) = self.transport.remote() {
            self.remote = remote;
        }
    }

    /// Writes a packet, seals it, and keeps it until [`Self::flush`].
    pub(crate) fn send_rtp(&mut self, bytes_max: usize, write: impl FnOnce(&mut [u8]) -> usize) {
        let Some(slot) = self.outgoing.slot(self.remote, bytes_max + OVERHEAD_BYTES_MAX) else { return };
        let len = write(&mut slot[..bytes_max]);
        match self.transport.seal_rtp(slot, len) {
            Ok(sealed) => self.outgoing.commit(sealed),
            Err(_) => self.faults += 1,
        }
    }

    pub(crate) fn send_rtcp(&mut self, bytes_max: usize, write: impl FnOnce(&mut [u8]) -> usize) {
        let Some(slot) = self.outgoing.slot(self.remote, bytes_max + OVERHEAD_BYTES_MAX) else { return };
        let len = write(&mut slot[..bytes_max]);
        match self.transport.seal_rtcp(slot, len) {
            Ok(sealed) => self.outgoing.commit(sealed),
            Err(_) => self.faults += 1,
        }
        self.flush();
    }

    pub(crate) fn flush(&mut self) {
        let sent = self.outgoing.flush(&self.socket);
        self.faults += sent.dropped.total();
    }
}

/// Of the standard library's own making; nothing here is a secret of anybody.
fn random() -> u8 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0_u8) as u8
}
