//! `turnpike audit prove`: proofs for somebody who does not get the log, and checking one.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use turnpike_audit::{Disproven, Proof};

use super::flags::Flags;
use super::verify::Keys;

#[derive(Debug)]
pub(crate) enum Request {
    Inclusion {
        record: u64,
        size: Option<u64>,
    },
    Consistency {
        from: u64,
        to: u64,
    },
    Check {
        file: PathBuf,
        keys: Keys,
        json: bool,
    },
    /// The flags did not fit; the faults say so.
    Nothing,
}

impl Request {
    pub(super) fn parse(flags: &mut Flags<'_>) -> Self {
        let (record, size) = (flags.number("record"), flags.number("size"));
        let (from, to) = (flags.number("from"), flags.number("to"));
        let check = flags.text("check", "a file with a proof");
        let keys = Keys::parse(flags);
        // A proof is JSON anyway.
        let json = flags.switch("json");
        match (record, from, to, check) {
            (Some(record), None, None, None) => Self::Inclusion { record, size },
            (None, Some(from), Some(to), None) => Self::Consistency { from, to },
            (None, None, None, Some(file)) => Self::Check { file: file.into(), keys, json },
            _ => {
                flags.fault("record", None, "expected --record, or --from and --to, or --check");
                Self::Nothing
            }
        }
    }
}

pub(super) fn execute(request: &Request, directory: &Path, key_file: &Path) -> anyhow::Result<()> {
    let proof = match request {
        Request::Inclusion { record, size } => Proof::inclusion(directory, *record, *size)?,
        Request::Consistency { from, to } => Proof::consistency(directory, *from, *to)?,
        Request::Check { file, keys, json } => return check(file, keys, key_file, *json),
        Request::Nothing => return Ok(()),
    };
    crate::print(&serde_json::to_string_pretty(&proof)?)
}

fn check(file: &Path, keys: &Keys, key_file: &Path, json: bool) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let proof: Proof = serde_json::from_str(&text).with_context(|| {
        format!("{} is no proof: `turnpike audit prove --record NUMBER` makes one", file.display())
    })?;
    let mut why = Disproven::Signature;
    for key in keys.read(key_file)? {
        match proof.check(&key) {
            Ok(()) => {
                return crate::print(if json { r#"{"ok":true,"holds":true}"# } else { "the proof holds" });
            }
            Err(Disproven::Signature) => {}
            Err(other) => why = other,
        }
    }
    bail!("the proof does not hold: {why}")
}
