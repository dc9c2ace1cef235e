//! Who is there, and how one packet becomes as many as there are viewers.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    net::SocketAddr,
    sync::Arc,
    time::Instant,
};

use anyhow::Context as _;
use turnpike_rtp::PacketMut;
use turnpike_transport::{
    Credentials, DtlsRole, Event, Fingerprint, Input, Path, RANDOM_BYTES, Remote, Setup, Transport,
    TransportConfig, srtp::OVERHEAD_BYTES_MAX, stun,
};
use turnpike_udp::{Datagram, Outlet};

/// The id that the load offers for transport-wide numbers.
const EXTENSION_TWCC: u8 = 3;
const TWCC_URI: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

pub(crate) struct Peers {
    config: Arc<TransportConfig>,
    local: SocketAddr,
    all: Vec<Peer>,
    by_address: HashMap<SocketAddr, usize>,
    by_ufrag: HashMap<Box<str>, usize>,
    streams: Vec<Stream>,
    /// With something to say besides media.
    unsettled: Vec<usize>,
    fault: Option<Fault>,
    forwarded: u64,
}

#[derive(Default)]
struct Stream {
    name: Box<str>,
    viewers: Vec<usize>,
    /// What the publisher has sent since the last round, one behind the other, and where each ends.
    packets: Vec<u8>,
    ends: Vec<usize>,
}

/// What the floor does wrong when it is told to, once, so that the load can be seen to notice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Lose,
    Forge,
}

impl Fault {
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "lose" => Some(Self::Lose),
            "forge" => Some(Self::Forge),
            _ => None,
        }
    }
}

/// Which packet it is that is treated wrongly: the load plays for a while before it counts.
const FAULTY: u64 = 2_100;

struct Peer {
    transport: Transport,
    is_publisher: bool,
    stream: usize,
    remote: Option<SocketAddr>,
    twcc: u16,
}

impl Peers {
    pub(crate) fn new(config: Arc<TransportConfig>, local: SocketAddr, fault: Option<Fault>) -> Self {
        Self {
            config,
            local,
            all: Vec::new(),
            by_address: HashMap::new(),
            by_ufrag: HashMap::new(),
            streams: Vec::new(),
            unsettled: Vec::new(),
            fault,
            forwarded: 0,
        }
    }

    pub(crate) fn open(
        &mut self,
        is_publisher: bool,
        stream: &str,
        offer: &str,
        now: Instant,
    ) -> anyhow::Result<String> {
        let attribute = |name: &str| {
            let line = offer.lines().find_map(|line| line.strip_prefix("a=")?.strip_prefix(name));
            line.and_then(|line| line.strip_prefix(':'))
                .map(str::trim_end)
                .with_context(|| format!("no {name}"))
        };
        let credentials = Credentials::new(attribute("ice-ufrag")?, attribute("ice-pwd")?)?;
        let fingerprints = vec![Fingerprint::parse(attribute("fingerprint")?)?];
        let mut chance = [0; RANDOM_BYTES];
        chance.fill_with(|| RandomState::new().hash_one(0_u8) as u8);
        let ours = Credentials::from_random(&chance);
        let answer = self.answer(&ours, is_publisher);
        let remote = Some(Remote { credentials, fingerprints });
        self.by_ufrag.insert(ours.ufrag().into(), self.all.len());
        let setup = Setup { local: ours, remote, dtls: DtlsRole::Server, controlling: false };
        let transport = Transport::new(&self.config, setup, now);
        let stream = self.streams.iter().position(|known| *known.name == *stream).unwrap_or_else(|| {
            self.streams.push(Stream { name: stream.into(), ..Stream::default() });
            self.streams.len() - 1
        });
        if !is_publisher {
            self.streams[stream].viewers.push(self.all.len());
        }
        self.all.push(Peer { transport, is_publisher, stream, remote: None, twcc: 0 });
        Ok(answer)
    }

    fn answer(&self, ours: &Credentials, is_publisher: bool) -> String {
        let direction = if is_publisher { "recvonly" } else { "sendonly\r\na=ssrc:305419896 cname:bench" };
        format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
             m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 127.0.0.1\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\n\
             a=fingerprint:{}\r\na=setup:passive\r\na=mid:0\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\n\
             a=extmap:{EXTENSION_TWCC} {TWCC_URI}\r\na={direction}\r\na=candidate:1 1 udp 2130706431 {} {} typ host\r\na=end-of-candidates\r\n",
            ours.ufrag(),
            ours.pwd(),
            self.config.certificate().fingerprint(),
            self.local.ip(),
            self.local.port(),
        )
    }

    pub(crate) fn take(&mut self, now: Instant, datagram: &mut Datagram<'_>) {
        let from = datagram.from;
        let by_ufrag = || stun::local_ufrag(&*datagram.bytes).and_then(|ufrag| self.by_ufrag.get(ufrag));
        let Some(&index) = self.by_address.get(&from).or_else(by_ufrag) else { return };
        let peer = &mut self.all[index];
        let path = Path { local: datagram.local, remote: from };
        match peer.transport.handle(now, path, datagram.bytes) {
            Input::Rtp(packet) if peer.is_publisher => {
                let stream = &mut self.streams[peer.stream];
                stream.packets.extend_from_slice(packet);
                stream.ends.push(stream.packets.len());
            }
            Input::Consumed => self.settle(index),
            _ => {}
        }
    }

    pub(crate) fn tick(&mut self, now: Instant) {
        for index in 0..self.all.len() {
            let transport = &mut self.all[index].transport;
            if transport.due().is_some_and(|due| due <= now) {
                transport.tick(now);
                self.settle(index);
            }
        }
    }

    fn settle(&mut self, index: usize) {
        self.unsettled.push(index);
        let peer = &mut self.all[index];
        while let Some(event) = peer.transport.poll_event() {
            match event {
                Event::Bound(path) => drop(self.by_address.insert(path.remote, index)),
                Event::Unbound(path) => drop(self.by_address.remove(&path.remote)),
                _ => {}
            }
        }
        peer.remote = peer.transport.remote();
    }

    pub(crate) fn send(&mut self, outlet: &mut Outlet<'_>) {
        for index in self.unsettled.drain(..) {
            while let Some(transmit) = self.all[index].transport.poll_transmit() {
                let Some(slot) = outlet.slot(None, transmit.to, transmit.data.len()) else { continue };
                slot.copy_from_slice(&transmit.data);
                outlet.commit(transmit.data.len());
            }
        }
        for stream in self.streams.iter_mut().filter(|stream| !stream.ends.is_empty()) {
            for &viewer in &stream.viewers {
                let peer = &mut self.all[viewer];
                let Some(to) = peer.remote else { continue };
                let mut start = 0;
                for &end in &stream.ends {
                    let packet = &stream.packets[start..end];
                    start = end;
                    let Some(slot) = outlet.slot(None, to, packet.len() + OVERHEAD_BYTES_MAX) else {
                        continue;
                    };
                    slot[..packet.len()].copy_from_slice(packet);
                    if let Ok(mut packet) = PacketMut::parse(&mut slot[..packet.len()])
                        && let Some(number) = packet.extension_mut(EXTENSION_TWCC)
                    {
                        number.copy_from_slice(&peer.twcc.to_be_bytes());
                        peer.twcc = peer.twcc.wrapping_add(1);
                    }
                    let Ok(sealed) = peer.transport.seal_rtp(slot, packet.len()) else { continue };
                    self.forwarded += 1;
                    if self.forwarded == FAULTY {
                        match self.fault {
                            Some(Fault::Lose) => continue,
                            Some(Fault::Forge) => slot[packet.len() - 1] ^= 1,
                            None => {}
                        }
                    }
                    outlet.commit(sealed);
                }
            }
            stream.packets.clear();
            stream.ends.clear();
        }
    }
}
