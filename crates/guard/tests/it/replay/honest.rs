//! Heavy and unlucky clients that mean no harm, each with the time for which it goes on.

use std::net::IpAddr;

use turnpike_fuzz::Random;
use turnpike_guard::Signal;
use turnpike_wire::UserId;

use super::attacks::{Script, address, between, user};
use super::stage::{Deed, Part};

const MINUTE: u64 = 60_000;

pub(crate) const HONEST: &[Script] = &[
    ("500 users behind one address, back after an outage", 10 * MINUTE, a_big_nat),
    ("a bot at 50 messages a second, now and then above its class", 10 * MINUTE, a_bot),
    ("a client whose clock is off", 30 * MINUTE, |random| trying_again(random, 1_000..5_000)),
    ("a page whose token has expired", 30 * MINUTE, |random| trying_again(random, 1_000..5_000)),
    ("a mobile between two networks", 60 * MINUTE, a_mobile),
    ("a load tester below the limits", 5 * MINUTE, a_load_tester),
    ("a reader on a slow line", 60 * MINUTE, a_slow_line),
    ("a user in 100 rooms, some of them no more granted", 30 * MINUTE, in_a_hundred_rooms),
    ("a staging page with a slip in its origin", 60 * MINUTE, a_staging_page),
    ("a client that only polls", 20 * MINUTE, only_polling),
    ("somebody who pastes what is too large", 30 * MINUTE, |random| {
        seen_of_user(random, Signal::Flood, 2_000..20_000)
    }),
    ("somebody who types faster than they may", 20 * MINUTE, |random| {
        seen_of_user(random, Signal::Flood, 900..3_000)
    }),
    ("a page that a developer loads again and again", 20 * MINUTE, a_developer),
    ("an office whose proxy names it", 20 * MINUTE, |random| {
        let from = address(random);
        Part::new(&[from], &[], move |random| {
            (between(random, &(300..1_500)), vec![Deed::Seen(from, None, Signal::ForgedHeader)])
        })
    }),
    ("a token with a slip, tried by hand", 20 * MINUTE, |random| {
        let from = address(random);
        Part::new(&[from], &[], move |random| {
            let deeds = vec![
                Deed::Connect(from, 300),
                Deed::Come(from, 300),
                Deed::Seen(from, None, Signal::BadToken),
            ];
            (between(random, &(8_000..30_000)), deeds)
        })
    }),
];

/// Everybody loses their connection at once and is back within seconds; those that poll ask for their old session first.
fn a_big_nat(random: &mut Random) -> Part {
    let from = address(random);
    let users: Vec<UserId> = (0..500).map(user).collect();
    let known = users.clone();
    let mut turn = 0;
    Part::new(&[from], &known, move |random| {
        let number = turn % users.len();
        turn += 1;
        // After the last of them a quiet while, and then the next outage.
        let gap_ms = if number == 0 && turn > 1 {
            between(random, &(100_000..250_000))
        } else {
            between(random, &(0..10))
        };
        let mut deeds = vec![Deed::Connect(from, 60_000), Deed::Come(from, 60_000)];
        if random.below(3) == 0 {
            deeds.extend([Deed::Seen(from, None, Signal::SessionGuess), Deed::Connect(from, 100)]);
        }
        if random.below(20) == 0 {
            deeds.push(Deed::Seen(from, Some(users[number].clone()), Signal::Churn));
        }
        (gap_ms, deeds)
    })
}

fn a_bot(random: &mut Random) -> Part {
    let (from, who) = (address(random), user(1));
    let users = [who.clone()];
    Part::new(&[from], &users, move |random| {
        let is_above = random.below(100) == 0;
        (20, if is_above { vec![Deed::Seen(from, Some(who.clone()), Signal::Flood)] } else { Vec::new() })
    })
}

/// Its tokens are refused and say nothing against it. Each attempt is a connection and a session.
fn trying_again(random: &mut Random, every_ms: std::ops::Range<u64>) -> Part {
    let from = address(random);
    Part::new(&[from], &[], move |random| {
        (between(random, &every_ms), vec![Deed::Connect(from, 500), Deed::Come(from, 500)])
    })
}

fn a_mobile(random: &mut Random) -> Part {
    let networks: Vec<IpAddr> = vec![address(random), address(random)];
    let who = user(2);
    let known = networks.clone();
    let users = [who.clone()];
    Part::new(&known, &users, move |random| {
        let from = networks[random.below(2)];
        let lasts_ms = between(random, &(1_000..20_000));
        let mut deeds = vec![Deed::Connect(from, lasts_ms), Deed::Come(from, lasts_ms)];
        if lasts_ms < 3_000 {
            deeds.push(Deed::Seen(from, Some(who.clone()), Signal::Churn));
        }
        if random.below(2) == 0 {
            deeds.push(Deed::Seen(from, None, Signal::SessionGuess));
        }
        (lasts_ms, deeds)
    })
}

fn a_load_tester(random: &mut Random) -> Part {
    let from = address(random);
    let lasts_ms = between(random, &(5_000..20_000));
    Part::new(&[from], &[], move |_| (10, vec![Deed::Connect(from, lasts_ms), Deed::Come(from, lasts_ms)]))
}

/// Closed by the engine, which tells of the address, and by the gateway, which tells of the user.
fn a_slow_line(random: &mut Random) -> Part {
    let (from, who) = (address(random), user(3));
    let users = [who.clone()];
    Part::new(&[from], &users, move |random| {
        let gap_ms = between(random, &(10_000..60_000));
        let both = [None, Some(who.clone())].map(|who| Deed::Seen(from, who, Signal::SlowReader));
        (gap_ms, [vec![Deed::Connect(from, gap_ms), Deed::Come(from, gap_ms)], both.into()].concat())
    })
}

fn in_a_hundred_rooms(random: &mut Random) -> Part {
    let (from, who) = (address(random), user(4));
    let lost = 1 + random.below(10);
    let users = [who.clone()];
    Part::new(&[from], &users, move |random| {
        let gap_ms = between(random, &(60_000..300_000));
        let refused = vec![Deed::Seen(from, Some(who.clone()), Signal::RoomScan); lost];
        (gap_ms, [vec![Deed::Connect(from, gap_ms), Deed::Come(from, gap_ms)], refused].concat())
    })
}

/// Three developers have it open, behind one address.
fn a_staging_page(random: &mut Random) -> Part {
    let from = address(random);
    Part::new(&[from], &[], move |random| {
        (
            between(random, &(1_000..5_000)) / 3,
            vec![Deed::Connect(from, 50), Deed::Seen(from, None, Signal::OriginRefused)],
        )
    })
}

fn only_polling(random: &mut Random) -> Part {
    let from = address(random);
    Part::new(&[from], &[], move |random| {
        let mut deeds = vec![Deed::Connect(from, 1_000), Deed::Connect(from, 50)];
        if random.below(100) == 0 {
            deeds.extend([Deed::Seen(from, None, Signal::SessionGuess), Deed::Come(from, 60_000)]);
        }
        (between(random, &(200..1_000)), deeds)
    })
}

fn seen_of_user(random: &mut Random, signal: Signal, every_ms: std::ops::Range<u64>) -> Part {
    let (from, who) = (address(random), user(5));
    let users = [who.clone()];
    Part::new(&[from], &users, move |random| {
        (between(random, &every_ms), vec![Deed::Seen(from, Some(who.clone()), signal)])
    })
}

fn a_developer(random: &mut Random) -> Part {
    let (from, who) = (address(random), user(6));
    let users = [who.clone()];
    Part::new(&[from], &users, move |random| {
        let lasts_ms = between(random, &(1_500..8_000));
        let mut deeds = vec![Deed::Connect(from, lasts_ms), Deed::Come(from, lasts_ms)];
        if lasts_ms < 3_000 {
            deeds.push(Deed::Seen(from, Some(who.clone()), Signal::Churn));
        }
        (lasts_ms, deeds)
    })
}
