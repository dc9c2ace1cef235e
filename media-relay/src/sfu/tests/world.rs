//! A relay, or several that are linked, and everyone around them, in a time of their own.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use turnpike_congestion::estimator;
use turnpike_transport::srtp::OVERHEAD_BYTES_MAX;
use turnpike_transport::stun::{Class, Writer};
use turnpike_transport::{
    Certificate, Credentials, DTLS_MTU_BYTES_DEFAULT, DtlsRole, Event, IceMode, Input, Path, Setup,
    Transport, TransportConfig,
};
use turnpike_wire::media::MediaSession;
use turnpike_wire::{Failure, RoomId};

use super::description::{self, Wish};
use super::links::Links;
use super::network::{Batch, CLEAR, Datagram, Weather, Wire};
use super::publisher::Publisher;
use super::viewer::Viewer;
use crate::carry::FeedNews;
use crate::sfu::{Came, Command, Counters, Effect, Limits, Sfu, SfuConfig};
use crate::{Ask, Most, Notice, Opened, Told};

const SECOND: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(1);
const PRIORITY: u32 = 2_130_706_431;

pub(super) enum Part {
    Publisher(Publisher),
    Viewer(Box<Viewer>),
}

pub(super) struct End {
    pub(super) session: MediaSession,
    pub(super) address: SocketAddr,
    /// At which it is.
    pub(super) relay: usize,
    transport: Transport,
    pub(super) part: Part,
    pub(super) up: Weather,
    pub(super) down: Weather,
    pub(super) connected: bool,
    pub(super) closed: bool,
    /// It has gone without a word.
    pub(super) dead: bool,
    /// Media packets that the network took of what it sent.
    pub(super) lost: u64,
    pub(super) credentials: Credentials,
    wish: Wish,
}

impl End {
    pub(super) fn viewer(&self) -> &Viewer {
        match &self.part {
            Part::Viewer(viewer) => viewer,
            Part::Publisher(_) => panic!("it publishes"),
        }
    }

    pub(super) fn publisher(&mut self) -> &mut Publisher {
        match &mut self.part {
            Part::Publisher(publisher) => publisher,
            Part::Viewer(_) => panic!("it watches"),
        }
    }
}

pub(super) struct World {
    pub(super) sfu: Sfu,
    /// Relays beside the first one.
    pub(super) others: Vec<Sfu>,
    pub(super) links: Links,
    pub(super) start: Instant,
    pub(super) now: Instant,
    pub(super) wire: Wire,
    pub(super) ends: Vec<End>,
    pub(super) batch: Batch,
    /// Panics that were asked for.
    pub(super) faults: usize,
    told: HashMap<u64, Result<Told, Failure>>,
    pub(super) notices: Vec<(MediaSession, Notice)>,
    /// What became of feeds, and at which relay.
    pub(super) news: Vec<(usize, FeedNews)>,
    tickets: u64,
}

pub(super) fn address(relay: usize) -> SocketAddr {
    format!("198.51.100.{}:5000", relay + 1).parse().unwrap()
}

/// Certificates take long to make.
fn config(ice: IceMode) -> Arc<TransportConfig> {
    static CONFIGS: OnceLock<[Arc<TransportConfig>; 2]> = OnceLock::new();
    let make = |ice| {
        let certificate = Certificate::generate("test").unwrap();
        Arc::new(TransportConfig::new(ice, certificate, DTLS_MTU_BYTES_DEFAULT).unwrap())
    };
    let configs = CONFIGS.get_or_init(|| [make(IceMode::Lite), make(IceMode::Full)]);
    Arc::clone(&configs[usize::from(ice == IceMode::Full)])
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self::of(seed, 1)
    }

    pub(super) fn of(seed: u64, relays: usize) -> Self {
        println!("seed {seed}");
        let start = Instant::now();
        let sfu = |relay| {
            let sfu_config = SfuConfig {
                transport: config(if seed.is_multiple_of(2) { IceMode::Lite } else { IceMode::Full }),
                candidates: vec![address(relay)],
                tcp_candidates: Vec::new(),
                estimator: estimator::Config {
                    start_bps: 8_000_000,
                    max_bps: 20_000_000,
                    ..estimator::Config::default()
                },
                limits: Limits::default(),
            };
            Sfu::new(sfu_config, Arc::new(Counters::default()), start)
        };
        Self {
            sfu: sfu(0),
            others: (1..relays).map(sfu).collect(),
            links: Links::default(),
            news: Vec::new(),
            faults: 0,
            start,
            now: start,
            wire: Wire::new(seed),
            ends: Vec::new(),
            batch: Batch::default(),
            told: HashMap::new(),
            notices: Vec::new(),
            tickets: 0,
        }
    }

    pub(super) fn relay(&mut self, relay: usize) -> &mut Sfu {
        if relay == 0 { &mut self.sfu } else { &mut self.others[relay - 1] }
    }

    pub(super) fn ask(&mut self, ask: Ask) -> Result<Told, Failure> {
        self.ask_at(0, ask)
    }

    pub(super) fn ask_at(&mut self, relay: usize, ask: Ask) -> Result<Told, Failure> {
        self.tickets += 1;
        let ticket = self.tickets;
        let chance = self.wire.bytes();
        let now = self.now;
        self.relay(relay).command(now, Command { ticket, ask, chance });
        self.round(relay);
        // Who watches what is only just being attached waits.
        let limit = self.now + 5 * SECOND;
        while !self.told.contains_key(&ticket) {
            assert!(self.now < limit, "every command is answered");
            self.step();
        }
        self.told.remove(&ticket).expect("it is there")
    }

    pub(super) fn publish(&mut self, wish: Wish) -> usize {
        self.join(Wish { publishes: true, ..wish }).unwrap()
    }

    pub(super) fn watch(&mut self, wish: Wish) -> usize {
        self.join(Wish { publishes: false, ..wish }).unwrap()
    }

    pub(super) fn watch_at(&mut self, relay: usize, wish: Wish) -> usize {
        self.join_at(relay, Wish { publishes: false, ..wish }).unwrap()
    }

    pub(super) fn join(&mut self, wish: Wish) -> Result<usize, Failure> {
        self.join_at(0, wish)
    }

    pub(super) fn join_at(&mut self, relay: usize, wish: Wish) -> Result<usize, Failure> {
        let ours = Credentials::from_random(&self.wire.bytes());
        let theirs = config(IceMode::Full);
        let offer = description::offer(wish, &ours, theirs.certificate(), 2);
        let number = self.ends.len();
        let session = MediaSession { relay: 1, key: number as u128 + 1 };
        let stream: RoomId = "live".parse().unwrap();
        let user = format!("user-{number}").parse().unwrap();
        let most = Most::All;
        let told = self.ask_at(
            relay,
            if wish.publishes {
                Ask::Publish { session, stream, user, offer, most }
            } else {
                Ask::Watch { session, stream, user, offer: Some(offer), most }
            },
        )?;
        let Told::Opened(Opened { sdp, .. }) = told else { panic!("another answer") };
        let answer = description::answer(&sdp);
        let remote = answer.remote.credentials.clone();
        let setup = Setup {
            local: ours.clone(),
            remote: Some(answer.remote),
            dtls: DtlsRole::Client,
            controlling: true,
        };
        let mut transport = Transport::new(&theirs, setup, self.now);
        transport.add_remote_candidate(address(relay), PRIORITY);
        let own: SocketAddr = format!("203.0.113.{}:{}", number % 250 + 1, 6_000 + number).parse().unwrap();
        let part = if wish.publishes {
            Part::Publisher(Publisher::new(self.now, number as u8, wish))
        } else {
            Part::Viewer(Box::new(Viewer::new(answer.video, answer.audio)))
        };
        let mut end = End {
            session,
            address: own,
            relay,
            transport,
            part,
            up: CLEAR,
            down: CLEAR,
            connected: false,
            closed: false,
            dead: false,
            lost: 0,
            credentials: ours,
            wish,
        };
        end.knock(&mut self.wire, self.now, &remote);
        self.ends.push(end);
        Ok(number)
    }

    /// The end gets new credentials, and moves if it is to.
    pub(super) fn restart(&mut self, end: usize, moves_to: Option<SocketAddr>) {
        let ours = Credentials::from_random(&self.wire.bytes());
        let theirs = config(IceMode::Full);
        let wish = self.ends[end].wish;
        let sdp = description::offer(wish, &ours, theirs.certificate(), 3);
        let session = self.ends[end].session;
        let relay = self.ends[end].relay;
        let Told::Sdp(sdp) = self.ask_at(relay, Ask::Offer { session, sdp }).unwrap() else {
            panic!("another answer")
        };
        let answer = description::answer(&sdp);
        let remote = answer.remote.credentials;
        let (now, wire) = (self.now, &mut self.wire);
        let end = &mut self.ends[end];
        end.address = moves_to.unwrap_or(end.address);
        end.transport.restart(ours.clone(), Some(remote.clone()));
        end.transport.add_remote_candidate(address(relay), PRIORITY);
        end.credentials = ours;
        if let Part::Viewer(viewer) = &end.part {
            assert_eq!(Some(viewer.video), answer.video, "another description, other sources");
        }
        end.knock(wire, now, &remote);
    }

    /// Until the condition holds.
    pub(super) fn until(&mut self, limit: Duration, mut holds: impl FnMut(&mut Self) -> bool) {
        let end = self.now + limit;
        while !holds(self) {
            assert!(self.now < end, "nothing came of it in {limit:?}");
            self.step();
        }
    }

    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
        }
    }

    pub(super) fn step(&mut self) {
        self.now += STEP;
        let now = self.now;
        let mut is_busy = vec![false; 1 + self.others.len()];
        while let Some((from, to, mut bytes)) = self.wire.take(now) {
            if let Some(relay) = (0..is_busy.len()).find(|relay| to == address(*relay)) {
                let came = Came { path: Path { local: to, remote: from }, at: now };
                self.relay(relay).datagram(now, came, &mut bytes);
                is_busy[relay] = true;
            } else if let Some(end) = self.ends.iter_mut().find(|end| end.address == to && !end.dead) {
                end.take(now, self.start, from, &mut bytes, &mut self.wire);
            }
        }
        while let Some((relay, pipe, word)) = self.links.take(now) {
            self.relay(relay).deliver(now, pipe, word);
            is_busy[relay] = true;
        }
        for end in self.ends.iter_mut().filter(|end| !end.dead) {
            end.go_on(now, &mut self.wire);
        }
        for (relay, is_busy) in is_busy.into_iter().enumerate() {
            if is_busy || self.relay(relay).due().is_some_and(|due| due <= now) {
                self.round(relay);
            }
        }
    }

    fn round(&mut self, relay: usize) {
        let now = self.now;
        let sfu = if relay == 0 { &mut self.sfu } else { &mut self.others[relay - 1] };
        // As a shard does it.
        while catch_unwind(AssertUnwindSafe(|| sfu.advance(now, &mut self.batch))).is_err() {
            assert!(self.batch.fault.is_some(), "a panic of the relay's own");
            self.faults += 1;
            assert!(self.faults < 100, "it panics for ever");
            sfu.abandon(None);
        }
        while let Some(effect) = sfu.next_effect() {
            match effect {
                Effect::Answer { ticket, answer } => {
                    self.told.insert(ticket, answer);
                }
                Effect::Notice { session, notice } => self.notices.push((session, notice)),
                Effect::Feed { news, .. } => self.news.push((relay, news)),
            }
        }
        // Else the shard would never sleep, and nobody behind would be looked after.
        let due = sfu.due();
        assert!(due.is_none_or(|due| due > now), "something is due at once, again and again");
        super::consistency::check(sfu);
        self.links.go_on(now, &mut self.wire);
        for (to, bytes) in std::mem::take(&mut self.batch.sent) {
            let Some(end) = self.ends.iter_mut().find(|end| end.address == to) else { continue };
            if !self.wire.put(self.now, end.down, &(address(relay), to, bytes.clone()))
                && let Part::Viewer(viewer) = &mut end.part
                && bytes.len() > 12
                && bytes[8..12] == viewer.video.0.to_be_bytes()
            {
                viewer.lost.insert(u16::from_be_bytes([bytes[2], bytes[3]]));
            }
        }
    }

    pub(super) fn keyframes_asked(&mut self, publisher: usize) -> usize {
        self.ends[publisher].publisher().asked.len()
    }

    pub(super) fn check(&self) {
        self.ends
            .iter()
            .filter(|end| matches!(end.part, Part::Viewer(_)))
            .for_each(|end| end.viewer().check());
    }
}

impl End {
    /// A transport waits for a check before it sends one: what it would hear from a relay that checks, it is told here.
    fn knock(&mut self, wire: &mut Wire, now: Instant, theirs: &Credentials) {
        let mut heard = Writer::new(Class::Request, &wire.bytes())
            .username(self.credentials.ufrag(), theirs.ufrag())
            .priority(PRIORITY)
            .controlled(0)
            .finish(self.credentials.pwd());
        let path = Path { local: self.address, remote: address(self.relay) };
        let taken = self.transport.handle(now, path, &mut heard);
        assert!(matches!(taken, Input::Consumed), "{taken:?}");
        self.settle(now, wire);
    }

    fn take(&mut self, now: Instant, start: Instant, from: SocketAddr, bytes: &mut [u8], wire: &mut Wire) {
        let path = Path { local: self.address, remote: from };
        let mut again = Vec::new();
        match self.transport.handle(now, path, bytes) {
            Input::Rtp(packet) => match &mut self.part {
                Part::Viewer(viewer) => viewer.packet(now, start, packet),
                Part::Publisher(_) => panic!("media for a publisher"),
            },
            Input::Rtcp(compound) => {
                if let Part::Publisher(publisher) = &mut self.part {
                    again = publisher.told(now, compound);
                }
            }
            Input::Consumed | Input::Dropped(_) => {}
        }
        for packet in again {
            self.send(now, packet, wire);
        }
    }

    fn go_on(&mut self, now: Instant, wire: &mut Wire) {
        if self.transport.due().is_some_and(|due| due <= now) {
            self.transport.tick(now);
        }
        self.settle(now, wire);
        if !self.connected || self.closed {
            return;
        }
        match &mut self.part {
            Part::Publisher(publisher) => {
                for packet in publisher.play(now) {
                    self.send(now, packet, wire);
                }
            }
            Part::Viewer(viewer) => {
                for compound in viewer.tell(now) {
                    self.tell(now, compound, wire);
                }
            }
        }
    }

    fn send(&mut self, now: Instant, mut packet: Vec<u8>, wire: &mut Wire) {
        let (len, payload_type) = (packet.len(), packet[1] & 0x7f);
        packet.resize(len + OVERHEAD_BYTES_MAX, 0);
        let len = self.transport.seal_rtp(&mut packet, len).unwrap();
        packet.truncate(len);
        if !self.put(now, packet, wire) && payload_type != description::RTX {
            self.lost += 1;
        }
    }

    pub(super) fn tell(&mut self, now: Instant, mut compound: Vec<u8>, wire: &mut Wire) {
        let len = compound.len();
        compound.resize(len + OVERHEAD_BYTES_MAX, 0);
        let len = self.transport.seal_rtcp(&mut compound, len).unwrap();
        compound.truncate(len);
        self.put(now, compound, wire);
    }

    fn put(&self, now: Instant, bytes: Vec<u8>, wire: &mut Wire) -> bool {
        let datagram: Datagram = (self.address, address(self.relay), bytes);
        wire.put(now, self.up, &datagram)
    }

    fn settle(&mut self, now: Instant, wire: &mut Wire) {
        while let Some(transmit) = self.transport.poll_transmit() {
            self.put(now, transmit.data, wire);
        }
        while let Some(event) = self.transport.poll_event() {
            match event {
                Event::Connected { .. } => self.connected = true,
                Event::Closed(_) => self.closed = true,
                _ => {}
            }
        }
    }
}
