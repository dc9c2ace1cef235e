//! The rows of a room that this node has written, or is to write: one for each device of its users there. Several
//! connections can be one device.
//!
//! - A connection that breaks keeps its row for a grace, one that leaves takes it along.
//! - One batch at a time is being written. One that failed is written again until it succeeds, with what its rows are by
//!   then; nothing else is tried before. So nothing that was never tried has to be taken back, and what waits is no more
//!   than there were devices when the store went away.
//!
//! Pure: events and `now_ms` in, batches out. `H` names a connection.

use std::collections::{BTreeSet, HashMap, VecDeque};

use turnpike_cluster::{Change, Row, RowKey};
use turnpike_wire::UserId;

use super::devices::{Device, Devices};
use super::look::Look;

/// How long a connection that broke may take to come back unnoticed.
pub(crate) const GRACE_MS: u64 = 4_000;
/// Rows of one call: with the longest activities half a megabyte.
const BATCH_ROWS_MAX: usize = 500;
/// However the store wants it.
const RETRY_MS_MIN: u64 = 250;
const RETRY_MS_MAX: u64 = 5_000;

#[derive(Debug)]
pub(crate) struct OwnRows<H> {
    /// In a personal room it matters that somebody is connected, in others only what is to be seen.
    invisible_too: bool,
    devices: Devices<H>,
    /// As long as something waits, which is seldom.
    work: Option<Box<Work>>,
}

#[derive(Debug, Default)]
struct Work {
    /// Devices without a connection, and until when they stay; some have one again.
    leaving: VecDeque<(u64, RowKey)>,
    /// Rows that are not as they were written.
    dirty: BTreeSet<RowKey>,
    writing: Writing,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Writing {
    #[default]
    Nothing,
    /// Is under way.
    Batch(Vec<RowKey>),
    /// Has failed.
    Again { rows: Vec<RowKey>, at_ms: u64 },
}

impl<H: Copy + Eq> OwnRows<H> {
    pub(crate) fn new(invisible_too: bool) -> Self {
        Self { invisible_too, devices: Devices::new(), work: None }
    }

    /// Nothing is here, and nothing of it in the store.
    pub(crate) fn is_empty(&self) -> bool {
        self.devices.is_empty()
            && self.work.as_ref().is_none_or(|work| work.dirty.is_empty() && work.writing == Writing::Nothing)
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = (&RowKey, &Look)> {
        self.devices.iter().filter_map(|device| Some((&device.key, device.look.as_ref()?)))
    }

    pub(crate) fn holds(&self, user: &UserId, holder: &H) -> bool {
        self.devices.find(user, |device| device.holders.contains(holder)).is_some()
    }

    /// How the connection's device looks.
    pub(crate) fn look(&self, user: &UserId, holder: &H) -> Option<&Look> {
        self.devices.find(user, |device| device.holders.contains(holder))?.look.as_ref()
    }

    /// The connection is there as this device, and looks like this. The last one to say so is believed. Gives the device
    /// that it was before, if it was another one and that is gone.
    pub(crate) fn enter(&mut self, holder: H, key: &RowKey, look: &Look) -> Option<RowKey> {
        let held = self.held(&key.user, &holder);
        let gone =
            if held.is_some_and(|device| device.key != *key) { self.leave(&key.user, &holder) } else { None };
        let device = self.devices.get_or_new(key);
        device.until_ms = None;
        if !device.holders.contains(&holder) {
            device.holders.push(holder);
        }
        if device.look.as_ref() != Some(look) {
            device.look = Some(look.clone());
            self.touch(key);
        }
        gone
    }

    /// The connection leaves on purpose. Gives its device, if that is gone with it.
    pub(crate) fn leave(&mut self, user: &UserId, holder: &H) -> Option<RowKey> {
        let key = self.let_go(user, holder)?;
        self.take_away(&key);
        Some(key)
    }

    /// The connection is broken.
    pub(crate) fn lose(&mut self, user: &UserId, holder: &H, now_ms: u64) {
        if let Some(key) = self.let_go(user, holder) {
            let until_ms = now_ms + GRACE_MS;
            self.devices.get_or_new(&key).until_ms = Some(until_ms);
            self.work().leaving.push_back((until_ms, key));
        }
    }

    /// Gives the device, if this was its last connection.
    fn let_go(&mut self, user: &UserId, holder: &H) -> Option<RowKey> {
        let device = self.held(user, holder)?;
        device.holders.retain(|other| other != holder);
        device.holders.is_empty().then(|| device.key.clone())
    }

    fn held(&mut self, user: &UserId, holder: &H) -> Option<&mut Device<H>> {
        self.devices.find_mut(user, |device| device.holders.contains(holder))
    }

    /// Devices whose grace is over.
    pub(crate) fn expire(&mut self, now_ms: u64) -> Vec<RowKey> {
        let mut gone = Vec::new();
        while let Some(work) = &mut self.work
            && let Some((until_ms, key)) = work.leaving.pop_front_if(|(until_ms, _)| *until_ms <= now_ms)
        {
            let device = self.devices.get(&key);
            if device.is_some_and(|device| device.until_ms == Some(until_ms) && device.look.is_some()) {
                self.take_away(&key);
                gone.push(key);
            }
        }
        self.rest();
        gone
    }

    /// The store may have forgotten what was written.
    pub(crate) fn write_all_again(&mut self) {
        let keys: Vec<RowKey> = self.rows().map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.touch(&key);
        }
    }

    /// What the store has of this node. What is not as it should be is written again.
    pub(crate) fn compare(&mut self, mut stored: HashMap<RowKey, Row>) {
        let keys: Vec<RowKey> = self.rows().map(|(key, _)| key.clone()).collect();
        for key in keys {
            if stored.remove(&key) != self.wanted(&key) {
                self.touch(&key);
            }
        }
        for (key, _) in stored {
            self.devices.get_or_new(&key).tried = true;
            self.touch(&key);
        }
    }

    /// What is to be written now. Until [`OwnRows::written`] there is nothing more.
    pub(crate) fn batch(&mut self, now_ms: u64) -> Option<Vec<Change>> {
        let work = self.work.as_mut()?;
        let rows = match std::mem::take(&mut work.writing) {
            Writing::Nothing => self.next_dirty(),
            Writing::Again { rows, at_ms } if at_ms <= now_ms => {
                for key in &rows {
                    work.dirty.remove(key);
                }
                rows
            }
            waiting => {
                work.writing = waiting;
                return None;
            }
        };
        if rows.is_empty() {
            self.rest();
            return None;
        }
        let mut changes = Vec::with_capacity(rows.len());
        for key in &rows {
            let row = self.wanted(key);
            self.devices.get_or_new(key).tried = true;
            changes.push(Change { key: key.clone(), row });
        }
        self.work().writing = Writing::Batch(rows);
        Some(changes)
    }

    fn next_dirty(&mut self) -> Vec<RowKey> {
        let mut rows = Vec::new();
        while rows.len() < BATCH_ROWS_MAX
            && let Some(key) = self.work.as_mut().and_then(|work| work.dirty.pop_first())
        {
            if self.wanted(&key).is_some() || self.devices.get(&key).is_some_and(|device| device.tried) {
                rows.push(key);
            }
        }
        rows
    }

    /// How the writing of the batch went; an error says after how long to try again.
    pub(crate) fn written(&mut self, result: Result<(), u64>, now_ms: u64) {
        let Some(work) = &mut self.work else { return };
        let rows = match std::mem::take(&mut work.writing) {
            Writing::Batch(rows) => rows,
            other => {
                work.writing = other;
                return;
            }
        };
        match result {
            Ok(()) => {
                for key in rows {
                    // One that has changed meanwhile is written once more.
                    let tried = self.wanted(&key).is_some() || self.work().dirty.contains(&key);
                    self.devices.get_or_new(&key).tried = tried;
                    self.forget_if_gone(&key);
                }
                self.rest();
            }
            Err(after_ms) => {
                let at_ms = now_ms + after_ms.clamp(RETRY_MS_MIN, RETRY_MS_MAX);
                work.writing = Writing::Again { rows, at_ms };
            }
        }
    }

    /// When there is something to do next: at once, if the number is in the past.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        let work = self.work.as_ref()?;
        let write_ms = match &work.writing {
            Writing::Batch(_) => None,
            Writing::Again { at_ms, .. } => Some(*at_ms),
            Writing::Nothing => (!work.dirty.is_empty()).then_some(0),
        };
        let leave_ms = work.leaving.front().map(|(until_ms, _)| *until_ms);
        write_ms.into_iter().chain(leave_ms).min()
    }

    fn wanted(&self, key: &RowKey) -> Option<Row> {
        let look = self.devices.get(key)?.look.as_ref()?;
        (self.invisible_too || look.is_visible()).then(|| look.to_row())
    }

    fn work(&mut self) -> &mut Work {
        self.work.get_or_insert_default()
    }

    /// Nothing waits any more.
    fn rest(&mut self) {
        let rests = |work: &Work| {
            work.leaving.is_empty() && work.dirty.is_empty() && work.writing == Writing::Nothing
        };
        if self.work.as_deref().is_some_and(rests) {
            self.work = None;
        }
    }

    fn touch(&mut self, key: &RowKey) {
        let work = self.work();
        if !work.dirty.contains(key) {
            work.dirty.insert(key.clone());
        }
    }

    fn take_away(&mut self, key: &RowKey) {
        let device = self.devices.get_or_new(key);
        device.look = None;
        if device.tried {
            self.touch(key);
        } else {
            self.work().dirty.remove(key);
            self.forget_if_gone(key);
        }
    }

    fn forget_if_gone(&mut self, key: &RowKey) {
        if self.devices.get(key).is_some_and(|device| device.look.is_none() && !device.tried) {
            self.devices.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
