//! A client that writes down what it sees: it speaks Socket.IO as the stock client does, recovery included, joins rooms,
//! sends under ids until it is answered, can be cut off, and comes back on whichever node it finds.
//!
//! Many of them fit into one process. What they write is held against the laws of `turnpike_history`.

mod client;
mod log;
mod packet;
mod rooms;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use turnpike_history::{Event, Violation, What};

pub use client::{Client, Place, Plan};
pub use log::record as record_log;
use rooms::Rooms;

/// What all clients of a run write to, in one order.
#[derive(Debug, Clone, Default)]
pub struct Recording(Arc<Mutex<Tape>>);

#[derive(Debug, Default)]
struct Tape {
    at_us: u64,
    acks: usize,
    kept: Kept,
}

#[derive(Debug)]
enum Kept {
    Memory(Vec<Event>),
    Files(Rooms),
}

impl Default for Kept {
    fn default() -> Self {
        Self::Memory(Vec::new())
    }
}

impl Recording {
    /// On disk, a file a room: for millions of events.
    pub fn in_folder(folder: &Path) -> std::io::Result<Self> {
        let tape = Tape { kept: Kept::Files(Rooms::new(folder)?), ..Tape::default() };
        Ok(Self(Arc::new(Mutex::new(tape))))
    }

    pub fn write(&self, who: &str, what: What) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut tape = self.tape();
        // No two at one time, so that they keep their order when they are sorted.
        tape.at_us = (now.as_micros() as u64).max(tape.at_us + 1);
        tape.acks += usize::from(matches!(what, What::Ack { .. }));
        let event = Event { at_us: tape.at_us, who: who.to_owned(), what };
        match &mut tape.kept {
            Kept::Memory(events) => events.push(event),
            Kept::Files(rooms) => rooms.write(&event),
        }
    }

    /// What was written so far. Of a recording on disk, what is about no room.
    pub fn events(&self) -> Vec<Event> {
        match &self.tape().kept {
            Kept::Memory(events) => events.clone(),
            Kept::Files(rooms) => rooms.around().to_vec(),
        }
    }

    /// So many messages were acknowledged.
    pub fn acks(&self) -> usize {
        self.tape().acks
    }

    /// Holds what was written against the laws; and how many events those were. On disk it is a room at a time.
    pub fn check(&self) -> std::io::Result<(Vec<Violation>, usize)> {
        match &mut self.tape().kept {
            Kept::Memory(events) => Ok((turnpike_history::check(events), events.len())),
            Kept::Files(rooms) => rooms.check(),
        }
    }

    fn tape(&self) -> MutexGuard<'_, Tape> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
