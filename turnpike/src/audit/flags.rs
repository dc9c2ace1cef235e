//! The flags of the commands, taken out one by one; what does not fit is a fault beside all the others.

use std::fmt::Display;
use std::time::Duration;

use turnpike_audit::{Outcome, Time};
use turnpike_daemon::config::{Arguments, Fault, Faults, Place, Setting as _};

use super::moment;

/// Takes flags out of a line and remembers what was wrong.
pub(super) struct Flags<'a> {
    arguments: &'a mut Arguments,
    faults: &'a mut Faults,
}

impl<'a> Flags<'a> {
    pub(super) fn new(arguments: &'a mut Arguments, faults: &'a mut Faults) -> Self {
        Self { arguments, faults }
    }

    pub(super) fn text(&mut self, name: &str, expects: &str) -> Option<String> {
        self.arguments.take_one(name, expects, self.faults)
    }

    pub(super) fn texts(&mut self, name: &str, expects: &str) -> Vec<String> {
        self.arguments.take_values(name, expects, self.faults)
    }

    pub(super) fn switch(&mut self, name: &str) -> bool {
        self.arguments.take_switch(name)
    }

    /// What a type says of text that it refuses, as a fault of the flag.
    pub(super) fn parsed<T, E: Display>(
        &mut self,
        name: &str,
        expects: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(name, expects)?;
        parse(&text).map_err(|error| self.fault(name, Some(&text), &error.to_string())).ok()
    }

    pub(super) fn number(&mut self, name: &str) -> Option<u64> {
        self.parsed(name, "a number", |text| text.parse::<u64>().map_err(|_| "expected a number"))
    }

    pub(super) fn duration(&mut self, name: &str) -> Option<Duration> {
        self.parsed(name, Duration::EXPECTS, |text| {
            Duration::parse(text).map_err(|_| format!("expected {}", Duration::EXPECTS))
        })
    }

    /// A moment, or how long ago it was.
    pub(super) fn time(&mut self, name: &str) -> Option<Time> {
        self.parsed(name, "a time", moment)
    }

    /// One of some words.
    pub(super) fn word(&mut self, name: &str, words: &[&str]) -> Option<String> {
        self.parsed(name, &words.join(", "), |text| {
            words
                .contains(&text)
                .then(|| text.to_owned())
                .ok_or_else(|| format!("expected one of: {}", words.join(", ")))
        })
    }

    pub(super) fn outcome(&mut self) -> Option<String> {
        self.word("outcome", &Outcome::ALL.map(Outcome::word))
    }

    pub(super) fn fault(&mut self, name: &str, value: Option<&str>, remedy: &str) {
        self.faults.push(Fault {
            key: format!("--{name}"),
            place: Place::Flag(name.into()),
            value: value.map(Into::into),
            problem: if value.is_some() { "does not fit" } else { "is missing" }.into(),
            remedy: remedy.into(),
        });
    }
}
