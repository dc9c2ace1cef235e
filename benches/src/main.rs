//! Side-by-side runs: `cargo xtask bench -- <scenario>` starts each server on one core and the load on another, turn
//! by turn, and reads from the operating system what the load cost the server. Here is the command line and the order
//! of a run; what is measured stands in `scenario`, how load is made in `load`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

mod build;
mod load;
mod look;
mod measure;
mod media;
mod results;
mod scenario;
mod server;
mod system;
mod table;

use std::{collections::BTreeMap, process::ExitCode};

use anyhow::Context as _;
use clap::{Parser, ValueEnum as _};
use measure::{
    machine::{self, Machine},
    pinning,
};
use media::command::Dialect;
use results::{Outcome, Run, Spread};
use scenario::{Bench, Sample, Scenario, Size};
use server::{Contender, Places};
// The library's modules under the names that the driver's own use.
use turnpike_benches::{frames, packets};

/// Side-by-side runs against Node socket.io, socketioxide, the webrtc crate, janus and the floor.
#[derive(Debug, Parser)]
#[command(name = "turnpike-benches")]
struct Arguments {
    /// Scenarios by name, or `all`; `list` names them, `table` writes the README's table from the latest results.
    #[arg(default_value = "all")]
    what: Vec<String>,
    /// Rounds, in each of which every server has its turn.
    #[arg(long)]
    rounds: Option<u32>,
    /// Only these servers.
    #[arg(long, value_enum, value_delimiter = ',')]
    servers: Vec<Contender>,
    /// Tiny numbers, one round, ours only, no record: a test that nothing is lost or doubled.
    #[arg(long)]
    quick: bool,
    /// Length of the measured stretch.
    #[arg(long)]
    seconds: Option<f64>,
    /// Connections (members, sessions) instead of the scenario's own number.
    #[arg(long)]
    connections: Option<u32>,
    /// Messages on their way at once in fanout-saturated.
    #[arg(long)]
    window: Option<u32>,
    /// Heartbeat of every server in idle-cpu; the figure is scaled to 25 s.
    #[arg(long)]
    heartbeat_seconds: Option<f64>,
    #[arg(long, default_value_t = 0)]
    server_core: usize,
    #[arg(long, default_value_t = 1)]
    load_core: usize,
    /// Take the servers as they were built.
    #[arg(long)]
    no_build: bool,
    /// Print, but do not append to benches/results.
    #[arg(long)]
    no_record: bool,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<bool> {
    let mut words = std::env::args().skip(1);
    // The load processes are this same program.
    match words.next().as_deref() {
        Some("load") => {
            let target = words.next().context("address")?.parse()?;
            let number = words.next().context("number")?.parse()?;
            load::serve(target, &std::env::var("JWT_SECRET")?, number)?;
            return Ok(true);
        }
        Some("media") => {
            let target = words.next().context("address")?.parse()?;
            let dialect = words.next().context("dialect")?;
            let dialect = Dialect::from_str(&dialect, false).map_err(anyhow::Error::msg)?;
            media::serve(target, dialect, &std::env::var("JWT_SECRET")?)?;
            return Ok(true);
        }
        _ => {}
    }
    let arguments = Arguments::parse();
    let places = Places::find()?;
    let benches = places.root.join("benches");
    match arguments.what.first().map(String::as_str) {
        Some("list") => {
            for scenario in &scenario::ALL {
                println!("{}", scenario.name);
            }
            return Ok(true);
        }
        Some("table") => {
            print!("{}", table::write(&benches)?);
            return Ok(true);
        }
        _ => {}
    }

    let scenarios = chosen(&arguments.what)?;
    let mut wanted = match (&arguments.servers[..], arguments.quick) {
        ([], true) => vec![Contender::Turnpike],
        ([], false) => Contender::ALL.to_vec(),
        (named, _) => named.to_vec(),
    };
    // Only what has a turn is built and installed.
    wanted.retain(|contender| scenarios.iter().any(|scenario| scenario.contenders.contains(contender)));
    if !arguments.no_build {
        build::everything(&places, &wanted)?;
    }
    if wanted.contains(&Contender::Janus)
        && let Err(error) = build::janus(arguments.no_build)
    {
        println!("janus is left out: {error:#}");
        wanted.retain(|contender| *contender != Contender::Janus);
    }
    let recorded = !arguments.quick && !arguments.no_record;
    let mut sound = true;
    for scenario in scenarios {
        let run = measure(scenario, &arguments, &wanted, &places);
        report(scenario, &run);
        if recorded {
            run.keep(&benches.join("results"))?;
            table::write(&benches)?;
        }
        sound &= run
            .contenders
            .iter()
            .all(|(contender, outcome)| !contender.is_ours() || outcome.failures.is_empty());
    }
    Ok(sound)
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<&'static Scenario>> {
    if names.iter().any(|name| name == "all") {
        return Ok(scenario::ALL.iter().collect());
    }
    let find = |name: &String| {
        let known = || scenario::ALL.iter().map(|scenario| scenario.name).collect::<Vec<_>>().join(", ");
        let found = scenario::ALL.iter().find(|scenario| scenario.name == *name);
        found.with_context(|| format!("no scenario {name}; there are {}", known()))
    };
    names.iter().map(find).collect()
}

/// Every round gives each server its turn, so that whatever else the machine does meets all alike.
fn measure(scenario: &Scenario, arguments: &Arguments, wanted: &[Contender], places: &Places) -> Run {
    let rounds = arguments.rounds.unwrap_or(if arguments.quick { 1 } else { scenario.rounds });
    let (server_core, load_core) = pinning::cores(arguments.server_core, arguments.load_core);
    let size = Size {
        quick: arguments.quick,
        seconds: arguments.seconds,
        connections: arguments.connections,
        heartbeat_seconds: arguments.heartbeat_seconds,
        window: arguments.window,
    };
    let mut contenders: BTreeMap<Contender, Outcome> = BTreeMap::new();
    for round in 1..=rounds {
        for contender in scenario.contenders.iter().filter(|contender| wanted.contains(contender)) {
            let bench = Bench { contender: *contender, places, server_core, load_core, size };
            let outcome = contenders.entry(*contender).or_default();
            match (scenario.measure)(&bench) {
                Ok(sample) => {
                    println!("{} {round}/{rounds} {}: {}", scenario.name, contender.name(), spelled(&sample));
                    for (key, value) in sample {
                        outcome.figures.entry(key.into()).or_default().push(value);
                    }
                }
                Err(error) => {
                    println!("{} {round}/{rounds} {}: FAILED: {error:#}", scenario.name, contender.name());
                    outcome.failures.push(format!("{error:#}"));
                }
            }
        }
    }
    Run {
        scenario: scenario.name.into(),
        date: machine::date(),
        commit: machine::commit(&places.root),
        machine: Machine::here(),
        command: command_for(scenario.name, std::env::args().skip(1)),
        rounds,
        contenders,
    }
}

/// The command that makes this scenario's figures again: the same options, this scenario alone.
fn command_for(scenario: &str, words: impl Iterator<Item = String>) -> String {
    let is_name =
        |word: &String| word == "all" || scenario::ALL.iter().any(|scenario| scenario.name == *word);
    let options = words.filter(|word| !is_name(word) && word != "--no-build").map(|word| format!(" {word}"));
    format!("cargo xtask bench -- {scenario}{}", options.collect::<String>())
}

fn spelled(sample: &Sample) -> String {
    sample.iter().map(|(key, value)| format!("{key} {value:.4}")).collect::<Vec<_>>().join(", ")
}

fn report(scenario: &Scenario, run: &Run) {
    println!();
    for figure in scenario.figures {
        println!("{} [{}]", figure.title, figure.unit);
        let floor = run.spread(Contender::Floor, figure.key).map(|spread| spread.median);
        let ours = run.spread(Contender::Turnpike, figure.key).map(|spread| spread.median);
        for contender in run.contenders.keys() {
            let Some(Spread { median, min, max }) = run.spread(*contender, figure.key) else { continue };
            let to = |what: &str, base: Option<f64>| {
                base.map_or_else(String::new, |base| format!("  {:.2} x {what}", median / base))
            };
            println!(
                "  {:<14}{median:>10.3}  ({min:.3} to {max:.3}){}{}",
                contender.name(),
                to("floor", floor),
                to("turnpike", ours)
            );
        }
        if let (Some(goal), Some(ours)) = (figure.goal, ours) {
            let verdict = if ours <= goal { "reached" } else { "missed" };
            println!("  goal {goal}: {verdict} ({:+.1} %)", (ours / goal - 1.0) * 100.0);
        }
    }
    println!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_command_is_for_one_scenario() {
        let words = ["all", "--rounds", "3", "--no-build"].map(String::from);
        assert_eq!(command_for("echo", words.into_iter()), "cargo xtask bench -- echo --rounds 3");
        let words = ["echo", "session", "--servers", "floor"].map(String::from);
        assert_eq!(command_for("echo", words.into_iter()), "cargo xtask bench -- echo --servers floor");
        assert_eq!(command_for("echo", std::iter::empty()), "cargo xtask bench -- echo");
    }
}
