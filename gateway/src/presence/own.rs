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

use smallvec::SmallVec;
use turnpike_cluster::{Change, Row, RowKey};
use turnpike_wire::UserId;

use super::look::Look;

/// How long a connection that broke may take to come back unnoticed.
pub(crate) const GRACE_MS: u64 = 4_000;
/// Rows of one call: with the longest activities half a megabyte.
const BATCH_ROWS_MAX: usize = 500;
/// However the store wants it.
const RETRY_MS_MIN: u64 = 250;
const RETRY_MS_MAX: u64 = 5_000;

/// Most rooms are personal ones and hold one row, so that one is kept small.
#[derive(Debug)]
pub(crate) struct OwnRows<H> {
    /// In a personal room it matters that somebody is connected, in others only what is to be seen.
    invisible_too: bool,
    users: HashMap<UserId, Vec<Device<H>>>,
    /// Devices without a connection, and until when they stay; some have one again.
    leaving: VecDeque<(u64, RowKey)>,
    /// Rows that are not as they were written.
    dirty: BTreeSet<RowKey>,
    writing: Writing,
}

#[derive(Debug)]
struct Device<H> {
    name: Box<str>,
    holders: SmallVec<[H; 1]>,
    /// None: it is gone, and the store may not know.
    look: Option<Look>,
    until_ms: Option<u64>,
    /// The store may have it.
    tried: bool,
}

#[derive(Debug)]
enum Writing {
    Nothing,
    /// Is under way.
    Batch(Vec<RowKey>),
    /// Has failed.
    Again {
        rows: Vec<RowKey>,
        at_ms: u64,
    },
}

impl<H: Copy + Eq> OwnRows<H> {
    pub(crate) fn new(invisible_too: bool) -> Self {
        Self {
            invisible_too,
            users: HashMap::new(),
            leaving: VecDeque::new(),
            dirty: BTreeSet::new(),
            writing: Writing::Nothing,
        }
    }

    /// Nothing is here, and nothing of it in the store.
    pub(crate) fn is_empty(&self) -> bool {
        self.users.is_empty() && self.dirty.is_empty() && matches!(self.writing, Writing::Nothing)
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = (RowKey, &Look)> {
        self.users.iter().flat_map(|(user, devices)| {
            let row = |device: &'_ Device<H>| RowKey { user: user.clone(), device: device.name.clone() };
            devices.iter().filter_map(move |device| Some((row(device), device.look.as_ref()?)))
        })
    }

    pub(crate) fn holds(&self, user: &UserId, holder: &H) -> bool {
        let devices = self.users.get(user);
        devices.is_some_and(|devices| devices.iter().any(|device| device.holders.contains(holder)))
    }

    /// How the connection's device looks.
    pub(crate) fn look(&self, user: &UserId, holder: &H) -> Option<&Look> {
        let devices = self.users.get(user)?;
        devices.iter().find(|device| device.holders.contains(holder))?.look.as_ref()
    }

    /// The connection is there as this device, and looks like this. The last one to say so is believed. Gives the device
    /// that it was before, if it was another one and that is gone.
    pub(crate) fn enter(&mut self, holder: H, key: &RowKey, look: &Look) -> Option<RowKey> {
        let before = self.held(&key.user, &holder).is_some_and(|device| device.name != key.device);
        let gone = if before { self.leave(&key.user, &holder) } else { None };
        let device = self.device(key);
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
            self.device(&key).until_ms = Some(until_ms);
            self.leaving.push_back((until_ms, key));
        }
    }

    /// Gives the device, if this was its last connection.
    fn let_go(&mut self, user: &UserId, holder: &H) -> Option<RowKey> {
        let device = self.held(user, holder)?;
        device.holders.retain(|other| other != holder);
        let key = RowKey { user: user.clone(), device: device.name.clone() };
        device.holders.is_empty().then_some(key)
    }

    fn held(&mut self, user: &UserId, holder: &H) -> Option<&mut Device<H>> {
        self.users.get_mut(user)?.iter_mut().find(|device| device.holders.contains(holder))
    }

    /// Devices whose grace is over.
    pub(crate) fn expire(&mut self, now_ms: u64) -> Vec<RowKey> {
        let mut gone = Vec::new();
        while let Some((until_ms, _)) = self.leaving.front()
            && *until_ms <= now_ms
        {
            let Some((until_ms, key)) = self.leaving.pop_front() else { break };
            if let Some(device) = self.find(&key)
                && device.until_ms == Some(until_ms)
                && device.look.is_some()
            {
                self.take_away(&key);
                gone.push(key);
            }
        }
        gone
    }

    /// The store may have forgotten what was written.
    pub(crate) fn write_all_again(&mut self) {
        let keys: Vec<RowKey> = self.rows().map(|(key, _)| key).collect();
        for key in keys {
            self.touch(&key);
        }
    }

    /// What the store has of this node. What is not as it should be is written again.
    pub(crate) fn compare(&mut self, mut stored: HashMap<RowKey, Row>) {
        let keys: Vec<RowKey> = self.rows().map(|(key, _)| key).collect();
        for key in keys {
            if stored.remove(&key) != self.wanted(&key) {
                self.touch(&key);
            }
        }
        for (key, _) in stored {
            self.device(&key).tried = true;
            self.touch(&key);
        }
    }

    /// What is to be written now. Until [`OwnRows::written`] there is nothing more.
    pub(crate) fn batch(&mut self, now_ms: u64) -> Option<Vec<Change>> {
        let rows = match std::mem::replace(&mut self.writing, Writing::Nothing) {
            Writing::Nothing => self.next_dirty(),
            Writing::Again { rows, at_ms } if at_ms <= now_ms => {
                for key in &rows {
                    self.dirty.remove(key);
                }
                rows
            }
            waiting => {
                self.writing = waiting;
                return None;
            }
        };
        if rows.is_empty() {
            return None;
        }
        let mut changes = Vec::with_capacity(rows.len());
        for key in &rows {
            let row = self.wanted(key);
            let device = self.device(key);
            device.tried = true;
            changes.push(Change { key: key.clone(), row });
        }
        self.writing = Writing::Batch(rows);
        Some(changes)
    }

    fn next_dirty(&mut self) -> Vec<RowKey> {
        let mut rows = Vec::new();
        while rows.len() < BATCH_ROWS_MAX
            && let Some(key) = self.dirty.pop_first()
        {
            if self.wanted(&key).is_some() || self.find(&key).is_some_and(|device| device.tried) {
                rows.push(key);
            }
        }
        rows
    }

    /// How the writing of the batch went; an error says after how long to try again.
    pub(crate) fn written(&mut self, result: Result<(), u64>, now_ms: u64) {
        let Writing::Batch(rows) = std::mem::replace(&mut self.writing, Writing::Nothing) else { return };
        match result {
            Ok(()) => {
                for key in rows {
                    // One that has changed meanwhile is written once more.
                    let tried = self.wanted(&key).is_some() || self.dirty.contains(&key);
                    self.device(&key).tried = tried;
                    self.forget_if_gone(&key);
                }
            }
            Err(after_ms) => {
                let at_ms = now_ms + after_ms.clamp(RETRY_MS_MIN, RETRY_MS_MAX);
                self.writing = Writing::Again { rows, at_ms };
            }
        }
    }

    /// When there is something to do next: at once, if the number is in the past.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        let write_ms = match &self.writing {
            Writing::Batch(_) => None,
            Writing::Again { at_ms, .. } => Some(*at_ms),
            Writing::Nothing => (!self.dirty.is_empty()).then_some(0),
        };
        let leave_ms = self.leaving.front().map(|(until_ms, _)| *until_ms);
        write_ms.into_iter().chain(leave_ms).min()
    }

    fn wanted(&self, key: &RowKey) -> Option<Row> {
        let devices = self.users.get(&key.user)?;
        let look = devices.iter().find(|device| device.name == key.device)?.look.as_ref()?;
        (self.invisible_too || look.is_visible()).then(|| look.to_row())
    }

    fn find(&mut self, key: &RowKey) -> Option<&mut Device<H>> {
        self.users.get_mut(&key.user)?.iter_mut().find(|device| device.name == key.device)
    }

    /// The device, known or new.
    fn device(&mut self, key: &RowKey) -> &mut Device<H> {
        let devices = self.users.entry(key.user.clone()).or_default();
        let index = devices.iter().position(|device| device.name == key.device).unwrap_or_else(|| {
            devices.reserve_exact(1);
            devices.push(Device {
                name: key.device.clone(),
                holders: SmallVec::new(),
                look: None,
                until_ms: None,
                tried: false,
            });
            devices.len() - 1
        });
        &mut devices[index]
    }

    fn touch(&mut self, key: &RowKey) {
        if !self.dirty.contains(key) {
            self.dirty.insert(key.clone());
        }
    }

    fn take_away(&mut self, key: &RowKey) {
        let device = self.device(key);
        device.look = None;
        if device.tried {
            self.touch(key);
        } else {
            self.dirty.remove(key);
            self.forget_if_gone(key);
        }
    }

    fn forget_if_gone(&mut self, key: &RowKey) {
        let Some(devices) = self.users.get_mut(&key.user) else { return };
        devices.retain(|device| device.name != key.device || device.look.is_some() || device.tried);
        if devices.is_empty() {
            self.users.remove(&key.user);
        }
    }
}

#[cfg(test)]
mod tests;
