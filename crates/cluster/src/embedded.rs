//! The coordination plane of a single process: all of it in memory, and what must survive a restart on a disk if there is
//! one.

mod bounded;
mod broker;
mod bulletin;
mod clock;
mod directory;
mod disk;
mod durable;
mod epochs;
mod log;
mod marks;
mod membership;
mod occupancy;
mod pending;
mod post;
mod presence;
mod quota;
mod reading;
mod seen;
mod sessions;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

use self::broker::EmbeddedBroker;
use self::bulletin::EmbeddedBulletin;
use self::clock::{Clock, unix_ms};
use self::directory::EmbeddedDirectory;
use self::disk::{Earlier, Medium, Opened, Queue};
use self::durable::OnDisk;
use self::marks::EmbeddedMarks;
use self::membership::EmbeddedMembership;
use self::occupancy::EmbeddedOccupancy;
use self::post::EmbeddedPost;
use self::presence::EmbeddedPresence;
use self::quota::EmbeddedQuota;
use self::sessions::EmbeddedSessions;
use crate::{Broker, Cluster, Condition, HistoryLimits, Incarnation, Membership as _};

#[derive(Debug, Clone)]
pub struct Config {
    /// As in session ids.
    pub node: String,
    pub address: Option<SocketAddr>,
    pub version: String,
    pub history: HistoryLimits,
    /// How long a session may be taken up after its process has ended.
    pub recovery_window_ms: u64,
    /// A directory of this process alone. None: everything ends with the process.
    pub disk: Option<PathBuf>,
}

impl Config {
    pub fn new(node: impl Into<String>) -> Self {
        Self {
            node: node.into(),
            address: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            history: HistoryLimits::default(),
            recovery_window_ms: 120_000,
            disk: None,
        }
    }
}

/// Why the plane cannot be opened. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("a thread could not be started")]
    Thread(#[source] std::io::Error),
    #[error("{} cannot be opened or written", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} is in use by another process; each process needs a directory of its own", path.display())]
    InUse { path: PathBuf },
    #[error(
        "{} was written by a later version (format {format}, this one knows {known}); run that version, or move the file \
         away to begin without history", path.display()
    )]
    Newer { path: PathBuf, format: u64, known: u64 },
    #[error("{} is not a file of Turnpike; name another directory, or move the file away", path.display())]
    Foreign { path: PathBuf },
    #[error(
        "{} is damaged ({detail}); put it back from a backup, or move it away to begin without history", path.display()
    )]
    Damaged { path: PathBuf, detail: String },
}

/// The plane, for the process that it lives in.
pub struct Embedded {
    cluster: Cluster,
    broker: Arc<EmbeddedBroker>,
}

/// How much is kept right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Levels {
    pub rooms: usize,
    pub messages: usize,
    pub bytes: usize,
    /// Ids remembered to recognise repetitions.
    pub message_ids: usize,
}

impl Levels {
    fn and(self, other: Self) -> Self {
        Self {
            rooms: self.rooms + other.rooms,
            messages: self.messages + other.messages,
            bytes: self.bytes + other.bytes,
            message_ids: self.message_ids + other.message_ids,
        }
    }
}

/// [`Embedded::start`] for who needs no levels.
pub fn start(config: &Config) -> Result<Cluster, OpenError> {
    Embedded::start(config).map(|embedded| embedded.cluster())
}

impl Embedded {
    pub fn start(config: &Config) -> Result<Self, OpenError> {
        Self::start_on(config, config.disk.clone().map(Medium::Directory))
    }

    fn start_on(config: &Config, medium: Option<Medium>) -> Result<Self, OpenError> {
        let (condition, _) = watch::channel(Condition::default());
        let condition = Arc::new(condition);
        let membership = EmbeddedMembership::new(&config.node, config.address, &config.version);
        let own = membership.own();
        let (opened, logs, mut earlier) = match medium {
            Some(medium) => {
                let (opened, logs, earlier) = disk::open(medium, &config.history)?;
                (Some(opened), Some(logs), earlier)
            }
            None => (None, None, Earlier::default()),
        };
        let clock = Clock::start(earlier.noted_ms);
        let disk = opened.as_ref().map(Opened::disk);
        let queue = disk.as_ref().map(|disk| Arc::clone(&disk.queue));
        let broker = Arc::new(match logs {
            Some(logs) => EmbeddedBroker::new(logs, clock, queue.clone()),
            None => EmbeddedBroker::in_memory(unix_ms(), &config.history, clock),
        });
        let sessions = EmbeddedSessions::new(own, clock, &mut earlier, disk.clone());
        let marks = EmbeddedMarks::new(clock, Arc::clone(&broker), disk.clone(), &mut earlier);
        let presence = EmbeddedPresence::new(own, clock, Arc::clone(&broker), queue.clone(), &mut earlier);
        let presence = Arc::new(presence);
        let bulletin = Arc::new(EmbeddedBulletin::new(disk.clone(), &mut earlier));
        if let (Some(opened), Some(disk)) = (opened, &disk) {
            opened.start(disk, Arc::downgrade(&broker), Arc::clone(&condition))?;
        }
        let held: Arc<dyn Broker> = match disk {
            Some(disk) => Arc::new(OnDisk { broker: Arc::clone(&broker), _disk: disk }),
            None => Arc::clone(&broker) as _,
        };
        let cluster = Cluster {
            broker: held,
            sessions: Arc::new(sessions),
            presence: Arc::clone(&presence) as _,
            marks: Arc::new(marks),
            directory: Arc::new(EmbeddedDirectory::new(own, clock)),
            quota: Arc::new(EmbeddedQuota::new(clock)),
            occupancy: Arc::new(EmbeddedOccupancy::new()),
            post: Arc::new(EmbeddedPost::new(own)),
            bulletin: Arc::clone(&bulletin) as _,
            membership: Arc::new(membership),
            condition: condition.subscribe(),
        };
        let sweeper = Sweeper {
            clock,
            broker: Arc::downgrade(&broker),
            presence: Arc::downgrade(&presence),
            bulletin: Arc::downgrade(&bulletin),
            own,
            queue,
            held_until_ms: Some(clock.steady_ms() + config.recovery_window_ms),
        };
        let thread = thread::Builder::new().name("cluster-sweep".to_owned());
        thread.spawn(move || sweeper.run()).map_err(OpenError::Thread)?;
        Ok(Self { cluster, broker })
    }

    pub fn cluster(&self) -> Cluster {
        self.cluster.clone()
    }

    pub fn levels(&self) -> Levels {
        self.broker.levels()
    }

    /// Reads the levels for as long as the plane lives, and does not keep it alive: nothing once it is closed.
    pub fn watch_levels(&self) -> impl Fn() -> Option<Levels> + Send + Sync + 'static {
        let broker = Arc::downgrade(&self.broker);
        move || broker.upgrade().map(|broker| broker.levels())
    }
}

/// The file in which a process keeps its plane, in the directory that it was given.
pub fn file(directory: &Path) -> PathBuf {
    Medium::Directory(directory.to_owned()).path()
}

const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Forgets what is too old. It holds nothing of the plane alive while it waits.
struct Sweeper {
    clock: Clock,
    broker: Weak<EmbeddedBroker>,
    presence: Weak<EmbeddedPresence>,
    bulletin: Weak<EmbeddedBulletin>,
    own: Incarnation,
    queue: Option<Arc<Queue>>,
    /// Until then whoever was there before the process was started may come back.
    held_until_ms: Option<u64>,
}

impl Sweeper {
    fn run(mut self) {
        loop {
            thread::sleep(SWEEP_EVERY);
            let (Some(broker), Some(presence)) = (self.broker.upgrade(), self.presence.upgrade()) else {
                return;
            };
            let now_ms = self.clock.steady_ms();
            broker.sweep(now_ms);
            presence.sweep(now_ms);
            if let Some(bulletin) = self.bulletin.upgrade() {
                bulletin.sweep();
            }
            if self.held_until_ms.is_some_and(|until_ms| now_ms > until_ms) {
                self.held_until_ms = None;
                broker.end_hold();
                if let Some(queue) = &self.queue {
                    sessions::end_hold(self.own, queue);
                }
            }
        }
    }
}
