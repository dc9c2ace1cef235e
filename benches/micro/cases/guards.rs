//! What stands between a request and its effect: the check of a rate, and the record of the audit log.

use std::{num::NonZeroU32, path::PathBuf, thread, time::Duration};

use turnpike_audit::{Audit, Closing, Event, Kind, Outcome, Settings, Signer};
use turnpike_guard::limit::{Bucket, Rate};

use super::{Case, case};

/// So many records wait before the one who writes them is waited for.
const QUEUED_MAX: usize = 20_000;
const QUEUE_RECORDS_MAX: usize = 65_536;
const BREATH: Duration = Duration::from_micros(200);

pub(super) fn all() -> Vec<Case> {
    vec![rate(), append()]
}

fn rate() -> Case {
    let count = |count| NonZeroU32::new(count).expect("not zero");
    let rate = Rate::per_second(count(1_000), count(1_000));
    let bucket = Bucket::default();
    let mut now_ms = 0;
    case("rate: check", move || {
        // As many as are allowed: what is refused costs no more.
        now_ms += 1;
        usize::from(bucket.check(&rate, now_ms).is_ok())
    })
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
