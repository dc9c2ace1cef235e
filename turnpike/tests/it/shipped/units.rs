//! Units of systemd, and files of environment variables.

use std::process::Command;

use super::product::Product;
use super::{deploy, files, text};

/// `[Section]` and its lines, as names and values.
pub(super) fn sections(text: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            found.push((name.to_owned(), Vec::new()));
        } else {
            let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("a line says nothing: {line}"));
            found.last_mut().expect("a line is in a section").1.push((name.to_owned(), value.to_owned()));
        }
    }
    found
}

/// `NAME=value`, a line each.
pub(super) fn assignments(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("a line says nothing: {line}"));
            (name.to_owned(), value.to_owned())
        })
        .collect()
}

/// How long a supervisor has to wait for a process that has this window.
pub(super) fn leaving_seconds(window: u64) -> u64 {
    window + 15
}

fn seconds(text: &str) -> u64 {
    text.trim_end_matches('s').parse().unwrap_or_else(|_| panic!("{text} is no time in seconds"))
}

/// Of the sample that the units, and the compose file, run with.
pub(super) fn drain_window(file: &str) -> u64 {
    let text = text(&deploy().join(file));
    let window =
        text.lines().find_map(|line| line.strip_prefix("window = \"").filter(|value| value.contains("s\"")));
    let drain = text.split("[drain]").nth(1).and_then(|rest| rest.split('"').nth(1)).or(window).unwrap();
    seconds(drain)
}

#[test]
fn units_name_what_is_there_and_wait_long_enough() {
    let product = Product::new();
    let units: Vec<_> =
        files().into_iter().filter(|path| path.extension().is_some_and(|it| it == "service")).collect();
    assert_eq!(units.len(), 3, "{units:?}");
    for path in units {
        let shown = path.display().to_string();
        let sections = sections(&text(&path));
        let service = &sections.iter().find(|(name, _)| name == "Service").unwrap().1;
        let of = |wanted: &str| -> Vec<&str> {
            service.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.as_str()).collect()
        };
        let told: Vec<(String, String)> = of("Environment")
            .iter()
            .map(|said| said.split_once('=').map(|(a, b)| (a.into(), b.into())).unwrap())
            .collect();
        product.must_know(&told, &shown);
        // Each secret is a credential, and each credential is used.
        for (name, value) in &told {
            if let Some(credential) = value.strip_prefix("file:%d/") {
                assert!(
                    of("LoadCredential").iter().any(|loaded| loaded.starts_with(&format!("{credential}:"))),
                    "{name}"
                );
            }
        }
        let used = told.iter().filter(|(_, value)| value.starts_with("file:%d/")).count();
        assert_eq!(used, of("LoadCredential").len(), "{shown}");
        let words: Vec<&str> = of("ExecStart")[0].split(' ').collect();
        assert_eq!(words[0], "/usr/bin/turnpike");
        let roles = match words[1] {
            "%i" => vec!["gateway", "relay"],
            "--config" => vec![],
            role => vec![role],
        };
        for role in roles {
            product.must_have_command(role, &shown);
        }
        let stop = seconds(of("TimeoutStopSec")[0]);
        for file in ["turnpike.toml", "relay.toml", "router.toml"] {
            assert!(stop >= leaving_seconds(drain_window(file)), "{shown}: {stop} s are too short");
        }
        assert!(of("LimitNOFILE")[0].parse::<u64>().unwrap() >= 1_000_000);
    }
}

/// By systemd itself, where it is. It looks for the program as well, which is not installed here.
#[test]
fn systemd_takes_the_units_and_finds_little_to_object() {
    if !std::path::Path::new("/usr/bin/systemd-analyze").exists() {
        return;
    }
    for unit in ["turnpike.service", "turnpike-router.service", "turnpike@.service"] {
        let path = deploy().join("systemd").join(unit);
        let output = Command::new("systemd-analyze").arg("verify").arg(&path).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let faults: Vec<&str> = said
            .lines()
            .filter(|line| line.contains("turnpike") && !line.contains("is not executable"))
            .collect();
        assert!(faults.is_empty(), "{faults:?}");
        let security = ["security", "--offline=true", "--threshold=20"];
        let output = Command::new("systemd-analyze").args(security).arg(&path).output().unwrap();
        assert!(
            output.status.success(),
            "{unit} is open to more than 2.0: {}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}

#[test]
fn lines_are_taken_apart() {
    let unit = "# c\n[Unit]\nA=b=c\n\n[Service]\nB=\nB=1\n";
    let found = sections(unit);
    assert_eq!(found[0], ("Unit".into(), vec![("A".into(), "b=c".into())]));
    assert_eq!(found[1].1.len(), 2);
    assert_eq!(assignments("# c\nA=b=c\n"), [("A".to_owned(), "b=c".to_owned())]);
}
