//! What is read when a process starts: all of it but the sessions. The limits on what is kept bound how long that takes.

use std::sync::Arc;

use redb::{Database, ReadableDatabase, ReadableTable, TableError};
use turnpike_wire::{RoomId, UserId};

use super::record::{BaseRecord, Garbled, IdRecord, LaneRecord, MessageRecord};
use super::store::{Fault, Store};
use super::tables::{BASES, CURSORS, EPOCHS, IDS, LANE_RECORDS, LAST_SEEN, MARKS, MESSAGES, NOTICES, ROOMS};
use crate::embedded::clock::unix_ms;
use crate::embedded::log::{Forgotten, Log, Past};
use crate::{Base, BaseId, HistoryLimits, LANES, Mark, Notice, Topic, lane_of};

/// What earlier processes have left, beside the logs.
#[derive(Default)]
pub(crate) struct Earlier {
    pub(crate) bases: Vec<Noted<(BaseId, Base)>>,
    pub(crate) marks: Vec<Noted<(RoomId, Mark)>>,
    pub(crate) cursors: Vec<Noted<(UserId, Box<str>, u64)>>,
    /// With the time by the wall clock.
    pub(crate) last_seen: Vec<Noted<(RoomId, UserId, u64)>>,
    pub(crate) notices: Vec<Notice>,
    /// The latest time that stands anywhere.
    pub(crate) noted_ms: u64,
    pub(crate) last_turn: u64,
}

pub(crate) type Logs = [Log; LANES];

/// Something, and when it was written, by the steady clock of that process. In that order.
pub(crate) type Noted<T> = (u64, T);

/// Reads what is there and begins a new epoch in every lane.
///
/// A new one each time, also when nothing was lost: a file that was put back from a backup looks like any other, and
/// whoever has a position of what came after it must not be taken to have what stands there now.
pub(crate) fn load(store: &Store, limits: &HistoryLimits) -> Result<(Logs, Earlier), Fault> {
    let (logs, earlier) = store.look(|database| read(database, limits))?;
    store.commit(|transaction| {
        let mut epochs = transaction.open_table(EPOCHS)?;
        epochs.retain(|_, _| false)?;
        for (lane, log) in logs.iter().enumerate() {
            for (epoch, first) in log.epochs.all() {
                epochs.insert((lane as u8, *epoch), first)?;
            }
        }
        Ok(())
    })?;
    Ok((logs, earlier))
}

fn read(database: &Database, limits: &HistoryLimits) -> Result<(Logs, Earlier), Fault> {
    let transaction = database.begin_read()?;
    let limits = Arc::new(limits.clone());
    let mut pasts: [Past; LANES] = std::array::from_fn(|_| Past::default());
    for row in transaction.open_table(LANE_RECORDS)?.iter()? {
        let (lane, record) = row?;
        let LaneRecord { head, latest_ts, forgotten } = LaneRecord::read(record.value())?;
        let past = pasts.get_mut(usize::from(lane.value())).ok_or(Garbled)?;
        (past.head, past.latest_ts, past.forgotten) = (head, latest_ts, forgotten);
    }
    for row in transaction.open_table(EPOCHS)?.iter()? {
        let (key, first) = row?;
        let (lane, epoch) = key.value();
        let Past { epochs, head, .. } = pasts.get_mut(usize::from(lane)).ok_or(Garbled)?;
        let rises = epochs.last().is_none_or(|(_, before)| *before < first.value());
        if !rises || first.value() == 0 || first.value() > *head + 1 {
            return Err(Garbled.into());
        }
        epochs.push((epoch, first.value()));
    }
    let latest =
        pasts.iter().filter_map(|past| past.epochs.last()).map(|(epoch, _)| *epoch).max().unwrap_or(0);
    let epoch = unix_ms().max(latest + 1);
    for Past { epochs, head, forgotten: Forgotten { pos, .. }, .. } in &pasts {
        if *pos > *head || (*head > 0 && epochs.is_empty()) {
            return Err(Garbled.into());
        }
    }
    let mut logs = pasts.map(|past| Log::restore(Arc::clone(&limits), past, epoch));
    let mut earlier = Earlier::default();
    for row in transaction.open_table(ROOMS)?.iter()? {
        let (room, stands) = row?;
        let room = RoomId::parse(room.value()).map_err(|_| Garbled)?;
        let (seq, pos) = stands.value();
        let log = log_of(&mut logs, &room);
        if pos == 0 || pos > log.head() {
            return Err(Garbled.into());
        }
        log.restore_room(&room, seq, pos);
    }
    for row in transaction.open_table(MESSAGES)?.iter()? {
        let (turn, record) = row?;
        let MessageRecord { message, kept_ms, previous } = MessageRecord::read(record.value())?;
        earlier.note(kept_ms);
        earlier.last_turn = turn.value();
        let log = log_of(&mut logs, &message.room);
        log.restore_message(message, kept_ms, turn.value(), previous)
            .map_err(|error| Fault::Garbled(error.to_string()))?;
    }
    for row in transaction.open_table(IDS)?.iter()? {
        let (turn, record) = row?;
        let IdRecord { room, from, id, first, kept_ms } = IdRecord::read(record.value())?;
        earlier.note(kept_ms);
        earlier.last_turn = earlier.last_turn.max(turn.value());
        let seen = &mut log_of(&mut logs, &room).seen;
        seen.remember(seen.key(&room, &from, &id), first, turn.value(), kept_ms);
    }
    for row in transaction.open_table(BASES)?.iter()? {
        let (id, record) = row?;
        let BaseRecord { put_ms, base } = BaseRecord::read(record.value())?;
        earlier.bases.push((put_ms, (BaseId(id.value()), base)));
    }
    for row in transaction.open_table(MARKS)?.iter()? {
        let (key, mark) = row?;
        let (room, user) = key.value().split_once(' ').ok_or(Garbled)?;
        let room = RoomId::parse(room).map_err(|_| Garbled)?;
        let (received, read, moved_ms) = mark.value();
        let user = UserId::parse(user).map_err(|_| Garbled)?;
        earlier.marks.push((moved_ms, (room, Mark { user, received, read })));
    }
    for row in transaction.open_table(CURSORS)?.iter()? {
        let (key, cursor) = row?;
        let (user, device) = key.value().split_once(' ').ok_or(Garbled)?;
        let user = UserId::parse(user).map_err(|_| Garbled)?;
        let (seq, moved_ms) = cursor.value();
        earlier.cursors.push((moved_ms, (user, device.into(), seq)));
    }
    for row in transaction.open_table(LAST_SEEN)?.iter()? {
        let (key, seen) = row?;
        let (room, user) = key.value().split_once(' ').ok_or(Garbled)?;
        let room = RoomId::parse(room).map_err(|_| Garbled)?;
        let user = UserId::parse(user).map_err(|_| Garbled)?;
        let (unix_ms, noted_ms) = seen.value();
        earlier.last_seen.push((noted_ms, (room, user, unix_ms)));
    }
    match transaction.open_table(NOTICES) {
        Ok(notices) => {
            for row in notices.iter()? {
                let (name, notice) = row?;
                let (topic, key) = name.value().split_once(' ').ok_or(Garbled)?;
                let (until_ms, value) = notice.value();
                earlier.notices.push(Notice::new(Topic::parse(topic).ok_or(Garbled)?, key, value, until_ms));
            }
        }
        Err(TableError::TableDoesNotExist(_)) => {}
        Err(error) => return Err(error.into()),
    }
    earlier.bases.sort_by_key(|(at, _)| *at);
    earlier.marks.sort_by_key(|(at, _)| *at);
    earlier.cursors.sort_by_key(|(at, _)| *at);
    earlier.last_seen.sort_by_key(|(at, _)| *at);
    let latest = [
        earlier.last_seen.last().map(|(at, _)| *at),
        earlier.bases.last().map(|(at, _)| *at),
        earlier.marks.last().map(|(at, _)| *at),
        earlier.cursors.last().map(|(at, _)| *at),
    ];
    latest.into_iter().flatten().for_each(|at| earlier.note(at));
    Ok((logs, earlier))
}

fn log_of<'a>(logs: &'a mut Logs, room: &RoomId) -> &'a mut Log {
    &mut logs[lane_of(room).index()]
}

impl Earlier {
    fn note(&mut self, at_ms: u64) {
        self.noted_ms = self.noted_ms.max(at_ms);
    }
}

impl From<Garbled> for Fault {
    fn from(garbled: Garbled) -> Self {
        Self::Garbled(garbled.to_string())
    }
}
