//! The one binary: it decides what runs in the process and hands each part what it needs.
//!
//! Nothing is done here that a part could do itself. This is the only crate that sees all the others.

mod abuse;
mod addresses;
mod admin;
mod announce;
mod audit;
mod auditing;
mod bus;
mod cluster;
mod command;
mod config;
mod deploy;
mod development;
mod doctor;
mod drain;
mod gateway;
mod kept;
mod keys;
mod links;
mod liveness;
mod media;
mod purpose;
mod redis;
mod reload;
mod remote;
mod role;
mod router;
mod run;
mod secrets;
mod size;
mod telemetry;
mod token;

use std::io::Write as _;
use std::process::ExitCode;

use turnpike_daemon::config::{Environment, Faults, as_toml};

use crate::command::Command;

/// Long-lived processes with many small allocations from several threads are what it is made for; the difference is
/// measured in `benches/`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match command::parse(std::env::args_os().skip(1), Environment::of_process()).and_then(execute) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "turnpike: {error:#}");
            ExitCode::from(if error.is::<Faults>() {
                Faults::EXIT_CODE
            } else if error.is::<doctor::Unfit>() {
                doctor::Unfit::EXIT_CODE
            } else if let Some(error) = error.downcast_ref::<remote::RemoteError>() {
                error.exit_code()
            } else {
                1
            })
        }
    }
}

fn execute(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(role, config, effective) => run::run(role, &config, effective),
        Command::Router(config, effective) => router::run(&config, effective),
        Command::Token(request, config) => token::print(&request, &config),
        Command::Doctor { json, config } => return doctor::examine(&config, json),
        Command::Size { json, request } => size::print(&request, json),
        Command::Health { live, config } => return liveness::ask(&config, live),
        Command::Admin(request, config) => return remote::execute(&request, &config),
        Command::Drain(request, config) => return drain::execute(&request, &config),
        Command::Audit(request, config) => return audit::execute(&request, &config),
        Command::DeployCheck(directory, environment) => deploy::check(&directory, &environment),
        Command::ConfigCheck { keys, given } => print(&format!(
            "the configuration is sound: {keys} keys, {given} of them given, the others at their defaults"
        )),
        Command::ConfigPrint(effective) => print(as_toml(&effective).trim_end()),
        Command::Help => print(&command::help()),
        Command::Version => print(concat!("turnpike ", env!("CARGO_PKG_VERSION"))),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// For people, beside what is printed for scripts.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "turnpike: {text}");
}

/// A reader that has gone (`| head`) is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
