//! The command line understood: which command, and the configuration it runs with. Nothing is done here yet.

use std::ffi::OsString;
use std::path::PathBuf;

use clap_complete::Shell;
use turnpike_daemon::config::{Arguments, Effective, Environment, Fault, Faults, Place, Sources, load};

use crate::config::{self, Config};
use crate::line::asked::{Asked, switches};
use crate::line::{completions, help};
use crate::role::Role;
use crate::{audit, drain, remote, size, token};

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
    DeployCheck {
        json: bool,
        folder: PathBuf,
        environment: Environment,
    },
    Doctor {
        json: bool,
        config: Box<Config>,
    },
    /// Whether the process of this configuration is ready, or only alive.
    Health {
        live: bool,
        json: bool,
        config: Box<Config>,
    },
    /// What a load needs.
    Size {
        json: bool,
        request: size::Request,
    },
    ConfigCheck {
        json: bool,
        effective: Vec<Effective>,
    },
    ConfigPrint {
        json: bool,
        effective: Vec<Effective>,
    },
    Completions(Shell),
    Man(PathBuf),
    /// This text.
    Help(String),
    Version,
}

/// A command line, taken apart.
pub(crate) fn arguments(arguments: impl IntoIterator<Item = OsString>) -> Arguments {
    Arguments::parse(arguments, &switches())
}

/// What a command takes for itself, before the rest is read as keys.
#[derive(Default)]
struct Own {
    token: Option<token::Request>,
    audit: Option<audit::Request>,
    remote: Option<remote::Request>,
    drain: Option<drain::Request>,
    size: Option<size::Request>,
    json: bool,
    live: bool,
}

/// All faults of the line, the environment and the file together, as [`Faults`].
pub(crate) fn parse(mut arguments: Arguments, environment: Environment) -> anyhow::Result<Command> {
    if let Some(command) = about_the_line(&mut arguments)? {
        return Ok(command);
    }
    let mut faults = Faults::default();
    let words = std::mem::take(&mut arguments.words);
    let asked = Asked::nearest(&words);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut own = Own::default();
    match asked.fault() {
        Some(fault) => faults.push(fault),
        None => own.take(&words, &mut arguments, &mut faults),
    }
    let surroundings = environment.clone();
    let mut loaded = load::<Config>(Sources { arguments, other_flags: asked.flags(), environment });
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
    let (config, effective) = (Box::new(loaded.settings), loaded.effective);
    let Own { token, audit, remote, drain, size, json, live } = own;
    Ok(match words[..] {
        ["router"] => Command::Router(config, effective),
        ["doctor"] => Command::Doctor { json, config },
        ["health"] => Command::Health { live, json, config },
        ["config", "check"] => Command::ConfigCheck { json, effective },
        ["config", "print"] => Command::ConfigPrint { json, effective },
        ["deploy", "check", folder] => {
            Command::DeployCheck { json, folder: folder.into(), environment: surroundings }
        }
        ["completions", name] => {
            Command::Completions(completions::shell(name).ok_or_else(|| no_shell(name))?)
        }
        ["man", folder] => Command::Man(folder.into()),
        _ => match (token, audit, remote, drain, size) {
            (Some(request), ..) => Command::Token(request, config),
            (_, Some(request), ..) => Command::Audit(request, config),
            (_, _, Some(request), ..) => Command::Admin(request, config),
            (.., Some(request), _) => Command::Drain(request, config),
            (.., Some(request)) => Command::Size { json, request },
            _ => Command::Run(role.unwrap_or(Role::All), config, effective),
        },
    })
}

impl Own {
    /// `words` are those of a command that there is.
    fn take(&mut self, words: &[&str], arguments: &mut Arguments, faults: &mut Faults) {
        match words {
            ["token"] => self.token = token::Request::parse(arguments, faults),
            ["drain"] => self.drain = drain::Request::parse(arguments, faults),
            ["audit", rest @ ..] => self.audit = audit::Request::parse(rest, arguments, faults),
            ["admin", rest @ ..] => self.remote = remote::Request::parse(rest, arguments, faults),
            ["inspect", rest @ ..] => self.remote = remote::inspect::parse(rest, arguments, faults),
            ["size"] => {
                self.json = arguments.take_switch("json");
                self.size = size::Request::parse(arguments, faults);
            }
            ["doctor" | "health"] | ["config" | "deploy", ..] => {
                self.json = arguments.take_switch("json");
                self.live = words == ["health"] && arguments.take_switch("live");
            }
            _ => {}
        }
    }
}

/// Help and version, which no fault keeps from being shown.
fn about_the_line(arguments: &mut Arguments) -> Result<Option<Command>, Faults> {
    let [help, h, version, v] = ["help", "h", "version", "V"].map(|name| arguments.take_switch(name));
    let words = &arguments.words;
    Ok(if help || h {
        Some(Command::Help(help::of(words)))
    } else if version || v {
        Some(Command::Version)
    } else if let Some(("help", rest)) = words.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        let everything = arguments.flags.iter().any(|flag| flag.name == help::ALL.name);
        Some(Command::Help(help::asked(rest, everything)?))
    } else {
        None
    })
}

fn no_shell(name: &str) -> Faults {
    Faults(vec![Fault {
        key: "SHELL".into(),
        place: Place::Line,
        value: Some(name.into()),
        problem: "is not a shell that is known here".into(),
        remedy: format!("expected {}", completions::SHELLS.join(", ")),
    }])
}
