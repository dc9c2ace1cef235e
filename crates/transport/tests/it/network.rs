//! Two transports and a network between them that loses, delays, reorders and doubles. Everything follows from a seed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use turnpike_transport::stun::{Class, Writer};
use turnpike_transport::{
    Certificate, Credentials, DTLS_MTU_BYTES_DEFAULT, DtlsRole, Event, Fingerprint, IceMode, Input, Path,
    Remote, Setup, Transport, TransportConfig,
};

/// xorshift: enough for a network.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        random.next();
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 16) % limit
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.fill_with(|| self.next() as u8);
        bytes
    }
}

/// What the network does to datagrams, in percent and milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    pub(crate) loss: u64,
    pub(crate) double: u64,
    pub(crate) delay: (u64, u64),
}

pub(crate) const CLEAR: Weather = Weather { loss: 0, double: 0, delay: (10, 10) };
pub(crate) const ROUGH: Weather = Weather { loss: 15, double: 5, delay: (5, 60) };

/// One side.
pub(crate) struct End {
    pub(crate) transport: Transport,
    pub(crate) address: SocketAddr,
    pub(crate) events: Vec<Event>,
    pub(crate) rtp: Vec<Vec<u8>>,
    pub(crate) rtcp: Vec<Vec<u8>>,
    pub(crate) dropped: Vec<turnpike_transport::Dropped>,
    pub(crate) config: Arc<TransportConfig>,
    pub(crate) credentials: Credentials,
}

pub(crate) struct Network {
    pub(crate) now: Instant,
    pub(crate) start: Instant,
    pub(crate) random: Random,
    pub(crate) weather: Weather,
    pub(crate) a: End,
    pub(crate) b: End,
    wire: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    sent: u64,
    /// Everything that was put on the wire, if it is to be kept.
    pub(crate) log: Option<Vec<(SocketAddr, SocketAddr, Vec<u8>)>>,
    /// Addresses that cannot be reached, nor reach.
    pub(crate) cut: Vec<SocketAddr>,
}

pub(crate) struct Sides {
    pub(crate) a: IceMode,
    pub(crate) b: IceMode,
    pub(crate) a_dtls: DtlsRole,
    pub(crate) b_dtls: DtlsRole,
    pub(crate) a_controlling: bool,
    pub(crate) b_controlling: bool,
}

/// We are `a`, the browser is `b`: it offers, is full, controls and begins the handshake.
pub(crate) const USUAL: Sides = Sides {
    a: IceMode::Full,
    b: IceMode::Full,
    a_dtls: DtlsRole::Server,
    b_dtls: DtlsRole::Client,
    a_controlling: false,
    b_controlling: true,
};

pub(crate) fn config(ice: IceMode) -> TransportConfig {
    let certificate = Certificate::generate("test").unwrap();
    TransportConfig::new(ice, certificate, DTLS_MTU_BYTES_DEFAULT).unwrap()
}

pub(crate) fn fingerprint(config: &TransportConfig) -> Fingerprint {
    Fingerprint::parse(&config.certificate().fingerprint().to_string()).unwrap()
}

impl Network {
    pub(crate) fn new(seed: u64, weather: Weather, sides: &Sides) -> Self {
        Self::with(seed, weather, sides, config(sides.a), config(sides.b))
    }

    pub(crate) fn with(
        seed: u64,
        weather: Weather,
        sides: &Sides,
        a: TransportConfig,
        b: TransportConfig,
    ) -> Self {
        println!("seed {seed}");
        let (a, b) = (Arc::new(a), Arc::new(b));
        let mut random = Random::new(seed);
        let start = Instant::now();
        let (a_creds, b_creds) =
            (Credentials::from_random(&random.bytes()), Credentials::from_random(&random.bytes()));
        let end =
            |config: &Arc<TransportConfig>, ours: &Credentials, remote, dtls, controlling, address: &str| {
                End {
                    transport: Transport::new(
                        config,
                        Setup { local: ours.clone(), remote: Some(remote), dtls, controlling },
                        start,
                    ),
                    address: address.parse().unwrap(),
                    events: Vec::new(),
                    rtp: Vec::new(),
                    rtcp: Vec::new(),
                    dropped: Vec::new(),
                    config: Arc::clone(config),
                    credentials: ours.clone(),
                }
            };
        let of = |config: &TransportConfig, credentials: &Credentials| Remote {
            credentials: credentials.clone(),
            fingerprints: vec![fingerprint(config)],
        };
        Self {
            now: start,
            start,
            random,
            weather,
            a: end(&a, &a_creds, of(&b, &b_creds), sides.a_dtls, sides.a_controlling, "198.51.100.1:5000"),
            b: end(&b, &b_creds, of(&a, &a_creds), sides.b_dtls, sides.b_controlling, "203.0.113.7:6000"),
            wire: BTreeMap::new(),
            sent: 0,
            log: None,
            cut: Vec::new(),
        }
    }

    /// Neither side checks an address before it was checked from there, so somebody has to knock for them: what a
    /// browser's first check looks like. A lite side never checks back, so it knocks too.
    pub(crate) fn knock(&mut self) {
        let data = self.check(false, 1 << 24);
        self.put(self.b.address, self.a.address, &data);
        if self.a.config.ice == IceMode::Lite {
            let data = Writer::new(Class::Request, &self.random.bytes())
                .username(self.b.credentials.ufrag(), self.a.credentials.ufrag())
                .priority(1 << 24)
                .controlled(0)
                .finish(self.b.credentials.pwd());
            self.put(self.a.address, self.b.address, &data);
        }
    }

    /// A check as `b` would send it when it controls.
    pub(crate) fn check(&mut self, nominates: bool, priority: u32) -> Vec<u8> {
        let writer = Writer::new(Class::Request, &self.random.bytes())
            .username(self.a.credentials.ufrag(), self.b.credentials.ufrag())
            .priority(priority)
            .controlling(u64::MAX);
        let writer = if nominates { writer.use_candidate() } else { writer };
        writer.finish(self.a.credentials.pwd())
    }

    pub(crate) fn put(&mut self, from: SocketAddr, to: SocketAddr, data: &[u8]) {
        if let Some(log) = &mut self.log {
            log.push((from, to, data.to_vec()));
        }
        if self.random.below(100) < self.weather.loss || self.cut.contains(&from) || self.cut.contains(&to) {
            return;
        }
        let copies = if self.random.below(100) < self.weather.double { 2 } else { 1 };
        for _ in 0..copies {
            let (low, high) = self.weather.delay;
            let delay = Duration::from_millis(low + self.random.below(high - low + 1));
            self.sent += 1;
            self.wire.insert((self.now + delay, self.sent), (from, to, data.to_vec()));
        }
    }

    /// Both sides anew, with new credentials, on the same addresses.
    pub(crate) fn fresh(&mut self, seed: u64) {
        self.random = Random::new(seed);
        self.wire.clear();
        let (a, b) =
            (Credentials::from_random(&self.random.bytes()), Credentials::from_random(&self.random.bytes()));
        let remotes = [
            Remote { credentials: b.clone(), fingerprints: vec![fingerprint(&self.b.config)] },
            Remote { credentials: a.clone(), fingerprints: vec![fingerprint(&self.a.config)] },
        ];
        let roles = [(DtlsRole::Server, false), (DtlsRole::Client, true)];
        let now = self.now;
        for ((end, local), (remote, (dtls, controlling))) in
            [(&mut self.a, a), (&mut self.b, b)].into_iter().zip(remotes.into_iter().zip(roles))
        {
            let setup = Setup { local: local.clone(), remote: Some(remote), dtls, controlling };
            end.transport = Transport::new(&Arc::clone(&end.config), setup, now);
            end.credentials = local;
            end.events.clear();
            end.rtp.clear();
            end.rtcp.clear();
        }
    }

    /// Takes both transports out, in exchange for new ones that have not begun.
    pub(crate) fn swap(&mut self) -> [Transport; 2] {
        let (a, b) = (self.a.config.clone(), self.b.config.clone());
        let blank = |config| {
            let local = Credentials::from_random(&[1; 24]);
            Transport::new(
                config,
                Setup { local, remote: None, dtls: DtlsRole::Server, controlling: false },
                self.now,
            )
        };
        [
            std::mem::replace(&mut self.a.transport, blank(&a)),
            std::mem::replace(&mut self.b.transport, blank(&b)),
        ]
    }

    /// Takes everything off the wire.
    pub(crate) fn lose_everything(&mut self) {
        self.wire.clear();
    }

    fn fetch(&mut self) {
        for a in [true, false] {
            let end = if a { &mut self.a } else { &mut self.b };
            let mut out = Vec::new();
            while let Some(transmit) = end.transport.poll_transmit() {
                out.push(transmit);
            }
            while let Some(event) = end.transport.poll_event() {
                end.events.push(event);
            }
            for transmit in out {
                self.put(transmit.local, transmit.to, &transmit.data);
            }
        }
    }

    /// Runs until `until` holds; fails after `limit` of simulated time.
    pub(crate) fn run(&mut self, limit: Duration, until: impl Fn(&Self) -> bool) {
        let end = self.now + limit;
        loop {
            self.fetch();
            if until(self) {
                return;
            }
            let due = [self.a.transport.due(), self.b.transport.due()].into_iter().flatten().min();
            let arrives = self.wire.keys().next().map(|(at, _)| *at);
            let next = [due, arrives].into_iter().flatten().min().unwrap_or(end);
            assert!(
                next < end,
                "nothing came of it in {limit:?}: a {:?}, b {:?}",
                self.a.events,
                self.b.events
            );
            self.now = self.now.max(next);
            if let Some(entry) = self.wire.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let (from, to, data) = entry.remove();
                self.deliver(from, to, data);
            } else {
                self.a.transport.tick(self.now);
                self.b.transport.tick(self.now);
            }
        }
    }

    /// Runs for so long, whatever happens.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let far = time + Duration::from_hours(1);
        // A marker that arrives at the end.
        self.sent += 1;
        let nowhere: SocketAddr = "192.0.2.9:9".parse().unwrap();
        self.wire.insert((end, self.sent), (nowhere, nowhere, Vec::new()));
        self.run(far, |network| network.now >= end);
    }

    pub(crate) fn deliver(&mut self, from: SocketAddr, to: SocketAddr, mut data: Vec<u8>) {
        // The other side of an address that is not `a`'s is `b`, wherever it is.
        let end = if to == self.a.address { &mut self.a } else { &mut self.b };
        let path = Path { local: to, remote: from };
        match end.transport.handle(self.now, path, &mut data) {
            Input::Rtp(packet) => end.rtp.push(packet.to_vec()),
            Input::Rtcp(packet) => end.rtcp.push(packet.to_vec()),
            Input::Consumed => {}
            Input::Dropped(reason) => end.dropped.push(reason),
        }
    }

    pub(crate) fn connected(&self) -> bool {
        self.a.transport.remote().is_some() && self.b.transport.remote().is_some()
    }

    pub(crate) fn connect(&mut self) {
        self.knock();
        self.run(Duration::from_secs(15), Self::connected);
    }

    /// Sends an RTP packet from one side to where it sends now.
    pub(crate) fn rtp(&mut self, from_a: bool, sequence: u16, ssrc: u32) {
        let mut packet = rtp_packet(sequence, ssrc, 200);
        let end = if from_a { &mut self.a } else { &mut self.b };
        let len = packet.len() - 20;
        let len = end.transport.seal_rtp(&mut packet, len).unwrap();
        packet.truncate(len);
        let path = end.transport.path().unwrap();
        self.put(path.local, path.remote, &packet);
    }
}

impl End {
    pub(crate) fn closed(&self) -> Option<&turnpike_transport::CloseReason> {
        self.events.iter().find_map(|event| match event {
            Event::Closed(reason) => Some(reason),
            _ => None,
        })
    }
}

/// A packet with `payload` bytes and room for the tag.
pub(crate) fn rtp_packet(sequence: u16, ssrc: u32, payload: usize) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend(sequence.to_be_bytes());
    packet.extend(u32::from(sequence).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend((0..payload).map(|at| at as u8 ^ sequence as u8));
    packet.resize(packet.len() + 20, 0);
    packet
}
