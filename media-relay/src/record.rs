//! Recording of streams to files that players open, also when the process was killed in the middle.
//!
//! A shard gives packets to a [`Tap`] and knows nothing else of it. Each recording has a thread of its own, since disks
//! make whoever writes to them wait.

mod ebml;
mod frames;
mod matroska;
mod order;
mod recorder;
mod take;
mod tap;
mod timeline;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use turnpike_wire::{Code, Failure, RoomId};

pub(crate) use frames::{Piece, size_of};
pub(crate) use tap::{Fed, Tap, tap};

/// Whoever asks for one too many may ask again.
const FULL_RETRY_MS: u64 = 5_000;

#[derive(Debug, Clone)]
pub struct RecordConfig {
    /// Where files are written. It is there already.
    pub directory: PathBuf,
    /// At the same time.
    pub recordings_max: usize,
    /// A larger file is ended and another begun.
    pub file_bytes_max: u64,
    /// With less room on the disk nothing is begun, and what runs is ended.
    pub free_bytes_min: u64,
}

impl RecordConfig {
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            recordings_max: 16,
            file_bytes_max: 2 * 1024 * 1024 * 1024,
            free_bytes_min: 512 * 1024 * 1024,
        }
    }
}

/// The recordings of this process.
#[derive(Clone)]
pub(crate) struct Recordings {
    inner: Arc<Inner>,
}

struct Inner {
    config: RecordConfig,
    counters: Arc<Counters>,
    threads: Mutex<Threads>,
}

#[derive(Default)]
struct Threads {
    running: HashMap<RoomId, Running>,
    /// These write what they still have.
    leaving: Vec<JoinHandle<()>>,
}

struct Running {
    name: String,
    thread: JoinHandle<()>,
}

impl Threads {
    /// Forgets those that have ended.
    fn tidy(&mut self) {
        self.running.retain(|_, running| !running.thread.is_finished());
        self.leaving.retain(|thread| !thread.is_finished());
    }
}

/// For metrics.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) recordings_now: AtomicU64,
    pub(crate) written_bytes: AtomicU64,
    pub(crate) files: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) dropped: Arc<AtomicU64>,
}

/// A recording that is about to begin.
pub(crate) struct Begun {
    pub(crate) name: String,
    pub(crate) tap: Tap,
}

impl Recordings {
    pub(crate) fn new(config: RecordConfig) -> Self {
        let counters = Arc::new(Counters::default());
        Self { inner: Arc::new(Inner { config, counters, threads: Mutex::default() }) }
    }

    pub(crate) fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.inner.counters)
    }

    /// Ready to take packets. It ends when the tap is dropped.
    pub(crate) fn begin(&self, stream: &RoomId) -> Result<Begun, Failure> {
        let inner = &self.inner;
        let mut threads = self.threads();
        threads.tidy();
        if threads.running.contains_key(stream) {
            return Err(Failure::new(Code::LimitReached, "the stream is recorded already".to_owned()));
        }
        if threads.running.len() + threads.leaving.len() >= inner.config.recordings_max {
            return Err(Failure::from(Code::LimitReached).retry_after_ms(FULL_RETRY_MS));
        }
        if !recorder::has_room(&inner.config.directory, inner.config.free_bytes_min) {
            tracing::error!("a recording was refused: its disk is full, or cannot be written to");
            return Err(Code::Unavailable.into());
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("{}-{}", escaped(stream.as_str()), moment(now));
        let (tap, intake) = tap(Arc::clone(&inner.counters.dropped));
        let thread = recorder::start(&inner.config, Arc::clone(&inner.counters), name.clone(), intake)
            .map_err(|error| {
                tracing::error!(error = &error as &dyn std::error::Error, "a recorder cannot be started");
                Failure::from(Code::Unavailable)
            })?;
        threads.running.insert(stream.clone(), Running { name: name.clone(), thread });
        Ok(Begun { name, tap })
    }

    /// The name of the stream's recording, if there is one.
    pub(crate) fn name(&self, stream: &RoomId) -> Option<String> {
        let mut threads = self.threads();
        threads.tidy();
        threads.running.get(stream).map(|running| running.name.clone())
    }

    /// The stream's recording ends as soon as its tap is gone; another may begin now.
    pub(crate) fn leave(&self, stream: &RoomId) {
        let mut threads = self.threads();
        if let Some(running) = threads.running.remove(stream) {
            threads.leaving.push(running.thread);
        }
    }

    /// Waits until all whose taps are gone have written what they have. To be called when no shard runs any more.
    pub(crate) fn finish(&self) {
        let Threads { running, leaving } = std::mem::take(&mut *self.threads());
        for thread in running.into_values().map(|running| running.thread).chain(leaving) {
            if thread.join().is_err() {
                tracing::error!("a recorder had panicked");
            }
        }
    }

    fn threads(&self) -> MutexGuard<'_, Threads> {
        self.inner.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name of a stream as part of a file's: what has a meaning in paths or shells is written as its number.
fn escaped(stream: &str) -> String {
    let mut out = String::with_capacity(stream.len());
    for byte in stream.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => out.push(char::from(byte)),
            _ => {
                const DIGITS: [u8; 16] = *b"0123456789ABCDEF";
                let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
                out.extend(['%', digit(byte >> 4), digit(byte & 0x0f)]);
            }
        }
    }
    // With the time and the number, no file system takes more.
    out.truncate(200);
    out
}

/// As in `20260704T183005Z`.
fn moment(since_1970: Duration) -> String {
    let seconds = since_1970.as_secs();
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March, in eras of 400 of them.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// Where the file of that number is.
fn file_path(directory: &Path, name: &str, number: u32, extension: &str) -> PathBuf {
    directory.join(format!("{name}-{number:03}.{extension}"))
}

fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_of_letters_and_digits() {
        assert_eq!(escaped("live:show_1"), "live%3Ashow_1");
        assert_eq!(escaped("../../etc"), "%2E%2E%2F%2E%2E%2Fetc");
        assert!(escaped(&"/".repeat(500)).len() <= 200);
    }

    #[test]
    fn a_moment_is_written_as_calendars_have_it() {
        for (seconds, written) in [
            (0, "19700101T000000Z"),
            (951_782_400, "20000229T000000Z"),
            (1_783_189_805, "20260704T183005Z"),
            (4_107_542_399, "21000228T235959Z"),
        ] {
            assert_eq!(moment(Duration::from_secs(seconds)), written);
        }
    }
}
