//! When users were last seen, on disk.

use redb::WriteTransaction;
use turnpike_wire::{RoomId, UserId};

use crate::Unavailable;
use crate::embedded::disk::{Fault, LAST_SEEN, Work};

pub(super) type Whom = (RoomId, UserId);

/// Nobody waits for it: at worst somebody was last seen before the disk failed.
#[derive(Default)]
pub(super) struct Note {
    /// By the wall clock, and by the steady one.
    pub(super) seen: Vec<(Whom, u64, u64)>,
    /// There is no more room for them, or their month is over.
    pub(super) forgotten: Vec<Whom>,
}

impl Note {
    pub(super) fn is_empty(&self) -> bool {
        self.seen.is_empty() && self.forgotten.is_empty()
    }
}

impl Work for Note {
    fn write(&mut self, transaction: &WriteTransaction) -> Result<(), Fault> {
        let mut table = transaction.open_table(LAST_SEEN)?;
        for (whom, unix_ms, steady_ms) in &self.seen {
            table.insert(&*row(whom), (*unix_ms, *steady_ms))?;
        }
        for whom in &self.forgotten {
            table.remove(&*row(whom))?;
        }
        Ok(())
    }

    fn done(self: Box<Self>, _: Result<(), Unavailable>) {}
}

fn row((room, user): &Whom) -> String {
    format!("{room} {user}")
}
