//! From the first check to media in both directions.

use std::time::Duration;

use turnpike_transport::srtp::Profile;
use turnpike_transport::{DtlsRole, Event, IceMode};

use crate::network::{CLEAR, Network, ROUGH, Sides, USUAL};

fn media_both_ways(network: &mut Network) {
    for sequence in 0..50 {
        network.rtp(true, sequence, 11);
        network.rtp(false, sequence, 22);
        network.pass(Duration::from_millis(20));
    }
    network.pass(Duration::from_millis(200));
    let lost = if network.weather.loss == 0 { 0 } else { 25 };
    assert!(network.a.rtp.len() >= 50 - lost && network.a.rtp.len() <= 50, "{}", network.a.rtp.len());
    assert!(network.b.rtp.len() >= 50 - lost && network.b.rtp.len() <= 50, "{}", network.b.rtp.len());
    assert_eq!(network.a.rtp[0][12], network.a.rtp[0][3]);
}

#[test]
fn a_full_agent_and_a_browser() {
    let mut network = Network::new(1, CLEAR, &USUAL);
    network.connect();
    assert!(
        network.a.events.iter().any(|event| matches!(
            event,
            Event::Connected { profile: Profile::AeadAes128Gcm, path } if path.remote == network.b.address
        )),
        "{:?}",
        network.a.events
    );
    media_both_ways(&mut network);
}

#[test]
fn every_role_and_mode() {
    for (seed, a) in [IceMode::Full, IceMode::Lite].into_iter().enumerate() {
        for a_dtls in [DtlsRole::Server, DtlsRole::Client] {
            for a_controlling in [false, true] {
                for b_controlling in [false, true] {
                    println!("{a:?} {a_dtls:?} a {a_controlling} b {b_controlling}");
                    let b_dtls = match a_dtls {
                        DtlsRole::Server => DtlsRole::Client,
                        DtlsRole::Client => DtlsRole::Server,
                    };
                    let sides = Sides { a, b: IceMode::Full, a_dtls, b_dtls, a_controlling, b_controlling };
                    let mut network = Network::new(seed as u64 + 40, CLEAR, &sides);
                    network.connect();
                    media_both_ways(&mut network);
                }
            }
        }
    }
}

#[test]
fn through_rough_weather() {
    let seeds = std::env::var("TRANSPORT_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(30);
    let mut took = Vec::new();
    for seed in 0..seeds {
        for a_dtls in [DtlsRole::Server, DtlsRole::Client] {
            let b_dtls = if a_dtls == DtlsRole::Server { DtlsRole::Client } else { DtlsRole::Server };
            let sides = Sides { a_dtls, b_dtls, ..USUAL };
            let mut network = Network::new(seed, ROUGH, &sides);
            for _ in 0..4 {
                network.knock();
            }
            network.connect();
            took.push((network.now - network.start, seed, a_dtls));
            media_both_ways(&mut network);
        }
    }
    took.sort_unstable_by_key(|(time, ..)| *time);
    println!("median {:?}, slowest {:?}", took[took.len() / 2], took.last());
}
