//! Folders for the files of processes.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context as _;

/// A folder of this process, gone with its value.
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// In the machine's place for such files, with `name` in its own name.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("turnpike-{name}-{}-{number}", std::process::id()));
        // What a process with the same id left behind is not ours to continue.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// It stays where it is, for whoever looks for a fault.
    pub fn keep(mut self) -> PathBuf {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // One that is kept has no path any more.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
