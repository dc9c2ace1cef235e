//! What the program says of itself without loading anything.

use std::process::Command;

fn told(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_turnpike-loadtest")).args(arguments).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn profiles_are_named_without_a_host() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/profiles");
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut expected: Vec<String> =
        names.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    expected.sort();
    let list = told(&["--list"]);
    let mut named: Vec<&str> = Vec::new();
    for line in list.lines() {
        let (name, about) = line.split_once(' ').unwrap();
        assert!(about.trim().ends_with('.'), "it says what its users do: {line}");
        named.push(name);
    }
    named.sort_unstable();
    assert_eq!(named, expected);
}

#[test]
fn goose_users_find_the_names_they_know() {
    let help = told(&["--help"]);
    for name in ["--host", "--users", "--hatch-rate", "--increase-rate", "--run-time"] {
        assert!(help.contains(name), "{name} in:\n{help}");
    }
}
