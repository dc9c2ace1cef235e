//! Which of the pairs carries the media. The controlling side nominates; this is how the other one follows, and how
//! both hold on to a path that works.

use std::time::{Duration, Instant};

use super::agent::Agent;
use super::pair::Pair;
use crate::output::Output;
use crate::transport::Path;

/// A path from which nothing valid came for so long may be left for one that is nominated. Longer than the 2.5 s
/// between a browser's checks of a good path.
const SILENT: Duration = Duration::from_secs(3);

impl Agent {
    /// Genuine media came on a path that is not the selected one.
    pub(crate) fn media(&mut self, path: Path, now: Instant, out: &mut Output) {
        for at in 0..self.pairs.len() {
            if self.pairs[at].path == path && self.pairs[at].nominated.is_some() {
                self.pairs[at].media = true;
                self.reconsider(at, now, out);
                return;
            }
        }
    }

    /// Something happened on a pair: perhaps it is better than the selected one.
    pub(super) fn reconsider(&mut self, at: usize, now: Instant, out: &mut Output) {
        let pair = &self.pairs[at];
        let works = self.works(pair, now);
        let better = match self.selected_pair() {
            None => true,
            Some(selected) if selected.serial == pair.serial => false,
            Some(selected) => self.is_better(pair, selected, now),
        };
        if works && better {
            self.select(at, now, out);
        }
    }

    fn is_better(&self, pair: &Pair, selected: &Pair, now: Instant) -> bool {
        if pair.nominated.is_none() || pair.generation < selected.generation {
            return false;
        }
        if pair.generation > selected.generation || selected.nominated.is_none() {
            return true;
        }
        let silent = now >= selected.heard + SILENT;
        if self.lite && self.settled {
            // We cannot ask the new path whether it is the peer's; a captured check proves less than media does.
            return pair.media || silent;
        }
        self.controlling || pair.priority > selected.priority || selected.deposed || pair.media || silent
    }

    fn select(&mut self, at: usize, now: Instant, out: &mut Output) {
        // What was noted of the others was in comparison with the path that is left now.
        for pair in &mut self.pairs {
            pair.media = false;
        }
        let pair = &self.pairs[at];
        self.selected = Some((pair.serial, pair.path));
        let current = self.current.number;
        if pair.generation == current && self.previous.is_some() {
            self.previous = None;
            self.retain(|pair| pair.generation == current, out);
        }
        if !self.lite {
            self.consent_at = Some(now + self.consent_check);
        }
    }
}
