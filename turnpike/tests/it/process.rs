//! Starting the binary, and asking it things. Each has a directory and an environment of its own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Long enough for a busy machine; reaching it means that something is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A directory that is gone with its value.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("turnpike-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The binary, in `directory`, with nothing of the environment that the tests run in.
fn binary(directory: &Directory, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_turnpike"));
    command.args(arguments).current_dir(directory.path()).env_clear().envs(environment.iter().copied());
    command
}

/// Runs to the end.
pub(crate) fn run(directory: &Directory, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    binary(directory, arguments, environment).stdin(Stdio::null()).output().unwrap()
}

/// A refusal to start: what it said, after checking that it was one.
pub(crate) fn refused(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let directory = Directory::new();
    let output = run(&directory, arguments, environment);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{stderr}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
    stderr
}

/// What ran well said this.
pub(crate) fn stdout(output: Output) -> String {
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""));
    String::from_utf8(output.stdout).unwrap()
}

/// A running system.
pub(crate) struct System {
    child: Child,
    /// Everything on stdout up to the line for programs.
    pub(crate) block: String,
    pub(crate) gateway: String,
    pub(crate) admin: String,
    log: mpsc::Receiver<String>,
}

impl System {
    pub(crate) fn start(directory: &Directory) -> Self {
        Self::start_with(directory, &[], &[])
    }

    pub(crate) fn start_with(
        directory: &Directory,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let ports = [
            ("PORT", "0"),
            ("ADMIN_PORT", "0"),
            ("TURNPIKE_SHARDS", "2"),
            // Zeros to be written at each start.
            ("TURNPIKE_AUDIT_RESERVE_BYTES", "64KiB"),
        ];
        let environment: Vec<_> = ports.into_iter().chain(environment.iter().copied()).collect();
        let mut child = binary(directory, arguments, &environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (log_sender, log) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = log_sender.send(line);
            }
        });
        let (lines_sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = lines_sender.send(line);
            }
        });
        let mut block = String::new();
        loop {
            let Ok(line) = lines.recv_timeout(PATIENCE) else {
                let _ = child.kill();
                let _ = child.wait();
                let log: Vec<_> = log.iter().collect();
                panic!("it did not say where it listens: {block}\n{}", log.join("\n"));
            };
            if line.starts_with('{') {
                let line: serde_json::Value = serde_json::from_str(&line).unwrap();
                let address = |name: &str| {
                    line["listening"][name].as_str().unwrap().strip_prefix("http://").unwrap().to_owned()
                };
                return Self { gateway: address("gateway"), admin: address("admin"), child, block, log };
            }
            block.push_str(&line);
            block.push('\n');
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it, and gives all that it logged.
    pub(crate) fn stop(mut self) -> Vec<String> {
        self.signal("TERM");
        let status = self.wait();
        // The thread that reads ends when the pipe does.
        let mut lines = Vec::new();
        while let Ok(line) = self.log.recv_timeout(PATIENCE) {
            lines.push(line);
        }
        assert_eq!(status.code(), Some(0), "{}", lines.join("\n"));
        lines
    }
}

impl Drop for System {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Status and body.
pub(crate) fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) =
        answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {path}: {answer:?}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

pub(crate) fn get_json(address: &str, path: &str) -> (u16, serde_json::Value) {
    let (status, body) = get(address, path);
    (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}")))
}

pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
