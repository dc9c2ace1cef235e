//! How a connection is at a moment, for whoever wants to know why something did or did not reach its client.

use std::sync::Arc;

use crate::application::Traffic;
use crate::flight::{Entry, Recorder};

#[derive(Debug, Clone)]
pub struct Look {
    /// When this was seen, by the clock of the recorder's entries.
    pub at_ms: u64,
    pub websocket: bool,
    /// It began with polling, and went on on a websocket.
    pub upgraded: bool,
    pub compressed: bool,
    /// What waits to be written.
    pub queue_bytes: usize,
    pub queue_items: usize,
    /// The kernel takes no more for it.
    pub blocked: bool,
    /// Reliable events are not queued until it has read what waits.
    pub behind: bool,
    /// A ping waits for its answer.
    pub pinged: bool,
    /// The offset of the last reliable event that was queued to the socket.
    pub queued: Option<Arc<str>>,
    /// The offset of the first event that waits to be written. Everything before it was handed to the kernel.
    pub unwritten: Option<Arc<str>>,
    pub traffic: Traffic,
    /// None: nothing has happened since it entered.
    pub recorder: Option<Box<Recorder>>,
}

impl Look {
    /// What happened to it last, oldest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.recorder.as_ref().map(|recorder| recorder.entries()).unwrap_or_default()
    }
}
