//! One secured path to the relay: a socket, and a transport that controls ICE and begins the handshake, as a browser does.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Instant, SystemTime},
};

use turnpike_transport::{
    Credentials, DtlsRole, Event, Input, Path, RANDOM_BYTES, Setup, Transport, TransportConfig,
    srtp::OVERHEAD_BYTES_MAX,
    stun::{Class, Writer},
};
use turnpike_udp::{Limits, Options, Outgoing, Received, Socket};

use super::{description, http};

/// Every viewer must get everything, so its buffer takes what comes while the others are read.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;
/// The relay is the only one who checks nothing here; any candidate of its kind has this priority.
const PRIORITY: u32 = 2_130_706_431;

/// Requests from one address; a relay has a limit for these, and hundreds of people do not share one.
const REQUESTS_PER_SOURCE: u32 = 20;

/// Where requests go, and with what.
pub(crate) struct Door {
    pub(crate) target: SocketAddr,
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

pub(crate) enum Media<'m> {
    Rtp(&'m [u8]),
    Rtcp(&'m [u8]),
}

pub(crate) struct Peer {
    pub(crate) socket: Socket,
    outgoing: Outgoing,
    transport: Transport,
    remote: SocketAddr,
    pub(crate) asked: Instant,
    pub(crate) connected: Option<Instant>,
    pub(crate) failed: Option<String>,
    /// Packets that were not genuine, or not sent.
    pub(crate) faults: u64,
}

impl Peer {
    /// Asks for a session and begins to look for the path.
    pub(crate) fn open(door: &mut Door, path: &str, is_publisher: bool) -> anyhow::Result<Self> {
        let asked = Instant::now();
        // What is told of delays must not be those of this process, which reads for hundreds.
        let options = Options {
            receive_buffer_bytes: Some(RECEIVE_BUFFER_BYTES),
            note_time: true,
            ..Options::default()
        };
        let socket = Socket::bind((Ipv4Addr::LOCALHOST, 0).into(), options)?;
        let mut chance = [0; RANDOM_BYTES];
        chance.fill_with(random);
        let ours = Credentials::from_random(&chance);
        let offer = description::offer(&ours, door.config.certificate().fingerprint(), is_publisher);
        let answer =
            description::answer(&http::post(door.source(), door.target, path, &door.token, &offer)?)?;
        let theirs = answer.remote.credentials.clone();
        // Our transport waits for a check before it sends one, since a relay must. A client need not: what it would
        // hear from a relay that checks, it is told here.
        let mut transaction = [0; 12];
        transaction.fill_with(random);
        let mut heard = Writer::new(Class::Request, &transaction)
            .username(ours.ufrag(), theirs.ufrag())
            .priority(PRIORITY)
            .controlled(0)
            .finish(ours.pwd());
        let setup =
            Setup { local: ours, remote: Some(answer.remote), dtls: DtlsRole::Client, controlling: true };
        let mut transport = Transport::new(&door.config, setup, asked);
        transport.add_remote_candidate(answer.address, PRIORITY);
        let path = Path { local: socket.local_addr(), remote: answer.address };
        let first = transport.handle(asked, path, &mut heard);
        anyhow::ensure!(matches!(first, Input::Consumed), "the first check was {first:?}");
        let outgoing = Outgoing::new(&socket, Limits::default());
        let remote = answer.address;
        let (connected, failed) = (None, None);
        let mut peer = Self { socket, outgoing, transport, remote, asked, connected, failed, faults: 0 };
        peer.settle(asked);
        Ok(peer)
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
            let local = self.socket.local_addr();
            let (mut is_for_us, clock) = (false, SystemTime::now());
            while let Some(datagram) = received.take_next() {
                let ago = datagram.time.and_then(|time| clock.duration_since(time).ok()).unwrap_or_default();
                let came = now.checked_sub(ago).unwrap_or(now);
                match self.transport.handle(now, Path { local, remote: datagram.from }, datagram.bytes) {
                    Input::Rtp(packet) => take(Media::Rtp(packet), came),
                    Input::Rtcp(packet) => take(Media::Rtcp(packet), came),
                    Input::Consumed => is_for_us = true,
                    Input::Dropped(_) => self.faults += 1,
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
