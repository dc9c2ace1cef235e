//! What is wrong with a configuration, said so that it can be put right at once.

use std::fmt;
use std::path::PathBuf;

/// Where a value was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Default,
    /// The command itself.
    Line,
    File {
        path: PathBuf,
        /// `None` if it is about the file as a whole.
        line: Option<usize>,
    },
    Environment(String),
    Flag(String),
}

impl Place {
    pub(super) fn line(&self) -> Option<usize> {
        if let Self::File { line, .. } = self { *line } else { None }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::Line => formatter.write_str("command line"),
            Self::File { path, line: Some(line) } => write!(formatter, "{} line {line}", path.display()),
            Self::File { path, line: None } => write!(formatter, "{}", path.display()),
            Self::Environment(name) => write!(formatter, "environment {name}"),
            Self::Flag(name) => write!(formatter, "flag --{name}"),
        }
    }
}

/// One fault: the key, where its value stands, the value, what is wrong with it and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    /// The key, or the name that is no key.
    pub key: String,
    pub place: Place,
    /// `None` where there is none, and where it might be a secret.
    pub value: Option<String>,
    /// Completes "the value ...".
    pub problem: String,
    /// Completes "expected ..." or asks "did you mean ...?".
    pub remedy: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            // Names that are no keys have no other name than their place.
            Place::Flag(name) if self.key.strip_prefix("--") == Some(name) => {
                write!(formatter, "{}: ", self.place)?;
            }
            Place::Environment(name) if self.key == *name => write!(formatter, "{}: ", self.place)?,
            place => write!(formatter, "{} ({place}): ", self.key)?,
        }
        if let Some(value) = &self.value {
            write!(formatter, "{value:?} ")?;
        }
        write!(formatter, "{}; {}", self.problem, self.remedy)
    }
}

/// All that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// `EX_USAGE` of sysexits.h: the one exit code for "not started, because of what was asked for".
    pub const EXIT_CODE: u8 = 64;

    pub fn push(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `key` is already known to be faulty, so that a check across keys need not complain about it again.
    pub fn concern(&self, key: &str) -> bool {
        self.0.iter().any(|fault| fault.key == key)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(formatter, "{count} configuration fault{}:", if count == 1 { "" } else { "s" })?;
        self.0.iter().try_for_each(|fault| write!(formatter, "\n  {fault}"))
    }
}
