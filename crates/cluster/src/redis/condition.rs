//! How the plane is, put together from its parts: each says under its own name what is wrong with it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;

use tokio::sync::watch;

use crate::{Breaker, Condition};

pub(crate) struct Conditions {
    faults: Mutex<BTreeMap<String, String>>,
    latest: watch::Sender<Condition>,
}

impl Default for Conditions {
    fn default() -> Self {
        Self { faults: Mutex::default(), latest: watch::Sender::new(Condition::default()) }
    }
}

impl Conditions {
    pub(crate) fn watch(&self) -> watch::Receiver<Condition> {
        self.latest.subscribe()
    }

    /// `part` names what is wrong, so that it can be said again or taken back.
    pub(crate) fn wrong(&self, part: &str, words: impl Into<String>) {
        self.change(|faults| {
            faults.insert(part.to_owned(), words.into());
        });
    }

    pub(crate) fn right(&self, part: &str) {
        self.change(|faults| {
            faults.remove(part);
        });
    }

    pub(crate) fn breakers(&self, breakers: Vec<Breaker>) {
        self.latest.send_if_modified(|latest| {
            let changed = latest.breakers != breakers;
            latest.breakers = breakers;
            changed
        });
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, String>)) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut faults);
        let faults: Vec<String> = faults.values().cloned().collect();
        self.latest.send_if_modified(|latest| {
            let changed = latest.faults != faults;
            latest.faults = faults;
            changed
        });
    }
}
