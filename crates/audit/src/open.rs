//! Opening a log: the directory becomes this process' own, what a crash left behind is put aside, and the writer starts.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::chain::Chain;
use crate::digest::push_hex;
use crate::disk::{Directory, Disk, FILE_MODE};
use crate::handle::{Anchor, Audit, Before, Closing, Figures, Health, OnFailure};
use crate::key::Signer;
use crate::queue::Queue;
use crate::recovery::{self, Recovered};
use crate::rewrite;
use crate::writer::{Limits, State, Writer, key_introduced};

/// What a log is opened with.
#[derive(Debug, Clone)]
pub struct Settings {
    pub directory: PathBuf,
    /// The name of this node.
    pub node: String,
    /// A file that has reached this is followed by another. So is one that was begun in another hour.
    pub segment_bytes_max: u64,
    /// Kept for when the disk is full.
    pub reserve_bytes: u64,
    /// Events that may wait to be written.
    pub queue_records_max: usize,
    pub on_failure: OnFailure,
    /// How long a decision waits for its record.
    pub decide_wait_max: Duration,
    /// Between two checkpoints, if there is anything to sign.
    pub checkpoint_every: Duration,
}

impl Settings {
    pub fn new(directory: impl Into<PathBuf>, node: impl Into<String>) -> Self {
        Self {
            directory: directory.into(),
            node: node.into(),
            segment_bytes_max: 64 << 20,
            reserve_bytes: 16 << 20,
            queue_records_max: 32_768,
            on_failure: OnFailure::Deny,
            decide_wait_max: Duration::from_secs(1),
            checkpoint_every: Duration::from_secs(1),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("there is no key to sign the audit log with")]
    NoKey,
    #[error("another process writes the audit log in {}", directory.display())]
    InUse { directory: PathBuf },
    #[error("cannot {what} {}", path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("the packed file {} cannot be read; move the directory aside and keep it as evidence", path.display())]
    Packed { path: PathBuf },
}

pub(crate) fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Io { what, path: path.to_owned(), source }
}

const LOCK: &str = "lock";
const DIRECTORY_MODE: u32 = 0o700;

impl Audit {
    /// Opens the log in a directory, or begins one there. `signers`: the last one signs; those before it sign for it once, if the log
    /// was signed with one of them.
    pub fn open(
        settings: &Settings,
        signers: Vec<Signer>,
        anchor: Box<dyn Anchor>,
    ) -> Result<(Self, Closing), OpenError> {
        Self::open_on(Box::new(Directory::new(&settings.directory)), settings, signers, anchor)
    }

    /// The same, with new files on a disk of the caller's.
    pub fn open_on(
        mut disk: Box<dyn Disk>,
        settings: &Settings,
        mut signers: Vec<Signer>,
        anchor: Box<dyn Anchor>,
    ) -> Result<(Self, Closing), OpenError> {
        let directory = &settings.directory;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(directory)
            .map_err(io_error("make the directory", directory))?;
        let lock = lock(directory)?;
        let keys: Vec<_> = signers.iter().map(|signer| signer.public().clone()).collect();
        let signer = signers.pop().ok_or(OpenError::NoKey)?;

        let log = format!("{}/{}", settings.node, boot()?);
        finish_rewrites(directory)?;
        let Recovered { chain, previous, mut events, signed_by, closed } =
            recovery::recover(directory, &keys)?;
        let before = match (&chain, closed) {
            (None, _) => Before::Nothing,
            (Some(_), true) => Before::Closed,
            (Some(_), false) => Before::Broken,
        };
        let mut handing_over = None;
        if let Some(before) = signed_by.last().filter(|_| !signed_by.contains(&signer.public().id())) {
            events.push(key_introduced(&signer, before.to_string()));
            handing_over = signers.into_iter().find(|signer| signer.public().id() == *before);
        }
        let chain =
            chain.map_or_else(|| Chain::new(log.clone()), |chain| Chain { log: log.clone(), ..chain });
        // Without a reserve the log works all the same, until the disk is full.
        let reserved = disk.reserve(settings.reserve_bytes).is_ok();

        let queue = Arc::new(Queue::new(settings.queue_records_max));
        let figures = Arc::new(Figures::default());
        let health = Arc::new(watch::Sender::new(if reserved { Health::Well } else { Health::Reserve }));
        let writer = Writer {
            queue: queue.clone(),
            disk,
            chain,
            signer,
            handing_over,
            anchor,
            figures: figures.clone(),
            health: health.clone(),
            limits: Limits {
                segment_bytes_max: settings.segment_bytes_max,
                reserve_bytes: settings.reserve_bytes,
                records_max: settings.queue_records_max,
                on_failure: settings.on_failure,
                checkpoint_every: settings.checkpoint_every,
            },
            own: events,
            previous,
            state: State::new(reserved),
            _lock: Some(lock),
        };
        let thread = std::thread::Builder::new()
            .name("audit".into())
            .spawn(move || writer.run())
            .map_err(io_error("start the thread that writes", directory))?;
        let audit = Self {
            queue: Some(queue.clone()),
            health,
            figures,
            on_failure: settings.on_failure,
            before,
            decide_wait_max: settings.decide_wait_max,
        };
        Ok((audit, Closing { queue, writer: Some(thread) }))
    }
}

/// What a crash interrupted while a file was rewritten is finished or undone.
fn finish_rewrites(directory: &Path) -> Result<(), OpenError> {
    rewrite::finish_drafts(directory).map_err(io_error("finish what was begun in", directory))
}

fn lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join(LOCK);
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(&path)
        .map_err(io_error("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { directory: directory.to_owned() }),
        Err(TryLockError::Error(source)) => Err(OpenError::Io { what: "lock", path, source }),
    }
}

/// A name for this run of the process.
fn boot() -> Result<String, OpenError> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| OpenError::NoKey)?;
    let mut hex = Vec::new();
    push_hex(&bytes, &mut hex);
    Ok(String::from_utf8_lossy(&hex).into_owned())
}
