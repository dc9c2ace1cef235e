//! What all users of a run share: its clock, its phases, what is known of rooms, and where figures are put.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rustls::ClientConfig;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

use crate::{
    accounting::{Account, Ledger},
    dialect::Dialect,
    figures::{Figures, Measure},
    generator::START_LATE_US_MAX,
    parts::{Head, Part},
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

/// Apart from its neighbours, so that threads do not take each other's out of the cache.
#[derive(Default)]
#[repr(align(128))]
struct Share(Mutex<Figures>);

pub struct Run {
    pub id: u32,
    /// Of all users.
    pub part: Part,
    pub profile: Profile,
    pub places: Places,
    pub tokens: Tokens,
    pub dialect: Dialect,
    pub tls: TlsConnector,
    began: Instant,
    began_unix_us: u64,
    phase: watch::Sender<Phase>,
    shares: [Share; SHARES],
    rooms: Mutex<HashMap<u32, Arc<Mutex<Ledger>>>>,
    /// Each once, however many members have it at hand.
    room_names: Mutex<HashMap<u32, Arc<str>>>,
    account: Mutex<Account>,
    examples: Mutex<Vec<String>>,
    /// Streams that are there, of this process.
    pub published: watch::Sender<BTreeSet<u32>>,
    pub connected: AtomicU64,
    /// Users that came in, or could not.
    pub arrived: AtomicU32,
    /// The same of all other parts.
    others_done: AtomicBool,
    /// Messages that wait for their ack.
    pub under_way: AtomicU64,
    pub started: AtomicU64,
    pub started_late: AtomicU64,
    pub out_of_files: AtomicU64,
    pub out_of_ports: AtomicU64,
}

impl Run {
    pub fn new(
        id: u32,
        part: Part,
        profile: Profile,
        places: Places,
        tokens: Tokens,
        tls: Arc<ClientConfig>,
    ) -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let dialect = profile.app.clone().map_or(Dialect::Turnpike(profile.transport), Dialect::App);
        Self {
            id,
            part,
            dialect,
            tls: tls.into(),
            profile,
            places,
            tokens,
            began: Instant::now(),
            began_unix_us: unix.as_micros() as u64,
            phase: watch::Sender::new(Phase::Gathering),
            shares: Default::default(),
            rooms: Mutex::default(),
            room_names: Mutex::default(),
            account: Mutex::default(),
            examples: Mutex::default(),
            published: watch::Sender::default(),
            connected: AtomicU64::new(0),
            arrived: AtomicU32::new(0),
            others_done: AtomicBool::new(false),
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

    fn share(&self, user: u32) -> &Mutex<Figures> {
        &self.shares[user as usize % SHARES].0
    }

    pub fn record(&self, user: u32, measure: Measure, us: u64) {
        held(self.share(user)).record(measure, us);
    }

    pub fn failed(&self, user: u32, measure: Measure, why: &str) {
        held(self.share(user)).failed(measure, why);
    }

    /// What has come together since the last call.
    pub fn take_figures(&self) -> Figures {
        let mut all = Figures::default();
        for share in &self.shares {
            held(&share.0).move_to(&mut all);
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

    /// In this process.
    pub fn users(&self) -> u32 {
        self.part.share(self.profile.users)
    }

    pub fn backends(&self) -> u32 {
        self.profile.api.as_ref().map_or(0, |api| self.part.share(api.users))
    }

    pub fn streams(&self) -> u32 {
        self.profile.video.as_ref().map_or(0, |video| self.part.share(video.streams))
    }

    pub fn viewers(&self) -> u32 {
        self.profile.video.as_ref().map_or(0, |video| self.part.share(video.viewers))
    }

    pub fn stream_name(&self, number: u32) -> String {
        format!("live:load-{:x}.{number}", self.id)
    }

    pub fn add_frames_published(&self, frames: u64) {
        held(&self.account).frames_published += frames;
    }

    /// Neither this run's rooms nor those of others are met by chance.
    pub fn room_name(&self, number: u32) -> Arc<str> {
        let name = || format!("load:{:x}.{number}", self.id).into();
        Arc::clone(held(&self.room_names).entry(number).or_insert_with(name))
    }

    pub fn room(&self, number: u32) -> Arc<Mutex<Ledger>> {
        Arc::clone(held(&self.rooms).entry(number).or_default())
    }

    /// How far all rooms have come.
    pub fn heads(&self) -> Vec<Head> {
        let rooms: Vec<(u32, Arc<Mutex<Ledger>>)> =
            held(&self.rooms).iter().map(|(number, ledger)| (*number, Arc::clone(ledger))).collect();
        let head = |(room, ledger): (u32, Arc<Mutex<Ledger>>)| {
            let ledger = held(&ledger);
            let (epoch, place) = ledger.head();
            Head {
                room,
                epoch,
                place,
                taken: ledger.taken().iter().map(|(sender, last)| (*sender, *last)).collect(),
            }
        };
        rooms.into_iter().map(head).collect()
    }

    fn learn_heads(&self, heads: &[Head]) {
        for head in heads {
            let ledger = self.room(head.room);
            let mut ledger = held(&ledger);
            ledger.learn(head.epoch, head.place);
            for (sender, last) in &head.taken {
                ledger.taken_from(*sender, *last);
            }
        }
    }

    /// How far all parts are.
    pub fn learn(&self, under_way: u64, heads: &[Head]) {
        self.learn_heads(heads);
        let settling = matches!(self.phase(), Phase::Settling { .. });
        self.others_done.store(settling && under_way == 0, Ordering::Relaxed);
    }

    /// What a part has measured.
    pub fn take_in(&self, figures: &Figures, heads: &[Head]) {
        held(self.share(0)).add(figures);
        self.learn_heads(heads);
    }

    /// Nobody, here or in another part, waits for an ack.
    pub fn is_quiet(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) == 0
            && (self.part == Part::WHOLE || self.others_done.load(Ordering::Relaxed))
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
