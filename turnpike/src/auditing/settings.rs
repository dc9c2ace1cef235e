//! What of the configuration is another than when the process last started.
//!
//! Secrets take no part: neither they nor anything made of them is kept or compared.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use turnpike_audit::{Event, Kind, Object, Outcome, Text};
use turnpike_daemon::config::Effective;

use crate::config::Config;

/// Beside the log's own files.
const FILE_NAME: &str = "settings";
/// Where in a line the value begins.
const IS: &str = " = ";

type Settings = BTreeMap<String, String>;

/// One event for each key with another value, and nothing at the first start.
pub(super) fn changes(config: &Config, effective: &[Effective]) -> Vec<Event> {
    let before = match fs::read_to_string(path(config)) {
        Ok(text) => parse(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "what the configuration was before cannot be read"
            );
            return Vec::new();
        }
    };
    let now = shown(effective);
    let keys = before.keys().chain(now.keys()).collect::<std::collections::BTreeSet<_>>();
    let changed = keys.into_iter().filter(|key| before.get(*key) != now.get(*key));
    let text = |value: Option<&String>| Text::new(value.map_or("", String::as_str));
    changed
        .map(|key| {
            Event::new(Kind::ConfigChanged, Outcome::Success)
                .on(Object::Setting, key.as_str())
                .detail("before", text(before.get(key)))
                .detail("after", text(now.get(key)))
        })
        .collect()
}

/// Remembers what they are. A file that cannot be written costs the next start its comparison, not this one.
pub(super) fn keep(config: &Config, effective: &[Effective]) {
    let written = || {
        let (path, draft) = (path(config), path(config).with_extension("draft"));
        let mut file =
            fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(written(&shown(effective)).as_bytes())?;
        file.sync_all()?;
        fs::rename(draft, path)
    };
    if let Err(error) = written() {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the configuration could not be kept for comparison"
        );
    }
}

/// SHA-256 of all of them: whether two starts had the same.
pub(super) fn digest(effective: &[Effective]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, written(&shown(effective)).as_bytes());
    digest.as_ref().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn path(config: &Config) -> PathBuf {
    config.audit.directory(&config.node.data_dir).join(FILE_NAME)
}

fn shown(effective: &[Effective]) -> Settings {
    let open = effective.iter().filter(|effective| !effective.key.kind.secret);
    open.map(|Effective { key, shown, .. }| (key.path.to_owned(), shown.replace('\n', " "))).collect()
}

fn written(settings: &Settings) -> String {
    settings.iter().fold(String::new(), |mut text, (key, value)| {
        let _ = writeln!(text, "{key}{IS}{value}");
        text
    })
}

fn parse(text: &str) -> Settings {
    text.lines()
        .filter_map(|line| line.split_once(IS))
        .map(|(key, value)| (key.into(), value.into()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let settings: Settings = [("a.b", ""), ("a.c", "x = y"), ("d.e", "1")]
            .map(|(key, value)| (key.into(), value.into()))
            .into();
        assert_eq!(parse(&written(&settings)), settings);
    }
}
