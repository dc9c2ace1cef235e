//! The broker of a Redis Cluster: publications go through the committer, what is published comes through the lanes, and
//! what was is read from the log.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::sleep;
use tracing::debug;
use turnpike_wire::RoomId;

use super::access::Access;
use super::commit::{Committer, Stored, Work};
use super::lanes::Lanes;
use super::{frame, log};
use crate::{
    Broker, Deliver, Lane, Page, Paged, Publication, PublishError, Read, Receipt, Signal, Soon, Standing,
    Unavailable, lane_of,
};

/// Signals of this node that have not reached Redis. Beyond it they are dropped: they are not kept anyway.
const SIGNALS_MAX: usize = 1_024;

/// Between two looks for rooms to forget. All lanes are gone through in a few minutes, or hours if there are millions.
const FORGET_PAUSE: Duration = Duration::from_secs(5);

type Answered = oneshot::Receiver<Result<Stored, PublishError>>;

pub(crate) struct RedisBroker {
    access: Arc<Access>,
    lanes: Arc<Lanes>,
    committer: Committer,
    signals: Arc<Semaphore>,
}

impl RedisBroker {
    pub(crate) fn new(access: Arc<Access>, lanes: Arc<Lanes>, committer: Committer) -> Self {
        access.runtime.spawn(forget_idle_rooms(Arc::downgrade(&access)));
        Self { access, lanes, committer, signals: Arc::new(Semaphore::new(SIGNALS_MAX)) }
    }

    /// Runs where the plane's connections are, and goes on though nobody waits for it.
    fn later<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Unavailable>> + Send + 'static,
    ) -> Soon<Result<T, Unavailable>> {
        let (done_in, done) = oneshot::channel();
        self.access.runtime.spawn(async move {
            let _ = done_in.send(work.await);
        });
        Soon::later(async move { done.await.unwrap_or(Err(Unavailable { retry_after_ms: 1_000 })) })
    }

    fn begin(&self, publication: Publication) -> Result<(Box<str>, bool, Answered), PublishError> {
        let Publication { room, from, id, age_ms, body, attachments } = publication;
        let config = &self.access.client.config;
        let young_ms = config.history.dedupe_ms / 2;
        // Half the window is left for clocks that run differently and for the way there.
        if id.is_some() && age_ms > young_ms {
            return Err(PublishError::TooOld);
        }
        let attempt = self.committer.attempt();
        let is_named = id.is_some();
        let name: Box<str> = match &id {
            Some(id) => id.as_str().into(),
            None => format!("{}.{attempt:x}", self.access.own).into(),
        };
        let mut digest = Context::new(&SHA256);
        for part in [room.as_str(), if is_named { from.as_str() } else { "" }, &*name] {
            digest.update(part.as_bytes());
            // No id has it, so no two triples read the same.
            digest.update(b"\0");
        }
        let channel = self.access.keys.channel(&room);
        let payload =
            frame::message_payload(&self.access.seal.at(&channel), &from, &name, &body, &attachments);
        let work = Work {
            lane: lane_of(&room),
            log: self.access.keys.log(&room),
            channel,
            id: Bytes::copy_from_slice(&digest.finish().as_ref()[..16]),
            attempt: Bytes::from(format!("{:x}.{attempt:x}", self.access.own.0 as u32)),
            payload,
            room: room.as_str().into(),
            // Beyond the window it would not be recognised when it is sent again.
            deadline: config.publish_deadline.min(Duration::from_millis(young_ms.max(1))),
        };
        Ok((name, is_named, self.committer.publish(work)?))
    }
}

impl Broker for RedisBroker {
    fn start(&self, deliver: Arc<dyn Deliver>) -> Soon<Result<(), Unavailable>> {
        self.later(Arc::clone(&self.lanes).begin(deliver))
    }

    fn publish(&self, publication: Publication) -> Soon<Result<Receipt, PublishError>> {
        let (id, is_named, answer) = match self.begin(publication) {
            Ok(begun) => begun,
            Err(error) => {
                let reason = match error {
                    PublishError::Unavailable(_) => "away",
                    PublishError::Full => "full",
                    PublishError::TooOld => "too_old",
                };
                self.access.client.metrics.publish_failed.with_label_values(&[reason]).inc();
                return Soon::Now(Err(error));
            }
        };
        Soon::later(async move {
            let Stored { epoch, seq, ts, duplicate } =
                answer.await.unwrap_or(Err(Unavailable { retry_after_ms: 1_000 }.into()))?;
            Ok(Receipt { id, epoch, seq, ts, duplicate: duplicate && is_named })
        })
    }

    fn open(&self, room: &RoomId) -> Soon<Result<(), Unavailable>> {
        self.lanes.open(room)
    }

    fn close(&self, room: &RoomId) {
        self.lanes.close(room);
    }

    fn level(&self, room: &RoomId) -> Soon<Result<(), Unavailable>> {
        self.lanes.level(room)
    }

    fn read(&self, read: &Read) -> Soon<Result<Page, Unavailable>> {
        let (access, read) = (Arc::clone(&self.access), read.clone());
        self.later(async move { log::read(&access, &read).await })
    }

    fn signal(&self, room: &RoomId, signal: Signal) {
        self.lanes.signal(room, &signal);
        let metrics = &self.access.client.metrics;
        let Ok(permit) = Arc::clone(&self.signals).try_acquire_owned() else {
            metrics.signals_dropped.inc();
            return;
        };
        let channel = self.access.keys.channel(room);
        let frame = frame::signal(&self.access.seal.at(&channel), self.access.own, &signal);
        let access = Arc::clone(&self.access);
        self.access.runtime.spawn(async move {
            if access.client.announce(&channel, frame).await.is_err() {
                debug!(%channel, "a signal was not sent");
                access.client.metrics.signals_dropped.inc();
            }
            drop(permit);
        });
    }

    fn rooms(&self, cursor: &str, max: usize) -> Soon<Result<Paged<(RoomId, Standing)>, Unavailable>> {
        let (access, cursor) = (Arc::clone(&self.access), cursor.to_owned());
        self.later(async move { log::rooms(&access, &cursor, max).await })
    }
}

/// All nodes do it; it is little, and twice does no harm.
async fn forget_idle_rooms(access: std::sync::Weak<Access>) {
    let mut cursors: [String; crate::LANES] = std::array::from_fn(|_| "0".to_owned());
    loop {
        for lane in Lane::all() {
            sleep(FORGET_PAUSE).await;
            let Some(access) = access.upgrade() else { return };
            if let Ok(next) = log::forget(&access, lane, &cursors[lane.index()]).await {
                cursors[lane.index()] = next;
            }
        }
    }
}
