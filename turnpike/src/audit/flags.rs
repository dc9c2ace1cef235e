//! The flags of the commands, taken out one by one; what does not fit is a fault beside all the others.

use std::fmt::Display;
use std::time::Duration;

use turnpike_audit::{Outcome, Time};
use turnpike_daemon::config::{Arguments, Fault, Faults, Place, Setting as _};

use super::moment;

pub(crate) const FLAGS: &[&str] = &[
    "key",
    "anchors",
    "without-anchors",
    "tail-max",
    "json",
    "lines",
    "follow",
    "user",
    "address",
    "room",
    "stream",
    "connection",
    "class",
    "activity",
    "outcome",
    "since",
    "until",
    "limit",
    "format",
    "record",
    "size",
    "from",
    "to",
    "check",
];

pub(crate) const HELP: &str = "\
Commands and flags of `turnpike audit` (docs/audit.md says more); --audit-dir PATH names a copy of the log:
  verify                was anything changed? Exit code 0: sound, 2: tampered, 3: gap, 4: nothing vouches for the end
    --key KEY|FILE      a public key, or a file with some; may be repeated [those of the key file of this machine]
    --anchors PATH      checkpoints kept elsewhere: another node's log, an export, notes; may be repeated
    --without-anchors   do not ask for any: an end that was cut off is then not seen
    --tail-max DURATION how much may lie after the newest anchor [10s]
    --json              for scripts
  tail                  the last records
    --lines COUNT       how many [20]
    --follow            and those that come
  query                 records that all these fit, oldest first; export is the same in other forms
    --user ID --address IP --room ID --stream ID --connection ID --class NAME --activity NAME --outcome NAME
    --since TIME --until TIME  such as 2026-11-21, 2026-11-21T10:05Z, or 2h for two hours ago
    --limit COUNT       at most so many
    --format FORM       text, ndjson, ocsf, ecs, cef or syslog [query: text, export: ndjson]
  prove                 a proof for somebody who does not get the log
    --record NUMBER     that this record is in it; --size NUMBER: under the checkpoint that covers so many records
    --from SIZE --to SIZE  that the log of one checkpoint is the beginning of that of another
    --check FILE        whether such a proof holds, with --key
  anchors               the checkpoints of all nodes that Redis has, for verify --anchors
  anchors compare       whether those and others say the same: 0 they do, 2: two logs, 4: nothing is kept in two places
    --anchors PATH --key KEY|FILE  as for verify
  erase                 take the personal values of somebody out of the log of a node that does not run
    --user ID | --address IP
  keys [new|rotate]     the public keys; makes the first, or one that follows at the next start
";

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
        let given = self.arguments.flags.len();
        self.arguments.flags.retain(|flag| flag.name != name || flag.value.is_some());
        self.arguments.flags.len() < given
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
