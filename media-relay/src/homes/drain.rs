//! Leaving without anybody losing a picture: this relay takes nobody in, those who watch are told to begin again elsewhere, a
//! share of them at a time, and then those who publish. Whoever was told goes on until they stop. What is left at the end of
//! the window is ended.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;
use turnpike_wire::RoomId;
use turnpike_wire::media::MediaSession;
use turnpike_wire::media::relay::{Role, stream_entry};

use super::Homes;
use crate::{Face, Notice};

/// Until all nodes know that nobody is taken in here.
const KNOWN_AFTER: Duration = Duration::from_secs(1);

const WAVE_EVERY: Duration = Duration::from_millis(100);

/// Told at once even if there is time: what others take in without noticing.
const WAVE_MIN: usize = 10;

/// Until then all who watch are told, in thousandths of the window.
const VIEWERS_TOLD_PERMILLE: u32 = 500;

/// From then on also those who publish, if somebody still watches here.
const PUBLISHERS_TOLD_PERMILLE: u32 = 600;

impl<F: Face> Homes<F> {
    pub(crate) fn is_leaving(&self) -> bool {
        *self.leaving.borrow()
    }

    /// Returns when nobody is left, at the end of the window at the latest. Gives how many had to be ended then.
    pub async fn drain(&self, window: Duration) -> usize {
        self.leaving.send_replace(true);
        let begun = Instant::now();
        let (viewers_by, publishers_from, end) = (
            begun + window * VIEWERS_TOLD_PERMILLE / 1_000,
            begun + window * PUBLISHERS_TOLD_PERMILLE / 1_000,
            begun + window,
        );
        if self.sessions() > 0 {
            tokio::time::sleep(KNOWN_AFTER.min(window / 10)).await;
        }
        let mut told = HashSet::new();
        loop {
            let now = Instant::now();
            if self.sessions() == 0 || now >= end {
                break;
            }
            let viewers = self.face.sessions(Role::Viewer);
            if viewers.is_empty() || now >= publishers_from {
                self.tell(&mut told, self.face.sessions(Role::Publisher), usize::MAX, end);
            }
            let waves = viewers_by.saturating_duration_since(now).div_duration_f64(WAVE_EVERY) as usize;
            let untold = viewers.iter().filter(|viewer| !told.contains(*viewer)).count();
            self.tell(&mut told, viewers, wave(untold, waves), end);
            tokio::time::sleep(WAVE_EVERY.min(end - now)).await;
        }
        let left = [Role::Viewer, Role::Publisher].map(|role| self.face.sessions(role)).concat();
        let count = left.len();
        futures_util::future::join_all(left.into_iter().map(|session| self.face.dismiss(session))).await;
        tracing::info!(
            told = told.len(),
            ended = count,
            seconds = begun.elapsed().as_secs_f64(),
            "nobody is left"
        );
        count
    }

    /// Who is here.
    pub fn sessions(&self) -> usize {
        self.face.sessions(Role::Viewer).len() + self.face.sessions(Role::Publisher).len()
    }

    fn tell(&self, told: &mut HashSet<MediaSession>, all: Vec<MediaSession>, most: usize, until: Instant) {
        let untold = all.into_iter().filter(|session| !told.contains(session)).take(most);
        for session in untold.collect::<Vec<_>>() {
            self.face.tell(session, Notice::Moving { until: until.into_std() });
            told.insert(session);
        }
    }

    /// Another relay would have the stream published there. Who leaves gives its claim away; what is published here goes on.
    pub(crate) async fn yields(&self, stream: &RoomId) {
        if !self.is_leaving() {
            return;
        }
        let fence = self.streams().get_mut(stream).map(|home| {
            home.is_yielded = true;
            home.fence
        });
        if let Some(fence) = fence {
            // Who asked asks again if this is lost.
            let _ = self.cluster.directory.release(&stream_entry(stream), fence).wait().await;
        }
    }
}

/// How many of so many are told now, if there are so many more waves.
fn wave(untold: usize, waves: usize) -> usize {
    untold.div_ceil(waves + 1).max(WAVE_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_told_in_time_and_evenly() {
        for (mut untold, waves) in [(0, 40), (7, 40), (100, 40), (5_000, 40), (5_000, 0)] {
            let (all, mut largest) = (untold, 0);
            for left in (0..=waves).rev() {
                let now = wave(untold, left).min(untold);
                largest = largest.max(now);
                untold -= now;
            }
            assert_eq!(untold, 0, "{all} in {waves} waves");
            assert!(largest <= (all / (waves + 1) + 1).max(WAVE_MIN), "{largest} of {all} at once");
        }
    }
}
