//! The real binary, on ports of its own and in a directory of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;

use super::home;
use super::server::{Server, listen_line};

/// The secret that the tests sign tokens with.
pub const SECRET: &str = "0123456789-abcdefghij-ABCDEFGHIJ-of-the-tests";

pub struct Turnpike {
    pub server: Server,
    /// Where the metrics are.
    pub admin: SocketAddr,
    directory: Directory,
}

/// Gone with its value.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("e2e-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Turnpike {
    pub fn start(environment: &[(&str, &str)]) -> Self {
        let directory = Directory::new();
        let mut command = binary(&directory);
        command
            .env("JWT_SECRET", SECRET)
            .envs([("PORT", "0"), ("ADMIN_PORT", "0"), ("TURNPIKE_SHARDS", "2"), ("LOG_LEVEL", "warn")])
            .envs(environment.iter().copied());
        let (found, admin) = mpsc::channel();
        let server = Server::from_command("turnpike", command, move |line| {
            let addresses = listen_line(line)?;
            let _ = found.send(addresses["admin"].as_str()?.strip_prefix("http://")?.parse().ok()?);
            Some(addresses["gateway"].as_str()?.to_owned())
        });
        let admin = admin.recv().expect("it was named in the same line");
        Self { server, admin, directory }
    }

    /// What `turnpike token` prints.
    pub fn token(&self, arguments: &[&str]) -> String {
        let mut command = binary(&self.directory);
        command.env("JWT_SECRET", SECRET).arg("token").args(arguments).stdin(Stdio::null());
        succeeded(&command.output().unwrap())
    }
}

/// A token with claims that `turnpike token` would not give.
pub fn signed(claims: &serde_json::Value) -> String {
    let program = format!("import {{ token }} from './lib/token.mjs'; console.log(token({claims}))");
    let mut node = Command::new("node");
    node.current_dir(home().join("node")).args(["--input-type=module", "--eval", &program]);
    succeeded(&node.env("SUITE_SECRET", SECRET).stdin(Stdio::null()).output().unwrap())
}

/// Whatever the binary is asked, it sees nothing of the environment that the tests run in.
pub fn binary(directory: &Directory) -> Command {
    let mut command = Command::new(path());
    command.current_dir(directory.path()).env_clear();
    command
}

pub fn succeeded(output: &Output) -> String {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {stdout}{stderr}", output.status);
    stdout.trim().to_owned()
}

/// Beside the folder of this test's own binary: `target/<profile>/turnpike`.
fn path() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.parent().and_then(Path::parent).unwrap().join("turnpike");
    assert!(path.exists(), "{} is missing: `cargo build -p turnpike` makes it", path.display());
    path
}
