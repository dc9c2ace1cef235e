//! What all users of a run share: its clock, its phases, what is known of rooms, and where figures are put.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::sync::watch;

use crate::{
    accounting::{Account, Ledger},
    figures::{Figures, Measure},
    generator::START_LATE_US_MAX,
    places::Places,
    profile::Profile,
    token::Tokens,
};

/// Users put their figures into one of these, so that they seldom wait for each other.
const SHARES: usize = 8;
/// Of faults that are named one by one.
const EXAMPLES_MAX: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Users come in.
    Gathering,
    Loading {
        start_us: u64,
        stop_us: u64,
    },
    /// Nothing is sent any more, and what was sent still arrives.
    Settling {
        until_us: u64,
    },
    Over,
}

pub struct Run {
    pub id: u32,
    pub profile: Profile,
    pub places: Places,
    pub tokens: Tokens,
    began: Instant,
    began_unix_us: u64,
    phase: watch::Sender<Phase>,
    shares: [Mutex<Figures>; SHARES],
    rooms: Mutex<HashMap<u32, Arc<Mutex<Ledger>>>>,
    account: Mutex<Account>,
    examples: Mutex<Vec<String>>,
    pub connected: AtomicU64,
    /// Users that came in, or could not.
    pub arrived: AtomicU32,
    /// Users that have not left yet.
    pub present: AtomicU32,
    /// Messages that wait for their ack.
    pub under_way: AtomicU64,
    pub started: AtomicU64,
    pub started_late: AtomicU64,
    pub out_of_files: AtomicU64,
    pub out_of_ports: AtomicU64,
}

impl Run {
    pub fn new(id: u32, profile: Profile, places: Places, tokens: Tokens) -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let users = profile.users_in_all();
        Self {
            id,
            profile,
            places,
            tokens,
            began: Instant::now(),
            began_unix_us: unix.as_micros() as u64,
            phase: watch::Sender::new(Phase::Gathering),
            shares: Default::default(),
            rooms: Mutex::default(),
            account: Mutex::default(),
            examples: Mutex::default(),
            connected: AtomicU64::new(0),
            arrived: AtomicU32::new(0),
            present: AtomicU32::new(users),
            under_way: AtomicU64::new(0),
            started: AtomicU64::new(0),
            started_late: AtomicU64::new(0),
            out_of_files: AtomicU64::new(0),
            out_of_ports: AtomicU64::new(0),
        }
    }

    /// Microseconds since 1970 that never go back.
    pub fn now_us(&self) -> u64 {
        self.began_unix_us + self.began.elapsed().as_micros() as u64
    }

    pub fn moment(&self, at_us: u64) -> tokio::time::Instant {
        let since = Duration::from_micros(at_us.saturating_sub(self.began_unix_us));
        tokio::time::Instant::from_std(self.began + since)
    }

    pub fn began_ms(&self) -> u64 {
        self.began_unix_us / 1_000
    }

    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    pub fn phases(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    pub fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    pub fn record(&self, user: u32, measure: Measure, us: u64) {
        held(&self.shares[user as usize % SHARES]).record(measure, us);
    }

    pub fn failed(&self, user: u32, measure: Measure, why: &str) {
        held(&self.shares[user as usize % SHARES]).failed(measure, why);
    }

    /// What has come together since the last call.
    pub fn take_figures(&self) -> Figures {
        let mut all = Figures::default();
        for share in &self.shares {
            let part = std::mem::take(&mut *held(share));
            all.add(&part);
        }
        all
    }

    /// Something that was due then begins now, by nobody's fault but the generator's.
    pub fn note_start(&self, due_us: u64, now_us: u64) {
        self.started.fetch_add(1, Ordering::Relaxed);
        if now_us.saturating_sub(due_us) > START_LATE_US_MAX {
            self.started_late.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn room(&self, number: u32) -> Arc<Mutex<Ledger>> {
        Arc::clone(held(&self.rooms).entry(number).or_default())
    }

    /// Of a user that has left.
    pub fn settle(&self, account: &Account) {
        held(&self.account).add(account);
    }

    pub fn account(&self) -> Account {
        let mut account = *held(&self.account);
        account.altered += held(&self.rooms).values().map(|room| held(room).altered).sum::<u64>();
        account
    }

    pub fn example(&self, example: impl FnOnce() -> String) {
        let mut examples = held(&self.examples);
        if examples.len() < EXAMPLES_MAX {
            examples.push(example());
        }
    }

    pub fn examples(&self) -> Vec<String> {
        held(&self.examples).clone()
    }
}

/// Nothing that could panic is done while one of these is held.
pub(crate) fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
