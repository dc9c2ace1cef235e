//! Log files: the one that is written and those before it, `NAME.1` the newest of them. By size and age they move up by one,
//! and the last goes, so that all together never take more than they may, whatever is logged.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Readable for the operator's group, for nobody else: names and addresses of users stand in it.
const MODE: u32 = 0o640;

#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_field_names, reason = "that is what they are")]
pub(super) struct Limits {
    pub bytes_max: u64,
    pub age_max: Duration,
    /// The one that is written included.
    pub files_max: usize,
}

#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    limits: Limits,
    file: File,
    length: u64,
    born: SystemTime,
    /// The last write left a part of a line.
    is_torn: bool,
}

/// Why there can be no log file.
#[derive(Debug, thiserror::Error)]
#[error("the log cannot be written to {}: {problem} (set LOG_FILE)", path.display())]
pub struct LogFileError {
    path: PathBuf,
    problem: String,
}

impl LogFile {
    pub(super) fn open(path: &Path, limits: Limits, now: SystemTime) -> Result<Self, LogFileError> {
        let fault = |problem: String| LogFileError { path: path.to_owned(), problem };
        let (file, length, born) = take(path, now).map_err(|error| fault(error.to_string()))?;
        let mut opened = Self { path: path.to_owned(), limits, file, length, born, is_torn: false };
        opened.is_torn = opened.ends_within_a_line().unwrap_or(true);
        opened.prune();
        Ok(opened)
    }

    /// All of the line, or nothing of it.
    pub(super) fn line(&mut self, line: &[u8], now: SystemTime) -> io::Result<()> {
        if line.len() as u64 > self.limits.bytes_max {
            return Err(io::Error::other("a line that is larger than a file may be"));
        }
        let is_full = self.length + line.len() as u64 + 1 > self.limits.bytes_max;
        // A clock that was turned back makes a file no older.
        let is_old = now.duration_since(self.born).is_ok_and(|age| age >= self.limits.age_max);
        if self.length > 0 && (is_full || is_old) {
            self.rotate(now)?;
        }
        self.append(line)
    }

    /// For whoever has moved the file away. It goes on with the old one where that fails.
    pub(super) fn reopen(&mut self, now: SystemTime) -> io::Result<()> {
        // The lock would be in the way if it is the same file still.
        let _ = self.file.unlock();
        match take(&self.path, now) {
            Ok((file, length, born)) => {
                (self.file, self.length, self.born) = (file, length, born);
                self.is_torn = self.ends_within_a_line().unwrap_or(true);
                Ok(())
            }
            Err(error) => {
                let _ = self.file.try_lock();
                Err(error)
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.file.write_all(b"\n")?;
            (self.is_torn, self.length) = (false, self.length + 1);
        }
        match self.file.write_all(line) {
            Ok(()) => {
                self.length += line.len() as u64;
                Ok(())
            }
            Err(error) => {
                // What was written of it would be the beginning of another line.
                self.is_torn = self.file.set_len(self.length).is_err();
                Err(error)
            }
        }
    }

    fn rotate(&mut self, now: SystemTime) -> io::Result<()> {
        if self.move_up().is_err() || self.limits.files_max == 1 {
            // Room for what comes is worth more than what was.
            self.file.set_len(0)?;
            (self.length, self.born, self.is_torn) = (0, now, false);
            return Ok(());
        }
        let (file, length, _) = take(&self.path, now)?;
        (self.file, self.length, self.born, self.is_torn) = (file, length, now, false);
        Ok(())
    }

    fn move_up(&self) -> io::Result<()> {
        let last = self.limits.files_max - 1;
        for number in (0..last).rev() {
            let from = if number == 0 { self.path.clone() } else { self.numbered(number) };
            match fs::rename(&from, self.numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn numbered(&self, number: usize) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(format!(".{number}"));
        name.into()
    }

    /// Those that are too many, because fewer may be kept than before.
    fn prune(&self) {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let Ok(entries) = fs::read_dir(folder.unwrap_or(Path::new("."))) else { return };
        let Some(name) = self.path.file_name().and_then(|name| name.to_str()) else { return };
        for entry in entries.flatten() {
            let number = entry
                .file_name()
                .to_str()
                .and_then(|found| found.strip_prefix(name)?.strip_prefix('.')?.parse::<usize>().ok());
            if number.is_some_and(|number| number >= self.limits.files_max) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn ends_within_a_line(&mut self) -> io::Result<bool> {
        if self.length == 0 {
            return Ok(false);
        }
        let mut last = [0];
        self.file.seek(SeekFrom::End(-1))?;
        self.file.read_exact(&mut last)?;
        Ok(last != *b"\n")
    }
}

/// Opens the file for nobody else to write. Gives its length, and since when it is.
fn take(path: &Path, now: SystemTime) -> io::Result<(File, u64, SystemTime)> {
    let is_other = fs::metadata(path).is_ok_and(|found| !found.is_file());
    if is_other {
        // Opening a pipe would wait for its reader, and none of these can be moved aside.
        return Err(io::Error::other("it is not a regular file"));
    }
    let file = File::options().read(true).append(true).create(true).mode(MODE).open(path)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            return Err(io::Error::other("another process writes its log there"));
        }
        // Not every file system has locks.
        Ok(()) | Err(TryLockError::Error(_)) => {}
    }
    let about = file.metadata()?;
    let born =
        if about.len() == 0 { now } else { about.created().or_else(|_| about.modified()).unwrap_or(now) };
    Ok((file, about.len(), born))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("turnpike-log-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn log(&self) -> PathBuf {
            self.0.join("turnpike.log")
        }

        /// Names and contents, the one that is written first.
        fn files(&self) -> Vec<(String, String)> {
            let mut files: Vec<_> = fs::read_dir(&self.0)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .map(|path| {
                    let text = fs::read_to_string(&path).unwrap();
                    (path.file_name().unwrap().to_str().unwrap().to_owned(), text)
                })
                .collect();
            files.sort();
            files
        }

        fn open(&self, limits: &Limits) -> LogFile {
            LogFile::open(&self.log(), limits.clone(), now()).unwrap()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn now() -> SystemTime {
        SystemTime::now()
    }

    fn limits(bytes_max: u64, files_max: usize) -> Limits {
        Limits { bytes_max, age_max: Duration::from_hours(24), files_max }
    }

    #[test]
    fn all_files_together_never_take_more_than_they_may() {
        for files_max in [1, 2, 5] {
            let folder = Folder::new(&format!("bound-{files_max}"));
            let mut log = folder.open(&limits(100, files_max));
            for number in 0..1_000 {
                log.line(format!("line {number:04}\n").as_bytes(), now()).unwrap();
                if number % 97 == 0 {
                    let files = folder.files();
                    assert!(files.len() <= files_max, "{files:?}");
                    assert!(files.iter().all(|(_, text)| text.len() <= 100), "{files:?}");
                }
            }
            let newest_first: Vec<String> = folder.files().into_iter().map(|(_, text)| text).collect();
            let lines: Vec<String> =
                newest_first.iter().rev().flat_map(|text| text.lines().map(ToOwned::to_owned)).collect();
            let last = lines.len();
            assert!(last >= 9 * (files_max - 1), "{lines:?}");
            let expected: Vec<String> =
                (1_000 - last..1_000).map(|number| format!("line {number:04}")).collect();
            assert_eq!(lines, expected, "none is missing before the oldest that is kept");
        }
    }

    #[test]
    fn a_file_that_is_old_goes_and_so_does_what_a_larger_limit_has_left() {
        let folder = Folder::new("age");
        let mut log = folder.open(&limits(1_000, 4));
        let later = now() + Duration::from_hours(25);
        for number in 0..6 {
            log.line(format!("{number}\n").as_bytes(), later + Duration::from_hours(25 * number)).unwrap();
        }
        let texts: Vec<String> = folder.files().into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, ["5\n", "4\n", "3\n", "2\n"]);
        drop(log);
        drop(folder.open(&limits(1_000, 2)));
        let names: Vec<String> = folder.files().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["turnpike.log", "turnpike.log.1"]);
    }

    #[test]
    fn a_line_is_whole_whatever_was_there_before() {
        let folder = Folder::new("torn");
        fs::write(folder.log(), "half of a li").unwrap();
        let mut log = folder.open(&limits(1_000, 2));
        log.line(b"whole\n", now()).unwrap();
        assert!(log.line(&[b'x'; 1_001], now()).is_err(), "larger than a file");
        log.line(b"next\n", now()).unwrap();
        assert_eq!(fs::read_to_string(folder.log()).unwrap(), "half of a li\nwhole\nnext\n");
    }

    #[test]
    fn whoever_moves_it_away_has_it_opened_anew() {
        let folder = Folder::new("reopen");
        let mut log = folder.open(&limits(1_000, 2));
        log.line(b"before\n", now()).unwrap();
        let elsewhere = folder.0.join("moved");
        fs::rename(folder.log(), &elsewhere).unwrap();
        log.line(b"still there\n", now()).unwrap();
        log.reopen(now()).unwrap();
        log.line(b"after\n", now()).unwrap();
        log.reopen(now()).expect("the same file again");
        log.line(b"and on\n", now()).unwrap();
        assert_eq!(fs::read_to_string(elsewhere).unwrap(), "before\nstill there\n");
        assert_eq!(fs::read_to_string(folder.log()).unwrap(), "after\nand on\n");
    }

    #[test]
    fn what_can_be_no_log_file_is_said() {
        let folder = Folder::new("bad");
        let open = |path: &Path| LogFile::open(path, limits(1_000, 2), now()).unwrap_err().to_string();
        let missing = open(&folder.0.join("no/such/folder.log"));
        assert!(missing.contains("No such file") && missing.contains("LOG_FILE"), "{missing}");
        assert!(open(&folder.0).contains("not a regular file"));
        assert!(open(Path::new("/dev/null")).contains("not a regular file"));
        let _log = folder.open(&limits(1_000, 2));
        assert!(open(&folder.log()).contains("another process"));
    }

    /// `/dev/full` is no regular file; a size limit of the process would stop the other tests. So: a file that is only read.
    #[test]
    fn what_the_disk_does_not_take_leaves_the_file_as_it_was() {
        let folder = Folder::new("full");
        let mut log = folder.open(&limits(1_000, 2));
        log.line(b"kept\n", now()).unwrap();
        let writable = std::mem::replace(&mut log.file, File::open(folder.log()).unwrap());
        assert!(log.line(b"lost\n", now()).is_err());
        log.file = writable;
        log.line(b"after\n", now()).unwrap();
        let text = fs::read_to_string(folder.log()).unwrap();
        assert_eq!(text.replace("\n\n", "\n"), "kept\nafter\n");
    }
}
