//! What one client saw of a room whose server gives messages no place: each sender's own numbers, once and in order. What
//! senders say at the same time may come in any order.

use std::collections::BTreeMap;

use super::{Seen, Track, Verdict};

#[derive(Clone, Debug, Default)]
pub struct Senders {
    tracks: BTreeMap<u32, Track>,
}

impl Senders {
    /// Who was there before anybody said anything should have everything; others what comes after the first that they get.
    pub fn take(&mut self, sender: u32, number: u64, from_the_beginning: bool) -> Seen {
        let start = if from_the_beginning { 0 } else { number.saturating_sub(1) };
        self.tracks.entry(sender).or_insert_with(|| Track::new(0, start)).take(number)
    }

    /// Whether everything up to these numbers has come.
    pub fn has(&self, taken: &BTreeMap<u32, u64>, from_the_beginning: bool) -> bool {
        taken.iter().all(|(sender, last)| match self.tracks.get(sender) {
            Some(track) => track.complete_to() >= *last,
            None => !from_the_beginning,
        })
    }

    /// How it stands if the server has taken this many of each sender.
    pub fn verdict(&self, taken: &BTreeMap<u32, u64>, from_the_beginning: bool) -> Verdict {
        let nothing = Track::new(0, 0);
        let mut all = Verdict::default();
        for (sender, track) in &self.tracks {
            all.add(&track.verdict(taken.get(sender).copied().unwrap_or_default()));
        }
        for (sender, last) in taken.iter().filter(|_| from_the_beginning) {
            if !self.tracks.contains_key(sender) {
                all.add(&nothing.verdict(*last));
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sender_is_followed_alone() {
        let taken = BTreeMap::from([(1, 3), (2, 2), (3, 1)]);
        let mut senders = Senders::default();
        for (sender, number) in [(1, 1), (2, 1), (1, 3), (1, 2), (2, 2), (2, 2)] {
            senders.take(sender, number, true);
        }
        assert!(!senders.has(&taken, true), "nothing came from the third");
        let verdict = senders.verdict(&taken, true);
        assert_eq!((verdict.received, verdict.lost, verdict.doubled, verdict.disordered), (5, 1, 1, 1));
        senders.take(3, 1, true);
        assert!(senders.has(&taken, true));
    }

    #[test]
    fn who_comes_late_is_owed_what_comes_after() {
        let taken = BTreeMap::from([(1, 9), (2, 7)]);
        let mut senders = Senders::default();
        senders.take(1, 8, false);
        assert!(!senders.has(&taken, false));
        senders.take(1, 9, false);
        assert!(senders.has(&taken, false));
        assert_eq!(senders.verdict(&taken, false).lost, 0);
    }
}
