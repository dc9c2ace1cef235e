//! The command line understood: which command, and the configuration it runs with. Nothing is done here yet.

use std::ffi::OsString;
use std::path::PathBuf;

use turnpike_daemon::config::{
    Arguments, Effective, Environment, Fault, Faults, Place, Settings as _, Sources, as_flags, load,
};

use crate::config::{self, Config};
use crate::role::Role;
use crate::{audit, drain, remote, size, token};

const SWITCHES: &[&str] =
    &["help", "h", "version", "V", "json", "follow", "without-anchors", "live", "no-wait"];

pub(crate) enum Command {
    /// The system, or this part of it. Operators may ask what is in effect.
    Run(Role, Box<Config>, Vec<Effective>),
    /// The sticky entry in front of other processes that run the system.
    Router(Box<Config>, Vec<Effective>),
    Token(token::Request, Box<Config>),
    Audit(audit::Request, Box<Config>),
    Admin(remote::Request, Box<Config>),
    Drain(drain::Request, Box<Config>),
    /// Of the files in this folder.
    DeployCheck(PathBuf, Environment),
    Doctor {
        json: bool,
        config: Box<Config>,
    },
    /// Whether the process of this configuration is ready, or only alive.
    Health {
        live: bool,
        config: Box<Config>,
    },
    /// What a load needs.
    Size {
        json: bool,
        request: size::Request,
    },
    ConfigCheck {
        keys: usize,
        given: usize,
    },
    ConfigPrint(Vec<Effective>),
    Help,
    Version,
}

/// All faults of the line, the environment and the file together, as [`Faults`].
pub(crate) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: Environment,
) -> anyhow::Result<Command> {
    let mut arguments = Arguments::parse(arguments, SWITCHES);
    let switched = |names: [&str; 2]| arguments.flags.iter().any(|flag| names.contains(&flag.name.as_str()));
    if switched(["help", "h"]) || arguments.words == ["help"] {
        return Ok(Command::Help);
    }
    if switched(["version", "V"]) {
        return Ok(Command::Version);
    }

    let mut faults = Faults::default();
    let words = std::mem::take(&mut arguments.words);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (mut token, mut json, mut live, mut audited, mut remote) = (None, false, false, None, None);
    let (mut draining, mut sized) = (None, None);
    match words[..] {
        [] | ["gateway" | "relay" | "router"] | ["config", "check" | "print"] | ["deploy", "check", _] => {}
        ["token"] => token = token::Request::parse(&mut arguments, &mut faults),
        ["doctor"] => {
            let given = arguments.flags.len();
            arguments.flags.retain(|flag| flag.name != "json" || flag.value.is_some());
            json = arguments.flags.len() < given;
        }
        ["health"] => {
            let given = arguments.flags.len();
            arguments.flags.retain(|flag| flag.name != "live" || flag.value.is_some());
            live = arguments.flags.len() < given;
        }
        ["size"] => {
            let given = arguments.flags.len();
            arguments.flags.retain(|flag| flag.name != "json" || flag.value.is_some());
            json = arguments.flags.len() < given;
            sized = size::Request::parse(&mut arguments, &mut faults);
        }
        ["drain"] => draining = drain::Request::parse(&mut arguments, &mut faults),
        ["audit", ref rest @ ..] => match audit::Request::parse(rest, &mut arguments, &mut faults) {
            Some(request) => audited = Some(request),
            None => faults.push(unknown_command(&words)),
        },
        ["admin", ref rest @ ..] => {
            let faults_before = faults.0.len();
            remote = remote::Request::parse(rest, &mut arguments, &mut faults);
            if remote.is_none() && faults.0.len() == faults_before {
                faults.push(unknown_command(&words));
            }
        }
        ["inspect", ref rest @ ..] => {
            let faults_before = faults.0.len();
            remote = remote::inspect::parse(rest, &mut arguments, &mut faults);
            if remote.is_none() && faults.0.len() == faults_before {
                faults.push(unknown_command(&words));
            }
        }
        _ => faults.push(unknown_command(&words)),
    }
    let other_flags = match words[..] {
        ["token"] => token::FLAGS,
        ["audit", ..] => audit::FLAGS,
        ["admin", ..] => remote::FLAGS,
        ["inspect", ..] => remote::inspect::FLAGS,
        ["drain"] => drain::FLAGS,
        ["doctor"] => &["json"],
        ["health"] => &["live"],
        ["size"] => size::FLAGS,
        _ => &["help", "version"],
    };

    let surroundings = environment.clone();
    let mut loaded = load::<Config>(Sources { arguments, other_flags, environment });
    let role = Role::of_words(&words);
    if let Some(role) = role {
        role.apply(&mut loaded);
    }
    if !matches!(words[..], ["router" | "health" | "size"]) {
        config::check(&mut loaded);
    }
    faults.0.append(&mut loaded.faults.0);
    if !faults.is_empty() {
        return Err(faults.into());
    }
    let config = Box::new(loaded.settings);
    if let Some(request) = audited {
        return Ok(Command::Audit(request, config));
    }
    if let Some(request) = sized {
        return Ok(Command::Size { json, request });
    }
    if let Some(request) = draining {
        return Ok(Command::Drain(request, config));
    }
    if let Some(request) = remote {
        return Ok(Command::Admin(request, config));
    }
    Ok(match (words.as_slice(), token) {
        (_, Some(request)) => Command::Token(request, config),
        (["router"], _) => Command::Router(config, loaded.effective),
        (["deploy", "check", directory], _) => Command::DeployCheck(directory.into(), surroundings),
        (["doctor"], _) => Command::Doctor { json, config },
        (["health"], _) => Command::Health { live, config },
        (["config", "print"], _) => Command::ConfigPrint(loaded.effective),
        (["config", "check"], _) => Command::ConfigCheck {
            keys: loaded.effective.len(),
            given: loaded.effective.iter().filter(|effective| effective.place != Place::Default).count(),
        },
        _ => Command::Run(role.unwrap_or(Role::All), config, loaded.effective),
    })
}

fn unknown_command(words: &[&str]) -> Fault {
    Fault {
        key: "command".into(),
        place: Place::Line,
        value: Some(words.join(" ")),
        problem: "is not a command".into(),
        remedy: "expected none (to run), `gateway`, `relay`, `router`, `token`, `doctor`, `health`, `size`, `audit verify|tail|query|export|prove|anchors|erase|keys`, `admin ...`, `inspect connection|user|room|stream|message`, `drain`, `deploy check FOLDER`, `config check` or `config print`".into(),
    }
}

pub(crate) fn help() -> String {
    format!(
        "\
Turnpike: a realtime gateway for Socket.IO clients and plain websockets.

Usage: turnpike [FLAGS]                  runs the whole system in this process
       turnpike gateway|relay [FLAGS]    runs one part of it, beside others on the same Redis Cluster: users, or live video
       turnpike router [FLAGS]           runs the sticky entry in front of such processes, which share a Redis Cluster
       turnpike token --user ID [...]    prints a token that the system accepts
       turnpike doctor [--json]         looks for what would keep it from serving well, and says what to do
       turnpike health [--live]         whether the process of this configuration is ready (or alive): exit code 0 or 1
       turnpike size --connections N     what a system for so many users needs
       turnpike audit verify|tail|query|export|prove|anchors|erase|keys
                                        reads, checks and proves the audit log
       turnpike admin COMMAND           asks a running node: nodes, bans, revocations, log level, drain, ...
       turnpike inspect WHAT            looks at a connection, user, room or stream, or says why a message did not arrive
       turnpike drain                   has a node send its clients to the others and end, and waits until it has
       turnpike deploy check FOLDER     refuses files of a deployment that are not fit for production
       turnpike config check|print       checks the configuration, or prints what is in effect
       turnpike help | --version

{token}
{audit}
{remote}
{inspect}
{drain}
{size}
Configuration, for every command (docs/configuration.md says more):
  --config PATH: a TOML file. Each key is also an environment variable; flags win over the environment, that over the file.
{keys}",
        token = token::HELP,
        audit = audit::HELP,
        remote = remote::HELP,
        inspect = remote::inspect::HELP,
        drain = drain::HELP,
        size = size::HELP,
        keys = as_flags(&Config::sections()),
    )
}
