//! Hostile datagrams against the whole relay, through its socket: from strangers, and from peers that misbehave. Nothing
//! panics, memory stays, each costs little, and a publisher and a viewer beside them lose nothing.
//!
//! `HOSTILE_SEED` sets where chance begins, and `HOSTILE_COUNT` how many there are of each kind. A million in all takes a
//! quarter of a minute: what is rare enough to be missed by fewer is what an attacker looks for.

mod attack;

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use prometheus::Registry;
use tokio::runtime::Runtime;
use turnpike_media_relay::{Ask, Most, Relay, RelayConfig, Told};
use turnpike_wire::media::MediaSession;
use turnpike_wire::{RoomId, UserId};

use self::attack::{Attack, KINDS};
use crate::chance::Chance;
use crate::honest::Honest;
use crate::peer::{OBS, Peer, plain_watch};

/// The relay's processor time for one datagram. A build without optimisation takes several times as long.
const EACH_MAX: Duration = Duration::from_micros(if cfg!(debug_assertions) { 200 } else { 20 });
/// What the whole process may have grown by at the end, alone, or with other tests in the same process, as without nextest.
/// A hundred bytes kept of each would be a hundred megabytes.
const GROWTH_BYTES_MAX: u64 = 12 * 1024 * 1024;
const GROWTH_BESIDE_OTHERS_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Datagrams that the relay has not read yet: what its socket holds is the kernel's, and what does not fit is lost to
/// everybody.
const UNREAD_MAX: u64 = 192;
const BROKEN: Duration = Duration::from_secs(20);

/// A relay, and whoever is at it.
struct Scene {
    runtime: Runtime,
    relay: Relay,
    registry: Registry,
    thread: String,
    /// Datagrams sent by everybody.
    sent: Arc<AtomicU64>,
    sessions: u64,
}

impl Scene {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let registry = Registry::new();
        let (relay, thread) = {
            let _guard = runtime.enter();
            crate::threads::of_a_shard(|| Relay::start(&RelayConfig::default(), &registry).unwrap())
        };
        Self { runtime, relay, registry, thread, sent: Arc::default(), sessions: 0 }
    }

    fn address(&self) -> SocketAddr {
        self.relay.local_addrs()[0]
    }

    fn peer(&mut self) -> Peer {
        Peer::counting(self.address(), self.sessions + 1, Arc::clone(&self.sent))
    }

    fn open(&mut self, stream: &str, peer: &mut Peer, template: &str, publishes: bool) -> MediaSession {
        self.sessions += 1;
        let session = MediaSession { relay: 1, key: u128::from(self.sessions) };
        let (stream, user) = (RoomId::parse(stream).unwrap(), UserId::parse("u").unwrap());
        let (offer, most) = (peer.offer(template), Most::OneOfEach);
        let ask = if publishes {
            Ask::Publish { session, stream, user, offer, most }
        } else {
            Ask::Watch { session, stream, user, offer: Some(offer), most }
        };
        match self.runtime.block_on(self.relay.ask(ask)).unwrap() {
            Told::Opened(opened) => peer.answered(&opened.sdp),
            other => panic!("{other:?}"),
        }
        session
    }

    fn stop(&self, session: MediaSession) {
        // It may have ended by itself.
        let _ = self.runtime.block_on(self.relay.ask(Ask::Stop { session }));
    }

    fn metric(&self, name: &str) -> u64 {
        crate::metric(&self.registry, name)
    }

    /// Waits until the relay has read nearly all that was sent.
    fn wait(&self, unread_max: u64) {
        let end = Instant::now() + BROKEN;
        while self.sent.load(Ordering::Relaxed).saturating_sub(self.metric("datagrams_received_total"))
            > unread_max
        {
            assert!(Instant::now() < end, "the relay reads nothing");
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Of the shard's thread.
    fn processor_time(&self) -> Duration {
        let text = std::fs::read_to_string(format!("/proc/self/task/{}/schedstat", self.thread)).unwrap();
        Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
    }
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

fn strangers() -> Vec<UdpSocket> {
    (0..20).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect()
}

fn attack(seed: u64, count: u64) {
    println!("HOSTILE_SEED={seed}, {count} of each kind");
    let mut scene = Scene::new();
    let mut publisher = scene.peer();
    publisher.log = Some(Vec::new());
    scene.open("live:good", &mut publisher, OBS, true);
    publisher.connects();
    let mut viewer = scene.peer();
    viewer.log = Some(Vec::new());
    scene.open("live:good", &mut viewer, &plain_watch(), false);
    viewer.connects();
    // What somebody on their way has written down.
    let mut captured = publisher.log.take().unwrap();
    captured.extend(viewer.log.take().unwrap());
    let honest = Honest::begin(publisher, viewer);
    let mut attack = Attack::new(&mut scene, strangers(), captured, Chance::new(seed));
    // Everybody has been there once: what is made at first is made.
    for kind in KINDS {
        attack.run(&mut scene, kind, 500);
    }
    let (before, began) = (resident_bytes(), Instant::now());
    let mut dear = Vec::new();
    for kind in KINDS {
        let (start, time) = (Instant::now(), scene.processor_time());
        attack.run(&mut scene, kind, count);
        scene.wait(4);
        let each = scene.processor_time().saturating_sub(time) / u32::try_from(count).unwrap();
        println!(
            "{kind:?}: {each:?} each, {:?} in all, {} KB resident",
            start.elapsed(),
            resident_bytes() / 1024
        );
        if each > EACH_MAX {
            dear.push((kind, each));
        }
    }
    let whole = began.elapsed();
    let growth = resident_bytes().saturating_sub(before);
    let outcome = honest.end();
    println!(
        "{whole:?}, grown by {} KB; honest: {} packets each, {} heard and {} seen, {} keyframes asked for",
        growth / 1024,
        outcome.published.packets,
        outcome.heard,
        outcome.seen,
        outcome.published.asked,
    );
    assert_eq!(scene.metric("panics_total"), 0);
    assert_eq!(scene.metric("receive_overflows_total"), 0, "this test sends too fast");
    assert!(scene.relay.is_well());
    assert_eq!(outcome.missing, [], "of {:?}", outcome.published);
    assert!(outcome.heard > 20 && outcome.seen > 20, "{} {}", outcome.heard, outcome.seen);
    assert_eq!((outcome.publisher.closed, outcome.viewer.closed), (None, None));
    // At most one a second for each of the viewers that may ask, and some in the beginning.
    let seconds = outcome.published.packets / 50 + 5;
    assert!(outcome.published.asked <= seconds, "{:?} in {seconds} s", outcome.published);
    let is_alone = std::env::var_os("NEXTEST").is_some();
    let growth_max = if is_alone { GROWTH_BYTES_MAX } else { GROWTH_BESIDE_OTHERS_BYTES_MAX };
    assert!(growth < growth_max, "{growth} bytes");
    assert_eq!(dear, [], "more than {EACH_MAX:?}");
    scene.relay.stop();
}

#[test]
fn alone_a_hundred_thousand_of_each_kind() {
    let setting = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    attack(setting("HOSTILE_SEED").unwrap_or(5), setting("HOSTILE_COUNT").unwrap_or(100_000));
}
