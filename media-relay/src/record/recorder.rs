//! The thread of one recording: takes packets, writes files.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::RecvTimeoutError;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::take::{Sink, Take};
use super::tap::Intake;
use super::{Counters, RecordConfig, count, file_path};

/// How often it looks for what is due when nothing comes.
const TICK: Duration = Duration::from_millis(50);
/// How often what is written is brought to the disk itself: what a machine that loses its power loses.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);
/// Files of one recording. A name that is taken is passed over.
const FILES_MAX: u32 = 10_000;

pub(super) fn start(
    config: &RecordConfig,
    counters: Arc<Counters>,
    name: String,
    intake: Intake,
) -> io::Result<JoinHandle<()>> {
    let disk = Disk {
        config: config.clone(),
        counters,
        name,
        number: 0,
        file: None,
        synced: Instant::now(),
        failure: None,
    };
    let take = Take::new(disk, config.file_bytes_max);
    thread::Builder::new().name("media-record".to_owned()).spawn(move || run(take, &intake))
}

fn run(mut take: Take<Disk>, intake: &Intake) {
    let counters = Arc::clone(&take.sink.counters);
    counters.recordings_now.fetch_add(1, Ordering::Relaxed);
    let mut ticked = Instant::now();
    loop {
        match intake.fed.recv_timeout(TICK) {
            Ok(fed) => {
                if !take.packet(Instant::now(), fed) {
                    intake.shared.drop_one();
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        let now = Instant::now();
        if now.saturating_duration_since(ticked) >= TICK {
            ticked = now;
            take.tick(now);
            for track in take.wishes() {
                intake.shared.wish(track);
            }
            take.sink.sync(now);
        }
        if take.sink.failure.is_some() {
            break;
        }
    }
    take.end(Instant::now());
    take.sink.close();
    counters.recordings_now.fetch_sub(1, Ordering::Relaxed);
    if let Some(error) = &take.sink.failure {
        count(&counters.failures, 1);
        tracing::error!(
            error = error as &dyn std::error::Error,
            "a recording has ended: it cannot be written"
        );
    }
}

/// Whether the disk has that much room.
pub(super) fn has_room(directory: &Path, free_bytes_min: u64) -> bool {
    rustix::fs::statvfs(directory)
        .is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) >= free_bytes_min)
}

/// The files of one recording. After a failure nothing more is written.
struct Disk {
    config: RecordConfig,
    counters: Arc<Counters>,
    name: String,
    number: u32,
    file: Option<File>,
    synced: Instant,
    failure: Option<io::Error>,
}

impl Disk {
    /// At most once in a while, and only what has been written since.
    fn sync(&mut self, now: Instant) {
        if now.saturating_duration_since(self.synced) < SYNC_INTERVAL || self.file.is_none() {
            return;
        }
        self.synced = now;
        if !has_room(&self.config.directory, self.config.free_bytes_min) {
            let full = io::Error::new(io::ErrorKind::StorageFull, "too little room is left");
            self.failure.get_or_insert(full);
        }
        self.attempt(File::sync_data);
    }

    fn close(&mut self) {
        self.attempt(File::sync_all);
        self.file = None;
    }

    fn attempt(&mut self, work: impl FnOnce(&File) -> io::Result<()>) {
        if let Some(file) = &self.file
            && let Err(error) = work(file)
        {
            self.file = None;
            self.failure.get_or_insert(error);
        }
    }

    fn open(&mut self, extension: &str) -> io::Result<File> {
        while self.number < FILES_MAX {
            self.number += 1;
            let path = file_path(&self.config.directory, &self.name, self.number, extension);
            match OpenOptions::new().write(true).create_new(true).open(path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                opened => return opened,
            }
        }
        Err(io::Error::other("there are too many files of one recording"))
    }

    fn put(&mut self, bytes: &[u8]) {
        count(&self.counters.written_bytes, bytes.len() as u64);
        self.attempt(|mut file| file.write_all(bytes));
    }
}

impl Sink for Disk {
    fn begin(&mut self, extension: &'static str, head: &[u8]) {
        self.close();
        if self.failure.is_some() {
            return;
        }
        match self.open(extension) {
            Ok(file) => {
                self.file = Some(file);
                count(&self.counters.files, 1);
                self.put(head);
            }
            Err(error) => self.failure = Some(error),
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        self.put(bytes);
    }

    fn patch(&mut self, at: u64, bytes: &[u8]) {
        self.attempt(|file| file.write_all_at(bytes, at));
    }
}
