//! Configuration, read by the program that it is for.

use std::path::Path;
use std::process::Command;

use turnpike_lab::{Directory, SECRET, binary, turnpike};

use super::blocks_of;
use super::way::{Way, assignment};

#[test]
fn configuration_is_taken() {
    let directory = Directory::new("book-configuration").unwrap();
    let blocks = blocks_of(|way| matches!(way, Way::Toml | Way::Environment));
    assert!(blocks.len() > 5, "{blocks:?}");
    for (block, way) in blocks {
        let text = with_secrets(&directory, &block.text);
        let mut check = binary(&turnpike().unwrap(), &directory);
        check.args(["config", "check"]).env("JWT_SECRET", SECRET).env("HOME", directory.path());
        if way == Way::Toml {
            let path = directory.path().join("turnpike.toml");
            std::fs::write(&path, text).unwrap();
            check.arg("--config").arg(path);
        } else {
            check.envs(text.lines().filter_map(assignment));
        }
        let output = check.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}:\n{}{said}", block.place(), block.text);
    }
}

/// `file:PATH` with files that are there: keys where it ends so, random letters otherwise.
fn with_secrets(directory: &Directory, text: &str) -> String {
    let mut out = String::new();
    let mut parts = text.split("file:");
    out.push_str(parts.next().unwrap());
    for (number, part) in parts.enumerate() {
        let end = part
            .find(|letter: char| letter == '"' || letter == '\'' || letter == ',' || letter.is_whitespace());
        let (path, rest) = part.split_at(end.unwrap_or(part.len()));
        let file = directory.path().join(format!("secret-{number}"));
        if Path::new(path).extension().is_some_and(|extension| extension == "pem") {
            public_key(&file);
        } else {
            std::fs::write(&file, format!("{number}c3f1a97be0d2465890fe17ab34cd62b8{number}")).unwrap();
        }
        out.push_str("file:");
        out.push_str(file.to_str().unwrap());
        out.push_str(rest);
    }
    out
}

fn public_key(file: &Path) {
    let command =
        format!("openssl genpkey -algorithm ED25519 | openssl pkey -pubout -out {}", file.display());
    assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
}
