//! Runs a file of `tests/node/suite` with Node's own test runner and turns its outcome into that of a Rust test.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::ledger::{self, Entry};
use super::{Kind, Server, ServerOptions, home};

/// Which file, how far from stuck it is, and what it is told beside the usual.
pub struct Suite {
    pub file: &'static str,
    pub options: ServerOptions,
    pub environment: Vec<(&'static str, String)>,
}

impl Suite {
    pub fn new(file: &'static str) -> Self {
        Self { file, options: ServerOptions::default(), environment: Vec::new() }
    }
}

/// One column of the matrix.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub server: Kind,
    pub mode: &'static str,
    pub parser: &'static str,
    pub deflate: bool,
}

/// A line of `lib/reporter.mjs`.
#[derive(Deserialize)]
struct Outcome {
    name: String,
    passed: bool,
    skipped: bool,
    milliseconds: f64,
    error: Option<String>,
}

/// Far above what a loaded machine of two cores needs: past it the suite is stuck.
const SUITE_SECONDS_MAX: u64 = 240;

impl Run {
    /// # Panics
    /// When a test of the suite fails, with what it said.
    pub fn go(self, suite: Suite) {
        let options = suite.options.clone().value("parser", self.parser).flag("deflate", self.deflate);
        let server = Server::start(self.server, &options);
        self.against(&server, self.server.name(), suite);
    }

    /// The same against a server that runs already.
    pub fn against(self, server: &Server, server_name: &str, suite: Suite) {
        require_packages();
        let mut child = Command::new("node")
            .current_dir(home().join("node"))
            .args(["--test-reporter=./lib/reporter.mjs", "--test-reporter-destination=stdout"])
            .arg(format!("suite/{}.mjs", suite.file))
            .env("SUITE_URL", server.url())
            .env("SUITE_SERVER", server_name)
            .env("SUITE_MODE", self.mode)
            .env("SUITE_PARSER", self.parser)
            .env("SUITE_DEFLATE", if self.deflate { "on" } else { "off" })
            .envs(suite.environment)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("node runs");
        let mut stdout = child.stdout.take().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let said = std::thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).map(|_| text)
        });
        let complained = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).map(|_| text)
        });
        let deadline = Instant::now() + Duration::from_secs(SUITE_SECONDS_MAX);
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if Instant::now() > deadline {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let said = said.join().unwrap().unwrap();
        let complained = complained.join().unwrap().unwrap();

        let outcomes: Vec<Outcome> =
            said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let failed: Vec<&Outcome> = outcomes.iter().filter(|one| !one.passed).collect();
        let skipped = outcomes.iter().filter(|one| one.skipped).count();
        let name = std::thread::current().name().unwrap_or("unnamed").to_owned();
        ledger::record(&Entry {
            test: &name,
            passed: outcomes.len() - failed.len() - skipped,
            failed: failed.len(),
            skipped,
            times: outcomes.iter().map(|one| (one.name.as_str(), one.milliseconds)).collect(),
        });
        for one in &failed {
            println!("FAILED {}\n    {}", one.name, one.error.as_deref().unwrap_or("no reason given"));
        }
        assert!(failed.is_empty(), "{} of {} tests failed\n{complained}", failed.len(), outcomes.len());
        assert!(
            status.is_some_and(|status| status.success()) && !outcomes.is_empty(),
            "node ended with {status:?} after {} tests\n{complained}",
            outcomes.len(),
        );
    }
}

pub fn require_packages() {
    let installed = home().join("node/node_modules/socket.io-client/package.json");
    assert!(installed.exists(), "the npm packages are missing: `cargo xtask test --only install` gets them");
}
