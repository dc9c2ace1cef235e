//! Where tests and benches keep what they write for a moment: in memory where there is room for it. Hundreds of stores, logs and
//! browsers on one disk would make each other wait, and so does the disk itself where it is shared.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const MEMORY: &str = "/dev/shm";
/// A whole run has never had a quarter of it at a time.
const FREE_MIN_KILOBYTES: u64 = 6 * 1024 * 1024;

/// Removed when dropped, with all that tests which were killed left in it.
pub(crate) struct Scratch {
    path: Option<PathBuf>,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self { path: in_memory(Path::new(MEMORY)) }
    }

    /// Processes of the command keep their temporary files here.
    pub(crate) fn offer(&self, command: &mut Command) {
        if let Some(path) = &self.path {
            command.env("TMPDIR", path);
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = fs::remove_dir_all(path);
        }
    }
}

/// None if somebody chose a place, or if there is no room, or none from which programs may be run.
fn in_memory(memory: &Path) -> Option<PathBuf> {
    if env::var_os("TMPDIR").is_some() || free_kilobytes(memory)? < FREE_MIN_KILOBYTES {
        return None;
    }
    let path = memory.join(format!("turnpike-tests-{}", std::process::id()));
    fs::create_dir(&path).ok()?;
    if runs_programs(&path) {
        return Some(path);
    }
    let _ = fs::remove_dir_all(&path);
    None
}

fn free_kilobytes(folder: &Path) -> Option<u64> {
    let told = Command::new("df").args(["--output=avail", "--block-size=1K"]).arg(folder).output().ok()?;
    String::from_utf8(told.stdout).ok()?.lines().nth(1)?.trim().parse().ok()
}

fn runs_programs(folder: &Path) -> bool {
    let program = folder.join("runs");
    let written = fs::write(&program, "#!/bin/sh\n")
        .and_then(|()| fs::set_permissions(&program, fs::Permissions::from_mode(0o755)));
    written.is_ok() && Command::new(&program).status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_not_taken() {
        assert_eq!(free_kilobytes(Path::new("/nowhere/at/all")), None);
        assert_eq!(in_memory(Path::new("/nowhere/at/all")), None);
    }

    #[test]
    fn a_folder_for_programs_is_known() {
        let folder = env::temp_dir().join(format!("turnpike-runs-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        assert!(runs_programs(&folder));
        assert!(!runs_programs(&folder.join("nowhere")));
        fs::remove_dir_all(&folder).unwrap();
    }
}
