//! The publishers and the viewers of one process, and the loop that turns them.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver, SyncSender},
    },
    time::{Duration, Instant},
};

use jsonwebtoken::{EncodingKey, Header};
use mio::{Events, Interest, Poll, Token};
use turnpike_transport::{Certificate, DTLS_MTU_BYTES_DEFAULT, IceMode, TransportConfig};
use turnpike_udp::{Options, Received, Socket};

use super::{
    command::{Dialect, Look, Rate, Report},
    description::{Role, Theirs},
    path::BadPath,
    peer::{Door, Newcomer, Peer},
    picture::Picture,
    publisher::{Pace, Publisher},
    stretch::Stretch,
    viewer::Viewer,
};
use crate::{load::command::Latency, measure::machine};

/// What every peer's clock is looked at.
const TICK: Duration = Duration::from_millis(5);
/// Nothing of what is waited for takes so long.
const PATIENCE: Duration = Duration::from_secs(20);
/// After the last packet of a stretch, for what is on its way.
const TRAIL: Duration = Duration::from_millis(300);
/// What comes later than that is late by more than anybody waits for.
const TRAIL_MAX: Duration = Duration::from_secs(2);
/// Requests at the same time when many come at once: the browsers of hundreds do not wait for one another.
const ASKING: usize = 16;
/// Whoever has no picture so long after that gets none.
const HOPE: Duration = Duration::from_secs(10);
/// How long after the last viewer of a burst the publishers still count what they are asked for.
const AFTERMATH: Duration = Duration::from_secs(1);

pub(crate) struct Studio {
    poll: Poll,
    events: Events,
    received: Received,
    door: Door,
    start: Instant,
    publishers: Vec<Publisher>,
    viewers: Vec<Viewer>,
    /// How those who come look at the picture, if they do.
    look: Option<Look>,
    tick_next: Instant,
}

/// Somebody who has asked, and what came of it.
type Asked = (Newcomer, anyhow::Result<Theirs>);

impl Studio {
    pub(crate) fn new(target: SocketAddr, dialect: Dialect, secret: &str) -> anyhow::Result<Self> {
        let certificate = Certificate::generate("bench")?;
        let config = Arc::new(TransportConfig::new(IceMode::Full, certificate, DTLS_MTU_BYTES_DEFAULT)?);
        let token = token(secret)?;
        let home = match dialect {
            Dialect::Whip => Ipv4Addr::LOCALHOST,
            // It uses no loopback address; what is sent to the machine's other ones goes the same way.
            Dialect::Janus => machine::address()?,
        };
        // All sockets are of a kind, and each is read to its end before the next.
        let options = Options { note_time: true, ..Options::default() };
        let model = Socket::bind("127.0.0.1:0".parse()?, options)?;
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1_024),
            received: Received::new(&model),
            door: Door { target, dialect, home, token, config, requests: 0 },
            start: Instant::now(),
            publishers: Vec::new(),
            viewers: Vec::new(),
            look: None,
            tick_next: Instant::now(),
        })
    }

    pub(crate) fn publish(&mut self, streams: u32) -> anyhow::Result<()> {
        for _ in 0..streams {
            let index = self.publishers.len();
            let mut publisher = Publisher::open(&mut self.door, index as u32, self.start)?;
            let token = Token(usize::MAX - 1 - index);
            self.poll.registry().register(&mut publisher.peer.socket, token, Interest::READABLE)?;
            self.publishers.push(publisher);
            self.until("the publisher is connected", |studio| {
                studio.publishers[index].peer.connected.is_some()
            })?;
        }
        Ok(())
    }

    pub(crate) fn look(&mut self, look: Look) {
        self.look = Some(look);
    }

    pub(crate) fn watch(&mut self, count: u32, at_once: u32) -> anyhow::Result<Option<Latency>> {
        let first = self.viewers.len();
        let end = first + count as usize;
        while self.viewers.len() < end {
            let stream = self.next_stream(self.viewers.len());
            let peer = Peer::open(&mut self.door, Role::Viewer, stream)?;
            self.enter(peer)?;
            self.until("there is room for another viewer", |studio| {
                let waiting = studio.viewers[first..].iter().filter(|viewer| viewer.peer.connected.is_none());
                waiting.count() < at_once as usize
            })?;
        }
        self.until("all viewers are connected", |studio| {
            studio.viewers[first..].iter().all(|viewer| viewer.peer.connected.is_some())
        })?;
        Ok(self.took(first, |viewer| viewer.peer.connected))
    }

    /// Streams take turns.
    fn next_stream(&self, index: usize) -> u32 {
        (index % self.publishers.len().max(1)) as u32
    }

    fn enter(&mut self, mut peer: Peer) -> anyhow::Result<()> {
        let index = self.viewers.len();
        let share = f64::from(index as u32 % 97) / 97.0;
        self.poll.registry().register(&mut peer.socket, Token(index), Interest::READABLE)?;
        peer.path = self.look.filter(|look| look.lost_share > 0.0).map(|look| {
            // Each viewer has a path of its own.
            let seed = look.seed.wrapping_add(index as u64);
            BadPath::new(look.lost_share, Duration::from_millis(look.delay_ms), seed)
        });
        let picture = self.look.map(|_| Picture::default());
        self.viewers.push(Viewer::new(peer, picture, self.start, share));
        Ok(())
    }

    /// From their requests until something happened to them.
    fn took(&self, first: usize, happened: impl Fn(&Viewer) -> Option<Instant>) -> Option<Latency> {
        let took = self.viewers[first..].iter().filter_map(|viewer| {
            let took = happened(viewer)?.saturating_duration_since(viewer.peer.asked);
            Some(took.as_micros() as u32)
        });
        Latency::of(&mut took.collect::<Vec<_>>())
    }

    /// Viewers come evenly spread over a time, while the publishers send.
    pub(crate) fn burst(
        &mut self,
        count: u32,
        seconds: f64,
        rate: Rate,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let (first, begun) = (self.viewers.len(), Instant::now());
        let stretch = Stretch::begin(begun, &self.publishers, &mut self.viewers);
        let mut paces = self.paces(begun, rate);
        let (asks, asked) = doors(&self.door, count as usize);
        let (mut come, mut left) = (0, count);
        let came_by = begun + Duration::from_secs_f64(seconds) + AFTERMATH;
        loop {
            let now = Instant::now();
            while come < count
                && now >= begun + Duration::from_secs_f64(seconds).mul_f64(f64::from(come) / f64::from(count))
            {
                let stream = self.next_stream(first + come as usize);
                asks.send(Newcomer::new(&mut self.door, Role::Viewer, stream)?)?;
                come += 1;
            }
            while let Ok((newcomer, theirs)) = asked.try_recv() {
                // Whoever is not let in is among those who wait to the end.
                if let Ok(theirs) = theirs {
                    let peer = newcomer.enter(theirs, &self.door)?;
                    self.enter(peer)?;
                    left -= 1;
                }
            }
            self.play_due(&mut paces, now);
            self.turn()?;
            let waiting = self.viewers[first..].iter().filter(|viewer| has_seen(viewer).is_none()).count();
            report.waiting = u64::from(left) + waiting as u64;
            if now >= came_by && (report.waiting == 0 || now >= came_by + HOPE) {
                break;
            }
        }
        stretch.finish(Instant::now(), &self.publishers, &mut self.viewers, report);
        report.join = self.took(first, |viewer| viewer.peer.connected);
        report.first_frame = self.took(first, has_seen);
        Ok(())
    }

    /// Sends for so long, and waits for what is on its way.
    pub(crate) fn play(&mut self, seconds: f64, rate: Rate, report: &mut Report) -> anyhow::Result<()> {
        let begun = Instant::now();
        let end = begun + Duration::from_secs_f64(seconds);
        let stretch = Stretch::begin(begun, &self.publishers, &mut self.viewers);
        let mut paces = self.paces(begun, rate);
        loop {
            let now = Instant::now();
            if now < end {
                self.play_due(&mut paces, now);
            } else if now >= end + TRAIL
                && (now >= end + TRAIL_MAX || stretch.has_all(&self.publishers, &self.viewers))
            {
                break;
            }
            self.turn()?;
        }
        stretch.finish(end, &self.publishers, &mut self.viewers, report);
        Ok(())
    }

    fn paces(&self, begun: Instant, rate: Rate) -> Vec<Pace> {
        let count = self.publishers.len();
        (0..count).map(|index| Pace::new(begun, rate, index as f64 / count as f64)).collect()
    }

    fn play_due(&mut self, paces: &mut [Pace], now: Instant) {
        for (publisher, pace) in self.publishers.iter_mut().zip(paces) {
            publisher.play(pace, now);
        }
    }

    pub(crate) fn idle(&mut self, seconds: f64) -> anyhow::Result<()> {
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        while Instant::now() < end {
            self.turn()?;
        }
        Ok(())
    }

    /// What went wrong with whom.
    pub(crate) fn failures(&mut self) -> Vec<String> {
        let mut failed = Vec::new();
        let viewers = self.viewers.iter_mut().map(|viewer| &mut viewer.peer);
        let publishers = self.publishers.iter_mut().map(|publisher| &mut publisher.peer);
        for (index, peer) in publishers.chain(viewers).enumerate() {
            failed.extend(peer.failed.take().map(|why| format!("peer {index}: {why}")));
            if std::mem::take(&mut peer.faults) > 0 {
                failed.push(format!("peer {index}: something that was not genuine, or could not be sent"));
            }
        }
        failed
    }

    fn until(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        while !is_so(self) {
            anyhow::ensure!(Instant::now() < end, "it never came to it that {what}");
            self.turn()?;
        }
        Ok(())
    }

    /// Never sleeps: waking up would be charged to the server that causes it.
    fn turn(&mut self) -> anyhow::Result<()> {
        self.poll.poll(&mut self.events, Some(Duration::ZERO))?;
        let now = Instant::now();
        for event in &self.events {
            let Token(index) = event.token();
            if let Some(viewer) = self.viewers.get_mut(index) {
                viewer.read(&mut self.received, now)?;
            } else if let Some(publisher) = self.publishers.get_mut(usize::MAX - 1 - index) {
                publisher.read(&mut self.received, now)?;
            }
        }
        if now >= self.tick_next {
            self.tick_next = now + TICK;
            self.viewers.iter_mut().for_each(|viewer| viewer.tick(now));
            self.publishers.iter_mut().for_each(|publisher| publisher.peer.tick(now));
        }
        Ok(())
    }
}

fn has_seen(viewer: &Viewer) -> Option<Instant> {
    viewer.ears.picture.as_ref()?.first_shown()
}

/// Threads that ask for whoever comes, `count` of them at most, so that nobody waits at either end.
fn doors(door: &Door, count: usize) -> (SyncSender<Newcomer>, Receiver<Asked>) {
    let (asks, newcomers) = mpsc::sync_channel::<Newcomer>(count);
    let (tells, asked) = mpsc::sync_channel(count);
    let newcomers = Arc::new(Mutex::new(newcomers));
    for _ in 0..ASKING {
        let (door, newcomers, tells) = (door.clone(), Arc::clone(&newcomers), tells.clone());
        std::thread::spawn(move || {
            let next = || newcomers.lock().ok()?.recv().ok();
            while let Some(newcomer) = next() {
                let theirs = newcomer.ask(&door);
                if tells.send((newcomer, theirs)).is_err() {
                    break;
                }
            }
        });
    }
    (asks, asked)
}

fn token(secret: &str) -> anyhow::Result<String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let claims = serde_json::json!({
        "sub": "bench", "iat": now, "exp": now + 3_600,
        "media": [{ "match": "*", "can": ["publish", "subscribe"] }],
    });
    Ok(jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes()))?)
}
