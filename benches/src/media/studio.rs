//! The publisher and the viewers of one process, and the loop that turns them.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use jsonwebtoken::{EncodingKey, Header};
use mio::{Events, Interest, Poll, Token};
use turnpike_transport::{Certificate, DTLS_MTU_BYTES_DEFAULT, IceMode, TransportConfig};
use turnpike_udp::{Options, Received, Socket};

use super::{
    command::Report,
    peer::Door,
    publisher::{Pace, Publisher},
    viewer::Viewer,
};
use crate::load::command::Latency;

/// What every peer's clock is looked at.
const TICK: Duration = Duration::from_millis(5);
/// Nothing of what is waited for takes so long.
const PATIENCE: Duration = Duration::from_secs(20);
/// After the last packet of a stretch, for what is on its way.
const TRAIL: Duration = Duration::from_millis(300);

pub(crate) struct Studio {
    poll: Poll,
    events: Events,
    received: Received,
    door: Door,
    start: Instant,
    publisher: Option<Publisher>,
    viewers: Vec<Viewer>,
    tick_next: Instant,
}

impl Studio {
    pub(crate) fn new(target: SocketAddr, secret: &str) -> anyhow::Result<Self> {
        let certificate = Certificate::generate("bench")?;
        let config = Arc::new(TransportConfig::new(IceMode::Full, certificate, DTLS_MTU_BYTES_DEFAULT)?);
        let token = token(secret)?;
        // All sockets are of a kind, and each is read to its end before the next.
        let options = Options { note_time: true, ..Options::default() };
        let model = Socket::bind("127.0.0.1:0".parse()?, options)?;
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1_024),
            received: Received::new(&model),
            door: Door { target, token, config, requests: 0 },
            start: Instant::now(),
            publisher: None,
            viewers: Vec::new(),
            tick_next: Instant::now(),
        })
    }

    pub(crate) fn publish(&mut self) -> anyhow::Result<()> {
        let mut publisher = Publisher::open(&mut self.door, self.start)?;
        self.poll.registry().register(
            &mut publisher.peer.socket,
            Token(usize::MAX - 1),
            Interest::READABLE,
        )?;
        self.publisher = Some(publisher);
        self.until("the publisher is connected", |studio| {
            studio.publisher.as_ref().is_some_and(|publisher| publisher.peer.connected.is_some())
        })
    }

    pub(crate) fn watch(&mut self, count: u32, at_once: u32) -> anyhow::Result<Option<Latency>> {
        let first = self.viewers.len();
        let end = first + count as usize;
        while self.viewers.len() < end {
            let index = self.viewers.len();
            let share = f64::from(index as u32 % 97) / 97.0;
            let mut viewer = Viewer::open(&mut self.door, self.start, share)?;
            self.poll.registry().register(&mut viewer.peer.socket, Token(index), Interest::READABLE)?;
            self.viewers.push(viewer);
            self.until("there is room for another viewer", |studio| {
                let waiting = studio.viewers[first..].iter().filter(|viewer| viewer.peer.connected.is_none());
                waiting.count() < at_once as usize
            })?;
        }
        self.until("all viewers are connected", |studio| {
            studio.viewers[first..].iter().all(|viewer| viewer.peer.connected.is_some())
        })?;
        let joined = self.viewers[first..].iter().filter_map(|viewer| {
            let took = viewer.peer.connected?.saturating_duration_since(viewer.peer.asked);
            Some(took.as_micros() as u32)
        });
        Ok(Latency::of(&mut joined.collect::<Vec<_>>()))
    }

    /// Sends for so long, and waits for what is on its way.
    pub(crate) fn play(
        &mut self,
        seconds: f64,
        kbps: u32,
        burst: u32,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        self.viewers.iter_mut().for_each(|viewer| viewer.tally.forget());
        let begun = Instant::now();
        let end = begun + Duration::from_secs_f64(seconds);
        let mut pace = Pace::new(begun, kbps, burst);
        let before = self.publisher().map_or((0, 0), |it| (it.published, it.keyframe_requests));
        loop {
            let now = Instant::now();
            if now >= end + TRAIL {
                break;
            }
            if now < end
                && let Some(publisher) = &mut self.publisher
            {
                publisher.play(&mut pace, now);
            }
            self.turn()?;
        }
        let after = self.publisher().map_or((0, 0), |it| (it.published, it.keyframe_requests));
        report.published = after.0 - before.0;
        report.keyframe_requests = after.1 - before.1;
        report.deliveries = self.viewers.iter().map(|viewer| viewer.tally.deliveries).sum();
        report.repeated = self.viewers.iter().map(|viewer| viewer.tally.repeated).sum();
        report.missing = self.viewers.iter().map(|viewer| viewer.tally.missing()).sum();
        let mut latencies: Vec<u32> =
            self.viewers.iter().flat_map(|viewer| viewer.tally.latencies_us.iter().copied()).collect();
        report.latency = Latency::of(&mut latencies);
        Ok(())
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
        let publisher = self.publisher.iter_mut().map(|publisher| &mut publisher.peer);
        for (index, peer) in publisher.chain(viewers).enumerate() {
            failed.extend(peer.failed.take().map(|why| format!("peer {index}: {why}")));
            if std::mem::take(&mut peer.faults) > 0 {
                failed.push(format!("peer {index}: something that was not genuine, or could not be sent"));
            }
        }
        failed
    }

    fn publisher(&self) -> Option<&Publisher> {
        self.publisher.as_ref()
    }

    fn until(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        while !is_so(self) {
            anyhow::ensure!(Instant::now() < end, "it never came to it that {what}: {:?}", self.failures());
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
            } else if let Some(publisher) = &mut self.publisher {
                publisher.read(&mut self.received, now)?;
            }
        }
        if now >= self.tick_next {
            self.tick_next = now + TICK;
            self.viewers.iter_mut().for_each(|viewer| viewer.tick(now));
            self.publisher.iter_mut().for_each(|publisher| publisher.peer.tick(now));
        }
        Ok(())
    }
}

fn token(secret: &str) -> anyhow::Result<String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let claims = serde_json::json!({
        "sub": "bench", "iat": now, "exp": now + 3_600,
        "media": [{ "match": "*", "can": ["publish", "subscribe"] }],
    });
    Ok(jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes()))?)
}
