//! Letters over the channel on which Redis tells a node something. One task hands them to the connections, so they keep
//! their order; nobody waits for the answers, and what is not sent at once is lost.

use std::sync::Arc;

use bytes::Bytes;
use fred::types::Value;
use tokio::sync::{Semaphore, mpsc};
use tracing::debug;

use super::access::Access;
use super::fault::Fault;
use super::link::Command;
use super::slot::slot_of;
use super::{frame, reply};
use crate::{Incarnation, LETTER_BYTES_MAX, Letter, Letters, NotSent, Post};

/// Letters of this node that have not been handed to a connection. When it is full, who writes is told.
const WAITING_MAX: usize = 512;

/// Handed to a connection, and not answered. Then no more are: the process they go to does not answer.
const UNANSWERED_MAX: usize = 512;

pub(crate) struct RedisPost {
    access: Arc<Access>,
    queue: mpsc::Sender<(String, Bytes)>,
}

impl RedisPost {
    pub(crate) fn new(access: Arc<Access>) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        access.runtime.spawn(carry(Arc::clone(&access), waiting));
        Self { access, queue }
    }
}

impl Post for RedisPost {
    fn send(&self, to: Incarnation, subject: &'static str, words: Bytes) -> Result<(), NotSent> {
        let from = self.access.own;
        if words.len() > LETTER_BYTES_MAX {
            return Err(NotSent::TooLarge);
        }
        if to == from {
            self.access.letterboxes.put(subject, Letter { from, words });
            return Ok(());
        }
        let channel = self.access.keys.node(to);
        let letter = frame::letter(&self.access.seal.at(&channel), from, subject, &words);
        self.queue.try_send((channel, letter)).map_err(|_| {
            self.access.letterboxes.lose();
            NotSent::Full
        })
    }

    fn listen(&self, subject: &'static str) -> Letters {
        self.access.letterboxes.open(subject)
    }

    fn lost(&self) -> u64 {
        self.access.letterboxes.lost()
    }
}

/// Until nobody can write any more.
async fn carry(access: Arc<Access>, mut waiting: mpsc::Receiver<(String, Bytes)>) {
    let unanswered = Arc::new(Semaphore::new(UNANSWERED_MAX));
    while let Some((channel, frame)) = waiting.recv().await {
        let Ok(permit) = Arc::clone(&unanswered).acquire_owned().await else { return };
        let client = &access.client;
        client.metrics.commands.with_label_values(&["SPUBLISH"]).inc();
        match client.link(slot_of(&channel)).await {
            Ok(link) => {
                let command = Command::new("SPUBLISH").arg(channel).arg(Value::Bytes(frame));
                // In the connection's order from here on.
                let sent = link.send(command);
                let access = Arc::clone(&access);
                tokio::spawn(async move {
                    match sent.await {
                        Ok(heard) if reply::number(&heard) != Some(0) => {}
                        Ok(_) => access.letterboxes.lose(),
                        Err(fault) => lost(&access, &fault),
                    }
                    drop(permit);
                });
            }
            Err(fault) => lost(&access, &fault),
        }
    }
}

fn lost(access: &Access, fault: &Fault) {
    debug!(error = fault as &dyn std::error::Error, "a letter was not sent");
    access.client.failed("SPUBLISH", fault);
    access.client.surveyor.look_soon();
    access.letterboxes.lose();
}
