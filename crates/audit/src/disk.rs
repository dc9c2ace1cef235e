//! What the writer needs of a disk, so that tests can have one that fails; and the real one.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Where files of a log are made.
pub trait Disk: Send + 'static {
    /// A new file. It must not exist, and its name is as durable as its first bytes will be.
    fn create(&mut self, name: &str) -> io::Result<Box<dyn Medium>>;
    /// Takes a file away again that nothing durable was written to.
    fn remove(&mut self, name: &str) -> io::Result<()>;
    /// Occupies room that [`release`](Self::release) gives back when the disk is full.
    fn reserve(&mut self, bytes: u64) -> io::Result<()>;
    /// Whether there was something to give back.
    fn release(&mut self) -> io::Result<bool>;
}

/// A file that only grows.
pub trait Medium: Send + 'static {
    /// All of it, or an error with any part of it written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// After this, what was appended is there after a power failure.
    fn sync(&mut self) -> io::Result<()>;
    /// Takes back what was appended after the first `bytes`.
    fn truncate(&mut self, bytes: u64) -> io::Result<()>;
}

/// A directory of the file system. What it makes, only its owner can read.
#[derive(Debug)]
pub struct Directory(PathBuf);

const RESERVE: &str = "reserve";
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
/// For the owner alone.
pub(crate) const FILE_MODE: u32 = 0o600;

impl Directory {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
}

/// The entry of a file is durable only once its directory is.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

impl Disk for Directory {
    fn create(&mut self, name: &str) -> io::Result<Box<dyn Medium>> {
        let path = self.0.join(name);
        let file = File::options().append(true).create_new(true).mode(FILE_MODE).open(path)?;
        sync_directory(&self.0)?;
        Ok(Box::new(file))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    /// Zeros, and not a hole: a hole occupies nothing.
    fn reserve(&mut self, bytes: u64) -> io::Result<()> {
        let path = self.0.join(RESERVE);
        if fs::metadata(&path).is_ok_and(|found| found.len() == bytes) {
            return Ok(());
        }
        let mut file = File::options().write(true).create(true).truncate(true).mode(FILE_MODE).open(&path)?;
        let mut left = bytes;
        let filled = loop {
            let part = left.min(ZEROS.len() as u64);
            if part == 0 {
                break file.sync_all();
            }
            if let Err(error) = file.write_all(&ZEROS[..part as usize]) {
                break Err(error);
            }
            left -= part;
        };
        // Half a reserve would take the room that others need.
        filled.inspect_err(|_| drop(fs::remove_file(&path)))
    }

    fn release(&mut self) -> io::Result<bool> {
        match fs::remove_file(self.0.join(RESERVE)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Medium for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }
}
