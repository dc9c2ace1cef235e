//! Attackers and honest clients, played against a warden by seed: what each makes a gateway see, at the hooks where it sees
//! it. Every attack must be found, nobody honest ever.
//!
//! `SEED=7` plays one again; each failure names its own. `SEEDS=5000` plays more of them.

mod attacks;
mod honest;
mod stage;

use std::collections::BTreeSet;

use turnpike_fuzz::Random;
use turnpike_guard::{Rung, Whom};

use self::attacks::ATTACKS;
use self::honest::HONEST;
use self::stage::{Part, Stage};

const SEEDS_ATTACKS: u64 = 40;
const SEEDS_HONEST: u64 = 4;

fn seeds(count: u64) -> Vec<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("SEED") {
        Some(seed) => vec![seed],
        None => (0..number("SEEDS").unwrap_or(count)).collect(),
    }
}

/// Found, and nothing else with them: within the time that each attack is given, at the signal that crossed the threshold.
#[test]
fn every_attack_is_found() {
    assert!(ATTACKS.len() >= 20);
    for seed in seeds(SEEDS_ATTACKS) {
        for (name, within_ms, attack) in ATTACKS {
            let mut random = Random(seed.wrapping_mul(0x9e37_79b9) ^ name.len() as u64);
            let mut stage = Stage::new();
            let mut part = attack(&mut random);
            let found = stage.play_until_found(&mut part, &mut random, *within_ms);
            let (at_ms, measure) =
                found.unwrap_or_else(|| panic!("SEED={seed}: {name} was not found in {within_ms} ms"));
            assert!(part.is_about(&measure.whom), "SEED={seed}: {name}: {measure:?} is about somebody else");
            assert!(!measure.evidence.is_empty(), "SEED={seed}: {name} at {at_ms} ms: nothing says why");
            assert!(stage.bystander_is_free(), "SEED={seed}: {name}: somebody else had to suffer");
        }
    }
}

/// Who goes on is banned in the end, by whatever way they come back. (Where what they do can lead to a ban at all.)
#[test]
fn who_goes_on_is_banned() {
    const HOUR_MS: u64 = 3_600_000;
    let persistent: BTreeSet<&str> = [
        "guessing tokens",
        "scanning rooms",
        "scanning rooms with a new session each time",
        "publishing beyond the limit",
        "broken frames",
        "many accounts from one address",
    ]
    .into();
    let mut played = 0;
    for seed in seeds(SEEDS_ATTACKS / 10) {
        for (name, _, attack) in ATTACKS.iter().filter(|(name, ..)| persistent.contains(name)) {
            played += 1;
            let mut random = Random(seed);
            let mut stage = Stage::new();
            let mut part = attack(&mut random);
            let measures = stage.play(&mut part, &mut random, HOUR_MS / 4);
            let rungs: Vec<Rung> = measures.iter().map(|(_, measure)| measure.rung).collect();
            assert!(rungs.contains(&Rung::Ban), "SEED={seed}: {name}: only {rungs:?}");
            assert!(stage.bystander_is_free(), "SEED={seed}: {name}");
        }
    }
    assert!(played > 0 && played % persistent.len() == 0, "a name is not that of an attack");
}

#[test]
fn nobody_honest_is_found() {
    assert!(HONEST.len() >= 10);
    let mut events = 0;
    for seed in seeds(SEEDS_HONEST) {
        for (name, for_ms, client) in HONEST {
            let mut random = Random(seed.wrapping_mul(0x9e37_79b9) ^ name.len() as u64);
            let mut stage = Stage::new();
            let mut part = client(&mut random);
            let measures = stage.play(&mut part, &mut random, *for_ms);
            events += stage.events;
            let shown: Vec<(u64, Rung, &Whom, String)> = measures
                .iter()
                .map(|(at_ms, measure)| (*at_ms, measure.rung, &measure.whom, measure.reason()))
                .collect();
            assert!(shown.is_empty(), "SEED={seed}: {name}: {shown:?}");
            assert_eq!(stage.turned_away, 0, "SEED={seed}: {name} was turned away at a door");
        }
    }
    assert!(events > 10_000, "{events} events are no heavy use");
}

/// The parts are what they are called: labelled once, and each does something.
#[test]
fn the_parts_are_distinct() {
    let names: BTreeSet<&str> =
        ATTACKS.iter().map(|(name, ..)| *name).chain(HONEST.iter().map(|(name, ..)| *name)).collect();
    assert_eq!(names.len(), ATTACKS.len() + HONEST.len());
    for (name, _, part) in ATTACKS.iter().chain(HONEST) {
        let mut random = Random(1);
        let mut part: Part = part(&mut random);
        let deeds = (0..2_000).map(|_| part.next(&mut random).1.len()).sum::<usize>();
        assert!(deeds > 0, "{name} does nothing");
    }
}
