//! What stands between a request and its effect: the check of a rate, and the record of the audit log.

use std::{
    num::NonZeroU32,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use governor::{Quota, RateLimiter};
use turnpike_audit::{Audit, Closing, Event, Kind, Outcome, Settings, Signer};
use turnpike_guard::limit::{Bucket, Rate, Table};

use super::{Case, case};

/// So many records wait before the one who writes them is waited for.
const QUEUED_MAX: usize = 20_000;
const QUEUE_RECORDS_MAX: usize = 65_536;
const BREATH: Duration = Duration::from_micros(200);

pub(super) fn all() -> Vec<Case> {
    vec![rate(), rate_and_clock(), rate_by_key(), governor(), governor_by_key(), append()]
}

/// Where one of many is asked for.
const USERS: usize = 10_000;

fn count(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).expect("not zero")
}

/// What nobody reaches: what is refused costs no more.
fn plenty() -> Rate {
    Rate::per_second(count(1_000), count(1_000))
}

/// As a gateway does it: the bucket lies with the connection, and time was looked at for the whole turn.
fn rate() -> Case {
    let (rate, bucket) = (plenty(), Bucket::default());
    let mut now_ms = 0;
    case("rate: check", move || {
        now_ms += 1;
        usize::from(bucket.check(&rate, now_ms).is_ok())
    })
}

/// For comparing with what reads the clock for each check.
fn rate_and_clock() -> Case {
    let rate = Rate::per_second(count(1_000_000_000), count(1_000_000_000));
    let (bucket, begun) = (Bucket::default(), Instant::now());
    let reads_the_clock = case("rate: check, the clock read for it", move || {
        usize::from(bucket.check(&rate, begun.elapsed().as_millis() as u64).is_ok())
    });
    Case { counted: false, ..reads_the_clock }
}

fn names() -> Vec<String> {
    (0..USERS).map(|user| format!("user-{user}")).collect()
}

fn rate_by_key() -> Case {
    let (rate, names, table) = (plenty(), names(), Table::<str>::new(2 * USERS));
    for name in &names {
        assert!(table.check(name, &rate, 0).is_ok(), "the first of each");
    }
    let mut number = 0;
    let by_key = case("rate: check, one of 10,000 users", move || {
        number += 1;
        usize::from(table.check(&names[number % USERS], &rate, number as u64).is_ok())
    });
    Case { round: USERS as u64, ..by_key }
}

/// The crate that ours does its arithmetic with, as its users have it.
fn governor() -> Case {
    let limiter = RateLimiter::direct(Quota::per_second(count(1_000_000_000)));
    let reads_the_clock =
        case("rate: governor, the clock read for it", move || usize::from(limiter.check().is_ok()));
    Case { counted: false, ..reads_the_clock }
}

fn governor_by_key() -> Case {
    let names = names();
    let limiter = RateLimiter::keyed(Quota::per_second(count(1_000_000_000)));
    for name in &names {
        assert!(limiter.check_key(name).is_ok(), "the first of each");
    }
    let mut number = 0;
    let reads_the_clock = case("rate: governor, one of 10,000 users", move || {
        number += 1;
        usize::from(limiter.check_key(&names[number % USERS]).is_ok())
    });
    Case { counted: false, ..reads_the_clock }
}

/// One of very many: until it is chained, hashed into the tree, and on disk with its neighbours.
fn append() -> Case {
    let mut log = None;
    let mut user = 0_u32;
    let threads_take_turns = case("audit: append", move || {
        let log: &mut Log = log.get_or_insert_with(Log::open);
        while log.audit.queued() > QUEUED_MAX {
            thread::sleep(BREATH);
        }
        user = user.wrapping_add(1);
        let event = Event::new(Kind::Login, Outcome::Success)
            .user(format!("user-{}", user % 1_000))
            .address("192.0.2.7")
            .transport("websocket");
        log.audit.note(event);
        1
    });
    Case { counted: false, ..threads_take_turns }
}

/// A log that is gone afterwards.
struct Log {
    audit: Audit,
    closing: Option<Closing>,
    directory: PathBuf,
}

impl Log {
    fn open() -> Self {
        let directory = std::env::temp_dir().join(format!("bench-audit-{}", std::process::id()));
        let settings =
            Settings { queue_records_max: QUEUE_RECORDS_MAX, ..Settings::new(&directory, "bench") };
        let signer = Signer::from_seed("turnpike/bench", [1; 32]).expect("a seed makes a key");
        let (audit, closing) =
            Audit::open(&settings, vec![signer], Box::new(())).expect("the directory is ours");
        Self { audit, closing: Some(closing), directory }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(closing) = self.closing.take() {
            closing.close();
        }
        std::fs::remove_dir_all(&self.directory).ok();
    }
}
