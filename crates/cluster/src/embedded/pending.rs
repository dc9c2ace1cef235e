//! Messages of a lane that have their place and are not on the disk yet. Nobody has been told of them: when the disk fails
//! their places go to others.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::oneshot;
use turnpike_wire::RoomId;

use super::log::{Log, Previous};
use super::seen::{First, Key};
use crate::{Message, PublishError, Receipt, Unavailable};

#[derive(Default)]
pub(super) struct Pending {
    entries: VecDeque<Entry>,
    /// Position of each id that is among them.
    keys: HashMap<Key, u64>,
    /// The latest of each room.
    rooms: HashMap<RoomId, (u64, u64)>,
    /// Up to here they are on the disk.
    committed: u64,
    /// Who waits until nothing up to that position is pending, for which room.
    levels: Vec<(u64, RoomId, oneshot::Sender<()>)>,
}

pub(super) struct Entry {
    pub(super) message: Arc<Message>,
    pub(super) id: Box<str>,
    pub(super) key: Option<Key>,
    pub(super) kept_ms: u64,
    pub(super) turn: u64,
    replies: Vec<(oneshot::Sender<Answer>, Asked)>,
}

pub(super) type Answer = Result<Receipt, PublishError>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    First,
    Again,
}

/// Where the next message comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) pos: u64,
    pub(super) seq: u64,
    /// Not before the message in front of it.
    pub(super) ts: u64,
    pub(super) previous: Previous,
}

/// Beyond it publishers are told to wait: the disk is far behind, or the node takes nothing.
const ENTRIES_MAX: usize = 4_096;

impl Pending {
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= ENTRIES_MAX
    }

    /// Behind everything that is in the log or on its way.
    pub(super) fn next(&self, log: &Log, room: &RoomId, now_ms: u64) -> Place {
        let (head, latest_ts) = self
            .entries
            .back()
            .map_or((log.head(), log.latest_ts()), |entry| (entry.message.at.pos, entry.message.ts));
        let (seq, previous) = match self.rooms.get(room) {
            Some((seq, pos)) => (*seq, Previous { pos: *pos, own: true }),
            None => (log.seq(room), log.previous(room)),
        };
        Place { pos: head + 1, seq: seq + 1, ts: now_ms.max(latest_ts), previous }
    }

    pub(super) fn push(
        &mut self,
        message: Arc<Message>,
        id: Box<str>,
        key: Option<Key>,
        kept_ms: u64,
        turn: u64,
    ) -> oneshot::Receiver<Answer> {
        let (sender, receiver) = oneshot::channel();
        let Message { at, seq, .. } = *message;
        self.rooms.insert(message.room.clone(), (seq, at.pos));
        if let Some(key) = key {
            self.keys.insert(key, at.pos);
        }
        let replies = vec![(sender, Asked::First)];
        self.entries.push_back(Entry { message, id, key, kept_ms, turn, replies });
        receiver
    }

    /// For a message that is on its way already: the same answer.
    pub(super) fn again(&mut self, key: Key) -> Option<oneshot::Receiver<Answer>> {
        /// Nobody needs to ask more often before the first answer comes.
        const REPLIES_MAX: usize = 64;
        let pos = *self.keys.get(&key)?;
        let first = self.entries.front()?.message.at.pos;
        let entry = self.entries.get_mut(usize::try_from(pos - first).ok()?)?;
        let (sender, receiver) = oneshot::channel();
        if entry.replies.len() < REPLIES_MAX {
            entry.replies.push((sender, Asked::Again));
        } else {
            let _ = sender.send(Err(PublishError::Full));
        }
        Some(receiver)
    }

    pub(super) fn committed(&mut self, pos: u64) {
        self.committed = self.committed.max(pos);
    }

    /// The next that is on the disk and has not been delivered.
    pub(super) fn first(&self) -> Option<&Arc<Message>> {
        let entry = self.entries.front()?;
        (entry.message.at.pos <= self.committed).then_some(&entry.message)
    }

    /// Takes the first off. It is to be put into the log and then answered.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        let pos = entry.message.at.pos;
        if let Some(key) = entry.key
            && self.keys.get(&key) == Some(&pos)
        {
            self.keys.remove(&key);
        }
        if self.rooms.get(&entry.message.room).is_some_and(|(_, latest)| *latest == pos) {
            self.rooms.remove(&entry.message.room);
        }
        Some(entry)
    }

    /// Takes off everything that is not on the disk: it will not get there.
    pub(super) fn fail(&mut self) -> Vec<Entry> {
        let kept = self.entries.partition_point(|entry| entry.message.at.pos <= self.committed);
        let failed: Vec<Entry> = self.entries.drain(kept..).collect();
        self.keys.clear();
        self.rooms.clear();
        for Entry { message, key, .. } in &self.entries {
            self.rooms.insert(message.room.clone(), (message.seq, message.at.pos));
            self.keys.extend(key.map(|key| (key, message.at.pos)));
        }
        failed
    }

    /// Told when nothing is pending of what is now. None: nothing is.
    pub(super) fn settle(&mut self, room: &RoomId) -> Option<oneshot::Receiver<()>> {
        let last = self.entries.back()?.message.at.pos;
        let (sender, receiver) = oneshot::channel();
        // As many as there are callers of `level`, each of whom waits.
        self.levels.push((last, room.clone(), sender));
        Some(receiver)
    }

    /// Of whom everything is in the log by now, or will never be.
    pub(super) fn settled(&mut self, log: &Log) -> impl Iterator<Item = (RoomId, oneshot::Sender<()>)> {
        let (nothing_more, head) = (self.entries.is_empty(), log.head());
        let settled = self.levels.extract_if(.., move |(last, ..)| nothing_more || *last <= head);
        settled.map(|(_, room, sender)| (room, sender))
    }
}

impl Entry {
    pub(super) fn first(&self) -> First {
        First { epoch: self.message.at.epoch, seq: self.message.seq, ts: self.message.ts }
    }

    pub(super) fn answer_kept(self) {
        let First { epoch, seq, ts } = self.first();
        for (reply, asked) in self.replies {
            let duplicate = asked == Asked::Again;
            let _ = reply.send(Ok(Receipt { id: self.id.clone(), epoch, seq, ts, duplicate }));
        }
    }

    pub(super) fn answer_failed(self, unavailable: Unavailable) {
        for (reply, _) in self.replies {
            let _ = reply.send(Err(unavailable.into()));
        }
    }
}
