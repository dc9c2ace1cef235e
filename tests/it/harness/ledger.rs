//! Tells `cargo xtask test` how many Node tests one Rust test has run, and how long each took.

use std::fs::OpenOptions;
use std::io::Write as _;

use serde::Serialize;

#[derive(Serialize)]
pub struct Entry<'a> {
    pub test: &'a str,
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
    /// Name and milliseconds of each.
    pub times: Vec<(&'a str, f64)>,
}

/// Appends one line, in one write, so that tests running side by side do not cut each other's lines.
pub fn record(entry: &Entry<'_>) {
    let Some(path) = std::env::var_os("XTASK_LEDGER") else { return };
    let mut line = serde_json::to_vec(entry).unwrap();
    line.push(b'\n');
    OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(&line).unwrap();
}
