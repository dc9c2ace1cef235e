//! Anchors: which size had which root, as kept elsewhere.

use std::collections::BTreeMap;

use crate::digest::Digest;
use crate::key::PublicKey;
use crate::note::Note;
use crate::time::Time;

/// Several anchors can name one size; all must agree with the log, so a second root for it is kept too.
#[derive(Debug, Default)]
pub(super) struct Anchors {
    notes: BTreeMap<u64, Vec<Note>>,
    /// The largest size that agreed.
    agreed: Option<u64>,
    newest: Option<(u64, Time)>,
}

impl Anchors {
    pub(super) fn new(notes: &[Note]) -> Self {
        let mut anchors = Self::default();
        for note in notes {
            anchors.notes.entry(note.checkpoint.size).or_default().push(note.clone());
        }
        anchors
    }

    /// The root that a tree of this size must have. With anchors that contradict one another, one that no tree has.
    pub(super) fn take(&mut self, size: u64, keys: &[PublicKey]) -> Option<Digest> {
        let notes = self.notes.remove(&size)?;
        let mut roots = notes
            .iter()
            .filter(|note| {
                keys.iter().any(|key| key.name() == note.checkpoint.origin && note.is_signed_by(key))
            })
            .map(|note| note.checkpoint.root);
        let root = roots.next()?;
        self.agreed = Some(size);
        Some(if roots.all(|other| other == root) { root } else { Digest::NONE })
    }

    /// The checkpoint of that size was passed at this time.
    pub(super) fn passed(&mut self, size: u64, time: Time) {
        if self.agreed == Some(size) {
            self.newest = Some((size, time));
        }
    }

    /// The largest size that is more than there is. The checkpoint itself stands in the log with that number, so a log that ends there has
    /// lost it.
    pub(super) fn beyond(&self, end: u64, keys: &[PublicKey]) -> Option<u64> {
        let signed = |notes: &Vec<Note>| {
            notes.iter().any(|note| {
                keys.iter().any(|key| key.name() == note.checkpoint.origin && note.is_signed_by(key))
            })
        };
        self.notes.range(end..).rev().find(|(_, notes)| signed(notes)).map(|(size, _)| *size)
    }

    pub(super) fn newest(&self) -> Option<(u64, Time)> {
        self.newest
    }
}
