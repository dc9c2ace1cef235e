//! The file: how it comes to be, how it is opened and looked over, and how something is committed to it.

use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Builder, Database, DatabaseError, StorageError, WriteTransaction};

use super::tables;
use crate::embedded::OpenError;

const FILE: &str = "turnpike.redb";
/// A file that is not finished yet. Whatever is found under this name is nothing.
const FILE_BEING_MADE: &str = "turnpike.redb.new";

/// Everything that is read often is in memory anyway; this is for the branches of the trees.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// Why something could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Store(Box<redb::Error>),
    /// The store has panicked: what it read cannot be.
    #[error("the store cannot go on with what it has read")]
    Panicked,
    #[error("{0}")]
    Garbled(String),
}

impl<E: Into<redb::Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Store(Box::new(error.into()))
    }
}

/// Where the bytes are.
#[derive(Debug, Clone)]
pub(crate) enum Medium {
    Directory(PathBuf),
    #[cfg(test)]
    Shaky(std::sync::Arc<super::shaky::Shaky>),
}

pub(crate) struct Store {
    database: Database,
}

impl Medium {
    /// For people.
    pub(crate) fn path(&self) -> PathBuf {
        match self {
            Self::Directory(directory) => directory.join(FILE),
            #[cfg(test)]
            Self::Shaky(_) => FILE.into(),
        }
    }

    /// Opens what is there, or begins anew if there is nothing.
    pub(crate) fn open(&self) -> Result<Store, OpenError> {
        let path = self.path();
        let opened = catch_unwind(AssertUnwindSafe(|| match self {
            Self::Directory(directory) => open_in(directory),
            #[cfg(test)]
            Self::Shaky(shaky) => open_shaky(shaky),
        }));
        opened.unwrap_or_else(|_| Err(OpenError::Damaged { path, detail: Fault::Panicked.to_string() }))
    }
}

impl Store {
    /// All of it or nothing. When this is done it is on the disk.
    pub(crate) fn commit(
        &self,
        write: impl FnOnce(&WriteTransaction) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let committed = catch_unwind(AssertUnwindSafe(|| {
            let transaction = self.database.begin_write()?;
            write(&transaction)?;
            transaction.commit()?;
            Ok(())
        }));
        committed.unwrap_or(Err(Fault::Panicked))
    }

    /// Calls that must not find a damaged tree are made in here.
    pub(crate) fn look<T>(&self, read: impl FnOnce(&Database) -> Result<T, Fault>) -> Result<T, Fault> {
        catch_unwind(AssertUnwindSafe(|| read(&self.database))).unwrap_or(Err(Fault::Panicked))
    }
}

fn open_in(directory: &Path) -> Result<Store, OpenError> {
    let path = directory.join(FILE);
    let io = |source| OpenError::Io { path: path.clone(), source };
    fs::create_dir_all(directory).map_err(io)?;
    if !path.try_exists().map_err(io)? {
        // A crash must not leave a file that is half made and cannot be told from a damaged one.
        let unfinished = directory.join(FILE_BEING_MADE);
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        let database = Builder::new().create(&unfinished).map_err(|error| open_error(&path, error))?;
        let store = Store { database };
        store.commit(tables::found).map_err(|fault| damaged(&path, &fault))?;
        drop(store);
        fs::rename(&unfinished, &path).map_err(io)?;
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(io)?;
    }
    let database =
        Builder::new().set_cache_size(CACHE_BYTES).open(&path).map_err(|error| open_error(&path, error))?;
    look_over(database, &path)
}

/// Every page is read and compared with its checksum: what is damaged is found now and not in the middle of the night.
fn look_over(mut database: Database, path: &Path) -> Result<Store, OpenError> {
    match database.check_integrity() {
        Ok(_) => {}
        Err(error) => return Err(open_error(path, error)),
    }
    match tables::format(&database).map_err(|fault| damaged(path, &fault))? {
        Some(tables::FORMAT) => Ok(Store { database }),
        Some(format) => Err(OpenError::Newer { path: path.into(), format, known: tables::FORMAT }),
        None => Err(OpenError::Foreign { path: path.into() }),
    }
}

fn open_error(path: &Path, error: DatabaseError) -> OpenError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse { path },
        DatabaseError::Storage(StorageError::Io(source))
            if source.kind() != std::io::ErrorKind::InvalidData =>
        {
            OpenError::Io { path, source }
        }
        error => OpenError::Damaged { path, detail: error.to_string() },
    }
}

pub(crate) fn damaged(path: &Path, fault: &Fault) -> OpenError {
    if let Fault::Store(error) = fault
        && let redb::Error::Io(source) = &**error
    {
        // An error of the system has no copy; its kind and number say all there is.
        let source =
            source.raw_os_error().map_or_else(|| source.kind().into(), std::io::Error::from_raw_os_error);
        return OpenError::Io { path: path.to_owned(), source };
    }
    OpenError::Damaged { path: path.to_owned(), detail: fault.to_string() }
}

#[cfg(test)]
fn open_shaky(shaky: &std::sync::Arc<super::shaky::Shaky>) -> Result<Store, OpenError> {
    let path = Path::new(FILE);
    let fresh = shaky.is_empty();
    let backend = super::shaky::Backend(std::sync::Arc::clone(shaky));
    let database = Builder::new()
        .set_cache_size(CACHE_BYTES)
        .create_with_backend(backend)
        .map_err(|error| open_error(path, error))?;
    if fresh {
        let store = Store { database };
        store.commit(tables::found).map_err(|fault| damaged(path, &fault))?;
        return Ok(store);
    }
    look_over(database, path)
}
