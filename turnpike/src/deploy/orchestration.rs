//! What starts containers and services: files of Compose and Kubernetes, units of systemd. No secret stands in them, no image
//! is whatever is newest, and nothing may do everything.
//!
//! Read line by line: what is looked for is a name and what it is given, in whatever notation.

use turnpike_daemon::config::Settings as _;

use super::file::{File, Found};
use super::{Kind, Surroundings};
use crate::config::Config;

pub(super) const KIND: Kind = Kind {
    name: "containers and services",
    is: |file| {
        let extension = file.path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("yaml" | "yml" | "service"))
    },
    check,
};

/// Of the programs beside Turnpike.
const SECRETS_OF_OTHERS: [&str; 3] =
    ["GF_SECURITY_ADMIN_PASSWORD", "GF_SECURITY_SECRET_KEY", "REDISCLI_AUTH"];

fn check(file: &File, _: &Surroundings<'_>) -> Vec<Found> {
    let sections = Config::sections();
    let own = sections.iter().flat_map(|section| section.keys).filter(|key| key.kind.secret);
    let names: Vec<&str> = own.map(|key| key.environment).chain(SECRETS_OF_OTHERS).collect();
    let mut found = Vec::new();
    let lines: Vec<&str> = file.text.lines().collect();
    let is_secret_of_kubernetes = lines.iter().any(|line| line.trim() == "kind: Secret");
    for (index, line) in lines.iter().enumerate() {
        let (line, number) = (line.trim(), index + 1);
        if line.starts_with('#') {
            continue;
        }
        for name in &names {
            let Some(value) = value(line, name).or_else(|| named(line, lines.get(index + 1), name)) else {
                continue;
            };
            if !is_elsewhere(value) {
                let value = default_of(value).unwrap_or(value);
                found.extend(file.secret(name, number, value));
                let remedy = "expected `file:PATH`, with the file from what keeps your secrets";
                found.push(Found::new(*name, Some(number), "stands in a file that many read", remedy));
            }
        }
        if let Some(image) = value(line, "image").filter(|image| !image.is_empty() && !image.contains('{')) {
            // Kustomize gives names without a version theirs.
            let version =
                image.rsplit('/').next().and_then(|name| name.split_once(':')).map(|(_, version)| version);
            if version == Some("latest") {
                found.push(Found::new(
                    "image",
                    Some(number),
                    format!("{image:?} is whatever is newest"),
                    "expected a version",
                ));
            }
        }
        if value(line, "privileged") == Some("true") {
            found.push(Found::new(
                "privileged",
                Some(number),
                "may do everything to its machine",
                "expected without",
            ));
        }
        if is_secret_of_kubernetes && ["stringData:", "data:"].contains(&line) {
            let remedy = "expected it to be made from files: `kubectl create secret generic ... --from-file`";
            found.push(Found::new("Secret", Some(number), "stands in a file that many read", remedy));
        }
    }
    found
}

/// What a name is given in this line: `NAME: value`, `NAME=value`, `"NAME": "value"`.
fn value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut rest = line;
    loop {
        let at = rest.find(name)?;
        let (before, behind) = (&rest[..at], &rest[at + name.len()..]);
        let begins = !before.chars().next_back().is_some_and(is_word);
        let given = behind.trim_start_matches(['"', '\'']).trim_start();
        if let (true, Some(given)) = (begins, given.strip_prefix([':', '='])) {
            let given = given.trim_start().trim_start_matches(['"', '\'']);
            let end =
                given.find([',', '}', '"', '\'']).filter(|_| !given.starts_with("${")).unwrap_or(given.len());
            return Some(given[..end].trim_end().trim_end_matches(['"', '\'']));
        }
        rest = behind;
    }
}

/// `name: NAME` with its `value:` behind it, or in the next line.
fn named<'a>(line: &'a str, next: Option<&&'a str>, name: &str) -> Option<&'a str> {
    (value(line, "name") == Some(name)).then_some(())?;
    value(line, "value").or_else(|| {
        value(next?.trim(), "value").filter(|_| next.is_some_and(|next| next.trim().starts_with("value")))
    })
}

/// It is looked up when it is needed: in a file, in the environment of whoever starts it, in what keeps secrets.
fn is_elsewhere(value: &str) -> bool {
    value.is_empty()
        || value.starts_with("file:")
        || (value.starts_with("${") || value.starts_with("$(")) && default_of(value).is_none()
}

/// `${NAME:-this}`.
fn default_of(value: &str) -> Option<&str> {
    value.split_once(":-").map(|(_, default)| default.trim_end_matches('}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_many_notations() {
        for (line, expected) in [
            ("JWT_SECRET: abc", Some("abc")),
            ("- JWT_SECRET=abc", Some("abc")),
            ("Environment=JWT_SECRET=file:%d/jwt", Some("file:%d/jwt")),
            ("environment: { <<: *node, JWT_SECRET: \"a b\", X: 1 }", Some("a b")),
            ("\"JWT_SECRET\": 'abc'", Some("abc")),
            ("TURNPIKE_JWT_SECRET_NEXT: abc", None),
            ("JWT_SECRET: ${JWT_SECRET:?why, and where}", Some("${JWT_SECRET:?why, and where}")),
            ("# nothing", None),
        ] {
            assert_eq!(value(line, "JWT_SECRET"), expected, "{line}");
        }
        assert_eq!(named("- { name: JWT_SECRET, value: abc }", None, "JWT_SECRET"), Some("abc"));
        assert_eq!(named("- name: JWT_SECRET", Some(&"  value: abc"), "JWT_SECRET"), Some("abc"));
        assert_eq!(named("- name: JWT_SECRET", Some(&"  valueFrom:"), "JWT_SECRET"), None);
    }

    #[test]
    fn what_is_elsewhere_is_not_here() {
        for value in ["", "file:/run/secrets/a", "${A:?must be there}", "$(A)"] {
            assert!(is_elsewhere(value), "{value}");
        }
        for value in ["abc", "${A:-abc}"] {
            assert!(!is_elsewhere(value), "{value}");
        }
    }
}
