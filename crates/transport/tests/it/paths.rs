//! Which path is used, and for how long: checks, moves, restarts, consent, and who may not change any of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use turnpike_transport::stun::{Class, Message, Writer};
use turnpike_transport::{
    CloseReason, Credentials, Dropped, DtlsRole, Event, IceMode, Input, Path, Remote, Setup, Transport,
};

use crate::network::{CLEAR, Network, Sides, USUAL, config, fingerprint};

const SECOND: Duration = Duration::from_secs(1);
const MODES: [IceMode; 2] = [IceMode::Full, IceMode::Lite];

fn connected(a: IceMode) -> Network {
    let mut network = Network::new(7, CLEAR, &Sides { a, ..USUAL });
    network.connect();
    network.pass(SECOND);
    network
}

fn other(port: u16) -> SocketAddr {
    SocketAddr::new("203.0.113.8".parse().unwrap(), port)
}

/// Hands `a` a datagram as if it had come from `from`.
fn hand(network: &mut Network, from: SocketAddr, mut data: Vec<u8>) -> Result<(), Dropped> {
    let path = Path { local: network.a.address, remote: from };
    match network.a.transport.handle(network.now, path, &mut data) {
        Input::Dropped(reason) => Err(reason),
        _ => Ok(()),
    }
}

fn answers(network: &mut Network) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| network.a.transport.poll_transmit()).map(|transmit| transmit.data).collect()
}

#[test]
fn nobody_is_checked_who_has_not_checked_us() {
    let mut network = Network::new(1, CLEAR, &Sides { a_controlling: true, b_controlling: false, ..USUAL });
    network.log = Some(Vec::new());
    for port in 0..1_000 {
        network.a.transport.add_remote_candidate(other(port), 1_000);
    }
    network.pass(20 * SECOND);
    // What a stranger sends changes nothing, nor does what is only almost right.
    let mut forged = network.check(true, 1);
    let last = forged.len() - 9;
    forged[last] ^= 1;
    assert!(hand(&mut network, other(1), forged).is_err());
    network.pass(SECOND);
    assert_eq!(network.log.as_ref().unwrap().len(), 0);
    network.knock();
    network.run(5 * SECOND, Network::connected);
}

/// Several pairs work; the side that controls says which it is.
#[test]
fn the_controlled_side_follows_the_nomination() {
    for seed in 0..20 {
        let mut network = Network::new(seed, CLEAR, &USUAL);
        for port in 1..6 {
            let priority = network.random.below(1_000) as u32;
            let check = network.check(false, priority);
            hand(&mut network, other(port), check).unwrap();
        }
        network.connect();
        network.pass(SECOND);
        assert_eq!(network.a.transport.remote(), network.b.transport.path().map(|path| path.local));
    }
}

#[test]
fn a_peer_that_moves_is_followed() {
    for mode in MODES {
        let mut network = connected(mode);
        let (old, new) = (network.b.address, other(6_001));
        network.cut.push(old);
        network.b.address = new;
        let start = network.now;
        // A browser checks a few times a second and nominates what works.
        for _ in 0..20 {
            let check = network.check(true, 50);
            let to = network.a.address;
            network.put(new, to, &check);
            network.pass(SECOND / 4);
        }
        assert_eq!(network.a.transport.remote(), Some(new), "{mode:?}");
        let path = Path { local: network.a.address, remote: new };
        assert!(network.a.events.contains(&Event::PathChanged(path)));
        assert!(network.now - start < 6 * SECOND);
    }
}

/// With a lower priority, and the old path still alive: the peer's media says which it means.
#[test]
fn media_moves_the_path_at_once() {
    for mode in MODES {
        let mut network = connected(mode);
        let new = other(6_001);
        let check = network.check(true, 50);
        let to = network.a.address;
        network.put(new, to, &check);
        network.pass(SECOND / 10);
        if mode == IceMode::Lite {
            assert_eq!(network.a.transport.remote(), Some(network.b.address));
        }
        let mut packet = crate::network::rtp_packet(1, 5, 20);
        let len = packet.len() - 20;
        let len = network.b.transport.seal_rtp(&mut packet, len).unwrap();
        network.put(new, to, &packet[..len]);
        network.pass(SECOND / 10);
        assert_eq!(network.a.transport.remote(), Some(new), "{mode:?}");
    }
}

/// A check that was caught on its way and comes again from elsewhere.
#[test]
fn a_replayed_check_opens_no_path() {
    for mode in MODES {
        let mut network = connected(mode);
        let check = network.check(true, u32::MAX);
        let honest = network.b.address;
        hand(&mut network, honest, check.clone()).unwrap();
        answers(&mut network);
        assert_eq!(hand(&mut network, other(9), check.clone()), Err(Dropped::StunReplayed));
        assert!(answers(&mut network).is_empty());
        // Repeated by the peer itself it is only a repetition.
        hand(&mut network, honest, check).unwrap();
        assert_eq!(answers(&mut network).len(), 1);
        network.pass(SECOND);
        assert_eq!(network.a.transport.remote(), Some(honest));
        assert!(
            !network
                .a
                .events
                .iter()
                .any(|event| matches!(event, Event::Bound(path) if path.remote == other(9)))
        );
    }
}

#[test]
fn strangers_and_forgers_get_no_answer() {
    let mut network = Network::new(1, CLEAR, &USUAL);
    let ours = network.a.credentials.clone();
    let theirs = network.b.credentials.clone();
    let request = || Writer::new(Class::Request, &[1; 12]).priority(1).controlling(1);
    for (datagram, reason) in [
        (request().username("nobody", theirs.ufrag()).finish(ours.pwd()), Dropped::StunStranger),
        (request().username(ours.ufrag(), "nobody").finish(ours.pwd()), Dropped::StunStranger),
        (request().username(ours.ufrag(), theirs.ufrag()).finish(theirs.pwd()), Dropped::StunForged),
        (request().finish(ours.pwd()), Dropped::StunMalformed),
        (Writer::new(Class::Success, &[1; 12]).finish(theirs.pwd()), Dropped::StunUnexpected),
    ] {
        let from = network.b.address;
        assert_eq!(hand(&mut network, from, datagram), Err(reason));
        assert!(answers(&mut network).is_empty());
        assert_eq!(network.a.transport.poll_event(), None);
    }
    // Media and handshakes from an address that was not checked.
    for data in [vec![0x80; 60], vec![22; 60]] {
        let from = network.b.address;
        assert_eq!(hand(&mut network, from, data), Err(Dropped::UnknownPath));
    }
}

#[test]
fn an_unknown_attribute_that_must_be_understood_is_named() {
    let mut network = Network::new(1, CLEAR, &USUAL);
    let datagram = Writer::new(Class::Request, &[3; 12])
        .username(network.a.credentials.ufrag(), network.b.credentials.ufrag())
        .priority(1)
        .controlling(1)
        .attribute(0x7001, &[])
        .finish(network.a.credentials.pwd());
    let from = network.b.address;
    hand(&mut network, from, datagram).unwrap();
    let answers = answers(&mut network);
    let answer = Message::parse(&answers[0]).unwrap();
    assert_eq!((answer.class(), answer.error(), answer.transaction()), (Class::Error, Some(420), [3; 12]));
    assert!(answer.verify(network.a.credentials.pwd()));
    assert_eq!(network.a.transport.poll_event(), None);
}

#[test]
fn a_lite_agent_never_controls() {
    let mut network = Network::new(1, CLEAR, &Sides { a: IceMode::Lite, ..USUAL });
    let datagram = Writer::new(Class::Request, &[3; 12])
        .username(network.a.credentials.ufrag(), network.b.credentials.ufrag())
        .priority(1)
        .controlled(0)
        .finish(network.a.credentials.pwd());
    let from = network.b.address;
    hand(&mut network, from, datagram).unwrap();
    let answers = answers(&mut network);
    assert_eq!(Message::parse(&answers[0]).unwrap().error(), Some(487));
}

#[test]
fn pairs_and_answers_are_bounded() {
    for mode in MODES {
        let mut network = connected(mode);
        let honest = network.b.address;
        network.a.events.clear();
        let mut answered = 0;
        for port in 0..2_000 {
            let check = network.check(true, 1);
            let _ = hand(&mut network, other(port), check);
            answered += answers(&mut network).len();
            while let Some(event) = network.a.transport.poll_event() {
                network.a.events.push(event);
            }
        }
        assert!(answered <= 200, "{answered} messages for 2,000 checks");
        let count =
            |wanted: fn(&Event) -> bool| network.a.events.iter().filter(|event| wanted(event)).count();
        let bound = count(|event| matches!(event, Event::Bound(_)));
        let unbound = count(|event| matches!(event, Event::Unbound(_)));
        assert!(bound <= 200 && bound - unbound <= 16, "{bound} {unbound}");
        assert_eq!(network.a.transport.remote(), Some(honest));
        // The honest side is heard again at once.
        network.pass(SECOND);
        assert_eq!(network.a.transport.remote(), Some(honest));
    }
}

#[test]
fn consent_expires() {
    for mode in MODES {
        let mut network = connected(mode);
        // As long as both are there, nothing expires. A lite side lives on the checks of its peer.
        for _ in 0..20 {
            network.pass(5 * SECOND);
            if mode == IceMode::Lite {
                let check = network.check(true, 1);
                let (from, to) = (network.b.address, network.a.address);
                network.put(from, to, &check);
            }
        }
        assert!(network.connected(), "{mode:?}");
        let cut = network.now;
        network.cut.push(network.b.address);
        network.run(40 * SECOND, |network| network.a.closed().is_some());
        assert_eq!(network.a.closed(), Some(&CloseReason::ConsentLost));
        let took = network.now - cut;
        assert!((23 * SECOND..=31 * SECOND).contains(&took), "{mode:?} {took:?}");
        assert_eq!(network.a.transport.remote(), None);
        assert_eq!(network.a.transport.due(), None);
        assert!(network.a.events.iter().any(|event| matches!(event, Event::Unbound(_))));
    }
}

/// Checks go out about every five seconds, never in step, and each has a transaction of its own.
#[test]
fn consent_checks_have_a_rhythm() {
    let mut network = connected(IceMode::Full);
    network.log = Some(Vec::new());
    network.pass(300 * SECOND);
    let address = network.a.address;
    let log = network.log.take().unwrap();
    let mut transactions = Vec::new();
    for (from, _, data) in &log {
        let message = Message::parse(data).unwrap();
        if *from == address && message.class() == Class::Request {
            transactions.push(message.transaction());
        }
    }
    assert!((50..=75).contains(&transactions.len()), "{}", transactions.len());
    transactions.sort_unstable();
    transactions.dedup();
    assert!(transactions.len() >= 50);
}

fn restart(network: &mut Network) {
    let (a, b) = (
        Credentials::from_random(&network.random.bytes()),
        Credentials::from_random(&network.random.bytes()),
    );
    network.a.transport.restart(a.clone(), Some(b.clone()));
    network.b.transport.restart(b.clone(), Some(a.clone()));
    (network.a.credentials, network.b.credentials) = (a, b);
}

#[test]
fn a_restart_while_media_flows() {
    for mode in MODES {
        let mut network = connected(mode);
        let stale = network.check(true, 1);
        let mut sequence = 0;
        let mut flow = |network: &mut Network| {
            for _ in 0..20 {
                network.rtp(true, sequence, 1);
                network.rtp(false, sequence, 2);
                sequence += 1;
                network.pass(SECOND / 50);
            }
        };
        for round in 0..5 {
            flow(&mut network);
            restart(&mut network);
            flow(&mut network);
            if round == 2 {
                // Two restarts before the first is taken up: only the last counts.
                restart(&mut network);
            }
            network.knock();
            flow(&mut network);
            let check = network.check(true, 1);
            let (from, to) = (network.b.address, network.a.address);
            network.put(from, to, &check);
            flow(&mut network);
        }
        network.pass(SECOND);
        assert_eq!((network.a.rtp.len(), network.b.rtp.len()), (400, 400), "{mode:?}");
        assert!(!network.a.events.iter().any(|event| matches!(event, Event::PathChanged(_))));
        let from = network.b.address;
        assert_eq!(
            hand(&mut network, from, stale),
            Err(Dropped::StunStranger),
            "old credentials are forgotten"
        );
    }
}

#[test]
fn a_restart_to_another_address() {
    for mode in MODES {
        let mut network = connected(mode);
        restart(&mut network);
        let (old, new) = (network.b.address, other(6_002));
        network.b.address = new;
        network.knock();
        network.pass(SECOND / 10);
        let check = network.check(true, 1);
        let to = network.a.address;
        network.put(new, to, &check);
        network.pass(SECOND / 2);
        assert_eq!(network.a.transport.remote(), Some(new), "{mode:?}");
        let old = Path { local: to, remote: old };
        assert!(network.a.events.contains(&Event::Unbound(old)));
    }
}

#[test]
fn a_restart_that_nobody_takes_up_changes_nothing() {
    let mut network = connected(IceMode::Full);
    let (a, b) = (
        Credentials::from_random(&network.random.bytes()),
        Credentials::from_random(&network.random.bytes()),
    );
    network.a.transport.restart(a, Some(b));
    network.pass(120 * SECOND);
    assert!(network.connected());
    network.rtp(true, 1, 1);
    network.pass(SECOND);
    assert_eq!(network.b.rtp.len(), 1);
}

/// Our offer: the peer checks and greets before its answer has come to us.
#[test]
fn an_offer_of_ours() {
    for mode in MODES {
        let sides = Sides { a: mode, a_controlling: true, b_controlling: false, ..USUAL };
        let mut network = Network::with(3, CLEAR, &sides, config(mode), config(IceMode::Full));
        let setup = Setup {
            local: network.a.credentials.clone(),
            remote: None,
            dtls: DtlsRole::Server,
            controlling: true,
        };
        network.a.transport = Transport::new(&Arc::clone(&network.a.config), setup, network.now);
        let greeting = Writer::new(Class::Request, &[8; 12])
            .username(network.a.credentials.ufrag(), network.b.credentials.ufrag())
            .priority(1);
        let greeting = if mode == IceMode::Lite {
            greeting.controlling(1).use_candidate()
        } else {
            greeting.controlled(1)
        };
        let greeting = greeting.finish(network.a.credentials.pwd());
        let from = network.b.address;
        hand(&mut network, from, greeting).unwrap();
        let mut hello = vec![22, 0xfe, 0xfd];
        hello.resize(60, 0);
        assert_eq!(hand(&mut network, from, hello), Err(Dropped::NoFingerprint));
        assert!(!answers(&mut network).is_empty());
        network.pass(2 * SECOND);
        assert!(!network.connected());
        let remote = Remote {
            credentials: network.b.credentials.clone(),
            fingerprints: vec![fingerprint(&network.b.config)],
        };
        network.a.transport.set_remote(remote, DtlsRole::Server, network.now);
        network.knock();
        network.run(10 * SECOND, Network::connected);
    }
}
