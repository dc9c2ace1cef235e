//! Side-by-side runs: `cargo xtask bench -- <scenario>` starts each server on one core and the load on another, turn
//! by turn, and reads from the operating system what the load cost the server. Here is the command line and the order
//! of a run; what is measured stands in `scenario`, how load is made in `load`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

mod audit;
mod build;
mod goals;
mod load;
mod look;
mod measure;
mod media;
mod micro;
mod notebook;
mod performance;
mod plot;
mod results;
mod scenario;
mod server;
mod sizing;
mod system;
mod table;
mod turns;
mod worst;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Parser, ValueEnum as _};
use media::command::Dialect;
use results::{Run, Spread};
use scenario::Scenario;
use server::{Contender, Places};
use turns::Turns;
// The library's modules under the names that the driver's own use.
use turnpike_benches::{frames, packets};

/// Side-by-side runs against Node socket.io, socketioxide, the webrtc crate, janus and the floor.
#[derive(Debug, Parser)]
#[command(name = "turnpike-benches")]
struct Arguments {
    /// Scenarios by name, `micro` for the micro benches, or `all`; `compare`: what there is no record of yet for the programs as
    /// they are built now, what matters most first, and then the tables of all; `list` names the scenarios, `table` writes all
    /// tables and plots from the latest results.
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
    /// Begin no turn of a server that would not end within so many minutes. The next run goes on from there.
    #[arg(long)]
    minutes: Option<f64>,
    /// Take turns again that were had before the run was stopped.
    #[arg(long)]
    afresh: bool,
    /// Only say which turns are left, and how long they take.
    #[arg(long)]
    plan: bool,
    /// Take the servers as they were built.
    #[arg(long)]
    no_build: bool,
    /// The commit that the programs were built from, where it is another than what is checked out by now.
    #[arg(long, requires = "no_build")]
    built_from: Option<String>,
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
        Some(audit::WORD) => {
            audit::serve(&words.next().context("job")?)?;
            return Ok(true);
        }
        _ => {}
    }
    let arguments = Arguments::parse();
    let places = Places::find()?;
    let benches = places.root.join("benches");
    match arguments.what.first().map(String::as_str) {
        Some("list") => {
            for scenario in scenario::every() {
                println!("{}", scenario.name);
            }
            println!("{}", micro::NAME);
            return Ok(true);
        }
        Some("table") => {
            print!("{}", pages(&places.root)?);
            if sizing::write_program(&places.root)? {
                println!("\n`turnpike size` counts otherwise now: UPDATE_DOCS=1 cargo test -p turnpike");
            }
            return Ok(true);
        }
        _ => {}
    }

    let mut scenarios = chosen(&arguments.what)?;
    let mut wanted = match (&arguments.servers[..], arguments.quick) {
        ([], true) => vec![Contender::Turnpike],
        ([], false) => Contender::ALL.to_vec(),
        (named, _) => named.to_vec(),
    };
    // Only what has a turn is built and installed.
    wanted.retain(|contender| scenarios.iter().any(|scenario| scenario.contenders.contains(contender)));
    if !arguments.no_build && !arguments.plan {
        build::everything(&places, &wanted)?;
        if !arguments.quick
            && arguments.what.iter().any(|word| [micro::NAME, "compare", "all"].contains(&&**word))
        {
            build::micro(&places)?;
        }
    }
    build::packages(&mut wanted, arguments.no_build || arguments.plan);
    let mut turns = Turns::new(&arguments, &wanted, &places);
    let is_comparison = arguments.what.iter().any(|word| word == "compare");
    let results = benches.join("results");
    if is_comparison {
        scenarios.retain(|scenario| !is_recorded(scenario, &results, &wanted, &turns));
        let is_new =
            |scenario: &Scenario| Run::latest(&results, scenario.name).is_ok_and(|run| run.is_none());
        // What was never measured; what goals ask for; the rest, sweeps last.
        scenarios.sort_by_key(|scenario| {
            (!is_new(scenario), !goals::ask_for(scenario.name), scenario.figures.is_empty())
        });
    }
    let micro = micro_wanted(&arguments, &places, &results);
    let is_micro_alone = arguments.what.iter().all(|word| word == micro::NAME);
    anyhow::ensure!(micro.is_some() || !is_micro_alone, "no micro benches are built with --release here");
    if arguments.plan {
        plan(&turns, &scenarios, micro.is_some());
        return Ok(true);
    }
    let recorded = !arguments.quick && !arguments.no_record;
    let mut sound = true;
    if let Some(program) = micro.filter(|_| recorded && turns.has_time_for(micro::EXPECTED)) {
        sound &= micro::record(&program, &turns.commit())?;
        pages(&places.root)?;
    }
    for scenario in scenarios {
        // What has no time for its next turn leaves it to shorter ones.
        let Some(run) = turns.measure(scenario)? else { continue };
        report(scenario, &run);
        let failed = |contender: &Contender| !run.contenders[contender].failures.is_empty();
        sound &= !run.contenders.keys().any(|contender| contender.is_ours() && failed(contender));
        if recorded && run.is_empty_of(Contender::Turnpike) {
            println!("{}: ours has no figures, so it is not recorded", scenario.name);
        } else if recorded {
            run.keep(&results)?;
            pages(&places.root)?;
        }
    }
    if is_comparison {
        print!("{}", pages(&places.root)?);
    }
    Ok(sound)
}

/// Writes everything that is made from records but the program; returns the table of the goals.
fn pages(root: &Path) -> anyhow::Result<String> {
    sizing::write_page(root)?;
    performance::write(&root.join("benches"))
}

/// Of the program as it is built now, with all who are wanted.
fn is_recorded(scenario: &Scenario, results: &Path, wanted: &[Contender], turns: &Turns<'_>) -> bool {
    let latest = Run::latest(results, scenario.name).ok().flatten();
    let mut contenders = scenario.contenders.iter().filter(|one| wanted.contains(one));
    latest.is_some_and(|run| {
        run.program.is_some()
            && run.program == turns.program
            && contenders.all(|one| run.contenders.contains_key(one))
    })
}

/// The program of the micro benches, where they were asked for and are not recorded.
fn micro_wanted(arguments: &Arguments, places: &Places, results: &Path) -> Option<PathBuf> {
    let asked = |name: &str| arguments.what.iter().any(|word| word == name);
    if arguments.quick || !(asked(micro::NAME) || asked("compare") || asked("all")) {
        return None;
    }
    let program = micro::program(places)?;
    (!asked("compare") || !micro::is_recorded(&program, results)).then_some(program)
}

fn plan(turns: &Turns<'_>, scenarios: &[&Scenario], with_micro: bool) {
    let mut seconds = 0;
    if with_micro {
        seconds += micro::EXPECTED.as_secs();
        println!("{:<24}{:>4} turns{:>6} s", micro::NAME, 1, micro::EXPECTED.as_secs());
    }
    for scenario in scenarios {
        let (left, time) = turns.left(scenario);
        seconds += time.as_secs();
        println!("{:<24}{left:>4} turns{:>6} s", scenario.name, time.as_secs());
    }
    println!("about {} minutes in all", seconds.div_ceil(60));
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<&'static Scenario>> {
    if names.iter().any(|name| name == "all" || name == "compare") {
        return Ok(scenario::every().collect());
    }
    let find = |name: &String| {
        let known = || {
            let names = scenario::every().map(|scenario| scenario.name).chain([micro::NAME]);
            names.collect::<Vec<_>>().join(", ")
        };
        let found = scenario::every().find(|scenario| scenario.name == *name);
        found.with_context(|| format!("no scenario {name}; there are {}", known()))
    };
    names.iter().filter(|name| *name != micro::NAME).map(find).collect()
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
