//! The program as a process, and what it reported.

use std::process::Command;

use serde_json::Value;
use turnpike_lab::{Directory, SECRET};

pub struct Run {
    pub code: i32,
    pub text: String,
    /// Nothing if it never came to a report.
    pub report: Value,
    pub page: String,
}

/// A profile that is written for one test.
pub fn run(host: &str, profile: &str, arguments: &[&str]) -> Run {
    let directory = Directory::new("loadtest").unwrap();
    let file = directory.path().join("profile.toml");
    std::fs::write(&file, format!("about = 'of a test'\n{profile}")).unwrap();
    run_named(host, file.to_str().unwrap(), arguments)
}

pub fn run_named(host: &str, profile: &str, arguments: &[&str]) -> Run {
    let directory = Directory::new("loadtest").unwrap();
    let (json, page) = (directory.path().join("report.json"), directory.path().join("report.html"));
    let output = Command::new(env!("CARGO_BIN_EXE_turnpike-loadtest"))
        .current_dir(directory.path())
        .env("JWT_SECRET", SECRET)
        .args(["--host", host, "--profile", profile])
        .arg("--json-file")
        .arg(&json)
        .arg("--report-file")
        .arg(&page)
        .args(arguments)
        .output()
        .unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let report = std::fs::read(&json).map_or(Value::Null, |bytes| serde_json::from_slice(&bytes).unwrap());
    let page = std::fs::read_to_string(&page).unwrap_or_default();
    Run { code: output.status.code().unwrap(), text, report, page }
}

impl Run {
    pub fn account(&self, name: &str) -> u64 {
        self.report["account"][name].as_u64().unwrap_or_else(|| panic!("no {name}:\n{}", self.text))
    }

    /// How many of a kind there were.
    pub fn count(&self, measure: &str) -> u64 {
        let times = self.report["times"].as_array().unwrap_or_else(|| panic!("{}", self.text));
        times
            .iter()
            .find(|times| times["name"] == measure)
            .map_or(0, |times| times["count"].as_u64().unwrap())
    }

    /// Everything arrived, once and in order. On a machine with other work to do the generator may have been late.
    #[track_caller]
    pub fn assert_held(&self) {
        assert!(matches!(self.code, 0 | 3), "exit code {}:\n{}", self.code, self.text);
        let disagrees = &self.report["generator"]["disagrees"];
        assert!(disagrees.is_null(), "goose counts differently: {disagrees}");
    }
}
