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
mod configuration;
mod dashboard;
mod deploy;
mod development;
mod doctor;
mod drain;
mod gateway;
mod kept;
mod keys;
mod line;
mod links;
mod liveness;
mod media;
mod memory;
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
mod terminal;
mod token;

use std::io::Write as _;
use std::process::ExitCode;

use serde_json::{Value, json};
use turnpike_daemon::config::{Environment, Fault, Faults};

use crate::command::Command;
use crate::line::asked::wants_json;

/// Long-lived processes with many small allocations from several threads are what it is made for; the difference is
/// measured in `benches/`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    memory::use_small_pages();
    let arguments = command::arguments(std::env::args_os().skip(1));
    let wants_json = wants_json(&arguments);
    match command::parse(arguments, Environment::of_process()).and_then(execute) {
        Ok(code) => code,
        Err(error) => failed(&error, wants_json),
    }
}

fn execute(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(role, config, effective) => run::run(role, &config, effective),
        Command::Router(config, effective) => router::run(&config, effective),
        Command::Token(request, config) => token::print(&request, &config),
        Command::Doctor { json, config } => return doctor::examine(&config, json),
        Command::Size { json, request } => size::print(&request, json),
        Command::Health { live, json, config } => return liveness::ask(&config, live, json),
        Command::Admin(request, config) => return remote::execute(&request, &config),
        Command::Drain(request, config) => return drain::execute(&request, &config),
        Command::Audit(request, config) => return audit::execute(&request, &config),
        Command::DeployCheck { json, folder, environment } => deploy::check(&folder, &environment, json),
        Command::ConfigCheck { json, effective } => configuration::sound(&effective, json),
        Command::ConfigPrint { json, effective } => configuration::print(&effective, json),
        Command::Completions(shell) => line::completions::print(shell),
        Command::Man(folder) => line::man::write(&folder),
        Command::Help(text) => print(&text),
        Command::Version => print(concat!("turnpike ", env!("CARGO_PKG_VERSION"))),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// Said to people on standard error, and to whoever reads JSON on standard output as well.
fn failed(error: &anyhow::Error, wants_json: bool) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "turnpike: {error:#}");
    let code = if error.is::<Faults>() {
        Faults::EXIT_CODE
    } else if error.is::<doctor::Unfit>() {
        doctor::Unfit::EXIT_CODE
    } else if let Some(error) = error.downcast_ref::<remote::RemoteError>() {
        error.exit_code()
    } else {
        1
    };
    if wants_json {
        let faults: Option<Vec<Value>> =
            error.downcast_ref::<Faults>().map(|faults| faults.0.iter().map(fault).collect());
        let said = json!({ "ok": false, "error": format!("{error:#}"), "exit_code": code, "faults": faults });
        let _ = print(&said.to_string());
    }
    ExitCode::from(code)
}

fn fault(Fault { key, place, value, problem, remedy }: &Fault) -> Value {
    json!({ "key": key, "from": place.to_string(), "value": value, "problem": problem, "remedy": remedy })
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
