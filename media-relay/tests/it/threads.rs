//! Which thread is a relay's shard.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// One relay begins at a time, so that the thread that is new is its own.
static STARTING: Mutex<()> = Mutex::new(());

/// Starts a relay of one shard. Gives its thread as well.
pub(crate) fn of_a_shard<R>(start: impl FnOnce() -> R) -> (R, String) {
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    let before = shards();
    let relay = start();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        // A thread has its name a moment after it has begun.
        if let Some(thread) = shards().difference(&before).next() {
            return (relay, thread.clone());
        }
        assert!(std::time::Instant::now() < end, "no shard has begun");
        std::thread::yield_now();
    }
}

fn shards() -> BTreeSet<String> {
    let of_a_shard = |thread: &String| {
        let name = std::fs::read_to_string(format!("/proc/self/task/{thread}/comm"));
        name.is_ok_and(|name| name.starts_with("media-"))
    };
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    threads.map(|thread| thread.unwrap().file_name().into_string().unwrap()).filter(of_a_shard).collect()
}
