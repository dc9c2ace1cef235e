//! What is posted, for the one process that there is; with a disk it is there after a restart.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use redb::{ReadableTable as _, WriteTransaction};
use tokio::sync::oneshot;

use super::disk::{Disk, Earlier, Fault, NOTICES, Queue, Work};
use super::sessions::written;
use crate::board::{Board, LIFTED_KEPT_MS, unix_ms};
use crate::bulletin::fits;
use crate::{Bulletin, NotPosted, Notice, Notices, Soon, Topic, Unavailable};

pub(super) struct EmbeddedBulletin {
    board: Arc<Board>,
    disk: Option<Arc<Disk>>,
}

impl EmbeddedBulletin {
    pub(super) fn new(disk: Option<Arc<Disk>>, earlier: &mut Earlier) -> Self {
        let board = Arc::new(Board::default());
        let mut forgotten = Forget::default();
        for notice in earlier.notices.drain(..) {
            let put = pin(&board, notice.clone());
            forgotten.0.extend((!put.is_news).then_some(notice));
            forgotten.0.extend(put.given_up);
        }
        if let Some(disk) = &disk {
            forgotten.write_later(&Arc::downgrade(&disk.queue));
        }
        Self { board, disk }
    }

    pub(super) fn sweep(&self) {
        let swept = self.board.sweep(unix_ms());
        if let Some(disk) = &self.disk {
            Forget(swept).write_later(&Arc::downgrade(&disk.queue));
        }
    }
}

impl Bulletin for EmbeddedBulletin {
    fn post(&self, notice: Notice) -> Soon<Result<(), NotPosted>> {
        if let Err(too_large) = fits(&notice) {
            return Soon::Now(Err(too_large));
        }
        let Some(disk) = &self.disk else {
            pin(&self.board, notice);
            return Soon::Now(Ok(()));
        };
        let (board, queue) = (Arc::downgrade(&self.board), Arc::downgrade(&disk.queue));
        let posted = written(disk, |reply| Pin { notice, board, queue, reply });
        posted.map(|posted| posted.map_err(NotPosted::from))
    }

    fn listen(&self, topic: Topic) -> Notices {
        self.board.listen(topic)
    }

    fn holding(&self, topic: Topic) -> Vec<Notice> {
        self.board.holding(topic)
    }
}

fn pin(board: &Board, notice: Notice) -> crate::board::Put {
    let now_ms = unix_ms();
    let ends_ms = if notice.is_lifting() { now_ms + LIFTED_KEPT_MS } else { notice.until_ms };
    board.put(notice, None, ends_ms, Bytes::new(), now_ms)
}

/// Seen and told only when it is written.
struct Pin {
    notice: Notice,
    board: Weak<Board>,
    queue: Weak<Queue>,
    reply: oneshot::Sender<Result<(), Unavailable>>,
}

impl Work for Pin {
    fn write(&mut self, transaction: &WriteTransaction) -> Result<(), Fault> {
        let Notice { topic, key, value, until_ms } = &self.notice;
        let mut table = transaction.open_table(NOTICES)?;
        if self.notice.is_lifting() {
            table.remove(&*row(*topic, key))?;
        } else {
            table.insert(&*row(*topic, key), (*until_ms, &**value))?;
        }
        Ok(())
    }

    fn done(self: Box<Self>, result: Result<(), Unavailable>) {
        let Self { notice, board, queue, reply } = *self;
        if let (Ok(()), Some(board)) = (result, board.upgrade()) {
            Forget(pin(&board, notice).given_up).write_later(&queue);
        }
        let _ = reply.send(result);
    }
}

/// Notices that count no more. What cannot be removed now is at the next start.
#[derive(Default)]
struct Forget(Vec<Notice>);

impl Forget {
    fn write_later(self, queue: &Weak<Queue>) {
        if !self.0.is_empty()
            && let Some(queue) = queue.upgrade()
        {
            queue.work(Box::new(self));
        }
    }
}

impl Work for Forget {
    fn write(&mut self, transaction: &WriteTransaction) -> Result<(), Fault> {
        let mut table = transaction.open_table(NOTICES)?;
        for Notice { topic, key, until_ms, .. } in &self.0 {
            let row = row(*topic, key);
            // One that was posted meanwhile stays.
            let is_this = table.get(&*row)?.is_some_and(|kept| kept.value().0 <= *until_ms);
            if is_this {
                table.remove(&*row)?;
            }
        }
        Ok(())
    }

    fn done(self: Box<Self>, _: Result<(), Unavailable>) {}
}

fn row(topic: Topic, key: &str) -> String {
    format!("{} {key}", topic.slug())
}
