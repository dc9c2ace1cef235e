//! Runs a script of `tests/node` that prints, as a line of JSON each, what it saw.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::{home, require_packages};

/// What it saw. Each option is given as `--name=value`.
pub fn seen(script: &str, options: &[(&str, String)]) -> Vec<Value> {
    require_packages();
    let output = Command::new("node")
        .current_dir(home().join("node"))
        .arg(script)
        .args(options.iter().map(|(name, value)| format!("--{name}={value}")))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    println!("{printed}");
    printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
