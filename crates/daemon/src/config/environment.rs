//! The environment of the process, as data: tests hand in their own.

use std::ffi::OsString;

use super::fault::{Fault, Faults, Place};
use super::key::Section;
use super::load::{Entry, FILE_ENVIRONMENT};
use super::nearest::nearest;

const PREFIX: &str = "TURNPIKE_";

/// Environment variables.
#[derive(Debug, Clone, Default)]
pub struct Environment(Vec<(String, OsString)>);

impl Environment {
    /// That of this process.
    pub fn of_process() -> Self {
        // A name that is not UTF-8 cannot be one of ours.
        Self(
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect(),
        )
    }

    pub(super) fn config_file(&self) -> Option<&OsString> {
        self.0
            .iter()
            .find(|(name, value)| name == FILE_ENVIRONMENT && !value.is_empty())
            .map(|(_, value)| value)
    }

    pub(super) fn entries(&self, sections: &[Section], faults: &mut Faults) -> Vec<Entry> {
        let keys = || sections.iter().flat_map(|section| section.keys);
        let mut entries = Vec::new();
        for (name, value) in &self.0 {
            let place = || Place::Environment(name.clone());
            let Some(key) = keys().find(|key| key.environment == name) else {
                // Names with our prefix are ours alone, so one that we do not know is a slip. Others belong to anybody.
                if name.starts_with(PREFIX) && name != FILE_ENVIRONMENT && !is_service_link(name) {
                    let known = nearest(name, keys().map(|key| key.environment).chain([FILE_ENVIRONMENT]));
                    faults.push(Fault {
                        key: name.clone(),
                        place: place(),
                        value: None,
                        problem: "is not a variable that is known here".into(),
                        remedy: known.map_or_else(
                            || "docs/configuration.md lists those that are".into(),
                            |known| format!("did you mean {known}?"),
                        ),
                    });
                }
                continue;
            };
            match value.to_str() {
                // Compose files and unit files pass variables on that are empty where they mean unset.
                Some("") => {}
                Some(text) => entries.push(Entry { key, text: text.to_owned(), place: place() }),
                None => faults.push(Fault {
                    key: key.path.into(),
                    place: place(),
                    value: None,
                    problem: "is not UTF-8".into(),
                    remedy: format!("expected {}", key.expects()),
                }),
            }
        }
        entries
    }
}

/// Kubernetes tells every pod where the services of its namespace are, under the names of the services: for one called
/// `turnpike` that is `TURNPIKE_SERVICE_HOST`, `TURNPIKE_PORT_3010_TCP_ADDR` and the like, which are not meant for us.
fn is_service_link(name: &str) -> bool {
    let is_port = |(_, port): (&str, &str)| {
        let (number, rest) = port.split_once('_').unwrap_or((port, ""));
        let protocol = rest.split('_').next().unwrap_or_default();
        number.bytes().all(|byte| byte.is_ascii_digit()) && ["TCP", "UDP", "SCTP"].contains(&protocol)
    };
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name.rsplit_once("_PORT_").is_some_and(is_port)
}

impl<N: Into<String>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}
