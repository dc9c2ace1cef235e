//! `turnpike audit verify`: reads a log from its first record to its last and says whether anything was changed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use turnpike_audit::{Finding, PublicKey, Report, Trust, Verify, anchors_in};
use turnpike_daemon::log::escaped;

use super::flags::Flags;
use super::key_file;
use crate::terminal;

#[derive(Debug)]
pub(crate) struct Request {
    keys: Keys,
    anchors: Vec<PathBuf>,
    without_anchors: bool,
    tail_max: Duration,
    json: bool,
}

const TAIL_MAX: Duration = Duration::from_secs(10);

impl Request {
    pub(super) fn parse(flags: &mut Flags<'_>) -> Self {
        Self {
            keys: Keys::parse(flags),
            anchors: flags.texts("anchors", "a file or directory").into_iter().map(Into::into).collect(),
            without_anchors: flags.switch("without-anchors"),
            tail_max: flags.duration("tail-max").unwrap_or(TAIL_MAX),
            json: flags.switch("json"),
        }
    }
}

/// Which keys are believed.
#[derive(Debug)]
pub(crate) struct Keys(Vec<String>);

impl Keys {
    pub(super) fn parse(flags: &mut Flags<'_>) -> Self {
        Self(flags.texts("key", "a public key, or a file with some"))
    }

    /// Those that were named, or those of this machine's key file.
    pub(super) fn read(&self, key_file: &Path) -> anyhow::Result<Vec<PublicKey>> {
        let mut keys = Vec::new();
        if self.0.is_empty() {
            let signers = key_file::read(key_file).context("no --key was given")?;
            keys.extend(signers.into_iter().map(|signer| signer.public().clone()));
        }
        for given in &self.0 {
            if let Ok(key) = given.parse() {
                keys.push(key);
                continue;
            }
            let text = std::fs::read_to_string(given)
                .with_context(|| format!("--key {given} is neither a key nor a file that can be read"))?;
            for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
                keys.push(line.parse().with_context(|| format!("a line of {given}"))?);
            }
        }
        Ok(keys)
    }
}

pub(super) fn execute(request: &Request, directory: &Path, key_file: &Path) -> anyhow::Result<ExitCode> {
    let keys = request.keys.read(key_file)?;
    let mut anchors = Vec::new();
    for path in &request.anchors {
        let found =
            anchors_in(path).with_context(|| format!("cannot read the anchors in {}", path.display()))?;
        anchors.extend(found);
    }
    let verify = Verify {
        trust: Trust { keys, anchors },
        tail_max: request.tail_max,
        anchors_needed: !request.without_anchors,
    };
    let bar = terminal::bytes(0);
    let report = verify
        .directory(directory, &mut |progress| {
            bar.set_length(progress.bytes_total);
            bar.set_position(progress.bytes);
            bar.set_message(format!("{} records", progress.records));
        })
        .with_context(|| unreadable(directory))?;
    bar.finish_and_clear();
    crate::print(&if request.json { report_json(&report).to_string() } else { as_text(&report) })?;
    Ok(ExitCode::from(report.verdict as u8))
}

/// What whoever meets it can do about it.
pub(super) fn unreadable(directory: &Path) -> String {
    format!(
        "cannot read the audit log in {}: --audit-dir PATH says where it is, and it is its owner's alone",
        directory.display()
    )
}

/// Its form is a promise to scripts.
pub(crate) fn report_json(report: &Report) -> Value {
    let finding = report.finding.as_ref().map(|Finding { seq, signed, segment, problem }| {
        json!({ "record": seq, "signed_before": signed, "file": segment, "problem": problem.slug(), "what": problem.to_string() })
    });
    let explained: Vec<_> =
        report.explained.iter().map(|(seq, what)| json!({ "record": seq, "activity": what })).collect();
    json!({
        "verdict": report.verdict.word(),
        "finding": finding,
        "first": report.first,
        "size": report.size,
        "files": report.segments,
        "records": report.records,
        "pruned": report.husks,
        "erased": report.erased,
        "checkpoints": report.checkpoints,
        "signed_before": report.signed,
        "key": report.key.as_ref().map(ToString::to_string),
        "anchored_before": report.tail.anchored,
        "torn_bytes": report.torn_bytes,
        "explained": explained,
    })
}

fn as_text(report: &Report) -> String {
    let mut out = report.verdict.word().to_owned();
    if let Some(finding) = &report.finding {
        let _ = write!(out, ": {}", escaped(&finding.to_string()));
    }
    let mut line = |name: &str, value: String| {
        let _ = write!(out, "\n  {name:<12}{value}");
    };
    let (first, size) = (report.first, report.size);
    line(
        "records",
        format!("{} in {} files: numbers {first} to before {size}", report.records, report.segments),
    );
    if let Some(key) = &report.key {
        line(
            "signed",
            format!(
                "{} checkpoints; the last covers the records before {}",
                report.checkpoints, report.signed
            ),
        );
        line("by", key.to_string());
    }
    line(
        "anchored",
        match report.tail.anchored {
            Some(size) => format!("the records before {size}"),
            None => "nothing that was kept elsewhere vouches for the end (--anchors)".into(),
        },
    );
    if report.tail.unsigned_records > 0 && report.finding.is_none() {
        line("unsigned", format!("{} records at the end", report.tail.unsigned_records));
    }
    if report.husks + report.erased > 0 {
        line(
            "taken out",
            format!(
                "{} records pruned for their age, {} personal values erased, as recorded",
                report.husks, report.erased
            ),
        );
    }
    if report.torn_bytes > 0 {
        line("torn", format!("{} bytes at the end are no whole record", report.torn_bytes));
    }
    if report.damaged > 0 {
        line("damaged", format!("the log itself found damage {} times (log.damage_found)", report.damaged));
    }
    for (seq, what) in &report.explained {
        line("explained", format!("record {seq} says what is missing: log.{}", escaped(what)));
    }
    out
}
