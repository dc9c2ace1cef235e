//! What every node must know and none may miss: bans, revocations. A notice holds until its time or until it is lifted.

use std::sync::{Arc, Weak};

use tokio::sync::watch;

use crate::board::Board;
use crate::{Soon, Unavailable};

/// Of one topic. A ban or a revocation more, and the one that ends soonest goes: attackers who bring about short bans
/// crowd out short bans.
pub const NOTICES_MAX: usize = 65_536;

pub const NOTICE_KEY_BYTES_MAX: usize = 256;
pub const NOTICE_VALUE_BYTES_MAX: usize = 2_048;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Users and addresses that are kept out.
    Ban,
    /// Tokens that count no more.
    Revoked,
}

impl Topic {
    pub const ALL: [Self; 2] = [Self::Ban, Self::Revoked];

    pub const fn slug(self) -> &'static str {
        match self {
            Self::Ban => "ban",
            Self::Revoked => "revoked",
        }
    }

    pub(crate) fn parse(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.slug() == slug)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub topic: Topic,
    /// What it is about. A later notice about the same takes the place of the earlier.
    pub key: Arc<str>,
    pub value: Arc<str>,
    /// By the wall clock, since 1970. Zero: what stood there under this key is lifted.
    pub until_ms: u64,
}

impl Notice {
    pub fn new(topic: Topic, key: impl Into<Arc<str>>, value: impl Into<Arc<str>>, until_ms: u64) -> Self {
        Self { topic, key: key.into(), value: value.into(), until_ms }
    }

    pub fn lift(topic: Topic, key: impl Into<Arc<str>>) -> Self {
        Self::new(topic, key, "", 0)
    }

    pub fn is_lifting(&self) -> bool {
        self.until_ms == 0
    }
}

/// - What is posted reaches every node that lives within a second, in the order of posting for one key. A node that is cut
///   off is brought up to date when it is back; one that starts has read everything that holds before `connect` or
///   `start` is done.
/// - A node that has been told something holds to it until its end or until it is told that it is lifted, whatever the
///   store has lost meanwhile; and it tells a store that has lost something.
/// - There are at most [`NOTICES_MAX`] of a topic. Beyond it the one that ends soonest is given up on every node, as if it
///   had been lifted, and counted.
/// - The end is a time of the wall clock: what has ended is not told any more, and nobody is told that it has.
/// - With a store that outlives the process (Redis, a disk) notices do so as well.
pub trait Bulletin: Send + Sync + 'static {
    /// Done when it holds on this node and the store has it.
    fn post(&self, notice: Notice) -> Soon<Result<(), NotPosted>>;

    /// All that hold, and then each as it comes. Of several about one key a slow listener is told the latest.
    fn listen(&self, topic: Topic) -> Notices;

    /// Those that hold.
    fn holding(&self, topic: Topic) -> Vec<Notice>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotPosted {
    #[error("a notice has at most {NOTICE_KEY_BYTES_MAX} bytes of key and {NOTICE_VALUE_BYTES_MAX} of value")]
    TooLarge,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// What one listener is told. It keeps nothing itself, so it may be slow.
pub struct Notices {
    pub(crate) board: Weak<Board>,
    pub(crate) topic: Topic,
    /// Up to where it has been told.
    pub(crate) told: u64,
    pub(crate) changed: watch::Receiver<u64>,
}

impl Notices {
    /// The next if there is one at hand. What held when the node started is.
    pub fn at_hand(&mut self) -> Option<Notice> {
        let board = self.board.upgrade()?;
        let (change, notice) = board.after(self.topic, self.told)?;
        self.told = change;
        Some(notice)
    }

    /// Waits for the next. None: the plane is no more. May be dropped at any time, nothing is lost with it.
    pub async fn next(&mut self) -> Option<Notice> {
        loop {
            self.changed.borrow_and_update();
            if let Some(notice) = self.at_hand() {
                return Some(notice);
            }
            self.changed.changed().await.ok()?;
        }
    }
}

pub(crate) fn fits(notice: &Notice) -> Result<(), NotPosted> {
    let fits = notice.key.len() <= NOTICE_KEY_BYTES_MAX && notice.value.len() <= NOTICE_VALUE_BYTES_MAX;
    if fits { Ok(()) } else { Err(NotPosted::TooLarge) }
}
