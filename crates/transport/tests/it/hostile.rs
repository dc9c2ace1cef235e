//! Hostile datagrams: noise, and honest datagrams cut, changed and repeated. Nothing panics, memory stays, and whoever is
//! honest notices nothing.
//!
//! `TRANSPORT_HOSTILE=100000` sets how many of each kind (in a release build that takes seconds).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use turnpike_transport::{IceMode, Path};

use crate::network::{CLEAR, Network, Random, Sides, USUAL};

const SECOND: Duration = Duration::from_secs(1);

fn count() -> u64 {
    std::env::var("TRANSPORT_HOSTILE").ok().and_then(|text| text.parse().ok()).unwrap_or(3_000)
}

/// Datagrams of every kind that went from `b` to `a`, from the first check to media.
fn honest() -> Vec<Vec<u8>> {
    let mut network = Network::new(99, CLEAR, &USUAL);
    network.log = Some(Vec::new());
    network.connect();
    for sequence in 0..5 {
        network.rtp(false, sequence, 9);
        let mut report = vec![0x80, 201, 0, 1, 0, 0, 0, 9];
        report.resize(28, 0);
        let len = network.b.transport.seal_rtcp(&mut report, 8).unwrap();
        let (from, to) = (network.b.address, network.a.address);
        network.put(from, to, &report[..len]);
    }
    network.pass(10 * SECOND);
    let now = network.now;
    network.b.transport.close(now);
    network.pass(SECOND);
    let to = network.a.address;
    network.log.take().unwrap().into_iter().filter(|entry| entry.1 == to).map(|entry| entry.2).collect()
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Noise,
    NoiseWithHeader,
    Cut,
    Changed,
    Repeated,
}

const KINDS: [Kind; 5] = [Kind::Noise, Kind::NoiseWithHeader, Kind::Cut, Kind::Changed, Kind::Repeated];

fn make(kind: Kind, corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut datagram = corpus[random.below(corpus.len() as u64) as usize].clone();
    match kind {
        Kind::Repeated => {}
        Kind::Cut => datagram.truncate(random.below(datagram.len() as u64 + 1) as usize),
        Kind::Changed => {
            for _ in 0..=random.below(4) {
                let at = random.below(datagram.len() as u64) as usize;
                datagram[at] = random.next() as u8;
            }
        }
        Kind::Noise | Kind::NoiseWithHeader => {
            let kept = if matches!(kind, Kind::Noise) { 0 } else { random.below(26) as usize };
            datagram.resize(random.below(1_500) as usize, 0);
            let kept = kept.min(datagram.len());
            datagram[kept..].fill_with(|| random.next() as u8);
        }
    }
    datagram
}

/// Sends `count` of each kind to `a`, and tells the time that one took.
fn attack(
    network: &mut Network,
    from: &[SocketAddr],
    corpus: &[Vec<u8>],
    mut each: impl FnMut(&mut Network),
) {
    let mut random = network.random.clone();
    // However many there are, consent must not run out meanwhile.
    let step = (8 * SECOND / (KINDS.len() as u32 * count() as u32)).min(Duration::from_micros(100));
    for kind in KINDS {
        let mut spent = Duration::ZERO;
        for _ in 0..count() {
            let mut datagram = make(kind, corpus, &mut random);
            let remote = from[random.below(from.len() as u64) as usize];
            let path = Path { local: network.a.address, remote };
            let start = Instant::now();
            network.a.transport.handle(network.now, path, &mut datagram);
            spent += start.elapsed();
            network.now += step;
            each(network);
        }
        println!("{kind:?}: {:?} each", spent / count() as u32);
    }
}

fn strangers() -> Vec<SocketAddr> {
    (0..50u16).map(|port| SocketAddr::new("192.0.2.66".parse().unwrap(), 7_000 + port)).collect()
}

#[test]
fn a_connected_transport() {
    let corpus = honest();
    for mode in [IceMode::Full, IceMode::Lite] {
        let mut network = Network::new(1, CLEAR, &Sides { a: mode, ..USUAL });
        network.connect();
        // Its own media too, some of it not yet seen by `a`.
        network.log = Some(Vec::new());
        for sequence in 0..20 {
            network.rtp(false, sequence, 9);
        }
        network.lose_everything();
        let mut corpus = corpus.clone();
        corpus.extend(network.log.take().unwrap().into_iter().map(|entry| entry.2));
        let mut from = strangers();
        // Half of it from the honest address.
        from.extend(std::iter::repeat_n(network.b.address, 50));
        let memory = allocation_counter::measure(|| {
            attack(&mut network, &from, &corpus, |network| {
                while network.a.transport.poll_transmit().is_some() {}
                assert!(!network.a.transport.is_closed());
            });
        });
        println!("{mode:?}: {memory:?}");
        assert!(memory.bytes_current < 64 * 1_024, "{memory:?}");
        network.a.rtp.clear();
        for sequence in 100..150 {
            network.rtp(true, sequence, 1);
            network.rtp(false, sequence, 2);
            network.pass(SECOND / 50);
        }
        network.pass(SECOND);
        assert_eq!((network.a.rtp.len(), network.b.rtp.len()), (50, 50), "{mode:?}");
    }
}

/// From addresses that are not the peer's, at every step of the handshake.
#[test]
fn a_handshake_among_strangers() {
    let corpus = honest();
    let from = strangers();
    let mut network = Network::new(2, CLEAR, &USUAL);
    let memory = allocation_counter::measure(|| {
        attack(
            &mut network,
            &from,
            &corpus,
            |network| {
                while network.a.transport.poll_transmit().is_some() {}
            },
        );
    });
    assert!(memory.bytes_current < 64 * 1_024, "{memory:?}");
    // Thirty seconds may have passed meanwhile; a new one then.
    let mut network = Network::new(3, CLEAR, &USUAL);
    let mut random = Random::new(3);
    network.knock();
    let end = network.now + 5 * SECOND;
    while !network.connected() {
        assert!(network.now < end, "{:?}", network.a.events);
        for _ in 0..20 {
            let kind = KINDS[random.below(5) as usize];
            let datagram = make(kind, &corpus, &mut random);
            let to = network.a.address;
            network.deliver(from[random.below(50) as usize], to, datagram);
        }
        network.pass(Duration::from_millis(1));
    }
}

/// From the peer's own address: then the handshake may fail, but with bounded memory and without panic.
#[test]
fn a_handshake_with_an_attacker() {
    let corpus = honest();
    let config = crate::network::config(IceMode::Full);
    let rounds = count() / 20;
    let mut random = Random::new(8);
    let (mut connected, mut closed) = (0, 0);
    let mut network = Network::with(8, CLEAR, &USUAL, config, crate::network::config(IceMode::Full));
    for round in 0..rounds {
        let memory = allocation_counter::measure(|| {
            network.fresh(round);
            network.log = Some(Vec::new());
            network.knock();
            for _ in 0..100 {
                // What honest side and attacker send in this very session, and what others sent in theirs.
                let own = network.log.as_ref().unwrap();
                let own: Vec<Vec<u8>> = own
                    .iter()
                    .filter(|entry| entry.1 == network.a.address)
                    .map(|entry| entry.2.clone())
                    .collect();
                let kind = KINDS[random.below(5) as usize];
                let corpus = if own.is_empty() || random.below(4) == 0 { &corpus } else { &own };
                let datagram = make(kind, corpus, &mut random);
                let (from, to) = (network.b.address, network.a.address);
                network.deliver(from, to, datagram);
                network.pass(Duration::from_millis(random.below(4)));
            }
            network.log = None;
            network.pass(SECOND);
            network.a.dropped = Vec::new();
            network.b.dropped = Vec::new();
        });
        assert!(memory.bytes_max < 2_000_000, "round {round}: {memory:?}");
        connected += u64::from(network.connected());
        closed += u64::from(network.a.transport.is_closed());
    }
    println!("of {rounds} {connected} connected, {closed} closed");
    assert!(connected + closed > 0);
}
