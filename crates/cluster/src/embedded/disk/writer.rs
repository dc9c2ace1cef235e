//! The one thread that writes. What has come together while it wrote is written together next: many publishers share a
//! commit, and one alone waits for its own only.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use redb::WriteTransaction;
use tokio::sync::watch;
use turnpike_wire::RoomId;

use super::queue::{Append, Item, Next, Queue, UNAVAILABLE, Work};
use super::record::{IdRecord, LaneRecord, MessageRecord};
use super::store::{Fault, Medium, Store};
use super::tables::{IDS, LANE_RECORDS, MESSAGES, ROOMS};
use crate::embedded::broker::EmbeddedBroker;
use crate::embedded::seen::First;
use crate::{Condition, LANES, Lane};

/// The node had no room for a message; a moment later it has.
const DELIVER_AGAIN_AFTER: Duration = Duration::from_millis(1);
/// The disk does not work; it may be full, and then somebody makes room.
const OPEN_AGAIN_AFTER: Duration = Duration::from_millis(250);

pub(crate) struct Writer {
    pub(crate) medium: Medium,
    /// None: it does not work.
    pub(crate) store: Option<Store>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) broker: Weak<EmbeddedBroker>,
    pub(crate) condition: Arc<watch::Sender<Condition>>,
    /// As they stand in the file.
    pub(crate) lanes: [LaneRecord; LANES],
    /// Of the last message in the file.
    pub(crate) last_turn: u64,
    /// What the file should have been told already.
    pub(crate) debts: Debts,
}

/// What the logs have dropped since it was last written.
#[derive(Default)]
pub(crate) struct Debts {
    messages: Vec<u64>,
    ids: Vec<u64>,
    /// Rooms without messages and where they stand, or those that were forgotten.
    rooms: HashMap<RoomId, Option<(u64, u64)>>,
    any: bool,
}

impl Writer {
    pub(crate) fn run(mut self) {
        let mut behind = [false; LANES];
        loop {
            let pause = if self.store.is_none() {
                Some(OPEN_AGAIN_AFTER)
            } else {
                behind.contains(&true).then_some(DELIVER_AGAIN_AFTER)
            };
            let Next::Batch(batch) = self.queue.next(pause) else { return };
            let written = self.lanes;
            if self.store.is_some() {
                self.write(batch);
            } else {
                refuse(batch);
                self.open_again();
            }
            let Some(broker) = self.broker.upgrade() else { continue };
            for lane in Lane::all() {
                let index = lane.index();
                if behind[index] || self.lanes[index].head != written[index].head {
                    behind[index] = !broker.committed(lane, self.lanes[index].head);
                }
            }
        }
    }

    /// Writes the batch and whatever else is due. Appends are answered for by the lanes.
    fn write(&mut self, batch: Vec<Item>) {
        self.collect_debts();
        let (mut appends, mut works) = (Vec::new(), Vec::new());
        for item in batch {
            match item {
                Item::Append(turn, append) => appends.push((turn, append)),
                Item::Work(work) => works.push(work),
            }
        }
        if appends.is_empty() && works.is_empty() && !self.debts.any {
            return;
        }
        let mut lanes = self.lanes;
        for (_, Append { lane, message, .. }) in &appends {
            let lane = &mut lanes[lane.index()];
            (lane.head, lane.latest_ts) = (message.at.pos, message.ts);
        }
        let store = self.store.as_ref().expect("the caller has looked");
        let (before, debts) = (&self.lanes, &self.debts);
        let committed = store.commit(|transaction| {
            write_appends(transaction, &appends)?;
            write_lanes(transaction, before, &lanes, debts.any)?;
            debts.write(transaction)?;
            works.iter_mut().try_for_each(|work| work.write(transaction))
        });
        match committed {
            Ok(()) => {
                self.lanes = lanes;
                self.debts = Debts::default();
                if let Some((turn, _)) = appends.last() {
                    self.last_turn = *turn;
                }
                for work in works {
                    work.done(Ok(()));
                }
            }
            Err(fault) => self.fail(&fault, works),
        }
    }

    fn collect_debts(&mut self) {
        let Some(broker) = self.broker.upgrade() else { return };
        for lane in Lane::all() {
            let mut line = broker.lane(lane);
            let journal = line.log.take_journal();
            self.lanes[lane.index()].forgotten = line.log.forgotten;
            self.debts.any |=
                !(journal.messages.is_empty() && journal.ids.is_empty() && journal.rooms.is_empty());
            self.debts.messages.extend(journal.messages);
            self.debts.ids.extend(journal.ids);
            for room in journal.rooms {
                let stands = line.log.empty_room(&room);
                self.debts.rooms.insert(room, stands);
            }
        }
    }

    fn fail(&mut self, fault: &Fault, works: Vec<Box<dyn Work>>) {
        self.set_fault(Some(fault.to_string()));
        tracing::error!(path = %self.medium.path().display(), error = fault as &dyn std::error::Error, "nothing can be kept on disk");
        // First, so that nobody puts in anything behind what is cleared away now.
        self.queue.set_failing(true);
        // What was written to it is not known until it is opened again.
        self.store = None;
        if let Some(broker) = self.broker.upgrade() {
            broker.disk_failed();
        }
        for work in works {
            work.done(Err(UNAVAILABLE));
        }
        refuse(self.queue.clear());
    }

    /// Opens the file anew and takes back what may have got there of the commit that failed.
    fn open_again(&mut self) {
        self.collect_debts();
        let store = match self.medium.open() {
            Ok(store) => store,
            Err(error) => {
                self.set_fault(Some(error.to_string()));
                return;
            }
        };
        let (lanes, debts, first) = (&self.lanes, &self.debts, self.last_turn + 1);
        let committed = store.commit(|transaction| {
            transaction.open_table(MESSAGES)?.retain_in(first.., |_, _| false)?;
            transaction.open_table(IDS)?.retain_in(first.., |_, _| false)?;
            write_lanes(transaction, lanes, lanes, true)?;
            debts.write(transaction)
        });
        if let Err(fault) = committed {
            self.set_fault(Some(fault.to_string()));
            return;
        }
        self.debts = Debts::default();
        self.store = Some(store);
        self.set_fault(None);
        tracing::info!(path = %self.medium.path().display(), "the disk works again");
        self.queue.set_failing(false);
    }

    fn set_fault(&self, fault: Option<String>) {
        let path = self.medium.path();
        let say = |fault| {
            format!("nothing can be kept in {}: {fault}; publishing is refused until it can", path.display())
        };
        let faults: Vec<String> = fault.map(say).into_iter().collect();
        self.condition.send_if_modified(|condition| {
            let changed = condition.faults != faults;
            condition.faults = faults;
            changed
        });
    }
}

/// Appends among them are void already.
fn refuse(items: impl IntoIterator<Item = Item>) {
    for item in items {
        if let Item::Work(work) = item {
            work.done(Err(UNAVAILABLE));
        }
    }
}

fn write_appends(transaction: &WriteTransaction, appends: &[(u64, Append)]) -> Result<(), Fault> {
    if appends.is_empty() {
        return Ok(());
    }
    let mut messages = transaction.open_table(MESSAGES)?;
    for (turn, Append { message, kept_ms, previous, .. }) in appends {
        let record = MessageRecord { message: Arc::clone(message), kept_ms: *kept_ms, previous: *previous };
        messages.insert(turn, &*record.write())?;
    }
    let mut ids = transaction.open_table(IDS)?;
    for (turn, Append { message, kept_ms, id, .. }) in appends {
        let Some(id) = id else { continue };
        let record = IdRecord {
            room: message.room.clone(),
            from: message.from.clone(),
            id: id.as_str().into(),
            first: First { epoch: message.at.epoch, seq: message.seq, ts: message.ts },
            kept_ms: *kept_ms,
        };
        ids.insert(turn, &*record.write())?;
    }
    Ok(())
}

fn write_lanes(
    transaction: &WriteTransaction,
    before: &[LaneRecord; LANES],
    lanes: &[LaneRecord; LANES],
    all: bool,
) -> Result<(), Fault> {
    let mut table = transaction.open_table(LANE_RECORDS)?;
    for (index, lane) in lanes.iter().enumerate() {
        if all || *lane != before[index] {
            table.insert(index as u8, &*lane.write())?;
        }
    }
    Ok(())
}

impl Debts {
    fn write(&self, transaction: &WriteTransaction) -> Result<(), Fault> {
        if !self.messages.is_empty() {
            let mut messages = transaction.open_table(MESSAGES)?;
            for turn in &self.messages {
                messages.remove(turn)?;
            }
        }
        if !self.ids.is_empty() {
            let mut ids = transaction.open_table(IDS)?;
            for turn in &self.ids {
                ids.remove(turn)?;
            }
        }
        if !self.rooms.is_empty() {
            let mut rooms = transaction.open_table(ROOMS)?;
            for (room, stands) in &self.rooms {
                match stands {
                    Some(stands) => rooms.insert(room.as_str(), stands)?,
                    None => rooms.remove(room.as_str())?,
                };
            }
        }
        Ok(())
    }
}
