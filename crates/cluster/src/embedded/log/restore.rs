//! A log and its disk: what is written of it, and how it is read back.

use std::sync::Arc;

use turnpike_wire::RoomId;

use super::{Forgotten, Journal, Log, Room};
use crate::embedded::epochs::Epochs;
use crate::{HistoryLimits, Message};

/// What is kept of a lane beside its messages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Past {
    /// Each with its first position.
    pub(crate) epochs: Vec<(u64, u64)>,
    pub(crate) head: u64,
    pub(crate) latest_ts: u64,
    pub(crate) forgotten: Forgotten,
}

/// What came before a message in its room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Previous {
    pub(crate) pos: u64,
    /// It was a message of that room, and not of some room that was forgotten.
    pub(crate) own: bool,
}

/// Why what was read back is no log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("message {seq} of room {room} does not fit behind the one before it")]
pub(crate) struct OutOfOrder {
    room: RoomId,
    seq: u64,
}

impl Log {
    /// A lane that goes on in a new epoch. No room is forgotten until [`Log::end_hold`].
    pub(crate) fn restore(limits: Arc<HistoryLimits>, past: Past, epoch: u64) -> Self {
        let mut log = Self::new(limits, epoch);
        log.epochs = Epochs::begin(past.epochs, epoch, past.head);
        log.head = past.head;
        log.latest_ts = past.latest_ts;
        log.forgotten = past.forgotten;
        log.held = true;
        log.journal = Some(Journal::default());
        log.seen.note_forgotten();
        log
    }

    /// A room that has lost all its messages.
    pub(crate) fn restore_room(&mut self, name: &RoomId, seq: u64, pos: u64) {
        self.rooms.insert(name.clone(), Room { pos, lost_own: true, ..Room::at(seq, pos) });
    }

    /// The next message of the lane that is still there.
    pub(crate) fn restore_message(
        &mut self,
        message: Arc<Message>,
        kept_ms: u64,
        turn: u64,
        previous: Previous,
    ) -> Result<(), OutOfOrder> {
        let place = self.room(&message.room);
        if place.kept() == 0 {
            *place = Room { lost_own: previous.own, ..Room::at(message.seq - 1, previous.pos) };
        }
        let in_lane = self.order.back().is_none_or(|(_, before)| *before < message.at.pos);
        let place = self.room(&message.room);
        if place.seq + 1 != message.seq || !in_lane || message.at.pos > self.head {
            return Err(OutOfOrder { room: message.room.clone(), seq: message.seq });
        }
        let (head, latest_ts) = (self.head, self.latest_ts);
        self.append(message, kept_ms, turn);
        (self.head, self.latest_ts) = (head, latest_ts);
        Ok(())
    }

    /// Whoever was to come back has come.
    pub(crate) fn end_hold(&mut self) {
        if std::mem::take(&mut self.held) {
            let idle = self.rooms.iter().filter(|(_, room)| room.is_idle());
            for name in idle.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
                self.forget_if_idle(&name);
            }
        }
    }

    pub(crate) fn previous(&self, room: &str) -> Previous {
        match self.rooms.get(room) {
            Some(room) if room.pos > 0 => Previous { pos: room.pos, own: true },
            Some(room) => Previous { pos: room.lost_pos, own: room.lost_own },
            None => Previous { pos: self.forgotten.pos, own: false },
        }
    }

    /// What has changed since it was last asked.
    pub(crate) fn take_journal(&mut self) -> Journal {
        let mut journal = self.journal.as_mut().map(std::mem::take).unwrap_or_default();
        journal.ids = self.seen.take_forgotten();
        journal
    }

    /// Number and position of the latest message, if the room is remembered and has none any more.
    pub(crate) fn empty_room(&self, room: &str) -> Option<(u64, u64)> {
        self.rooms.get(room).filter(|room| room.kept() == 0 && room.pos > 0).map(|room| (room.seq, room.pos))
    }

    pub(crate) fn past(&self) -> Past {
        let epochs = self.epochs.all().to_vec();
        Past { epochs, head: self.head, latest_ts: self.latest_ts, forgotten: self.forgotten }
    }
}
