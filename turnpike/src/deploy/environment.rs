//! Files of environment variables, as service managers and containers read them.

use turnpike_daemon::config::Settings as _;

use super::file::{File, Found};
use super::{Kind, Surroundings};
use crate::config::Config;

pub(super) const KIND: Kind = Kind {
    name: "environment",
    is: |file| file.name() == ".env" || file.path.extension().is_some_and(|extension| extension == "env"),
    check,
};

fn check(file: &File, _: &Surroundings<'_>) -> Vec<Found> {
    let sections = Config::sections();
    let keys = || sections.iter().flat_map(|section| section.keys);
    let mut found = Vec::new();
    for said in file.directives(&['=']) {
        let name = said.name.strip_prefix("export ").unwrap_or(said.name).trim();
        let value = said.value.trim_matches('\'');
        let Some(key) = keys().find(|key| key.environment == name) else { continue };
        if key.kind.secret && !value.is_empty() && !value.starts_with("file:") {
            found.extend(file.secret(name, said.line, value));
        }
        if name == "TURNPIKE_ENV" && value != "production" {
            found.push(Found::new(name, Some(said.line), "is not production", "expected `production`"));
        }
    }
    found
}
