//! Attackers, each with the time within which it must have been found.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use turnpike_fuzz::Random;
use turnpike_guard::Signal;
use turnpike_wire::UserId;

use super::stage::{Deed, Part};

pub(crate) type Script = (&'static str, u64, fn(&mut Random) -> Part);

const MINUTE: u64 = 60_000;

pub(crate) const ATTACKS: &[Script] = &[
    ("guessing tokens", MINUTE, |random| of_address(random, Signal::BadToken, 20..100)),
    ("guessing tokens slowly", 3 * MINUTE, |random| of_address(random, Signal::BadToken, 500..2_000)),
    ("guessing tokens from all of a /64", MINUTE, guessing_from_a_prefix),
    ("refreshing with tokens of others", 2 * MINUTE, |random| of_user(random, Signal::BadToken, 100..1_000)),
    ("scanning rooms", MINUTE, |random| of_user(random, Signal::RoomScan, 50..200)),
    ("scanning rooms slowly", 5 * MINUTE, |random| of_user(random, Signal::RoomScan, 700..1_200)),
    ("scanning rooms with a new session each time", MINUTE, scanning_with_new_sessions),
    ("asking for histories that are not granted", MINUTE, |random| {
        of_user(random, Signal::HistoryScan, 50..300)
    }),
    // Seen from the 121st page of a minute on.
    ("copying all of a history", 2 * MINUTE, |random| of_user(random, Signal::HistoryScan, 30..100)),
    ("broken frames", MINUTE, |random| of_address(random, Signal::Malformed, 100..2_000)),
    ("lengths that lie", MINUTE, |random| of_user_and_address(random, Signal::Malformed, 100..1_500)),
    ("two polls of one session at once", MINUTE, |random| of_address(random, Signal::Malformed, 200..2_000)),
    ("connections without an introduction", MINUTE, |random| {
        of_address(random, Signal::Malformed, 200..2_000)
    }),
    ("publishing beyond the limit", MINUTE, |random| of_user(random, Signal::Flood, 2..20)),
    ("publishing beyond the limit through many rooms", MINUTE, |random| {
        of_user(random, Signal::Flood, 1..10)
    }),
    ("typing and presence without end", MINUTE, |random| of_user(random, Signal::Flood, 5..50)),
    ("bodies that are too large", MINUTE, |random| of_address(random, Signal::Flood, 10..50)),
    ("connecting without end", 2 * MINUTE, |random| at_the_door(random, Deed::Connect)),
    ("sessions without end", 2 * MINUTE, |random| at_the_door(random, Deed::Come)),
    ("sessions that enter nowhere", 2 * MINUTE, |random| of_address(random, Signal::Churn, 1..10)),
    ("coming and going", 2 * MINUTE, |random| of_user(random, Signal::Churn, 50..200)),
    ("reading nothing, over many connections", MINUTE, |random| {
        of_address(random, Signal::SlowReader, 200..2_000)
    }),
    ("one byte a second, over many connections", MINUTE, |random| {
        of_address(random, Signal::SlowReader, 100..2_000)
    }),
    ("guessing session ids", 2 * MINUTE, |random| of_address(random, Signal::SessionGuess, 1..10)),
    ("session ids of others", MINUTE, |random| of_user(random, Signal::SessionGuess, 100..1_000)),
    ("addresses that are made up in headers", 2 * MINUTE, |random| {
        of_address(random, Signal::ForgedHeader, 10..50)
    }),
    ("pages of made-up origins", 2 * MINUTE, |random| of_address(random, Signal::OriginRefused, 10..50)),
    ("many accounts from one address", 2 * MINUTE, many_accounts),
    ("a little of everything", 2 * MINUTE, a_little_of_everything),
];

pub(crate) fn address(random: &mut Random) -> IpAddr {
    // Not that of whoever stands by.
    IpAddr::V4(Ipv4Addr::new(203, 0, random.below(256) as u8, 1 + random.below(250) as u8))
}

pub(crate) fn user(number: usize) -> UserId {
    UserId::parse(&format!("user-{number}")).unwrap()
}

pub(crate) fn between(random: &mut Random, range: &std::ops::Range<u64>) -> u64 {
    range.start + random.below((range.end - range.start) as usize) as u64
}

/// From an address of which nobody is known.
fn of_address(random: &mut Random, signal: Signal, every_ms: std::ops::Range<u64>) -> Part {
    let from = address(random);
    Part::new(&[from], &[], move |random| (between(random, &every_ms), vec![Deed::Seen(from, None, signal)]))
}

/// A user at one place.
fn of_user(random: &mut Random, signal: Signal, every_ms: std::ops::Range<u64>) -> Part {
    let (from, who) = (address(random), user(random.below(1_000)));
    let known = who.clone();
    Part::new(&[from], &[known], move |random| {
        (between(random, &every_ms), vec![Deed::Seen(from, Some(who.clone()), signal)])
    })
}

/// What breaks the protocol is told of the address by the engine, and of the user by the gateway.
fn of_user_and_address(random: &mut Random, signal: Signal, every_ms: std::ops::Range<u64>) -> Part {
    let (from, who) = (address(random), user(random.below(1_000)));
    let known = who.clone();
    Part::new(&[from], &[known], move |random| {
        let seen = vec![Deed::Seen(from, None, signal), Deed::Seen(from, Some(who.clone()), signal)];
        (between(random, &every_ms), seen)
    })
}

fn guessing_from_a_prefix(random: &mut Random) -> Part {
    let prefix = (0x2001_0db8_0000_0000_u128 | u128::from(random.next() as u32)) << 64;
    let any = IpAddr::V6(Ipv6Addr::from_bits(prefix));
    Part::new(&[any], &[], move |random| {
        let from = IpAddr::V6(Ipv6Addr::from_bits(prefix | u128::from(random.next())));
        (between(random, &(20..200)), vec![Deed::Seen(from, None, Signal::BadToken)])
    })
}

fn scanning_with_new_sessions(random: &mut Random) -> Part {
    let who = user(random.below(1_000));
    let from: Vec<IpAddr> = (0..5).map(|_| address(random)).collect();
    let (known, addresses) = (who.clone(), from.clone());
    let mut asked = 0;
    Part::new(&addresses, &[known], move |random| {
        asked += 1;
        let at = from[random.below(from.len())];
        let mut deeds = vec![Deed::Seen(at, Some(who.clone()), Signal::RoomScan)];
        if asked % 5 == 0 {
            deeds.extend([Deed::Seen(at, Some(who.clone()), Signal::Churn), Deed::Come(at, 500)]);
        }
        (between(random, &(50..300)), deeds)
    })
}

fn at_the_door(random: &mut Random, deed: fn(IpAddr, u64) -> Deed) -> Part {
    let (from, lasts_ms) = (address(random), between(random, &(0..50)));
    Part::new(&[from], &[], move |_| (1, vec![deed(from, lasts_ms); 4]))
}

fn many_accounts(random: &mut Random) -> Part {
    let from = address(random);
    let users: Vec<UserId> = (0..300).map(user).collect();
    let known = users.clone();
    Part::new(&[from], &known, move |random| {
        let who = users[random.below(users.len())].clone();
        (between(random, &(10..60)), vec![Deed::Seen(from, Some(who), Signal::RoomScan)])
    })
}

fn a_little_of_everything(random: &mut Random) -> Part {
    let (from, who) = (address(random), user(random.below(1_000)));
    let known = who.clone();
    Part::new(&[from], &[known], move |random| {
        let signal = Signal::ALL[random.below(Signal::ALL.len())];
        (between(random, &(500..2_000)), vec![Deed::Seen(from, Some(who.clone()), signal)])
    })
}
