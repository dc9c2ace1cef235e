//! Letters from one node to another, for parts of theirs that speak with each other: requests, answers, events.

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::Incarnation;

/// An offer of audio, camera and screen twice over in JSON, and more than a hundred small words in one.
pub const LETTER_BYTES_MAX: usize = 256 * 1024;

/// Letters that wait to be read, of one subject. Whoever listens does nothing but take them apart; when it is full, what
/// comes is lost and counted.
pub(crate) const LETTERS_MAX: usize = 4_096;

/// - A letter comes once or not at all. A letter that is lost is not missed by anybody but who waits for an answer: ask
///   again, under the same id, and answer again.
/// - Letters from one node to another come in the order in which they were sent, but for those that are lost.
/// - A node may write to itself, and then nothing leaves the process.
/// - What is sent to a node that is dead, or on which nobody listens for that subject, is lost.
/// - From other nodes letters come from the start of the broker on.
pub trait Post: Send + Sync + 'static {
    /// Waits for nothing. `subject` says which part of the node it is for.
    fn send(&self, to: Incarnation, subject: &'static str, words: Bytes) -> Result<(), NotSent>;

    /// From here on letters with that subject come here, and no more to whoever listened for it before.
    fn listen(&self, subject: &'static str) -> Letters;

    /// Letters that could not be sent, or found no room where they came to.
    fn lost(&self) -> u64;
}

pub type Letters = mpsc::Receiver<Letter>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    pub from: Incarnation,
    pub words: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    #[error("a letter has at most {LETTER_BYTES_MAX} bytes")]
    TooLarge,
    /// A moment later there is room.
    #[error("too many letters wait to be sent")]
    Full,
}
