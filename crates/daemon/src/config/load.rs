//! Layer upon layer: default, file, environment, flags.

use std::collections::HashMap;
use std::path::Path;

use super::environment::Environment;
use super::fault::{Fault, Faults, Place};
use super::file;
use super::flags::{self, Arguments};
use super::key::{Key, Section};
use super::mark::Mark;
use super::section::{Settings, Values};

/// Names the file. Not keys: a file cannot say where it is.
pub const FILE_ENVIRONMENT: &str = "TURNPIKE_CONFIG";
pub const FILE_FLAG: &str = "config";

/// Where values come from.
#[derive(Debug, Default)]
pub struct Sources {
    /// What is left of the command line after the command took its own flags.
    pub arguments: Arguments,
    /// Flags of the command, to be suggested where one is misspelt.
    pub other_flags: Vec<&'static str>,
    pub environment: Environment,
}

/// The outcome of loading: settings that can be looked at even where there are faults (a faulty key has its default), so
/// that checks across keys find their faults in the same run.
#[derive(Debug)]
pub struct Loaded<S> {
    pub settings: S,
    pub faults: Faults,
    pub effective: Vec<Effective>,
}

/// A key, its value as text, and where it came from.
#[derive(Debug, Clone)]
pub struct Effective {
    pub section: Section,
    pub key: &'static Key,
    pub shown: String,
    /// Of the value, also where it is hidden.
    pub mark: Mark,
    pub place: Place,
}

/// A value given somewhere for a key.
#[derive(Debug)]
pub(super) struct Entry {
    pub key: &'static Key,
    pub text: String,
    pub place: Place,
}

/// Reads all layers.
pub fn load<S: Settings>(mut sources: Sources) -> Loaded<S> {
    let sections = S::sections();
    let mut faults = Faults::default();

    let file = sources.arguments.take_one(FILE_FLAG, "the path of a TOML file", &mut faults);
    let file = file.map(Into::into).or_else(|| sources.environment.config_file().cloned());
    // Lowest first: what comes later replaces.
    let mut entries =
        file.map(|path| file::entries(Path::new(&path), &sections, &mut faults)).unwrap_or_default();
    entries.extend(sources.environment.entries(&sections, &mut faults));
    entries.extend(flags::entries(&sources.arguments.flags, &sources.other_flags, &sections, &mut faults));

    let mut given = HashMap::new();
    for Entry { key, text, place } in entries {
        match key.parse(&text) {
            Ok(parsed) => drop(given.insert(key.path, (parsed, place))),
            Err(problem) => faults.push(misfit(key, &text, place, problem)),
        }
    }

    let mut values = Values::default();
    let mut effective = Vec::new();
    for section in sections {
        for key in section.keys {
            let (parsed, place) = given.remove(key.path).unwrap_or_else(|| {
                (
                    key.parse(key.default).expect("every default is held to its own key by a test"),
                    Place::Default,
                )
            });
            effective.push(Effective { section, key, shown: parsed.shown, mark: parsed.mark, place });
            values.0.insert(key.path, parsed.value);
        }
    }
    Loaded { settings: S::take(&mut values), faults, effective }
}

impl<S> Loaded<S> {
    /// A fault that a check across keys has found in the effective value of `key`.
    pub fn refuse(&mut self, key: &str, problem: impl Into<String>, remedy: impl Into<String>) {
        let effective = self
            .effective
            .iter()
            .find(|effective| effective.key.path == key)
            .expect("checks name keys that are declared");
        let shown =
            (!effective.key.kind.secret && !effective.shown.is_empty()).then(|| effective.shown.clone());
        let place = effective.place.clone();
        self.faults.push(Fault {
            key: key.into(),
            place,
            value: shown,
            problem: problem.into(),
            remedy: remedy.into(),
        });
    }

    pub fn into_result(self) -> Result<(S, Vec<Effective>), Faults> {
        if self.faults.is_empty() { Ok((self.settings, self.effective)) } else { Err(self.faults) }
    }
}

fn misfit(key: &Key, text: &str, place: Place, problem: String) -> Fault {
    let value = if key.kind.secret { "(hidden)".to_owned() } else { text.to_owned() };
    Fault {
        key: key.path.into(),
        place,
        value: Some(value),
        problem,
        remedy: format!("expected {}", key.expects()),
    }
}
