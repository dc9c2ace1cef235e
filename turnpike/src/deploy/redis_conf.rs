//! The configuration of Redis: whoever is let in there reads and forges every message.

use super::file::{File, Found};
use super::{Kind, Surroundings};

pub(super) const KIND: Kind =
    Kind { name: "configuration of Redis", is: |file| file.name() == "redis.conf", check };

fn check(file: &File, _: &Surroundings<'_>) -> Vec<Found> {
    let said: Vec<_> = file.directives(&[' ', '\t']).collect();
    let of = |name: &str| said.iter().find(|said| said.name.eq_ignore_ascii_case(name));
    let mut found = Vec::new();
    let mut must = |holds: bool, key: &str, problem: &str, remedy: &str| {
        if !holds {
            found.push(Found::new(key, of(key).map(|said| said.line), problem, remedy));
        }
    };
    must(
        of("aclfile").is_some() || of("user").is_some(),
        "aclfile",
        "is missing: whoever reaches the port may do everything",
        "expected `aclfile` with users as in users.acl",
    );
    let everywhere = |value: &str| {
        let any = |word: &str| ["*", "0.0.0.0", "::", "-::*", "-::"].contains(&word);
        value.is_empty() || value.split_whitespace().any(any)
    };
    must(
        of("bind").is_some_and(|bind| !everywhere(bind.value)),
        "bind",
        "is every interface, and this port is not encrypted",
        "expected an address of a private network",
    );
    must(
        of("protected-mode").is_none_or(|mode| mode.value != "no"),
        "protected-mode",
        "is off",
        "expected `protected-mode yes`",
    );
    for name in ["enable-debug-command", "enable-module-command", "enable-protected-configs"] {
        must(
            of(name).is_none_or(|it| it.value == "no"),
            name,
            "lets clients change the server",
            "expected `no`",
        );
    }
    for said in said.iter().filter(|said| ["requirepass", "masterauth"].contains(&said.name)) {
        found.extend(file.secret(said.name, said.line, said.value));
    }
    found
}
