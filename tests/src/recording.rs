//! A client that writes down what it sees: it speaks Socket.IO as the stock client does, recovery included, joins rooms,
//! sends under ids until it is answered, can be cut off, and comes back on whichever node it finds.
//!
//! Many of them fit into one process. What they write is held against the laws of `turnpike_history`.

mod client;
mod packet;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use turnpike_history::{Event, What};

pub use client::{Client, Plan};

/// What all clients of a run write to, in one order.
#[derive(Debug, Clone, Default)]
pub struct Recording(Arc<Mutex<Vec<Event>>>);

impl Recording {
    pub fn write(&self, who: &str, what: What) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let event = Event { at_us: now.as_micros() as u64, who: who.to_owned(), what };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    pub fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// So many messages were acknowledged.
    pub fn acks(&self) -> usize {
        let events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        events.iter().filter(|event| matches!(event.what, What::Ack { .. })).count()
    }
}
