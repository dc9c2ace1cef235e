//! The handle of a pipe's end: by which the core gives words to the other end.

use std::fmt;
use std::sync::Arc;

use super::{Down, Up};

/// Names a pipe within a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PipeId(pub(crate) u64);

/// The way to the other end. It never waits.
pub(crate) trait Sink<W>: Send + Sync {
    fn put(&self, word: W) -> Result<(), Blocked>;
}

/// The other end does not take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// It is behind. A packet is lost by that; without another word the two ends do not agree any more.
    Full,
    /// It is gone.
    Closed,
}

/// One end. It gives `W` and is told the other kind.
pub struct Pipe<W> {
    pub(crate) id: PipeId,
    sink: Arc<dyn Sink<W>>,
}

/// The upper end's.
pub(crate) type Downward = Pipe<Down>;
/// The lower end's.
pub(crate) type Upward = Pipe<Up>;

impl<W> Pipe<W> {
    pub(crate) fn new(id: PipeId, sink: Arc<dyn Sink<W>>) -> Self {
        Self { id, sink }
    }

    pub(crate) fn put(&self, word: W) -> Result<(), Blocked> {
        self.sink.put(word)
    }
}

impl<W> Clone for Pipe<W> {
    fn clone(&self) -> Self {
        Self { id: self.id, sink: Arc::clone(&self.sink) }
    }
}

impl<W> fmt::Debug for Pipe<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pipe").field(&self.id.0).finish()
    }
}
