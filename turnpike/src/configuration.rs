//! `turnpike config`: whether a configuration is sound, and what is in effect.

use serde_json::{Value, json};
use turnpike_daemon::config::{Effective, Place, as_toml};

use crate::line::{Example, JSON, Keys, Spec};

pub(crate) const SPEC: Spec =
    Spec::group("config", "Checks the configuration, or prints what is in effect", &[CHECK, PRINT]);

const CHECK: Spec = Spec {
    more: "It is what a start does first: of the file, the environment and the flags every fault is named, each with what would be right. \
           A name that is not known is refused, and the nearest one suggested.",
    flags: &[&[JSON]],
    keys: Keys::All,
    examples: &[
        Example(
            "turnpike config check --config deploy/turnpike.toml",
            "before it is rolled out; the exit code is 0 or 64",
        ),
        Example("TURNPIKE_ENV=production turnpike config check", "and whether production would take it"),
        Example("turnpike config check --json | jq .faults", "what is wrong, for a script"),
    ],
    ..Spec::new("check", "Says whether the configuration is sound")
};

const PRINT: Spec = Spec {
    more: "As a file that gives the same configuration again, each key with where its value comes from. Secrets are never shown.",
    flags: &[&[JSON]],
    keys: Keys::All,
    examples: &[
        Example("turnpike config print", "what is in effect here"),
        Example(
            "turnpike config print --json | jq '.keys[] | select(.from != \"default\")'",
            "what was given",
        ),
    ],
    ..Spec::new("print", "Prints the configuration in effect")
};

pub(crate) fn sound(effective: &[Effective], json: bool) -> anyhow::Result<()> {
    let keys = effective.len();
    let given = effective.iter().filter(|effective| effective.place != Place::Default).count();
    crate::print(&if json {
        json!({ "ok": true, "keys": keys, "given": given, "faults": [] }).to_string()
    } else {
        format!(
            "the configuration is sound: {keys} keys, {given} of them given, the others at their defaults"
        )
    })
}

pub(crate) fn print(effective: &[Effective], json: bool) -> anyhow::Result<()> {
    crate::print(&if json {
        as_json(effective).to_string()
    } else {
        as_toml(effective).trim_end().to_owned()
    })
}

fn as_json(effective: &[Effective]) -> Value {
    json!({ "ok": true, "keys": effective.iter().map(shown).collect::<Vec<_>>() })
}

/// One key, as the admin API has it too. Of a secret only whether it is set.
pub(crate) fn shown(Effective { key, shown, place, .. }: &Effective) -> Value {
    let from = place.to_string();
    if key.kind.secret {
        json!({ "key": key.path, "set": !shown.is_empty(), "from": from })
    } else {
        json!({ "key": key.path, "value": shown, "from": from })
    }
}
