//! One thing that was looked at, and what to do about it.

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub level: Level,
    /// What was looked at, as a word that stays the same from version to version.
    pub check: &'static str,
    /// What was found, in a line.
    pub what: String,
    /// What to do, in a line; empty if there is nothing to do.
    pub remedy: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Ok,
    /// It works, but not as well or not for as long as one would think.
    Warn,
    /// What was promised cannot be kept.
    Fail,
}

impl Finding {
    pub fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self { level: Level::Ok, check, what: what.into(), remedy: String::new() }
    }

    pub fn warn(check: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Warn, check, what: what.into(), remedy: remedy.into() }
    }

    pub fn fail(check: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Fail, ..Self::warn(check, what, remedy) }
    }
}

impl Level {
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}
