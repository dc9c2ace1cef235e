//! Which connection of a client goes through to which node, so that those of a node that is gone can be cut: nobody else
//! would tell a client whose node's machine lost its power.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

#[derive(Default)]
pub(crate) struct Lines {
    /// Of connections that are open: no more than the router takes.
    open: Mutex<HashMap<u64, Line>>,
    drawn: AtomicU64,
}

struct Line {
    node: Option<SocketAddr>,
    cut: Arc<Notify>,
}

/// A client's connection, known for as long as this is held.
pub(crate) struct Open {
    lines: Arc<Lines>,
    number: u64,
    cut: Arc<Notify>,
}

impl Lines {
    pub(crate) fn open(self: &Arc<Self>) -> Arc<Open> {
        let (number, cut) = (self.drawn.fetch_add(1, Ordering::Relaxed), Arc::new(Notify::new()));
        self.all().insert(number, Line { node: None, cut: Arc::clone(&cut) });
        Arc::new(Open { lines: Arc::clone(self), number, cut })
    }

    /// Cuts what goes to nodes that are gone, and says how many.
    pub(crate) fn cut(&self, is_there: impl Fn(SocketAddr) -> bool) -> usize {
        let all = self.all();
        let gone = all.values().filter(|line| line.node.is_some_and(|node| !is_there(node)));
        gone.inspect(|line| line.cut.notify_one()).count()
    }

    /// Cuts up to so many, whatever goes through them, and says how many.
    pub(crate) fn cut_some(&self, count: usize) -> usize {
        self.all().values().take(count).inspect(|line| line.cut.notify_one()).count()
    }

    pub(crate) fn count(&self) -> usize {
        self.all().len()
    }

    fn set(&self, number: u64, node: Option<SocketAddr>) {
        if let Some(line) = self.all().get_mut(&number) {
            line.node = node;
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<u64, Line>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// What comes over this connection goes there from now on.
    pub(crate) fn through(&self, node: SocketAddr) {
        self.lines.set(self.number, Some(node));
    }

    /// Nothing goes through it at the moment: it waits for its client's next request.
    pub(crate) fn idle(&self) {
        self.lines.set(self.number, None);
    }

    /// Returns when it is to be closed. One waits for it at a time.
    pub(crate) async fn is_cut(&self) {
        self.cut.notified().await;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.lines.all().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn those_of_a_node_that_is_gone_are_cut() {
        let lines = Arc::new(Lines::default());
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let (one, two, waiting) = (lines.open(), lines.open(), lines.open());
        one.through(at(10));
        two.through(at(20));
        waiting.through(at(10));
        waiting.idle();
        assert_eq!(lines.cut(|node| node != at(10)), 1);
        one.is_cut().await;
        drop((one, two, waiting));
        assert_eq!(lines.count(), 0);
    }
}
