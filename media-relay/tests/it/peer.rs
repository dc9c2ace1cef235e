//! A client of the relay with a socket and keys of its own: what it seals, and what it sends besides, is the test's.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use turnpike_sdp::Description;
use turnpike_transport::stun::{Class, Writer};
use turnpike_transport::{
    Certificate, CloseReason, Credentials, DTLS_MTU_BYTES_DEFAULT, DtlsRole, Event, Fingerprint, IceMode,
    Input, Path, Remote, Setup, Transport, TransportConfig,
};

use crate::chance::Chance;

pub(crate) const OBS: &str = include_str!("../../../crates/sdp/tests/offers/obs-publish.sdp");
pub(crate) const CHROMIUM: &str = include_str!("../../../crates/sdp/tests/offers/chromium-publish.sdp");
pub(crate) const SAFARI: &str = include_str!("../../../crates/sdp/tests/offers/safari-watch.sdp");

/// What takes longer is broken.
const PATIENCE: Duration = Duration::from_secs(20);
const DATAGRAM_BYTES_MAX: usize = 2_048;
/// Of media that a peer makes up.
pub(crate) const SOURCES_MAX: u32 = 100;
/// Between two looks at what has come in.
const LOOK_EVERY: Duration = Duration::from_millis(5);

pub(crate) struct Peer {
    pub(crate) socket: UdpSocket,
    pub(crate) relay: SocketAddr,
    pub(crate) chance: Chance,
    config: Arc<TransportConfig>,
    credentials: Credentials,
    transport: Transport,
    /// Datagrams that this and others have sent.
    sent: Arc<AtomicU64>,
    /// What went out unsealed or sealed, if it is to be kept.
    pub(crate) log: Option<Vec<Vec<u8>>>,
    pub(crate) rtp: Vec<Vec<u8>>,
    pub(crate) rtcp: Vec<Vec<u8>>,
    pub(crate) is_connected: bool,
    pub(crate) closed: Option<CloseReason>,
    theirs: Option<Credentials>,
    /// Of the relay's answer, in its order.
    pub(crate) ssrcs: Vec<u32>,
}

/// A browser that watches and says nothing about single packets: it is sent what its description says that it takes.
pub(crate) fn plain_watch() -> String {
    let is_about_packets = |line: &&str| line.contains("transport-cc") || line.contains("transport-wide-cc");
    let kept: Vec<&str> = SAFARI.lines().filter(|line| !is_about_packets(line)).collect();
    kept.join("\n") + "\n"
}

/// Made once: a certificate costs more than all of a session.
fn config() -> Arc<TransportConfig> {
    static CONFIG: std::sync::OnceLock<Arc<TransportConfig>> = std::sync::OnceLock::new();
    let make = || {
        let certificate = Certificate::generate("peer").unwrap();
        let mut config = TransportConfig::new(IceMode::Full, certificate, DTLS_MTU_BYTES_DEFAULT).unwrap();
        // Who misbehaves keeps to no limit of ours.
        config.limits.ssrcs_out_max = 2 * SOURCES_MAX as usize;
        Arc::new(config)
    };
    Arc::clone(CONFIG.get_or_init(make))
}

impl Peer {
    pub(crate) fn new(relay: SocketAddr, seed: u64) -> Self {
        Self::counting(relay, seed, Arc::default())
    }

    pub(crate) fn counting(relay: SocketAddr, seed: u64, sent: Arc<AtomicU64>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut peer = Self::over(socket, relay, seed);
        peer.sent = sent;
        peer
    }

    /// With a socket that somebody else had before.
    pub(crate) fn over(socket: UdpSocket, relay: SocketAddr, seed: u64) -> Self {
        socket.set_nonblocking(true).unwrap();
        let mut chance = Chance::new(seed);
        let config = config();
        let credentials = Credentials::from_random(&chance.bytes());
        let setup =
            Setup { local: credentials.clone(), remote: None, dtls: DtlsRole::Client, controlling: true };
        Self {
            transport: Transport::new(&config, setup, Instant::now()),
            socket,
            relay,
            chance,
            config,
            credentials,
            sent: Arc::default(),
            log: None,
            rtp: Vec::new(),
            rtcp: Vec::new(),
            is_connected: false,
            closed: None,
            theirs: None,
            ssrcs: Vec::new(),
        }
    }

    /// Somebody's offer, as this peer's own.
    pub(crate) fn offer(&self, template: &str) -> String {
        let own = |line: &str| {
            let name = line.split(':').next().unwrap_or_default();
            match name {
                "a=ice-ufrag" => format!("{name}:{}", self.credentials.ufrag()),
                "a=ice-pwd" => format!("{name}:{}", self.credentials.pwd()),
                "a=fingerprint" => format!("{name}:{}", self.config.certificate().fingerprint()),
                _ => line.to_owned(),
            }
        };
        template.lines().map(|line| own(line) + "\r\n").collect()
    }

    pub(crate) fn answered(&mut self, answer: &str) {
        let answer = Description::parse(answer).unwrap();
        let media = &answer.media[0];
        let (ours, theirs) = (media.credentials.as_ref().unwrap(), &media.fingerprints);
        let credentials = Credentials::new(ours.ufrag(), ours.pwd()).unwrap();
        let fingerprints =
            theirs.iter().map(|theirs| Fingerprint::parse(&theirs.to_string()).unwrap()).collect();
        self.ssrcs = answer.media.iter().flat_map(|media| &media.sources).map(|source| source.ssrc).collect();
        self.theirs = Some(credentials.clone());
        self.transport.set_remote(Remote { credentials, fingerprints }, DtlsRole::Client, Instant::now());
        self.knock();
    }

    /// The first check: only who has been checked checks.
    pub(crate) fn knock(&mut self) {
        let check = self.check();
        self.send(&check);
    }

    /// A check that proves to know the relay's password.
    pub(crate) fn check(&mut self) -> Vec<u8> {
        let theirs = self.theirs.clone().unwrap();
        Writer::new(Class::Request, &self.chance.bytes())
            .username(theirs.ufrag(), self.credentials.ufrag())
            .priority(1 << 24)
            .controlling(u64::MAX)
            .finish(theirs.pwd())
    }

    /// New credentials of this side, and what the relay's fragment says.
    pub(crate) fn restart(&mut self) -> Credentials {
        self.credentials = Credentials::from_random(&self.chance.bytes());
        self.transport.restart(self.credentials.clone(), None);
        self.credentials.clone()
    }

    pub(crate) fn restarted(&mut self, theirs: Credentials) {
        let fingerprints = Vec::new();
        let remote = Remote { credentials: theirs.clone(), fingerprints };
        self.transport.set_remote(remote, DtlsRole::Client, Instant::now());
        self.theirs = Some(theirs);
        self.knock();
    }

    pub(crate) fn send(&mut self, datagram: &[u8]) {
        self.sent.fetch_add(1, Ordering::Relaxed);
        if let Some(log) = &mut self.log {
            log.push(datagram.to_vec());
        }
        self.socket.send_to(datagram, self.relay).unwrap();
    }

    pub(crate) fn sealed_rtp(&mut self, packet: &[u8]) -> Vec<u8> {
        let mut bytes = packet.to_vec();
        bytes.resize(packet.len() + 64, 0);
        let len = self.transport.seal_rtp(&mut bytes, packet.len()).unwrap();
        bytes.truncate(len);
        bytes
    }

    pub(crate) fn sealed_rtcp(&mut self, compound: &[u8]) -> Vec<u8> {
        let mut bytes = compound.to_vec();
        bytes.resize(compound.len() + 64, 0);
        let len = self.transport.seal_rtcp(&mut bytes, compound.len()).unwrap();
        bytes.truncate(len);
        bytes
    }

    pub(crate) fn send_rtp(&mut self, packet: &[u8]) {
        let sealed = self.sealed_rtp(packet);
        self.send(&sealed);
    }

    /// After the other side has ended it, when its own transport would not.
    pub(crate) fn send_rtp_unasked(&mut self, packet: &[u8]) {
        let sealed = self.sealed_rtp(packet);
        self.socket.send_to(&sealed, self.relay).unwrap();
    }

    pub(crate) fn send_rtcp(&mut self, compound: &[u8]) {
        let sealed = self.sealed_rtcp(compound);
        self.send(&sealed);
    }

    /// Says goodbye.
    pub(crate) fn close(&mut self) {
        self.transport.close(Instant::now());
        self.flush();
    }

    /// Takes what has come in and does what is due.
    pub(crate) fn turn(&mut self) {
        let mut buffer = [0; DATAGRAM_BYTES_MAX];
        let local = self.socket.local_addr().unwrap();
        loop {
            let (len, remote) = match self.socket.recv_from(&mut buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            };
            match self.transport.handle(Instant::now(), Path { local, remote }, &mut buffer[..len]) {
                Input::Rtp(packet) => self.rtp.push(packet.to_vec()),
                Input::Rtcp(compound) => self.rtcp.push(compound.to_vec()),
                Input::Consumed | Input::Dropped(_) => {}
            }
        }
        self.transport.tick(Instant::now());
        self.flush();
    }

    fn flush(&mut self) {
        while let Some(transmit) = self.transport.poll_transmit() {
            self.send(&transmit.data);
        }
        while let Some(event) = self.transport.poll_event() {
            match event {
                Event::Connected { .. } => self.is_connected = true,
                Event::Closed(reason) => self.closed = Some(reason),
                _ => {}
            }
        }
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn();
            std::thread::sleep(LOOK_EVERY);
        }
        self.turn();
    }

    pub(crate) fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        self.turn();
        while !is_so(self) {
            assert!(Instant::now() < end, "{what}: {:?}", self.closed);
            std::thread::sleep(LOOK_EVERY);
            self.turn();
        }
    }

    pub(crate) fn connects(&mut self) {
        self.until("it connects", |peer| peer.is_connected);
    }
}
