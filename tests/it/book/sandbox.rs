//! A reader's machine: a folder, a shell, a running system, and the names of the documentation led to it.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use turnpike_lab::{Directory, Process, SECRET};

use super::root;
use crate::harness::home;
use crate::harness::turnpike::{Turnpike, signed};

/// Far above what any block takes on a busy machine.
const BLOCK_SECONDS_MAX: &str = "180";
pub(super) const API_KEY: &str = "an API key of the documentation, long enough";

pub(super) struct Sandbox {
    directory: Directory,
    /// Nothing where the reader starts it.
    _turnpike: Option<Turnpike>,
    environment: Vec<(String, String)>,
    /// What the documentation says, and what is meant here.
    substitutions: Vec<(String, String)>,
}

impl Sandbox {
    pub(super) fn start(environment: &[(&str, &str)]) -> Self {
        let directory = Directory::new("reader").unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let (data, audit) = (path("data"), path("audit"));
        let own = [("DATA_DIR", data.as_str()), ("AUDIT_DIR", &audit), ("TURNPIKE_API_KEY", API_KEY)];
        let turnpike = Turnpike::start(&[&own[..], environment].concat());
        let (gateway, admin) = (turnpike.server.address, turnpike.admin);
        Self::of(directory, Some(turnpike), gateway, admin)
    }

    /// Nothing runs there yet; these are the ports for it.
    pub(super) fn bare(gateway: SocketAddr, admin: SocketAddr) -> Self {
        Self::of(Directory::new("reader").unwrap(), None, gateway, admin)
    }

    fn of(directory: Directory, turnpike: Option<Turnpike>, gateway: SocketAddr, admin: SocketAddr) -> Self {
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let bin = tools(directory.path());
        let everything = serde_json::json!({
            "sub": "alice",
            "rooms": [{"match": "*", "can": ["join", "send", "history", "presence", "typing"]}],
            "media": [{"match": "*", "can": ["publish", "subscribe", "record"]}],
        });
        let environment = [
            ("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap())),
            ("HOME", directory.path().to_str().unwrap().to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
            ("PORT", gateway.port().to_string()),
            ("ADMIN_PORT", admin.port().to_string()),
            ("DATA_DIR", path("data")),
            ("AUDIT_DIR", path("audit")),
            ("JWT_SECRET", SECRET.to_owned()),
            ("TURNPIKE_API_KEY", API_KEY.to_owned()),
            ("KEY", API_KEY.to_owned()),
            ("TOKEN", signed(&everything)),
            ("GATEWAY", format!("http://{gateway}")),
            ("ROOT", root().to_str().unwrap().to_owned()),
        ];
        let substitutions = [
            ("127.0.0.1:3010", gateway.to_string()),
            ("localhost:3010", gateway.to_string()),
            ("127.0.0.1:3011", admin.to_string()),
            ("https://host", format!("http://{gateway}")),
            ("https://chat.example.com", format!("http://{gateway}")),
            ("wss://chat.example.com", format!("ws://{gateway}")),
        ];
        Self {
            _turnpike: turnpike,
            environment: environment.map(|(name, value)| (name.to_owned(), value)).into(),
            substitutions: substitutions.map(|(said, meant)| (said.to_owned(), meant)).into(),
            directory,
        }
    }

    pub(super) fn substitute(&mut self, said: &str, meant: &str) {
        self.substitutions.push((said.to_owned(), meant.to_owned()));
    }

    /// One more variable of the environment.
    pub(super) fn tell(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    pub(super) fn meant(&self, text: &str) -> String {
        self.substitutions.iter().fold(text.to_owned(), |text, (said, meant)| text.replace(said, meant))
    }

    /// Where the commands of a page run; as it is after a clone, as far as pages need it.
    pub(super) fn folder(&self, page: &Path) -> PathBuf {
        let folder = self.directory.path().join(page.to_str().unwrap().replace('/', "-"));
        if !folder.exists() {
            fs::create_dir_all(folder.join("target/release")).unwrap();
            symlink(turnpike_lab::turnpike().unwrap(), folder.join("target/release/turnpike")).unwrap();
            for name in ["deploy", "web", "nginx"] {
                symlink(root().join(name), folder.join(name)).unwrap();
            }
            fs::write(folder.join("turnpike.toml"), "[gateway]\nport = 3010\n").unwrap();
        }
        folder
    }

    /// A shell in this page's folder, where and with what variables its last block has left it.
    fn shell(&self, page: &Path, commands: &str) -> Command {
        let folder = self.folder(page);
        let (place, exports) = (folder.join(".place"), folder.join(".exports"));
        let (place, exports) = (place.display(), exports.display());
        let script = format!(
            "set -euo pipefail\n[ ! -e {place} ] || cd \"$(cat {place})\"\n[ ! -e {exports} ] || . {exports}\n\
             trap 'pwd > {place}; export -p > {exports}' EXIT\n{}",
            self.meant(commands)
        );
        let mut shell = Command::new("bash");
        shell.args(["-c", &script]).current_dir(folder).env_clear().stdin(Stdio::null());
        shell.envs(self.environment.iter().cloned());
        shell
    }

    pub(super) fn run(&self, page: &Path, commands: &str) -> Output {
        let shell = self.shell(page, commands);
        let mut limited = Command::new("timeout");
        limited.args(["--kill-after=1", BLOCK_SECONDS_MAX]).arg(shell.get_program()).args(shell.get_args());
        limited.current_dir(shell.get_current_dir().unwrap()).env_clear().stdin(Stdio::null());
        limited.envs(self.environment.iter().cloned()).output().unwrap()
    }

    /// Until the value goes.
    pub(super) fn stay(&self, page: &Path, commands: &str, says: &str) -> Process {
        // The shell gives its place to the last command, which then gets the signal.
        let (before, last) = commands.trim_end().rsplit_once('\n').unwrap_or(("", commands.trim_end()));
        let commands = format!("{before}\nexec env {last}");
        let mut shell = self.shell(page, &commands);
        shell.stdout(Stdio::piped()).stdin(Stdio::piped());
        let mut process = Process::spawn("a command that stays", &mut shell).unwrap();
        let says = says.to_owned();
        process
            .await_line(Duration::from_mins(1), move |line| line.contains(&says).then_some(()))
            .unwrap_or_else(|error| panic!("{}: {commands}: {error:#}", page.display()));
        process
    }

    /// A program beside the packages of the tests, so that it finds them.
    pub(super) fn node(&self, name: &str, program: &str, block: &str) -> Output {
        let path = home().join(format!("node/.book-{}-{name}.mjs", std::process::id()));
        fs::write(&path, program).unwrap();
        let mut node = Command::new("timeout");
        node.args(["--kill-after=1", BLOCK_SECONDS_MAX, "node"]).arg(&path).current_dir(home().join("node"));
        node.envs(self.environment.iter().cloned()).env("BLOCK", block).env("SUITE_SECRET", SECRET);
        let output = node.stdin(Stdio::null()).output();
        fs::remove_file(&path).unwrap();
        output.unwrap()
    }
}

/// The programs that readers are taken to have: ours, and two that are watched.
fn tools(directory: &Path) -> PathBuf {
    let bin = directory.join("bin");
    fs::create_dir(&bin).unwrap();
    symlink(turnpike_lab::turnpike().unwrap(), bin.join("turnpike")).unwrap();
    // A refusal is a failure here.
    tool(&bin.join("curl"), "exec /usr/bin/curl --fail-with-body \"$@\"");
    let xtask = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("xtask");
    tool(&bin.join("cargo"), &CARGO.replace("XTASK", xtask.to_str().unwrap()));
    bin
}

fn tool(path: &Path, script: &str) {
    fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// What is built and tested by a test run would be built and tested once more. That there is such a task or package is
/// looked at.
const CARGO: &str = r#"
case "$1" in
  build | run | check) [ "${2:-}" != -p ] || [ -n "$3" ] ;;
  xtask) XTASK help | grep -q "^  $2" ;;
  nextest | test) true ;;
  *) echo "cargo $* is no command of the documentation" >&2; exit 64 ;;
esac
"#;
