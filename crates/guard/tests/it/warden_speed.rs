//! What a knock costs. It prints and holds nothing: `cargo test --release -p turnpike-guard -- --ignored speed_of_a_knock --nocapture`.
#![allow(clippy::print_stdout, reason = "figures are what it is for")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use turnpike_guard::{At, Ban, Signal, Warden, WardenConfig, Whom};
use turnpike_wire::UserId;

const ROUNDS: u32 = 4_000_000;

fn measure(what: &str, mut work: impl FnMut(u32)) {
    let started = Instant::now();
    (0..ROUNDS).for_each(&mut work);
    println!("{what}: {:.1} ns", started.elapsed().as_nanos() as f64 / f64::from(ROUNDS));
}

#[test]
#[ignore = "prints figures"]
fn speed_of_a_knock() {
    let warden = Warden::new(WardenConfig::default());
    let at = |round: u32| At { steady_ms: u64::from(round), unix_ms: u64::from(round) };
    let address = |round: u32| IpAddr::V4(Ipv4Addr::from_bits(0xcb00_0000 | (round % 10_000)));
    let user = UserId::parse("alice").unwrap();
    for bans in [0, 1_000] {
        for ban in 0..bans {
            let whom = Whom::Network(format!("198.51.{}.{}", ban / 256, ban % 256).parse().unwrap());
            warden.ban(Ban { whom, until_ms: u64::MAX, reason: String::new(), by: String::new() });
        }
        println!("with {bans} bans");
        measure("a knock and its end, of 10,000 addresses", |round| {
            let address = address(round);
            if black_box(warden.knock(black_box(address), at(round))).is_ok() {
                warden.hung_up(address);
            }
        });
        measure("where a user stands", |round| {
            black_box(warden.user_stands(black_box(&user), at(round)));
        });
    }
    measure("a report", |round| warden.report(Some(address(round)), Some(&user), Signal::Churn, at(round)));
}
