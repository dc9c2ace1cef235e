//! The goals of the house, and which recorded figure answers each. What no scenario here answers names the test that does.

use std::{fmt::Write as _, path::Path};

use crate::{
    micro::Micro,
    results::{Run, Spread},
    scenario::{self, Scenario},
    server::Contender,
};

struct Goal {
    number: u8,
    what: &'static str,
    /// Others as we found or read them when the goal was set, on whatever machine.
    elsewhere: &'static str,
    asked: &'static str,
    answer: Answer,
}

#[derive(Clone, Copy, Debug)]
enum Bound {
    Most(f64),
    /// Time of a processor, and what the floor took of it on the machine where the goal was set: on another, both are slower
    /// or faster together.
    OverFloor {
        most: f64,
        floor: f64,
    },
    /// The figure is microseconds each, and what is asked for is how many of them a second holds, at least.
    PerSecond(f64),
}
use Bound::{Most, OverFloor, PerSecond};

impl Bound {
    fn limit(self) -> f64 {
        let (Most(limit) | PerSecond(limit) | OverFloor { most: limit, .. }) = self;
        limit
    }
}

enum Answer {
    /// Figures of scenarios, and what each may be.
    Figures(&'static [(&'static str, &'static str, Bound)]),
    /// Nanoseconds of a micro bench, and how many there may be, without any allocation; the same of a peer; the test that holds
    /// what is not a cost.
    Nanoseconds { case: &'static str, most: f64, peer: &'static str, test: &'static str },
    /// Not a cost: a promise, held by a test.
    Test(&'static str),
    /// Arithmetic; the page has it.
    Arithmetic(&'static str),
}

const GOALS: [Goal; 22] = [
    Goal {
        number: 1,
        what: "resident memory an idle connection, all features on, kB",
        elsewhere: "Node 13-20, socketioxide 27-28, Centrifugo PRO 10.9, bare uWebSockets 5.4",
        asked: "4, then 3",
        answer: Answer::Figures(&[("idle-memory", "kilobytes_per_connection", Most(4.0))]),
    },
    Goal {
        number: 2,
        what: "CPU an idle connection, us/s",
        elsewhere: "socketioxide 1.1-1.5, Node 3.4, Centrifugo PRO 2.2",
        asked: "0.5",
        answer: Answer::Figures(&[("idle-cpu", "cpu_us_per_second", OverFloor { most: 0.5, floor: 0.25 })]),
    },
    Goal {
        number: 3,
        what: "fan-out, paced, CPU s a million deliveries",
        elsewhere: "socketioxide 7.6, Node 12.5",
        asked: "4.8, then 4.4",
        answer: Answer::Figures(&[(
            "fanout-paced",
            "cpu_seconds_per_million",
            OverFloor { most: 4.8, floor: 4.0 },
        )]),
    },
    Goal {
        number: 4,
        what: "fan-out, saturated, CPU s a million deliveries",
        elsewhere: "socketioxide 0.85, Node 5.6",
        asked: "0.40",
        answer: Answer::Figures(&[(
            "fanout-saturated",
            "cpu_seconds_per_million",
            OverFloor { most: 0.40, floor: 0.26 },
        )]),
    },
    Goal {
        number: 5,
        what: "echo with ack, saturated, CPU s a million",
        elsewhere: "socketioxide 6.7, Node 15.3",
        asked: "4.6",
        answer: Answer::Figures(&[("echo", "cpu_seconds_per_million", OverFloor { most: 4.6, floor: 3.6 })]),
    },
    Goal {
        number: 6,
        what: "connect, token, join, message, leave, CPU s a thousand",
        elsewhere: "socketioxide 0.08, Node 0.43-0.52",
        asked: "0.06",
        answer: Answer::Figures(&[(
            "session",
            "cpu_seconds_per_thousand",
            OverFloor { most: 0.06, floor: 0.03 },
        )]),
    },
    Goal {
        number: 7,
        what: "2 KB broadcast with deflate, CPU us a delivery",
        elsewhere: "Node 78",
        asked: "7",
        answer: Answer::Figures(&[("deflate-broadcast", "cpu_us_per_delivery", Most(7.0))]),
    },
    Goal {
        number: 8,
        what: "cross-node, 1,000 messages/s with history, deduplication and replicated acks: p50, p99, ms",
        elsewhere: "Node with its Redis adapter, without any of these: p99 12-18",
        asked: "2; 8",
        answer: Answer::Figures(&[
            ("cross-node", "delivery_p50_ms", Most(2.0)),
            ("cross-node", "delivery_p99_ms", Most(8.0)),
        ]),
    },
    Goal {
        number: 9,
        what: "replicated acks under faults",
        elsewhere: "nobody claims it",
        asked: "1,000,000 acks, 100 faults: none lost, doubled, moved",
        answer: Answer::Test("tests/it/chaos.rs"),
    },
    Goal {
        number: 10,
        what: "node killed under 5,000 clients, no jitter: all caught up, s",
        elsewhere: "Node: 3.8 % never return; socketioxide: none of 20,000 returns",
        asked: "5",
        answer: Answer::Figures(&[("node-killed", "all_back_seconds", Most(5.0))]),
    },
    Goal {
        number: 11,
        what: "10,000 clients, each cut every 15 s for 2 s",
        elsewhere: "Node in memory 100 %, p99 4.6 s; socketioxide 33-41 % delivered",
        asked: "100 %, none doubled, replay p99 250 ms",
        answer: Answer::Test("tests/it/roaming.rs; 10,000 of them by hand: loadtest/README.md"),
    },
    Goal {
        number: 12,
        what: "master of Redis killed: publishing stands still for longer than bare Redis does, s",
        elsewhere: "bare Redis itself 2.0-2.8",
        asked: "0.3",
        answer: Answer::Figures(&[("failover", "outage_beyond_redis_seconds", Most(0.3))]),
    },
    Goal {
        number: 13,
        what: "presence in one room",
        elsewhere: "Ably 200, Pusher 100, Centrifugo \"several thousand\"",
        asked: "100,000 members, exact within 1 s",
        answer: Answer::Test("tests/it/crowd.rs (10,000; 100,000 in the crate's own tests)"),
    },
    Goal {
        number: 14,
        what: "clients that stall",
        elsewhere: "Centrifugo buffers 1 MB, then closes; Node without bound",
        asked: "others' p99 +10 %, 64 KB each, nothing lost",
        answer: Answer::Test("tests/it/stalled.rs"),
    },
    Goal {
        number: 15,
        what: "rolling upgrade under load",
        elsewhere: "nobody keeps sockets",
        asked: "none lost, one reconnect at most",
        answer: Answer::Test("tests/it/rolling.rs"),
    },
    Goal {
        number: 16,
        what: "rate check, ns",
        elsewhere: "Centrifugo PRO 50",
        asked: "20, no allocation; the limit of a cluster within 5 %",
        answer: Answer::Nanoseconds {
            case: "rate: check",
            most: 20.0,
            peer: "rate: governor, the clock read for it",
            test: "crates/guard/tests/it/shares.rs",
        },
    },
    Goal {
        number: 17,
        what: "audit log, records/s acknowledged when they are on disk; p99, ms",
        elsewhere: "nobody has tamper evidence",
        asked: "100,000; 10",
        answer: Answer::Figures(&[
            ("audit", "micros_per_record", PerSecond(100_000.0)),
            ("audit", "p99_ms", Most(10.0)),
        ]),
    },
    Goal {
        number: 18,
        what: "relay, CPU us a forwarded packet, everything on",
        elsewhere: "LiveKit 26, janus 11.1, `webrtc` 8.8, `rtc` 5.7, str0m 5.0",
        asked: "2.0, then 1.7",
        answer: Answer::Figures(&[(
            "relay-forward",
            "cpu_micros_per_packet_200",
            OverFloor { most: 2.0, floor: 1.55 },
        )]),
    },
    Goal {
        number: 19,
        what: "relay, memory a viewer, KB",
        elsewhere: "SRS 180, `rtc` 255, janus 664",
        asked: "64",
        answer: Answer::Figures(&[("relay-forward", "resident_kilobytes_per_viewer", Most(64.0))]),
    },
    Goal {
        number: 20,
        what: "viewers of one stream",
        elsewhere: "LiveKit 3,000 on 16 cores, one node a room",
        asked: "50,000 over relays, one copy a link",
        answer: Answer::Arithmetic("estimated below; tests/it/relays.rs holds the one copy"),
    },
    Goal {
        number: 21,
        what: "join to first frame, 500 within 2 s, p95, ms",
        elsewhere: "-",
        asked: "150",
        answer: Answer::Figures(&[("relay-burst", "first_frame_millis_p95", Most(150.0))]),
    },
    Goal {
        number: 22,
        what: "relay killed / drained",
        elsewhere: "nobody moves live viewers",
        asked: "gap 1 s / no freeze over 250 ms",
        answer: Answer::Test("tests/it/relays.rs"),
    },
];

/// Whether a goal rests on it.
pub(crate) fn ask_for(scenario: &str) -> bool {
    GOALS.iter().any(|goal| match goal.answer {
        Answer::Figures(figures) => figures.iter().any(|(name, ..)| *name == scenario),
        _ => false,
    })
}

/// What the floor took of a figure's goal on the machine where that was set.
pub(crate) fn floor_then(scenario: &str, key: &str) -> Option<f64> {
    GOALS.iter().find_map(|goal| match goal.answer {
        Answer::Figures(figures) => figures.iter().find_map(|(name, of, bound)| match bound {
            OverFloor { floor, .. } if *name == scenario && *of == key => Some(*floor),
            _ => None,
        }),
        _ => None,
    })
}

/// Peers as the best of them did in the same run, the floor too.
pub(crate) fn table(results: &Path) -> anyhow::Result<String> {
    let mut rows = String::from(
        "| # | what | elsewhere, when the goal was set | goal | ours | best peer, same run | floor, same run | to the floor (the goal's) | reached | made |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for goal in &GOALS {
        let found = goal.found(results)?;
        let _ = writeln!(
            rows,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            goal.number,
            goal.what,
            goal.elsewhere,
            goal.asked,
            found.ours,
            found.peer,
            found.floor,
            found.ratio,
            found.verdict,
            found.made
        );
    }
    Ok(rows)
}

#[derive(Default)]
struct Found {
    ours: String,
    peer: String,
    floor: String,
    /// Ours to the floor, and the goal to the floor of its machine.
    ratio: String,
    verdict: String,
    /// Day and commit.
    made: String,
}

impl Found {
    fn told(ours: impl Into<String>, verdict: impl Into<String>) -> Self {
        Self {
            ours: ours.into(),
            peer: "-".into(),
            floor: "-".into(),
            ratio: "-".into(),
            verdict: verdict.into(),
            made: "-".into(),
        }
    }
}

impl Goal {
    fn found(&self, results: &Path) -> anyhow::Result<Found> {
        Ok(match self.answer {
            Answer::Figures(figures) => {
                let mut all = Found::default();
                for (scenario, key, bound) in figures {
                    let one = figure(results, scenario, key, *bound)?;
                    all.made = one.made;
                    for (text, part) in [
                        (&mut all.ours, one.ours),
                        (&mut all.peer, one.peer),
                        (&mut all.floor, one.floor),
                        (&mut all.ratio, one.ratio),
                        (&mut all.verdict, one.verdict),
                    ] {
                        if !text.is_empty() {
                            text.push_str("; ");
                        }
                        text.push_str(&part);
                    }
                }
                all
            }
            Answer::Nanoseconds { case, most, peer, test } => nanoseconds(results, case, most, peer, test)?,
            Answer::Test(test) => Found::told(format!("a test: {test}"), "the test says"),
            Answer::Arithmetic(where_) => Found::told(where_, "estimate"),
        })
    }
}

fn nanoseconds(results: &Path, case: &str, most: f64, peer: &str, test: &str) -> anyhow::Result<Found> {
    let Some(micro) = Micro::read(results)? else { return Ok(Found::told("-", "not measured")) };
    let (Some(ours), Some(allocations)) = (micro.spread(case), micro.allocations(case)) else {
        return Ok(Found::told("-", "not measured"));
    };
    let none = if allocations == 0.0 { "yes".into() } else { format!("**no**, {allocations:.2} of them") };
    Ok(Found {
        ours: format!("{}; {allocations:.0}", spelled(&ours)),
        peer: micro
            .spread(peer)
            .map_or_else(|| "-".into(), |spread| format!("governor {}", spelled(&spread))),
        floor: "-".into(),
        ratio: "-".into(),
        verdict: format!("{}; {none}; test {test} holds the cluster's", verdict(ours.median, most)),
        made: made(&micro.date, &micro.commit),
    })
}

fn figure(results: &Path, scenario: &str, key: &str, bound: Bound) -> anyhow::Result<Found> {
    let Some(run) = Run::latest(results, scenario)? else { return Ok(Found::told("-", "not measured")) };
    let known: Option<&Scenario> = scenario::every().find(|known| known.name == scenario);
    let spread = |contender| {
        let spread = run.spread(contender, key)?;
        Some(match bound {
            Most(_) | OverFloor { .. } => spread,
            PerSecond(_) => {
                let of = |micros: f64| 1e6 / micros;
                Spread { median: of(spread.median), min: of(spread.max), max: of(spread.min) }
            }
        })
    };
    let Some(ours) = spread(Contender::Turnpike) else { return Ok(Found::told("-", "not measured")) };
    let peers = known.map_or(&[][..], |scenario| scenario.contenders).iter();
    let peers = peers.filter(|one| !one.is_ours()).filter_map(|one| Some((*one, spread(*one)?)));
    let best = peers.min_by(|(_, one), (_, other)| one.median.total_cmp(&other.median));
    let floor = spread(Contender::Floor);
    let over_floor = match (bound, &floor) {
        (OverFloor { most, floor: then }, Some(now)) => Some((ours.median / now.median, most / then)),
        _ => None,
    };
    let beside_the_floor = match over_floor {
        Some((ratio, goal)) if ours.median > bound.limit() => {
            format!("; beside the floor {}", verdict(ratio, goal))
        }
        _ => String::new(),
    };
    Ok(Found {
        ours: spelled(&ours),
        peer: best.map_or_else(|| "-".into(), |(who, spread)| format!("{} {}", who.name(), spelled(&spread))),
        floor: floor.map_or_else(|| "-".into(), |spread| spelled(&spread)),
        ratio: over_floor.map_or_else(|| "-".into(), |(ratio, goal)| format!("{ratio:.2} ({goal:.2})")),
        verdict: match bound {
            Most(most) => verdict(ours.median, most),
            OverFloor { most, .. } => verdict(ours.median, most) + &beside_the_floor,
            PerSecond(least) if ours.median >= least => "yes".into(),
            PerSecond(least) => missed(least / ours.median),
        },
        made: made(&run.date, &run.commit),
    })
}

fn made(date: &str, commit: &str) -> String {
    format!("{} {commit}", date.get(..10).unwrap_or(date))
}

fn verdict(median: f64, limit: f64) -> String {
    if median <= limit { "yes".into() } else { missed(median / limit) }
}

fn missed(ratio: f64) -> String {
    format!("**no**, by {:.0} %", (ratio - 1.0) * 100.0)
}

fn spelled(spread: &Spread) -> String {
    crate::table::spelled(spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_ask_for_figures_that_scenarios_have() {
        for goal in &GOALS {
            let Answer::Figures(figures) = &goal.answer else { continue };
            for (name, key, bound) in *figures {
                let scenario = scenario::every().find(|scenario| scenario.name == *name);
                let scenario = scenario.unwrap_or_else(|| panic!("{}: no scenario {name}", goal.number));
                assert!(scenario.figures.iter().any(|figure| figure.key == *key), "{}: {key}", goal.number);
                assert!(bound.limit() > 0.0);
            }
        }
        let numbers: Vec<u8> = GOALS.iter().map(|goal| goal.number).collect();
        assert_eq!(numbers, (1..=22).collect::<Vec<_>>());
    }

    #[test]
    fn a_miss_is_called_one() {
        assert_eq!(verdict(4.0, 4.0), "yes");
        assert_eq!(verdict(5.0, 4.0), "**no**, by 25 %");
    }
}
