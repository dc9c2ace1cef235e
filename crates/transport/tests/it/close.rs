//! The ends of a transport.

use std::sync::Arc;
use std::time::Duration;

use turnpike_transport::{CloseReason, Dropped, DtlsRole, Event, IceMode, Remote, Setup, Transport};

use crate::network::{CLEAR, Network, Sides, USUAL, config, fingerprint};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn close_notify_ends_both_sides() {
    // Soon after the handshake, and when its memory has been given back: after a while, or when media has come.
    for (a_closes, after, media) in [
        (true, 1, false),
        (false, 1, false),
        (true, 60, false),
        (false, 60, false),
        (true, 1, true),
        (false, 1, true),
    ] {
        let mut network = Network::new(1, CLEAR, &USUAL);
        network.connect();
        if media {
            network.rtp(true, 1, 1);
            network.rtp(false, 1, 1);
        }
        network.pass(after * SECOND);
        let now = network.now;
        if a_closes {
            network.a.transport.close(now);
        } else {
            network.b.transport.close(now);
        }
        network.pass(SECOND);
        let other = if a_closes { &network.b } else { &network.a };
        assert_eq!(other.closed(), Some(&CloseReason::CloseNotify));
        let itself = if a_closes { &network.a } else { &network.b };
        assert_eq!(itself.closed(), None, "who closes is not told");
        assert!(network.a.transport.is_closed() && network.b.transport.is_closed());
        assert_eq!(network.a.transport.remote(), None);
        // No consent any more: not even an honest check is answered (RFC 7675 5.2).
        network.log = Some(Vec::new());
        network.knock();
        network.pass(SECOND);
        assert_eq!(network.log.as_ref().unwrap().len(), 1);
        assert_eq!(network.a.dropped.last(), Some(&Dropped::Closed));
        let mut packet = vec![0x80; 100];
        assert!(network.a.transport.seal_rtp(&mut packet, 50).is_err());
    }
}

#[test]
fn a_certificate_that_the_sdp_did_not_name() {
    for a_dtls in [DtlsRole::Server, DtlsRole::Client] {
        let b_dtls = if a_dtls == DtlsRole::Server { DtlsRole::Client } else { DtlsRole::Server };
        let mut network = Network::new(2, CLEAR, &Sides { a_dtls, b_dtls, ..USUAL });
        let remote = Remote {
            credentials: network.b.credentials.clone(),
            fingerprints: vec![fingerprint(&network.a.config), fingerprint(&config(IceMode::Full))],
        };
        let setup = Setup {
            local: network.a.credentials.clone(),
            remote: Some(remote),
            dtls: a_dtls,
            controlling: false,
        };
        network.a.transport = Transport::new(&Arc::clone(&network.a.config), setup, network.now);
        network.knock();
        network.run(5 * SECOND, |network| network.a.closed().is_some());
        assert_eq!(network.a.closed(), Some(&CloseReason::FingerprintMismatch));
        assert!(!network.a.events.iter().any(|event| matches!(event, Event::Connected { .. })));
        assert_eq!(network.a.transport.remote(), None);
    }
}

#[test]
fn nobody_comes() {
    let mut network = Network::new(3, CLEAR, &USUAL);
    network.run(31 * SECOND, |network| network.a.closed().is_some());
    assert_eq!(network.a.closed(), Some(&CloseReason::ConnectTimeout));
    assert_eq!(network.now - network.start, 30 * SECOND);
}

#[test]
fn a_handshake_that_stops() {
    let mut network = Network::new(4, CLEAR, &USUAL);
    network.log = Some(Vec::new());
    network.knock();
    // Until the hello of the peer is on its way.
    network.run(5 * SECOND, |network| {
        network
            .log
            .as_ref()
            .unwrap()
            .iter()
            .any(|(from, _, data)| *from == network.b.address && data[0] == 22)
    });
    network.pass(SECOND / 50);
    network.cut.push(network.a.address);
    let cut = network.now;
    network.run(15 * SECOND, |network| network.a.closed().is_some());
    assert_eq!(network.a.closed(), Some(&CloseReason::HandshakeTimeout));
    assert!(network.now - cut <= 10 * SECOND);
}

/// The last flight of the handshake is lost: the side that is through must repeat it.
#[test]
fn the_last_flight_is_lost() {
    for a_dtls in [DtlsRole::Server, DtlsRole::Client] {
        let b_dtls = if a_dtls == DtlsRole::Server { DtlsRole::Client } else { DtlsRole::Server };
        let mut network = Network::new(5, CLEAR, &Sides { a_dtls, b_dtls, ..USUAL });
        network.knock();
        let server_is_a = a_dtls == DtlsRole::Server;
        network.run(5 * SECOND, |network| {
            let server = if server_is_a { &network.a } else { &network.b };
            server.transport.remote().is_some()
        });
        // What it has sent just now is still on the wire.
        network.lose_everything();
        network.run(5 * SECOND, Network::connected);
    }
}
