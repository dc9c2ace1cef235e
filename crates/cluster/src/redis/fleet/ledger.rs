//! Who takes itself for the home of which stream, and whether two who may act upon it ever do at once.

use std::collections::BTreeMap;
use std::sync::Mutex;

use tokio::time::Instant;

use crate::Incarnation;

#[derive(Default)]
pub(super) struct Ledger(Mutex<Book>);

#[derive(Default)]
struct Book {
    /// By stream, those who take themselves for its home, and whether they may act upon it.
    homes: BTreeMap<String, BTreeMap<Incarnation, bool>>,
    /// How often each has had to doubt its lease.
    doubts: BTreeMap<Incarnation, u64>,
    /// The highest number of each stream, and whose it is.
    highest: BTreeMap<String, (u64, Incarnation)>,
    faults: Vec<String>,
    moves: u64,
    /// For whoever looks for what went wrong.
    told: Vec<(Instant, Incarnation, String)>,
}

impl Ledger {
    /// What an answer to a question that is asked now will be worth.
    pub(super) fn doubts(&self, own: Incarnation) -> u64 {
        self.0.lock().unwrap().doubts.get(&own).copied().unwrap_or_default()
    }

    /// Its lease could not be renewed in time: what it has counts again when the store has said so since.
    pub(super) fn doubt(&self, own: Incarnation) {
        let mut book = self.0.lock().unwrap();
        *book.doubts.entry(own).or_default() += 1;
        book.told.push((Instant::now(), own, "doubts".to_owned()));
        book.homes.values_mut().filter_map(|homes| homes.get_mut(&own)).for_each(|counts| *counts = false);
    }

    /// The store has said so, asked after so many doubts.
    pub(super) fn has(&self, own: Incarnation, stream: &str, fence: u64, doubts: u64) {
        let Book { homes, highest, faults, moves, doubts: all, told } = &mut *self.0.lock().unwrap();
        told.push((Instant::now(), own, format!("has {stream} by {fence}")));
        let is_fresh = all.get(&own).copied().unwrap_or_default() == doubts;
        let (top, by) = *highest.entry(stream.to_owned()).or_insert((fence, own));
        if fence == top && by != own {
            faults.push(format!("{stream}: {fence} is the number of {by} and of {own}"));
        }
        let homes = homes.entry(stream.to_owned()).or_default();
        let known = homes.get(&own).copied();
        homes.insert(own, is_fresh || known == Some(true));
        if fence > top {
            highest.insert(stream.to_owned(), (fence, own));
            *moves += u64::from(by != own);
        } else if fence < top && known.is_none() {
            faults.push(format!("{stream}: {own} begins with {fence}, and {by} had {top} before"));
        }
    }

    pub(super) fn lost(&self, own: Incarnation, stream: &str) {
        let mut book = self.0.lock().unwrap();
        book.told.push((Instant::now(), own, format!("lost {stream}")));
        if let Some(homes) = book.homes.get_mut(stream) {
            homes.remove(&own);
        }
    }

    /// It has nothing any more.
    pub(super) fn over(&self, own: Incarnation) {
        for homes in self.0.lock().unwrap().homes.values_mut() {
            homes.remove(&own);
        }
    }

    pub(super) fn streams_of(&self, own: Incarnation) -> Vec<String> {
        let book = self.0.lock().unwrap();
        let has = book.homes.iter().filter(|(_, homes)| homes.contains_key(&own));
        has.map(|(stream, _)| stream.clone()).collect()
    }

    pub(super) fn homes(&self, stream: &str) -> Vec<Incarnation> {
        let book = self.0.lock().unwrap();
        book.homes.get(stream).into_iter().flat_map(BTreeMap::keys).copied().collect()
    }

    /// Streams that two take for theirs who both hold their lease.
    pub(super) fn doubles(&self, is_held: impl Fn(Incarnation) -> bool) -> Vec<String> {
        let book = self.0.lock().unwrap();
        let held = |homes: &BTreeMap<Incarnation, bool>| {
            homes.iter().filter(|(home, counts)| **counts && is_held(**home)).count()
        };
        book.homes.iter().filter(|(_, homes)| held(homes) > 1).map(|(stream, _)| stream.clone()).collect()
    }

    /// What was last of these, and how long ago.
    pub(super) fn story(&self, of: &[Incarnation], stream: &str) -> String {
        let book = self.0.lock().unwrap();
        let is_of_it = |words: &String| words == "doubts" || words.contains(&format!(" {stream}"));
        let told = book.told.iter().filter(|(_, own, words)| of.contains(own) && is_of_it(words));
        let told = told.map(|(at, own, words)| format!("{:?} ago {own} {words}", at.elapsed()));
        let told: Vec<String> = told.collect();
        told[told.len().saturating_sub(16)..].join("\n")
    }

    pub(super) fn faults(&self) -> Vec<String> {
        self.0.lock().unwrap().faults.clone()
    }

    /// How often a stream has got another home.
    pub(super) fn moves(&self) -> u64 {
        self.0.lock().unwrap().moves
    }
}
