//! Records in the words of others: OCSF, ECS, CEF, and RFC 5424 syslog. Pure.
//!
//! Each form carries number and hash of the record, so that what a SIEM has can be held against the log; checkpoints are exported like
//! any record, and are anchors there.

mod cef;
mod ecs;
mod ocsf;
mod syslog;

use crate::Record;
use crate::kind::{Kind, Severity};

/// A form that others read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As it stands in the log.
    Ndjson,
    /// Open Cybersecurity Schema Framework 1.3, JSON.
    Ocsf,
    /// Elastic Common Schema 8, JSON.
    Ecs,
    /// ArcSight Common Event Format 0.
    Cef,
    /// RFC 5424 with structured data.
    Syslog,
}

impl Form {
    pub const ALL: [Self; 5] = [Self::Ndjson, Self::Ocsf, Self::Ecs, Self::Cef, Self::Syslog];

    pub fn word(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Ocsf => "ocsf",
            Self::Ecs => "ecs",
            Self::Cef => "cef",
            Self::Syslog => "syslog",
        }
    }

    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.word() == word)
    }

    /// One line, without its line feed.
    pub fn line(self, record: &Record) -> String {
        match self {
            Self::Ndjson => canonical(&serde_json::Value::Object(record.0.clone())),
            Self::Ocsf => ocsf::event(record).to_string(),
            Self::Ecs => ecs::event(record).to_string(),
            Self::Cef => cef::line(record),
            Self::Syslog => syslog::line(record),
        }
    }
}

fn canonical(value: &serde_json::Value) -> String {
    let mut out = Vec::new();
    match crate::canonical::push(value, &mut out) {
        Ok(()) => String::from_utf8_lossy(&out).into_owned(),
        // What has no canonical form was not written by us. It is shown as it is.
        Err(_) => value.to_string(),
    }
}

/// `None` for what another version wrote, and for husks.
fn kind(record: &Record) -> Option<Kind> {
    Kind::named(record.class(), record.activity())
}

fn severity(record: &Record) -> Severity {
    match record.text(&["severity"]) {
        Some("low") => Severity::Low,
        Some("medium") => Severity::Medium,
        Some("high") => Severity::High,
        Some("critical") => Severity::Critical,
        _ => Severity::Info,
    }
}

/// What it is about, in one line.
fn title(record: &Record) -> &'static str {
    kind(record).map_or("A record that is no longer kept, or of another version.", Kind::about)
}

/// Members that have no value are left out.
fn without_nulls(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| (name, without_nulls(value)))
            .filter(|(_, value)| {
                !value.is_null() && value.as_object().is_none_or(|members| !members.is_empty())
            })
            .collect(),
        value => value,
    }
}

#[cfg(test)]
mod tests;
