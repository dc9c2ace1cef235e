//! The configuration of Turnpike itself: what `turnpike config check` says of it, and that it is meant for production.

use std::collections::HashSet;
use std::ffi::OsString;

use turnpike_daemon::config::{Arguments, Place, Settings as _, Sources, load};

use super::file::{File, Found};
use super::{Kind, Surroundings};
use crate::config::{self, Config};

pub(super) const KIND: Kind = Kind {
    name: "configuration of Turnpike",
    is: |file| file.name() == "turnpike.toml" || file.name() == "relay.toml",
    check,
};

fn check(file: &File, surroundings: &Surroundings<'_>) -> Vec<Found> {
    let line = ["--config".into(), OsString::from(&file.path)];
    let arguments = Arguments::parse(line, &[]);
    let environment = surroundings.environment.clone();
    let mut loaded = load::<Config>(Sources { arguments, other_flags: Vec::new(), environment });
    config::check(&mut loaded);
    let mut found: Vec<Found> = Vec::new();
    if !loaded.settings.is_production() && !loaded.faults.concern("node.environment") {
        let remedy = "expected `environment = \"production\"`, which refuses what only suits development";
        found.push(Found::new("node.environment", None, "is not production", remedy));
    }
    found.extend(loaded.faults.0.iter().map(|fault| {
        let line = if let Place::File { line, .. } = &fault.place { *line } else { None };
        let from = match &fault.place {
            Place::Environment(name) => format!(" (environment {name})"),
            _ => String::new(),
        };
        let value = fault.value.as_ref().map(|value| format!("{value:?} ")).unwrap_or_default();
        Found::new(&fault.key, line, format!("{value}{}{from}", fault.problem), &fault.remedy)
    }));
    let secrets: HashSet<&str> = Config::sections()
        .iter()
        .flat_map(|section| section.keys)
        .filter(|key| key.kind.secret)
        .map(|key| key.path)
        .collect();
    let mut section = "";
    for said in file.directives(&['=']) {
        if let Some(name) = said.name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            section = name;
        }
        let key = format!("{section}.{}", said.name);
        if secrets.contains(key.as_str()) && !said.value.is_empty() && !said.value.starts_with("file:") {
            found.extend(file.exposed(&key, Some(said.line)));
        }
    }
    found
}
