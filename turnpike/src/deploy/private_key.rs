//! Private keys, whatever the file is called.

use super::file::{File, Found};
use super::{Kind, Surroundings};

pub(super) const KIND: Kind = Kind { name: "private key", is: |file| begins(file).is_some(), check };

/// The line at which one begins.
fn begins(file: &File) -> Option<usize> {
    let is_one = |line: &str| {
        line.trim_start().starts_with("-----BEGIN ") && line.contains("PRIVATE KEY")
            || line.starts_with("PRIVATE+KEY+")
    };
    file.text.lines().position(is_one).map(|index| index + 1)
}

fn check(file: &File, _: &Surroundings<'_>) -> Vec<Found> {
    file.exposed("private key", begins(file))
}
