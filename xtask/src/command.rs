//! Running a program: quietly with its output kept for the case of failure, or in the open.

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;

use crate::scratch::Scratch;

/// Silence for longer than this looks like a hang to whoever watches.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);

pub(crate) struct Finished {
    pub status: ExitStatus,
    /// Both streams, by line, in the order of their arrival.
    pub output: Vec<String>,
}

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace")
}

pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// Runs it to its end, telling its latest line now and then.
pub(crate) fn run_quietly(command: &mut Command) -> anyhow::Result<Finished> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{} does not start", command.get_program().display()))?;
    let (line, lines) = mpsc::channel();
    forward(child.stdout.take().expect("it was piped"), line.clone());
    forward(child.stderr.take().expect("it was piped"), line);
    let mut output: Vec<String> = Vec::new();
    let mut next_sign = Instant::now() + SIGN_OF_LIFE;
    loop {
        match lines.recv_timeout(next_sign.saturating_duration_since(Instant::now())) {
            Ok(line) => output.push(line),
            Err(RecvTimeoutError::Timeout) => {
                let latest = output.iter().rev().find(|line| !line.trim().is_empty());
                println!("    still at it: {}", latest.map_or("no output yet", |line| line.trim()));
                next_sign = Instant::now() + SIGN_OF_LIFE;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    Ok(Finished { status: child.wait()?, output })
}

fn forward(stream: impl Read + Send + 'static, lines: mpsc::Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            if lines.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
}

pub(crate) fn bench(arguments: Vec<String>) -> anyhow::Result<bool> {
    let mut run = cargo();
    run.args(["run", "--release", "-p", "turnpike-benches", "--"]).args(arguments);
    let scratch = Scratch::new();
    scratch.offer(&mut run);
    Ok(run.status()?.success())
}

/// The lab does it; here is only what it needs to be built.
pub(crate) fn cluster(arguments: &[String]) -> anyhow::Result<bool> {
    let mut build = cargo();
    build.args(["build", "--quiet", "-p", "turnpike-lab"]);
    if arguments.first().is_some_and(|what| what == "up") {
        build.args(["-p", "turnpike"]);
    }
    if !build.status()?.success() {
        return Ok(false);
    }
    let lab = beside("turnpike-lab")?;
    let mut lab = Command::new(lab);
    Ok(lab.args(arguments).arg("--root").arg(root()).status()?.success())
}

/// Into the folder `docs` beside the one that this program was built into.
pub(crate) fn docs() -> anyhow::Result<bool> {
    let mut build = cargo();
    if !build.args(["build", "--quiet", "-p", "turnpike-book"]).status()?.success() {
        return Ok(false);
    }
    let book = beside("turnpike-book")?;
    let site = book.ancestors().nth(2).context("this program lies in a target folder")?.join("docs");
    Ok(Command::new(&book).arg(root()).arg(site).status()?.success())
}

/// A program of this workspace, in the folder where this one was built.
pub(crate) fn beside(name: &str) -> anyhow::Result<std::path::PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(name))
}

/// Packages with tests whose names begin with `fuzz_`.
const FUZZED: [&str; 7] = [
    "turnpike-audit",
    "turnpike-engine",
    "turnpike-guard",
    "turnpike-media-relay",
    "turnpike-rtp",
    "turnpike-sdp",
    "turnpike-transport",
];

pub(crate) fn fuzz(target: Option<&str>, seconds: u64) -> anyhow::Result<bool> {
    const SEED: &str = "TURNPIKE_FUZZ_SEED";
    // The ordinary tests always try the same inputs; who asks for more wants others. Each target prints its seed.
    let seed = std::env::var(SEED).unwrap_or_else(|_| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        now.as_millis().to_string()
    });
    let packages = FUZZED.iter().flat_map(|package| ["--package", package]);
    let status = cargo()
        .arg("test")
        .args(packages)
        .args(["--lib", "--test", "it", "--"])
        .arg(target.map_or_else(|| "fuzz_".to_owned(), |target| format!("fuzz_{target}")))
        .args(["--nocapture", "--test-threads", "2"])
        .env("TURNPIKE_FUZZ_SECONDS", seconds.to_string())
        .env(SEED, seed)
        .status()?;
    Ok(status.success())
}
