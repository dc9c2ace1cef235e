//! Who listens for which letters on this node.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use crate::post::LETTERS_MAX;
use crate::{Letter, Letters};

#[derive(Default)]
pub(crate) struct Letterboxes {
    /// A handful, opened when the parts of the node start.
    open: Mutex<HashMap<&'static str, mpsc::Sender<Letter>>>,
    lost: AtomicU64,
}

impl Letterboxes {
    pub(crate) fn open(&self, subject: &'static str) -> Letters {
        let (sender, letters) = mpsc::channel(LETTERS_MAX);
        self.boxes().insert(subject, sender);
        letters
    }

    pub(crate) fn put(&self, subject: &str, letter: Letter) {
        let sent = self.boxes().get(subject).is_some_and(|letters| letters.try_send(letter).is_ok());
        if !sent {
            self.lose();
        }
    }

    pub(crate) fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn boxes(&self) -> MutexGuard<'_, HashMap<&'static str, mpsc::Sender<Letter>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
