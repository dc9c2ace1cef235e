//! What a client hears: its room, and how far it has come. A delivery is judged right where it was read, and nobody is woken for it.

use std::sync::{Arc, Mutex, MutexGuard};

use super::judging::Room;
use crate::{
    reader::Listener,
    run::{Run, held},
};

pub(super) struct Ear {
    run: Arc<Run>,
    heard: Mutex<Heard>,
}

pub(super) struct Heard {
    pub(super) room: Option<Room>,
    /// Where the session stands, as the server calls it.
    pub(super) offset: String,
}

impl Ear {
    pub(super) fn new(run: &Arc<Run>, room: Option<Room>) -> Arc<Self> {
        let heard = Mutex::new(Heard { room, offset: String::new() });
        Arc::new(Self { run: Arc::clone(run), heard })
    }

    pub(super) fn heard(&self) -> MutexGuard<'_, Heard> {
        held(&self.heard)
    }
}

impl Heard {
    pub(super) fn stands_at(&mut self, offset: &str) {
        self.offset.clear();
        self.offset.push_str(offset);
    }
}

impl Listener for Ear {
    fn hear(&self, text: &str) -> bool {
        let Some((message, offset)) = self.run.dialect.delivery(text) else { return false };
        let mut heard = self.heard();
        let Some(room) = &mut heard.room else { return false };
        room.take(&self.run, &message, self.run.now_us());
        if let Some(offset) = offset {
            heard.stands_at(offset);
        }
        true
    }
}
