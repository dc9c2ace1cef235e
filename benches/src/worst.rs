//! Where ours is farthest from its goals, worst first, and what was found when somebody looked why.

use std::{fmt::Write as _, path::Path};

use crate::{
    goals,
    results::Run,
    scenario::{self, Figure},
    server::Contender,
    table::spelled,
};

const SHOWN: usize = 5;

/// By scenario and figure.
const FOUND: [(&str, &str, &str); 8] = [
    (
        "relay-forward",
        "cpu_micros_per_packet_400",
        "as with 200 viewers: three quarters are the kernel's way for datagrams and the cipher, which the floor has as well",
    ),
    (
        "broadcast-stall",
        "longest_stall_ms",
        "a slice of the broadcast is as many writes as there are members in it, which takes the kernel a millisecond or more. Slices of a \
         quarter of a millisecond took a third off the median stall, but the order of deliveries under faults was in doubt with them. \
         Around the longest of a run, server and prober had waited for a core for longer than the stall itself: there it says more about \
         the machine",
    ),
    (
        "session",
        "cpu_seconds_per_thousand",
        "half is the floor's: accepting, reading, writing and closing. Of the rest the records of the audit log (one as somebody comes, one as \
         they go) were the dearest part, and the key of the token's secret was prepared for each: both were mended, for a quarter of \
         the whole. What is left is spread thin: names that are made, the request's headers, the token, the tables of users and rooms",
    ),
    (
        "idle-memory",
        "kilobytes_per_connection",
        "a connection itself is below the goal (3.2 to 3.4 kB where the allocator gives pages back at once and takes no huge ones); the \
         rest is pages that it keeps for a while behind what opening them took",
    ),
    (
        "cross-node",
        "cpu_seconds_per_million_wide",
        "most of it is the deliveries, and those within one node cost more than this goal as well: it is hardly above the floor of a write \
         each. The rest is the message at both gateways; [sizing](sizing.md) has both parts",
    ),
    (
        "relay-forward",
        "resident_kilobytes_per_viewer",
        "a timer of its own for each session, and what it is told kept once for each: one task and one copy do",
    ),
    (
        "relay-forward",
        "cpu_micros_per_packet_200",
        "above the kernel's way for datagrams and the cipher the largest single part was looking at every viewer whether something is due \
         (a thirteenth of the core), which each one's own time makes needless",
    ),
    (
        "relay-delay",
        "delay_millis_p99",
        "viewers were gathered to be served at once, and the last of them waited for all before it; the publisher's bursts do the same to \
         any relay, which is the floor's share",
    ),
];

struct Miss {
    scenario: &'static str,
    figure: &'static Figure,
    run: Run,
    ratio: f64,
}

pub(crate) fn table(results: &Path) -> anyhow::Result<String> {
    let mut misses = Vec::new();
    for scenario in &scenario::ALL {
        let Some(run) = Run::latest(results, scenario.name)? else { continue };
        for figure in scenario.figures {
            let ours = run.spread(Contender::Turnpike, figure.key);
            let (Some(goal), Some(ours)) = (figure.goal, ours) else { continue };
            if ours.median > goal {
                let floor = run.spread(Contender::Floor, figure.key);
                let ratio = match (goals::floor_then(scenario.name, figure.key), floor) {
                    (Some(then), Some(now)) => (ours.median / now.median) / (goal / then),
                    _ => ours.median / goal,
                };
                misses.push(Miss { scenario: scenario.name, figure, run: run.clone(), ratio });
            }
        }
    }
    misses.retain(|miss| miss.ratio > 1.0);
    misses.sort_by(|one, other| other.ratio.total_cmp(&one.ratio));
    let mut rows = String::from(
        "| figure | ours | goal | beyond it | floor, same run | what was found |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for miss in misses.iter().take(SHOWN) {
        let cell = |contender| {
            miss.run.spread(contender, miss.figure.key).map_or_else(|| "-".into(), |spread| spelled(&spread))
        };
        let _ = writeln!(
            rows,
            "| `{}`: {}, {} | {} | {} | {:.0} % | {} | {} |",
            miss.scenario,
            // Its row stands alone here.
            miss.figure.title.trim_start_matches("the same").trim_start_matches([',', ':', ' ']),
            miss.figure.unit,
            cell(Contender::Turnpike),
            miss.figure.goal.unwrap_or_default(),
            (miss.ratio - 1.0) * 100.0,
            cell(Contender::Floor),
            found(miss.scenario, miss.figure.key),
        );
    }
    Ok(rows)
}

fn found(scenario: &str, key: &str) -> &'static str {
    let found = FOUND.iter().find(|(of, figure, _)| *of == scenario && *figure == key);
    found.map_or("nobody has looked yet", |(.., found)| *found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_about_figures_with_a_goal() {
        for (name, key, _) in FOUND {
            let scenario = scenario::ALL.iter().find(|scenario| scenario.name == name);
            let figure = scenario.and_then(|found| found.figures.iter().find(|figure| figure.key == key));
            assert!(figure.is_some_and(|figure| figure.goal.is_some()), "{name}: {key}");
        }
    }
}
