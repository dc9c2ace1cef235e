//! One batch after the other, each until it is taken, unwanted or too old.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep};

use super::backoff::{chance, delay};
use super::batch::{Batch, Queued};
use super::endpoint::{Endpoint, Outcome};
use super::event::body;
use super::{Reporter, WebhookMeters};

pub(super) struct Delivery {
    endpoint: Endpoint,
    deadline: Duration,
    incarnation: String,
    /// Shared by all receivers: two of them may be one backend.
    drawn: Arc<AtomicU64>,
    meters: WebhookMeters,
}

impl Delivery {
    pub(super) fn new(
        endpoint: Endpoint,
        deadline: Duration,
        reporter: &Reporter,
        drawn: Arc<AtomicU64>,
        meters: WebhookMeters,
    ) -> Self {
        Self { endpoint, deadline, incarnation: reporter.incarnation.clone(), drawn, meters }
    }

    pub(super) async fn run(self, mut queue: Receiver<Queued>) {
        while let Some(batch) = Batch::next(&mut queue).await {
            if !batch.events.is_empty() {
                self.deliver(&batch).await;
                batch.debts.iter().for_each(|debt| debt.settled());
            }
            if let Some(done) = batch.flush {
                // Whoever waited may have given up.
                let _ = done.try_send(());
            }
        }
    }

    async fn deliver(&self, batch: &Batch) {
        let events = batch.events.len();
        // The same with every attempt, so that the receiver can tell a repetition.
        let id = format!("{}.b{:x}", self.incarnation, self.drawn.fetch_add(1, Ordering::Relaxed));
        let body = Bytes::from(body(&id, batch.events.iter().map(|event| &**event)));
        let deadline = batch.since + self.deadline;
        let mut failures = 0;
        loop {
            let outcome = self.endpoint.send(&id, body.clone()).await;
            self.meters.attempted(outcome);
            match outcome {
                Outcome::Taken => return self.meters.taken(events),
                Outcome::Gone => return self.meters.dropped("gone", events),
                _ => failures += 1,
            }
            let wait = delay(failures, chance());
            if Instant::now() + wait > deadline {
                tracing::warn!(batch = %id, events, reason = outcome.slug(), "a webhook was given up");
                return self.meters.dropped("deadline", events);
            }
            if failures == 1 {
                tracing::info!(batch = %id, events, reason = outcome.slug(), "a webhook is tried again");
            }
            sleep(wait).await;
        }
    }
}
