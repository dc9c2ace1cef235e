//! What a check costs. It prints and holds nothing: `cargo test --release -p turnpike-guard -- --ignored speed --nocapture`.
#![allow(clippy::print_stdout, reason = "figures are what it is for")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use turnpike_fuzz::Random;
use turnpike_guard::Verifier;
use turnpike_guard::address::{
    AddressRules, Countries, CountryDatabase, ForwardedBy, Network, Networks, Proxies,
};

use crate::signers::{ED25519, P256, RSA, Signer};
use crate::tokens::{HEADER, NOW, payload, token, verifier};

const GRANTS: &str =
    r#","iat":1,"jti":"0123456789abcdef","rooms":[{"match":"chat:*","can":["join","send","history"]}]"#;
const LENGTH: Duration = Duration::from_secs(2);

#[test]
#[ignore = "prints figures"]
fn speed() {
    measure("HS256", &verifier(), &token(HEADER, payload(GRANTS)));
    let signers: [&Signer; 3] = [&RSA, &P256, &ED25519];
    for signer in signers {
        let token = signer.sign(signer.header(""), payload(GRANTS));
        measure(signer.algorithm(), &Verifier::new(signer.key(), Vec::new()), &token);
    }
}

/// A list of denied networks as long as such lists get.
pub(crate) fn ten_thousand_networks() -> Networks {
    let mut random = Random(7);
    let v4 = |bits: u64| IpAddr::V4(Ipv4Addr::from_bits(bits as u32 | 1 << 31));
    (0..10_000).map(|_| Network::around(v4(random.next()), 16 + (random.below(17) as u8))).collect()
}

#[test]
#[ignore = "prints figures"]
fn speed_of_addresses() {
    let rules = AddressRules { deny: ten_thousand_networks(), ..AddressRules::default() };
    let mut random = Random(8);
    let asked: Vec<IpAddr> =
        (0..4_096).map(|_| IpAddr::V4(Ipv4Addr::from_bits(random.next() as u32))).collect();
    repeat("an address against 10,000 networks", &asked, |address| rules.check(*address).is_ok());
    let countries = Countries::new(
        CountryDatabase::parse(turnpike_lab::country_file(&[("128.0.0.0/1", "DE"), ("64.0.0.0/4", "FR")]))
            .unwrap(),
    );
    repeat("the country of an address", &asked, |address| countries.country(*address).is_some());
    let proxies = Proxies::new("10.0.0.0/8".parse::<Network>().into_iter().collect(), ForwardedBy::Either);
    let peer = "10.0.0.1:1".parse().unwrap();
    let lines: [&[u8]; 2] = [b"198.51.100.1, 203.0.113.9, 10.0.0.2", b"203.0.113.7"];
    repeat("a forwarded header", &lines, |line| {
        proxies.client(peer, [*line].into_iter(), [].into_iter()).address.is_ipv4()
    });
    repeat("a request without one", &lines, |_| proxies.client(peer, [].into_iter(), [].into_iter()).forged);
}

fn repeat<T>(what: &str, given: &[T], check: impl Fn(&T) -> bool) {
    let (begin, mut count) = (Instant::now(), 0u32);
    while begin.elapsed() < LENGTH {
        for one in given {
            black_box(check(black_box(one)));
        }
        count += given.len() as u32;
    }
    println!("{what}: {:?} each", begin.elapsed() / count);
}

fn measure(what: &str, verifier: &Verifier, token: &str) {
    let begin = Instant::now();
    let mut count = 0u32;
    while begin.elapsed() < LENGTH {
        for _ in 0..50 {
            assert!(black_box(verifier.check(black_box(token), NOW)).is_ok());
        }
        count += 50;
    }
    let each = begin.elapsed() / count;
    println!(
        "{what}: {:.0} a second on one core, {each:?} each, {} bytes",
        1.0 / each.as_secs_f64(),
        token.len()
    );
}
