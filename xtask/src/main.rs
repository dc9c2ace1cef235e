//! `cargo xtask`: the one toolbox of the house.
//!
//! It must not know what the other crates do, only how they are checked, tested and measured. It depends on no
//! crate of the workspace, so that it is there even when none of them builds.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command for people and CI speaks on both")]

mod arguments;
mod command;
mod install;
mod ledger;
mod outcome;
mod plan;
mod python;
mod redis;
mod report;
mod scratch;

use std::process::ExitCode;

use arguments::Task;

const USAGE: &str = "\
cargo xtask <task>

  test [--only <step>] [--long]   everything that must hold before a change goes in
  check                           formatting and lints
  bench [...]                     side-by-side figures; arguments go to turnpike-benches
  cluster up [--gateways N] [--port-base PORT] | down | status
                                  a Redis Cluster and gateways on this machine, to try things on
  docs                            makes the documentation a site, in target/docs, and says where it begins
  fuzz [target] [--seconds N]     the fuzz tests, for longer: frame, packet, rtp, sdp, stun, token, ...

Steps of test: install, fmt, clippy, build, rust, e2e, doc. --long also runs the tests marked as ignored.

Examples:
  cargo xtask test                          before a change goes in
  cargo xtask test --only e2e --long        one step alone, with what it needs
  cargo xtask bench -- echo --rounds 3      one figure; `cargo xtask bench -- --help` names all
  cargo xtask cluster up --gateways 3       three gateways on a Redis Cluster, until `cargo xtask cluster down`
  cargo xtask fuzz frame --seconds 600      ten minutes of one target; TURNPIKE_FUZZ_SEED tries one again

Exit codes: 0 all of it passed, 1 something failed, 64 that is no task of this toolbox.";

fn main() -> ExitCode {
    let task = match arguments::parse(std::env::args().skip(1)) {
        Ok(task) => task,
        Err(fault) => {
            eprintln!("xtask: {fault}; `cargo xtask help` says what there is");
            return ExitCode::from(64);
        }
    };
    let done = match task {
        Task::Help => {
            println!("{USAGE}");
            Ok(true)
        }
        Task::Test { only, long } => plan::test(only, long),
        Task::Check => plan::check(),
        Task::Bench(rest) => command::bench(rest),
        Task::Cluster(rest) => command::cluster(&rest),
        Task::Docs => command::docs(),
        Task::Fuzz { target, seconds } => command::fuzz(target.as_deref(), seconds),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
