//! What gateways are to be told, many words in one letter.

use std::collections::HashMap;

use turnpike_cluster::{Incarnation, Post};
use turnpike_wire::media::relay::{FromRelay, TO_GATEWAYS};

/// A letter is closed when it has so many bytes. Below what a post takes by more than the longest word.
const LETTER_BYTES: usize = 64 * 1024;

#[derive(Default)]
pub(super) struct Outbox(HashMap<Incarnation, Vec<FromRelay>>);

impl Outbox {
    pub(super) fn put(&mut self, gateway: Incarnation, word: FromRelay) {
        self.0.entry(gateway).or_default().push(word);
    }

    /// What the post does not take is lost: answers are asked for again, and events are made up for.
    pub(super) fn flush(&mut self, post: &dyn Post) {
        for (gateway, words) in self.0.drain() {
            for letter in letters(&words) {
                let _ = post.send(gateway, TO_GATEWAYS, letter.into());
            }
        }
    }
}

fn letters(words: &[FromRelay]) -> Vec<Vec<u8>> {
    let mut letters: Vec<Vec<u8>> = Vec::new();
    for word in words {
        match letters.last_mut() {
            Some(letter) if letter.len() < LETTER_BYTES => letter.push(b','),
            _ => letters.push(vec![b'[']),
        }
        let letter = letters.last_mut().expect("one was just made, if there was none");
        serde_json::to_writer(&mut *letter, word).expect("words are made of what JSON has");
    }
    for letter in &mut letters {
        letter.push(b']');
    }
    letters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_stands_in_one_letter_in_order() {
        let words: Vec<FromRelay> = (0..10_000).map(|id| FromRelay::Done { id }).collect();
        let letters = letters(&words);
        assert!(letters.len() > 1 && letters.iter().all(|letter| letter.len() < LETTER_BYTES + 64));
        let read: Vec<FromRelay> =
            letters.iter().flat_map(|letter| serde_json::from_slice::<Vec<_>>(letter).unwrap()).collect();
        assert_eq!(read, words);
        assert!(super::letters(&[]).is_empty());
    }
}
