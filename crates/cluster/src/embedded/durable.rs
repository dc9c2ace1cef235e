//! Publishing with a disk: a message has its place at once, is written together with others, and only then delivered, seen
//! by readers and answered for.
//!
//! So nobody ever has what a crash can take back, and members get it as much later as a commit takes.

use std::sync::Arc;

use turnpike_wire::RoomId;

use super::broker::{EmbeddedBroker, Line, id_of};
use super::clock::Moment;
use super::disk::{Append, Disk, Queue, UNAVAILABLE};
use super::pending::{Answer, Place};
use super::seen::First;
use crate::event::Event;
use crate::{
    Broker, Deliver, Lane, LanePosition, Message, Page, Paged, Publication, PublishError, Read, Receipt,
    Signal, Soon, Standing, Unavailable, lane_of,
};

impl EmbeddedBroker {
    pub(super) fn publish_durably(
        &self,
        publication: Publication,
        now: Moment,
        disk: &Queue,
    ) -> Soon<Answer> {
        let Publication { room, from, id, age_ms, body, attachments } = publication;
        let lane = lane_of(&room);
        let mut line = self.lane(lane);
        let Line { log, pending } = &mut *line;
        let key = match &id {
            Some(_) if log.seen.is_too_old(age_ms, now.steady_ms) => {
                return Soon::Now(Err(PublishError::TooOld));
            }
            Some(id) => Some(log.seen.key(&room, &from, id)),
            None => None,
        };
        if let (Some(key), Some(id)) = (key, &id) {
            if let Some(First { epoch, seq, ts }) = log.seen.first(key, now.steady_ms) {
                let id = id.as_str().into();
                return Soon::Now(Ok(Receipt { id, epoch, seq, ts, duplicate: true }));
            }
            if let Some(answer) = pending.again(key) {
                return answered(answer);
            }
        }
        if disk.is_failing() {
            return Soon::Now(Err(UNAVAILABLE.into()));
        }
        if pending.is_full() {
            return Soon::Now(Err(PublishError::Full));
        }
        let Place { pos, seq, ts, previous } = pending.next(log, &room, now.unix_ms);
        let at = LanePosition { epoch: log.epochs.present(), pos };
        let named = id_of(id.as_ref(), lane, at);
        let event = Event { room: &room, epoch: at.epoch, seq, id: &named, from: &from, ts, body: &body };
        let data = event.json();
        let message = Arc::new(Message { room, at, seq, from, ts, data, attachments });
        let kept_ms = now.steady_ms;
        // While the lane is held, so that what comes first in the lane is written first.
        let append = Append { lane, message: Arc::clone(&message), kept_ms, previous, id };
        let Ok(turn) = disk.append(append) else { return Soon::Now(Err(PublishError::Full)) };
        log.expect(&message.room);
        answered(pending.push(message, named, key, kept_ms, turn))
    }

    /// The lane is on the disk up to there: delivers what is new. False: the node has no room for some of it, and this
    /// must be called again.
    pub(super) fn committed(&self, lane: Lane, up_to: u64) -> bool {
        let mut line = self.lane(lane);
        line.pending.committed(up_to);
        let Line { log, pending } = &mut *line;
        let mut taken = true;
        while let Some(message) = pending.first() {
            if log.is_open(&message.room)
                && let Some(deliver) = self.deliver()
                && deliver.message(message).is_err()
            {
                taken = false;
                break;
            }
            let entry = pending.pop().expect("there is a first");
            log.append(Arc::clone(&entry.message), entry.kept_ms, entry.turn);
            log.expect_no_more(&entry.message.room);
            if let Some(key) = entry.key {
                log.seen.remember(key, entry.first(), entry.turn, entry.kept_ms);
            }
            entry.answer_kept();
        }
        self.tell_settled(&mut line);
        taken
    }

    /// Nothing that is not on the disk now will get there.
    pub(super) fn disk_failed(&self) {
        for lane in Lane::all() {
            let mut line = self.lane(lane);
            let Line { log, pending } = &mut *line;
            for entry in pending.fail() {
                log.expect_no_more(&entry.message.room);
                entry.answer_failed(UNAVAILABLE);
            }
            self.tell_settled(&mut line);
        }
    }

    fn tell_settled(&self, line: &mut Line) {
        let Line { log, pending } = line;
        let Some(deliver) = self.deliver() else { return };
        for (room, settled) in pending.settled(log) {
            deliver.verified(&room, log.position());
            let _ = settled.send(());
        }
    }
}

fn answered(answer: tokio::sync::oneshot::Receiver<Answer>) -> Soon<Answer> {
    Soon::later(async move { answer.await.unwrap_or(Err(UNAVAILABLE.into())) })
}

/// The broker as others hold it. The writer has the broker too, now and then, but not the way to the disk: whoever drops
/// the last of this finds the file closed.
pub(super) struct OnDisk {
    pub(super) broker: Arc<EmbeddedBroker>,
    pub(super) _disk: Arc<Disk>,
}

impl Broker for OnDisk {
    fn start(&self, deliver: Arc<dyn Deliver>) -> Soon<Result<(), Unavailable>> {
        self.broker.start(deliver)
    }

    fn publish(&self, publication: Publication) -> Soon<Result<Receipt, PublishError>> {
        self.broker.publish(publication)
    }

    fn open(&self, room: &RoomId) -> Soon<Result<(), Unavailable>> {
        self.broker.open(room)
    }

    fn close(&self, room: &RoomId) {
        self.broker.close(room);
    }

    fn level(&self, room: &RoomId) -> Soon<Result<(), Unavailable>> {
        self.broker.level(room)
    }

    fn read(&self, read: &Read) -> Soon<Result<Page, Unavailable>> {
        self.broker.read(read)
    }

    fn signal(&self, room: &RoomId, signal: Signal) {
        self.broker.signal(room, signal);
    }

    fn rooms(&self, cursor: &str, max: usize) -> Soon<Result<Paged<(RoomId, Standing)>, Unavailable>> {
        self.broker.rooms(cursor, max)
    }
}
