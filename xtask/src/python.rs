//! The Python packages of the tests, in an environment of their own within the target folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::command::root;
use crate::install::{debian, must_succeed};

/// The Debian package that makes environments possible.
const VENV: &str = "python3-venv";

pub(crate) fn python() -> anyhow::Result<()> {
    let wanted = root().join("tests/python/requirements.txt");
    let text = fs::read(&wanted).with_context(|| format!("{} is not there", wanted.display()))?;
    let folder = folder()?;
    // Two runs with one target folder would otherwise write into each other's environment.
    let lock = File::create(folder.with_extension("lock"))?;
    lock.lock()?;
    let (stamp, interpreter) = (folder.join(".installed-from"), folder.join("bin/python"));
    // It stops to work when the machine's Python is exchanged.
    if fs::read(&stamp).is_ok_and(|installed| installed == text) && runs(&interpreter, "import aiortc") {
        return Ok(());
    }
    if !runs(Path::new("python3"), "import ensurepip, venv")
        && let Err(error) = debian(&[VENV])
    {
        println!("    THE TESTS WITH AIORTC WILL BE SKIPPED, there is no {VENV}: {error:#}");
        return Ok(());
    }
    println!("    pip install -r tests/python/requirements.txt");
    let _ = fs::remove_file(&stamp);
    must_succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder), "python3 -m venv")?;
    let mut pip = Command::new(&interpreter);
    pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--requirement"]).arg(&wanted);
    must_succeed(&mut pip, "pip install")?;
    fs::write(stamp, text)?;
    Ok(())
}

/// Where `tests/it/aiortc.rs` looks as well: beside the folder that this program was built into.
fn folder() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(2).context("this program lies in a target folder")?;
    Ok(target.join("python"))
}

fn runs(interpreter: &Path, program: &str) -> bool {
    let mut command = Command::new(interpreter);
    command.args(["-c", program]).output().is_ok_and(|output| output.status.success())
}
