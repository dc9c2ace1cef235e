//! `turnpike audit query` and `export`: the records that somebody asks for, for people or for other programs.

use std::fmt::Write as _;
use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::path::Path;

use anyhow::Context as _;
use turnpike_audit::{Filter, Form as Other, Record, Records};
use turnpike_daemon::log::escaped;

use super::flags::Flags;
use super::verify::unreadable;
use crate::terminal;

#[derive(Debug)]
pub(crate) struct Request {
    filter: Filter,
    limit: u64,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One line a record, for people.
    Text,
    Other(Other),
}

const FORMS: [&str; 6] = ["text", "ndjson", "ocsf", "ecs", "cef", "syslog"];

impl Request {
    pub(super) fn parse(flags: &mut Flags<'_>, form: Form) -> Self {
        let classes = turnpike_audit::classes();
        let filter = Filter {
            user: flags.text("user", "a user id"),
            address: flags.text("address", "an address"),
            room: flags.text("room", "a room"),
            stream: flags.text("stream", "a stream"),
            connection: flags.text("connection", "a connection"),
            class: flags.word("class", &classes),
            activity: flags.text("activity", "an activity"),
            outcome: flags.outcome(),
            since: flags.time("since"),
            until: flags.time("until"),
        };
        Self {
            filter,
            limit: flags.number("limit").unwrap_or(u64::MAX),
            form: match (flags.word("format", &FORMS), flags.switch("json")) {
                (Some(word), false) => Form::named(&word),
                (Some(word), true) => {
                    flags.fault("format", Some(&word), "expected either --format or --json, which is ndjson");
                    form
                }
                (None, true) => Form::LINES,
                (None, false) => form,
            },
        }
    }
}

impl Form {
    /// As the records stand in the log.
    pub(crate) const LINES: Self = Self::Other(Other::Ndjson);

    fn named(word: &str) -> Self {
        Other::named(word).map_or(Self::Text, Self::Other)
    }

    pub(super) fn line(self, record: &Record) -> String {
        match self {
            Self::Text => text(record),
            Self::Other(form) => form.line(record),
        }
    }
}

pub(super) fn execute(request: &Request, directory: &Path) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    // Records on the terminal are sign enough.
    let bar = (!io::stdout().is_terminal()).then(|| terminal::spinner("the log is read"));
    let records = Records::of(directory, request.filter.clone()).with_context(|| unreadable(directory))?;
    for record in records.take(usize::try_from(request.limit).unwrap_or(usize::MAX)) {
        if !written(&mut out, &request.form.line(&record?))? {
            break;
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    written_out(out.flush()).map(drop)
}

/// Whether there is still somebody who reads: one that has gone (`| head`) is no failure.
pub(super) fn written(out: &mut impl io::Write, line: &str) -> anyhow::Result<bool> {
    written_out(writeln!(out, "{line}"))
}

fn written_out(outcome: io::Result<()>) -> anyhow::Result<bool> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Nothing of a record can move the cursor or colour the terminal, whoever wrote it.
fn text(record: &Record) -> String {
    let mut out = format!(
        "{} {:>8} {:<8} {}.{} {}",
        escaped(record.text(&["time"]).unwrap_or("-")),
        record.seq(),
        escaped(record.text(&["severity"]).unwrap_or("-")),
        escaped(record.class()),
        escaped(record.activity()),
        escaped(record.text(&["outcome"]).unwrap_or("(pruned)")),
    );
    let object = record.object();
    let fields = [
        ("reason", record.text(&["reason"])),
        ("user", shown(record, "actor.user", &["actor", "user"])),
        ("role", record.text(&["actor", "role"])),
        ("address", shown(record, "connection.address", &["connection", "address"])),
        ("connection", record.text(&["connection", "id"])),
        ("on", object.map(|(kind, _)| kind)),
        ("id", object.map(|(_, id)| id.unwrap_or(ERASED))),
        ("request", record.text(&["request", "id"])),
    ];
    for (name, value) in fields.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))) {
        let _ = write!(out, " {name}={}", escaped(value));
    }
    for (name, value) in record.detail().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        let _ = write!(out, " {}={}", escaped(name), escaped(&value));
    }
    out
}

const ERASED: &str = "(erased)";

fn shown<'a>(record: &'a Record, field: &str, path: &[&str]) -> Option<&'a str> {
    record.text(path)?;
    Some(record.personal(field).unwrap_or(ERASED))
}
