//! When the disk does not do what it should: what is tried at once, what is kept, and what is said about it afterwards.

use std::io;
use std::time::{Duration, Instant};

use super::Writer;
use crate::disk::Medium;
use crate::event::Event;
use crate::handle::Health;
use crate::kind::{Kind, Outcome};

/// Between two attempts on a disk that refuses.
const RETRY_EVERY: Duration = Duration::from_millis(250);
/// Between two attempts to fill the reserve again.
const REFILL_EVERY: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Trouble {
    /// Since when nothing can be written.
    since: Option<Instant>,
    retry_at: Option<Instant>,
    refill_at: Option<Instant>,
    /// Whether the failing file has been left in this turn already.
    moved: bool,
    /// Events that wait for the disk, at most as many as the queue may hold.
    kept: Vec<Event>,
    pub refused: u64,
    dropped: u64,
    /// Files that were left and could not be cut to what is known to be on disk: that many bytes. What is behind them would look like
    /// records that stand twice.
    uncut: Vec<(Box<dyn Medium>, u64)>,
}

/// Of files that wait to be cut. A disk that fails so often will not come back.
const UNCUT_MAX: usize = 64;

impl Trouble {
    pub(super) fn new(reserved: bool) -> Self {
        Self { refill_at: (!reserved).then(Instant::now), ..Self::default() }
    }

    pub(super) fn cut_again(&mut self) {
        self.uncut
            .retain_mut(|(medium, bytes)| medium.truncate(*bytes).and_then(|()| medium.sync()).is_err());
    }

    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at.into_iter().chain(self.refill_at).min()
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.retry_at.is_some_and(|at| at <= now)
    }

    pub(super) fn is_waiting(&self, now: Instant) -> bool {
        self.retry_at.is_some_and(|at| at > now)
    }

    pub(super) fn on_reserve(&self) -> bool {
        self.refill_at.is_some()
    }

    pub(super) fn kept(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.kept)
    }

    /// Gives how many found no room.
    pub(super) fn keep(&mut self, mut events: Vec<Event>, records_max: usize) -> u64 {
        let dropped = events.len().saturating_sub(records_max) as u64;
        events.truncate(records_max);
        self.dropped += dropped;
        self.kept = events;
        dropped
    }

    /// What has to be said once something can be written again.
    pub(super) fn gap(&self) -> Option<Event> {
        let since = self.since?;
        let millis = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        Some(
            Event::new(Kind::Gap, Outcome::Failure)
                .reason("disk")
                .detail("milliseconds", millis)
                .detail("refused", self.refused)
                .detail("dropped", self.dropped),
        )
    }

    pub(super) fn over(&mut self) {
        let refill_at = self.refill_at;
        let (kept, uncut) = (self.kept(), std::mem::take(&mut self.uncut));
        *self = Self { refill_at, kept, uncut, ..Self::default() };
    }
}

impl Writer {
    /// After a write that failed. Whether to try again at once.
    ///
    /// A disk that is full is given the reserve. Any other fault, above all a sync that failed, leaves no way to know what of the file
    /// is on disk (the kernel forgets what it could not write), so the file is cut to what is known and another is begun.
    pub(super) fn recover(&mut self, error: &io::Error) -> bool {
        let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        let cut = match &mut self.state.open {
            None => Ok(()),
            Some(open) => open.medium.truncate(open.bytes).and_then(|()| open.medium.sync()),
        };
        if full && cut.is_ok() && self.disk.release().unwrap_or(false) {
            self.state.trouble.refill_at = Some(Instant::now() + REFILL_EVERY);
            self.own.push(Event::new(Kind::DiskFull, Outcome::Failure).reason("disk_full"));
            return true;
        }
        if !full || cut.is_err() {
            self.leave_segment(cut.is_err());
            if !self.state.trouble.moved {
                self.state.trouble.moved = true;
                let failed = Event::new(Kind::DiskFailed, Outcome::Failure).reason("disk_error");
                let said = failed.detail("error", error.to_string().as_str());
                self.own.push(match &self.previous {
                    Some(name) => said.detail("file", name.as_str()),
                    None => said,
                });
                return true;
            }
        }
        let now = Instant::now();
        self.state.trouble.since.get_or_insert(now);
        self.state.trouble.retry_at = Some(now + RETRY_EVERY);
        self.state.trouble.moved = false;
        // The gap that will be written says it; each failed attempt would else add to it.
        self.own.retain(|event| event.kind() != Kind::DiskFailed);
        let failing = Health::Failing(error.to_string());
        self.health.send_if_modified(|health| std::mem::replace(health, failing.clone()) != failing);
        false
    }

    fn leave_segment(&mut self, uncut: bool) {
        if let Some(open) = self.state.open.take() {
            if open.bytes == 0 {
                let _ = self.disk.remove(&open.name.plain());
            } else {
                self.previous = Some(open.name.to_string());
                if uncut && self.state.trouble.uncut.len() < UNCUT_MAX {
                    self.state.trouble.uncut.push((open.medium, open.bytes));
                }
            }
        }
    }

    /// Fills the reserve again once there is room.
    pub(super) fn mend(&mut self, now: Instant) {
        if self.state.trouble.refill_at.is_none_or(|at| at > now) {
            return;
        }
        if self.disk.reserve(self.limits.reserve_bytes).is_ok() {
            self.state.trouble.refill_at = None;
            self.own.push(Event::new(Kind::DiskRecovered, Outcome::Success));
        } else {
            self.state.trouble.refill_at = Some(now + REFILL_EVERY);
        }
    }
}
