//! A stream at several shards of one relay.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use prometheus::Registry;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use turnpike_media_relay::{Ask, Ended, Most, Notice, Relay, RelayConfig, Told};
use turnpike_wire::media::MediaSession;
use turnpike_wire::{RoomId, UserId};

use crate::honest::Honest;
use crate::peer::{OBS, Peer, plain_watch};

const BROKEN: Duration = Duration::from_secs(20);
/// More than one shard has before others are given viewers of its streams.
const VIEWERS_MAX: usize = 80;

struct House {
    runtime: Runtime,
    relay: Relay,
    registry: Registry,
    sessions: u64,
}

/// Somebody who is let in, and what the relay says to them.
struct Guest {
    peer: Peer,
    session: MediaSession,
    notices: mpsc::Receiver<Notice>,
}

fn live() -> RoomId {
    RoomId::parse("live:a").unwrap()
}

impl House {
    fn new() -> Self {
        let (runtime, registry) = (Runtime::new().unwrap(), Registry::new());
        let relay = {
            let _within = runtime.enter();
            let config = RelayConfig { shards: 2, ..RelayConfig::default() };
            crate::threads::of_a_shard(|| Relay::start(&config, &registry).unwrap()).0
        };
        Self { runtime, relay, registry, sessions: 0 }
    }

    fn open(&mut self, publishes: bool) -> Guest {
        self.sessions += 1;
        // Nobody knows before where it will be.
        let mut peer = Peer::new(self.relay.local_addrs()[0], self.sessions);
        let session = MediaSession { relay: 1, key: u128::from(self.sessions) };
        let notices = self.relay.listen(session);
        let (stream, user) = (live(), UserId::parse(&format!("u{}", self.sessions)).unwrap());
        let ask = if publishes {
            Ask::Publish { session, stream, user, offer: peer.offer(OBS), most: Most::OneOfEach }
        } else {
            let offer = Some(peer.offer(&plain_watch()));
            Ask::Watch { session, stream, user, offer, most: Most::OneOfEach }
        };
        let Told::Opened(opened) = self.ask(ask) else { panic!("another answer") };
        peer.relay = candidate(&opened.sdp);
        peer.answered(&opened.sdp);
        Guest { peer, session, notices }
    }

    /// Viewers who never come, until one is let in at another shard than the stream's own.
    fn open_until_elsewhere(&mut self, own: SocketAddr) -> (usize, Guest) {
        for count in 0..VIEWERS_MAX {
            let guest = self.open(false);
            if guest.peer.relay != own {
                return (count, guest);
            }
        }
        panic!("{VIEWERS_MAX} viewers at one shard of two");
    }

    fn ask(&self, ask: Ask) -> Told {
        self.runtime.block_on(self.relay.ask(ask)).unwrap()
    }

    fn viewers(&self) -> u64 {
        let Told::Streams(streams) = self.ask(Ask::Streams) else { panic!("another answer") };
        let [info] = &streams[..] else { panic!("{} streams", streams.len()) };
        assert!(info.publishers.len() == 1 && !info.is_fed, "{info:?}");
        info.viewers
    }

    fn until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + BROKEN;
        while !is_so(self) {
            assert!(Instant::now() < end, "{what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn candidate(answer: &str) -> SocketAddr {
    let line = answer.lines().find(|line| line.starts_with("a=candidate:") && line.contains(" typ host"));
    let words: Vec<_> = line.unwrap().split(' ').collect();
    SocketAddr::new(words[4].parse().unwrap(), words[5].parse().unwrap())
}

/// Takes as long as it takes to say that nobody watches, which is five seconds.
#[test]
fn viewers_of_a_shard_that_is_full_watch_at_another() {
    let mut house = House::new();
    let mut publisher = house.open(true);
    publisher.peer.connects();
    let own = publisher.peer.relay;
    let (others, mut viewer) = house.open_until_elsewhere(own);
    assert_eq!(others, 63, "with the publisher 64");
    viewer.peer.connects();
    let honest = Honest::begin(publisher.peer, viewer.peer);
    house.until("not everybody is counted", |house| house.viewers() == 64);
    assert_eq!(crate::metric(&house.registry, "streams"), 2, "once at each shard");
    std::thread::sleep(Duration::from_millis(500));
    let outcome = honest.end();
    assert!(outcome.seen > 20 && outcome.heard > 20, "{} seen, {} heard", outcome.seen, outcome.heard);
    assert_eq!(outcome.missing, Vec::<(u8, u32)>::new());
    house.ask(Ask::Stop { session: viewer.session });
    house.until("one less", |house| house.viewers() == 63);
    house.until("the pipe is still there", |house| crate::metric(&house.registry, "streams") == 1);
    // And it is made again when it is needed.
    let (_, mut again) = house.open_until_elsewhere(own);
    again.peer.connects();
    house.until("one more", |house| house.viewers() >= 64);
    house.relay.stop();
}

#[test]
fn what_ends_ends_at_all_shards() {
    let mut house = House::new();
    let publisher = house.open(true);
    let (_, mut viewer) = house.open_until_elsewhere(publisher.peer.relay);
    house.ask(Ask::End { stream: live() });
    let ended = house.runtime.block_on(async {
        tokio::time::timeout(BROKEN, async {
            while let Some(notice) = viewer.notices.recv().await {
                if let Notice::Ended(ended) = notice {
                    return Some(ended);
                }
            }
            None
        })
        .await
    });
    assert_eq!(ended.unwrap(), Some(Ended::StreamEnded));
    house.until("something is left", |house| crate::metric(&house.registry, "streams") == 0);
    house.relay.stop();
}
